"""What `queries status` says of a warehouse whose rows are known."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from queries.operations.drop_source import drop
from queries.operations.status import lag_text, source_freshness, status_lines
from queries.warehouse import Warehouse
from tests.support.loading import CATALOG, COMPANY, NOW, bring, opened, order

LATER = NOW + timedelta(days=1)


@pytest.fixture(params=["embedded", "shared"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    url = request.getfixturevalue("postgres_url") if request.param == "shared" else None
    made = opened(tmp_path, url)
    yield made
    made.close()


def test_generations_rows_lags_and_quarantine(warehouse: Warehouse, tmp_path: Path) -> None:
    bring(warehouse, order(tmp_path / "crm", COMPANY))
    assert status_lines(warehouse, LATER) == (
        "generation 1, days in UTC",
        "     1  published 2026-03-10 09:00 UTC  by crm",
        "",
        "source  table            rows      newest event   age  lag p50   p90   p99",
        "crm     account             3                 -     -        -     -     -",
        "crm     account_history     3                 -     -        -     -     -",
        "crm     person              3                 -     -        -     -     -",
        "crm     revenue             2                 -     -        -     -     -",
        "crm     journey             2  2026-02-12 09:00  27 d   90 min   2 h   2 h",
        "crm     contact             4  2026-02-06 09:00  33 d      2 h  35 h  47 h",
        "crm     response            2  2026-02-13 09:00  26 d        -     -     -",
        "crm     defect              2  2026-02-10 09:00  29 d        -     -     -",
        "lag: from the event until the source recorded it (recorded_at)",
        "",
        "quarantine: 3 rows",
        "          2  crm contact: direction: '…' is none of in, out",
        "          1  crm contact: unknown account '…'",
    )


def test_lags_are_exact_quantiles(warehouse: Warehouse, tmp_path: Path) -> None:
    """Contacts came 1, 1, 3 and 48 hours late."""
    bring(warehouse, order(tmp_path / "crm", COMPANY))
    with warehouse.pin() as pin:
        contact = next(one for one in source_freshness(pin.conn) if one.table == "contact")
    hours = tuple(round(lag / 3600, 6) for lag in (contact.p50, contact.p90, contact.p99) if lag is not None)
    assert hours == (2.0, 34.5, 46.65)


def test_many_generations_are_few_lines(warehouse: Warehouse, tmp_path: Path) -> None:
    for number in range(7):
        accounts = "account_id,name\n" + "".join(f"A{i},x\n" for i in range(number + 1))
        bring(warehouse, order(tmp_path / "crm", {"account": accounts}))
    lines = status_lines(warehouse, LATER)
    assert lines[:7] == (
        "generation 7, days in UTC",
        *(f"     {n}  published 2026-03-10 09:00 UTC  by crm" for n in (7, 6, 5, 4, 3)),
        "  and 2 older",
    )


def test_an_empty_warehouse_says_so(warehouse: Warehouse, tmp_path: Path) -> None:
    bring(warehouse, order(tmp_path / "crm", COMPANY))
    drop(warehouse, "crm", CATALOG, NOW, lambda _: None)
    assert status_lines(warehouse, NOW)[-3:] == ("no rows", "", "quarantine: empty")


def test_before_the_first_load_it_says_what_to_do(warehouse: Warehouse) -> None:
    (line,) = status_lines(warehouse, NOW)
    assert line.startswith("nothing is loaded yet; run `python -m queries load")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (99, "99 s"),
        (3600, "60 min"),
        (36 * 3600, "36 h"),
        (1e6, "12 d"),
        (1e9, "11,574 d"),
        (-7200, "-2 h"),
    ],
)
def test_durations_have_a_fitting_unit(seconds: float, said: str) -> None:
    assert lag_text(seconds) == said
