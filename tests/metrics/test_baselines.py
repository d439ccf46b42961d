"""Verticals against their baseline: what is planted is found, and nothing else; also by another library."""

from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from math import exp, log
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from config.models import BaselinePeriod
from config.reading import read_catalog
from config.settings import CHECKOUT
from dashboard.review.baselines import against_baselines
from dashboard.review.downloads import baselines_csv
from queries.metrics import AgainstBaseline, read_against_baseline
from queries.sample import generate
from queries.statistics.relative_changes import RelativeChange, pooled_change, random_effects, relative_change
from queries.warehouse import COLUMNS, EVERYTHING, Scope
from tests.sample.test_sample import PLANTED
from tests.support import handmade

CATALOG: Final = read_catalog(CHECKOUT / "config", COLUMNS)
METRIC: Final = CATALOG.metric("defect-rate")
END: Final = date(2026, 11, 21)
AS_OF: Final = datetime(2026, 11, 21, tzinfo=UTC)
FIRST: Final = date(2024, 11, 1)
FALL: Final = PLANTED["defects_fall"]


def against(
    rows: handmade.Rows, path: Path, baseline: BaselinePeriod, until: date, scope: Scope = EVERYTHING
) -> AgainstBaseline | None:
    engine = handmade.warehouse(path, rows, "UTC")
    try:
        with engine.connect() as conn:
            return read_against_baseline(conn, METRIC, baseline, (FIRST, until), scope, AS_OF)
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[handmade.Rows, Path]:
    """The journeys and defects of the sample company."""
    folder = tmp_path_factory.mktemp("sample")
    generate(folder, end=END)
    made: handmade.Rows = {}
    with closing(duckdb.connect()) as files:
        for name in ("account", "account_history", "journey", "defect"):
            made[name] = files.execute(f"select * from '{folder / name}.parquet'").to_arrow_table().to_pylist()
    return made, folder


def test_the_planted_verticals_fell_and_of_those_without_a_change_it_cannot_be_told(
    sample: tuple[handmade.Rows, Path],
) -> None:
    rows, folder = sample
    (baseline,) = CATALOG.baselines_on(date(2026, 10, 1))
    found = against(rows, folder / "w.duckdb", baseline, date(2026, 11, 1))
    assert found is not None
    assert (found.first, found.last, found.since, found.until) == (
        FIRST, date(2025, 11, 1), date(2025, 11, 1), date(2026, 11, 1)
    )  # fmt: skip
    changes = {one.vertical: one.change for one in found.verticals if one.change}
    fallen = [changes[vertical] for vertical in FALL["verticals"]]
    for change in fallen:
        assert FALL["cut"]["low"] < -change.value < FALL["cut"]["high"]
        assert change.low < -0.16 < change.high
    together = pooled_change(fallen)
    assert together is not None
    assert together.change.value == pytest.approx(-0.16, abs=0.04)
    assert together.change.low < -0.16 < together.change.high
    assert not together.differs
    assert not any(changes[vertical].is_certain for vertical in FALL["unchanged"])
    # The others have a break, an action and a bad month: the verticals differ, and the page says so.
    assert found.pooled is not None
    assert found.pooled.differs


def journey(number: int, day: date, *, account: str, vertical: str = "Energy", bad: bool = False) -> handmade.Row:
    at = datetime(day.year, day.month, day.day, 9)  # noqa: DTZ001
    return {
        "id": f"J{number}",
        "account_id": account,
        "vertical": vertical,
        "journey_type": "repair",
        "started_at": at - timedelta(days=1),
        "ended_at": at,
        "outcome": "reached",
        "code": bad,
    }


def months(verticals: tuple[str, ...] = ("Energy",)) -> handmade.Rows:
    """Twenty accounts a vertical with five journeys a month each: one in five has a defect, later one in ten."""
    journeys, number = list[handmade.Row](), 0
    for vertical in verticals:
        for month in range(24):
            day = date(2024 + (10 + month) // 12, (10 + month) % 12 + 1, 10)
            for account in range(20):
                for turn in range(5):
                    bad = turn == account % 5 and (month < 12 or account % 2 == 0)
                    name = f"{vertical}-{account}"
                    journeys.append(journey(number, day, account=name, vertical=vertical, bad=bad))
                    number += 1
    defects = [
        {
            "id": f"D{row['id']}",
            "journey_id": row["id"],
            "account_id": row["account_id"],
            "vertical": row["vertical"],
            "code": "late",
            "detected_at": row["ended_at"],
            "occurred_at": row["ended_at"],
        }
        for row in journeys
        if row.pop("code")
    ]
    accounts = sorted({row["account_id"] for row in journeys})
    return {
        "account": [{"account_id": account, "name": account} for account in accounts],
        "journey": journeys,
        "defect": defects,
    }


def test_cases_and_shares_are_those_of_the_rows(tmp_path: Path) -> None:
    baseline = BaselinePeriod(metric="defect-rate", valid_from=date(2016, 1, 1))
    found = against(months(), tmp_path / "w.duckdb", baseline, date(2026, 11, 1))
    assert found is not None
    (energy,) = found.verticals
    assert (energy.cases_before, energy.cases) == (1200, 1200)
    assert energy.before == pytest.approx(0.2)
    assert energy.now == pytest.approx(0.1)
    assert energy.change is not None
    assert energy.change.value == pytest.approx(-0.5)
    assert found.pooled is None


def test_a_reader_of_one_vertical_has_that_one_only(tmp_path: Path) -> None:
    baseline = BaselinePeriod(metric="defect-rate", valid_from=date(2016, 1, 1))
    rows, scope = months(("Energy", "Retail")), Scope("gm", frozenset({"Retail"}))
    found = against(rows, tmp_path / "w.duckdb", baseline, date(2026, 11, 1), scope)
    assert found is not None
    assert [one.vertical for one in found.verticals] == ["Retail"]
    assert found.pooled is None


@pytest.mark.parametrize(
    ("since", "length", "until", "span"),
    [
        (None, 12, date(2026, 6, 1), (date(2025, 11, 1), date(2026, 6, 1))),  # fewer months than the baseline has
        (date(2025, 2, 1), 6, date(2026, 11, 1), (date(2026, 5, 1), date(2026, 11, 1))),
        (None, 12, date(2025, 11, 1), None),  # nothing since
        (date(2024, 3, 1), 12, date(2026, 11, 1), None),  # before the data
        (date(2026, 3, 1), 12, date(2026, 11, 1), None),  # not whole yet
    ],
)
def test_which_months_are_compared(
    tmp_path: Path, since: date | None, length: int, until: date, span: tuple[date, date] | None
) -> None:
    baseline = BaselinePeriod(metric="defect-rate", since=since, months=length, valid_from=date(2016, 1, 1))
    found = against(months(), tmp_path / "w.duckdb", baseline, until)
    assert (found and (found.since, found.until)) == span
    if found:
        assert found.first == (since or FIRST)


def test_a_month_that_has_not_matured_is_left_out(tmp_path: Path) -> None:
    baseline = BaselinePeriod(metric="defect-rate", valid_from=date(2016, 1, 1))
    found = against(months(), tmp_path / "w.duckdb", baseline, date(2026, 12, 1))
    assert found is not None
    assert found.until == date(2026, 11, 1)


def test_the_baseline_in_force_is_the_newest_that_is_valid() -> None:
    old, new = (BaselinePeriod(metric="defect-rate", since=at, valid_from=at) for at in (FIRST, date(2026, 1, 1)))
    catalog = CATALOG.model_copy(update={"baselines": (new, old)})
    assert catalog.baselines_on(date(2025, 12, 1)) == (old,)
    assert catalog.baselines_on(date(2026, 1, 1)) == (new,)
    assert catalog.baselines_on(date(2024, 1, 1)) == ()


def drawn(draw: np.random.Generator, accounts: int, ratio: float) -> RelativeChange | None:
    """Accounts with a level of their own that they keep, of very different size."""
    size, level = draw.integers(5, 200, accounts), draw.beta(2, 18, accounts)
    pair = [np.stack([size, draw.binomial(size, np.clip(level * by, 0, 1))], axis=1) for by in (1.0, ratio)]
    return relative_change(*(half.astype(float) for half in pair))


@pytest.mark.parametrize("ratio", [1.0, 0.84])
def test_an_interval_holds_what_it_says(ratio: float) -> None:
    draw = np.random.default_rng(5)
    found = [drawn(draw, 40, ratio) for _ in range(800)]
    held = sum(one is not None and one.low <= ratio - 1 <= one.high for one in found)
    assert 0.925 < held / len(found) < 0.98


def test_what_an_account_keeps_is_no_noise() -> None:
    # Were the periods independent, two accounts in ten that always fail would be most of the error.
    before = np.array([[100.0, 60.0]] * 2 + [[100.0, 5.0]] * 8)
    now = before * np.array([1, 0.84]) + np.array([[0, 0.3], [0, -0.3]] * 5)
    found = relative_change(before, now)
    assert found is not None
    assert found.is_certain
    assert found.value == pytest.approx(-0.16)


def test_nothing_is_said_where_there_is_nothing() -> None:
    nothing, some = np.array([[10.0, 0.0]] * 9), np.array([[10.0, 1.0]] * 9)
    assert relative_change(nothing, some) is None
    assert relative_change(some, nothing) is None
    assert pooled_change([RelativeChange(-0.1, -0.2, 0.0, 0.05)]) is None


def test_the_pooled_change_is_that_of_another_library() -> None:
    values, errors = np.array([-0.2, -0.1, 0.3, 0.05, -0.4]), np.array([0.1, 0.05, 0.2, 0.1, 0.15])
    changes = [RelativeChange(exp(v) - 1, 0, 0, e) for v, e in zip(values, errors, strict=True)]
    found = pooled_change(changes)
    other = combine_effects(values, errors**2, method_re="dl", use_t=True)
    assert found is not None
    assert log(1 + found.change.value) == pytest.approx(other.mean_effect_re)
    assert random_effects(values.tolist(), (errors**2).tolist()).between == pytest.approx(other.tau2)
    assert found.change.error == pytest.approx(max(other.sd_eff_w_re_hksj, other.sd_eff_w_re))
    assert found.inconsistency == pytest.approx(other.i2)
    low, high = other.conf_int()[1 + 2]
    assert (log(1 + found.change.low), log(1 + found.change.high)) == pytest.approx((low, high))


def test_the_page_says_where_there_are_fewer_and_of_which_it_cannot_be_told(tmp_path: Path) -> None:
    rows = months(("Energy", "Retail"))
    # In Retail as many journeys have a defect as before.
    kept = {row["journey_id"] for row in rows["defect"]}
    late = [
        row for row in rows["journey"] if row["vertical"] == "Retail" and row["ended_at"].date() >= date(2025, 11, 1)
    ]
    again = [row for row in late if int(row["id"][1:]) % 5 == int(row["account_id"].split("-")[1]) % 5]
    rows["defect"] += [
        {**rows["defect"][0], "id": f"E{row['id']}", "journey_id": row["id"], "account_id": row["account_id"]}
        | {"vertical": "Retail", "detected_at": row["ended_at"], "occurred_at": row["ended_at"]}
        for row in again
        if row["id"] not in kept
    ]
    # One by chance, so that there is an error at all.
    rows["defect"].pop(next(at for at, row in enumerate(rows["defect"]) if row["vertical"] == "Retail"))
    baseline = BaselinePeriod(metric="defect-rate", valid_from=date(2016, 1, 1))
    found = against(rows, tmp_path / "w.duckdb", baseline, date(2026, 11, 1))
    assert found is not None
    (section,) = against_baselines([found])
    assert "Journeys with a defect, November 2025 to October 2026 against November 2024 to October 2025." in section
    assert "Fewer in Energy; it cannot be told of one vertical." in section
    assert "\N{MINUS SIGN}50% (" in section
    assert "cannot tell: 0% (" in section
    lines = baselines_csv([found]).splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("defect-rate,Energy,2024-11-01,2025-11-01,2025-11-01,2026-11-01,1200,0.2,1200,0.1,-0.5,")
    assert lines[3].startswith("defect-rate,*,")
