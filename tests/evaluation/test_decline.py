"""The sample's account that leaves by halves is found in time and no other one is; without its cause nothing is."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.random import default_rng
from sqlalchemy import delete, select

from config.models import Catalog, DeclineRule
from config.reading import read_catalog
from queries.engine import aware
from queries.loading.fixture_warehouse import open_fixture
from queries.sample import FEWEST, generate
from queries.sample.columns import Files
from queries.sample.company import company, company_tables
from queries.sample.draws import Timeline
from queries.warehouse import COLUMNS, Pin, rollups, tables
from tests.evaluation.test_sample_triggers import ENDS, NULL, PLANTED, ROOT, SETTLE, loaded
from tests.support.rows import put
from triggers.evaluation import DeclineRuleEvaluator, StateChange, replay
from triggers.evaluation.kinds import kind_of
from triggers.incidents.stored_evidence import stored_evidence
from triggers.rules import FRESH, Moment, Subject, Task, subject_of, version_of

END: Final = date(2026, 11, 27)
SEEDS: Final = 20
ACCOUNT: Final = f"sample-{PLANTED['quiet_account']['account_id']}"
EVERY_ACCOUNT: Final[dict[str, Any]] = {"where": {}, "false_alarms_per_year": 1.0}
Found = tuple[str, date]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(ROOT / "config", COLUMNS)


@contextmanager
def customers(folder: Path, catalog: Catalog, end: date, seed: int) -> Iterator[Pin]:
    """A company without a single contact: its accounts, and what they buy."""
    with Files(folder) as files:
        for name, columns in company_tables(Timeline(end), company(seed), seed):
            files.write(name, columns)
    with loaded({"sample": folder}, catalog) as pin:
        yield pin


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Iterator[Pin]:
    folder = tmp_path_factory.mktemp("sample")
    generate(folder, end=END, contacts=FEWEST)
    with loaded({"sample": folder}, catalog) as pin:
        yield pin


@pytest.fixture
def revenue(sample: Pin) -> Iterator[list[dict[str, Any]]]:
    """The sample's revenue, which is put back afterwards."""
    rows = [dict(row._mapping) for row in sample.conn.execute(select(tables.revenue))]
    yield rows
    sample.conn.execute(delete(tables.fx_rate).where(tables.fx_rate.c.currency == "USD"))
    _replace(sample, rows)


def _replace(pin: Pin, rows: list[dict[str, Any]]) -> None:
    pin.conn.execute(delete(tables.revenue))
    put(pin.conn, tables.revenue, rows)
    rollups.rebuild_rollups(pin.conn)


def judged(pin: Pin, catalog: Catalog, end: date, **changes: Any) -> tuple[Subject, tuple[StateChange, ...]]:
    """What the default rule, changed in some fields, finds up to an end."""
    (default,) = (rule for rule in catalog.rules if rule.name == "key-account-decline")
    body = default.model_dump(by_alias=True) | changes
    rule = DeclineRule.model_validate(body)
    now = datetime.combine(end, time(), UTC)
    moment = Moment(now, 1, aware(pin.generation.published_at), ZoneInfo("UTC"), timedelta(seconds=SETTLE))
    subject = subject_of(version_of(catalog, rule), catalog, moment)
    ((_, _, found),) = DeclineRuleEvaluator(pin.conn, moment).judged([Task(subject, (), first_run=True)])
    return subject, replay(subject, found, {}, subject.cadence.as_of)[1]


def opened(pin: Pin, catalog: Catalog, end: date = END, **changes: Any) -> list[Found]:
    """The accounts of which an incident opens, and when."""
    _, findings = judged(pin, catalog, end, **changes)
    return [(f.reading.slice[0], f.event.at.date()) for f in findings if f.event.change == "opened"]


def test_the_account_that_leaves_is_found_when_april_is_known_and_no_other_is(sample: Pin, catalog: Catalog) -> None:
    assert opened(sample, catalog) == [(ACCOUNT, date(2026, 5, 6))]
    subject, findings = judged(sample, catalog, END, **EVERY_ACCOUNT)
    assert [(f.reading.slice[0], f.event.at.date()) for f in findings if f.event.change != "worsened"] == [
        (ACCOUNT, date(2026, 5, 6))
    ]
    said = kind_of(subject.rule).finding(None, stored_evidence(subject, findings[0]))
    assert said == (
        "Share 64% (February) → 48% (April), 518,000 EUR in April against 663,000 EUR in February, "
        "7.99 M EUR in the year to February."
    )
    last = kind_of(subject.rule).finding(None, stored_evidence(subject, findings[-1]))
    assert last is not None
    assert last.startswith("Share 64% (February) → 31% (August), 335,000 EUR in August against 663,000 EUR in February")


def _replaced(rows: list[dict[str, Any]], noise: int | None = None) -> list[dict[str, Any]]:
    """Revenue without shares; with a seed for it, at twice the scatter of 5% from month to month."""
    more = np.ones(len(rows))
    if noise is not None:
        more = np.exp(0.05 * np.sqrt(3.0) * default_rng(noise).standard_normal(len(rows)))
    return [{**row, "amount": row["amount"] * by, "share_of_wallet": None} for row, by in zip(rows, more, strict=True)]


def test_on_revenue_alone_it_is_found_as_soon(sample: Pin, catalog: Catalog, revenue: list[dict[str, Any]]) -> None:
    _replace(sample, _replaced(revenue))
    assert opened(sample, catalog) == [(ACCOUNT, date(2026, 5, 6))]


def test_a_season_is_no_loss_once_two_years_are_known(
    sample: Pin, catalog: Catalog, revenue: list[dict[str, Any]]
) -> None:
    seasonal = f"sample-{PLANTED['season']['account_id']}"
    assert seasonal not in {account for account, _ in opened(sample, catalog)}
    # Where the books begin after its first low months, the next ones cannot be told from a loss.
    _replace(sample, [row for row in revenue if row["month"] >= date(2024, 9, 1)])
    assert seasonal in {account for account, _ in opened(sample, catalog)}


@pytest.mark.parametrize(
    "draw", [0, 2, *(pytest.param(i, marks=pytest.mark.proof) for i in range(20) if i not in {0, 2})]
)
def test_through_twice_the_noise_it_is_found_when_june_is_known_and_no_other_is(
    sample: Pin, catalog: Catalog, revenue: list[dict[str, Any]], draw: int
) -> None:
    """May and June lie 44% below its level, which is six times as much as two months of it scatter."""
    _replace(sample, _replaced(revenue, draw))
    found = opened(sample, catalog)
    assert {account for account, _ in found} == {ACCOUNT}
    assert found[0][1] <= date(2026, 7, 8)


def test_a_rate_that_jumps_opens_nothing(sample: Pin, catalog: Catalog, revenue: list[dict[str, Any]]) -> None:
    """Half of all accounts are billed in dollars, which lose half of their worth."""
    months = sorted({row["month"] for row in revenue})
    fixed = {"source": "sample", "currency": "USD", "first_loaded_at": datetime(2020, 1, 1), "loaded_at": None}  # noqa: DTZ001
    rates = [{**fixed, "month": month, "rate": 0.9 if i < 18 else 0.45} for i, month in enumerate(months)]
    put(sample.conn, tables.fx_rate, rates)
    _replace(sample, [{**row, "currency": "USD"} if int(row["account_id"][-1]) % 2 else row for row in revenue])
    assert opened(sample, catalog, **EVERY_ACCOUNT) == [(ACCOUNT, date(2026, 5, 6))]


def test_what_costs_less_than_the_floor_opens_nothing(sample: Pin, catalog: Catalog) -> None:
    assert opened(sample, catalog, floor=5e6) == []
    # An eighth of eight millions in April, a quarter in May.
    assert opened(sample, catalog, floor=1.5e6) == [(ACCOUNT, date(2026, 6, 6))]


def test_an_account_that_vanishes_from_the_books_is_found(
    sample: Pin, catalog: Catalog, revenue: list[dict[str, Any]]
) -> None:
    """No row is no revenue, once the month has settled."""
    gone = "sample-A0000"
    _replace(sample, [row for row in revenue if row["account_id"] != gone or row["month"] < date(2026, 7, 1)])
    assert opened(sample, catalog) == [(ACCOUNT, date(2026, 5, 6)), (gone, date(2026, 9, 15))]


KEY: Final = {"account_id": "A", "valid_from": date(2020, 1, 1), "tier": "key"}


@pytest.mark.parametrize("amounts", [(), (5.0,), (-5.0, -5.0)], ids=["none", "one month", "credits"])
def test_where_little_is_known_nothing_is_judged(catalog: Catalog, amounts: tuple[float, ...]) -> None:
    """Nor is an account that is remembered and of which nothing is left."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    money = [
        ("revenue", {"account_id": "A", "month": date(2026, 3 + i, 1), "amount": a}) for i, a in enumerate(amounts)
    ]
    with open_fixture(catalog, "UTC", [("account_history", KEY), *money], now) as pin:
        (rule,) = (rule for rule in catalog.rules if rule.name == "key-account-decline")
        moment = Moment(now, 1, now, ZoneInfo("UTC"), timedelta(0))
        subject = subject_of(version_of(catalog, rule), catalog, moment)
        task = Task(subject, (date(2026, 5, 1), date(2026, 5, 30)), first_run=False, instances={("gone",): FRESH})
        ((_, _, found),) = DeclineRuleEvaluator(pin.conn, moment).judged([task])
    assert ("gone",) in found.panel.slices
    readings = [found.reading(row, column) for row in (0, 1) for column in range(len(found.panel.slices))]
    assert {(one.verdict, one.value, len(one.details)) for one in readings} == {("no_data", None, 0)}


NULLS: Final = [
    pytest.param(end, seed, marks=() if (i + seed) % 10 == 3 else pytest.mark.proof)
    for i, end in enumerate(ENDS)
    for seed in range(SEEDS)
]


@pytest.mark.parametrize(("end", "seed"), NULLS)
def test_where_nothing_happens_nothing_opens(tmp_path: Path, catalog: Catalog, end: date, seed: int) -> None:
    with customers(tmp_path, catalog, end, seed=1000 + seed) as pin:
        assert opened(pin, catalog, end, where={"vertical": NULL}) == []


@pytest.mark.proof
def test_of_the_key_accounts_the_one_that_leaves_is_always_found_and_others_no_oftener_than_declared(
    tmp_path: Path, catalog: Catalog
) -> None:
    """Two years are judged of each company, at 0.1 a year: four others in twenty companies."""
    others = 0
    for seed in range(SEEDS):
        with customers(tmp_path / str(seed), catalog, END, seed=1000 + seed) as pin:
            found = {account for account, _ in opened(pin, catalog)}
        assert ACCOUNT in found
        others += len(found) - 1
    assert others <= 4
