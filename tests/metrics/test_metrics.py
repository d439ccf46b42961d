"""One definition everywhere: from rows or from rollups, then or as it was known then."""

import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, select, text

from config import EarshotError
from config.models import Condition, Metric
from config.reading import read_catalog
from queries.engine import shared
from queries.metrics import clock_of, plan, query_plan
from queries.metrics.design_effects import DesignEffect, ratio, read_design_effects
from queries.metrics.measure import (
    Ask,
    Cube,
    MetricPoint,
    design_effects,
    measure,
    measure_all,
    read_cube,
    write_design_effects,
)
from queries.statistics.estimates import Tally, estimate
from queries.warehouse import COLUMNS, EVERYTHING, Scope, relation
from queries.warehouse import tables as warehouse_tables
from tests.support.handmade import DAYS, START, Rows, company, cut, local_day, on, warehouse

CONFIG = Path(__file__).parents[2] / "config"
AFTER = datetime(2026, 6, 1, tzinfo=UTC)
END = START + timedelta(days=DAYS)


def catalogue() -> tuple[Metric, ...]:
    found = tomllib.loads((CONFIG / "metrics.toml").read_text(encoding="utf-8"))["metric"]
    return tuple(Metric.model_validate(entry).model_copy(update={"min_n": 1}) for entry in found)


METRICS = {metric.name: metric for metric in catalogue()}
ROLLED = [
    m for m in METRICS.values() if m.shape != "quantile" and m.table in {"contact", "response", "journey", "defect"}
]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return company()


@pytest.fixture(scope="module")
def engine(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = warehouse(tmp_path_factory.mktemp("metrics") / "whole.duckdb", rows)
    yield made
    made.dispose()


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


def share(name: str, **parts: Any) -> Metric:
    plain = {"name": name, "label": name, "shape": "share", "table": "contact", "dated_by": "occurred_at", "good": "up"}
    return Metric.model_validate({**plain, "unit": "%", "min_n": 1, "count": {"direction": "in"}, **parts})


def condition(column: str, *values: Any) -> Condition:
    return Condition(column=column, any_of=values)


# What stands in the catalogue.


def test_every_metric_reads_columns_that_there_are() -> None:
    for metric in METRICS.values():
        assert metric.columns <= COLUMNS[metric.table], metric.name
        assert metric.dated_by in COLUMNS[metric.table], metric.name


def test_shares_and_counts_are_those_of_a_count_by_hand(conn: Connection, rows: Rows) -> None:
    ended = [r for r in rows["journey"] if r["ended_at"] and r["promised_at"]]
    kept = [r for r in ended if r["ended_at"] <= r["promised_at"]]
    (point,) = measure(conn, METRICS["promise-kept"], Ask(grain="all"), EVERYTHING, AFTER)
    assert (point.n, point.value) == (len(ended), len(kept) / len(ended))
    answers = [
        r["score"]
        for r in rows["response"]
        if r["scale"] == "nps" and r["kind"] == "relationship" and r["responded_at"]
    ]
    (nps,) = measure(conn, METRICS["nps"], Ask(grain="all"), EVERYTHING, AFTER)
    net = sum(s >= 9 for s in answers) - sum(s <= 6 for s in answers)
    assert nps.n == len(answers)
    assert nps.value == pytest.approx(100 * net / len(answers))


def test_months_are_those_of_the_reporting_zone(conn: Connection, rows: Rows) -> None:
    counted: dict[date, int] = {}
    for row in rows["contact"]:
        month = (local_day(row["occurred_at"]) or date.max).replace(day=1)
        counted[month] = counted.get(month, 0) + 1
    points = measure(conn, METRICS["contacts"], Ask(), EVERYTHING, AFTER)
    assert {p.period: p.n for p in points} == counted
    assert [p.period for p in points] == sorted(counted)


@pytest.mark.parametrize("grain", ["day", "week", "month", "quarter", "all"])
def test_every_row_is_in_one_period(conn: Connection, rows: Rows, grain: Any) -> None:
    for by in ((), ("vertical", "channel")):
        points = measure(conn, METRICS["contacts"], Ask(by=by, grain=grain), EVERYTHING, AFTER)
        assert sum(p.n for p in points) == len(rows["contact"])


def test_weeks_start_on_monday(conn: Connection) -> None:
    points = measure(conn, METRICS["contacts"], Ask(grain="week"), EVERYTHING, AFTER)
    assert {p.period.weekday() for p in points} == {0}


def test_a_missing_dimension_is_unknown(conn: Connection, rows: Rows) -> None:
    points = measure(conn, METRICS["contacts"], Ask(by=("channel",), grain="all"), EVERYTHING, AFTER)
    assert {p.by[0] for p in points} == {"mail", "phone", "unknown"}
    unknown = Ask(grain="all", where=(condition("channel", "unknown"),))
    (point,) = measure(conn, METRICS["contacts"], unknown, EVERYTHING, AFTER)
    assert point.n == sum(r["channel"] is None for r in rows["contact"])


def test_quantiles_are_numpys(conn: Connection, rows: Rows) -> None:
    days = [(r["ended_at"] - r["started_at"]).total_seconds() / 86_400 for r in rows["journey"] if r["ended_at"]]
    for name, q in (("journey-days-median", 50), ("journey-days-p90", 90), ("journey-days-median", 50)):
        (point,) = measure(conn, METRICS[name], Ask(grain="all"), EVERYTHING, AFTER)
        assert point.value == pytest.approx(np.percentile(days, q))
        assert point.low in [pytest.approx(d) for d in days]
        assert point.low is not None
        assert point.high is not None
        assert point.low <= (point.value or 0) <= point.high


def test_quantiles_by_month_and_slice_are_numpys(conn: Connection, rows: Rows) -> None:
    points = measure(conn, METRICS["journey-days-p90"], Ask(by=("journey_type",)), EVERYTHING, AFTER)
    for point in points:
        days = [
            (r["ended_at"] - r["started_at"]).total_seconds() / 86_400
            for r in rows["journey"]
            if r["journey_type"] == point.by[0]
            and (day := local_day(r["ended_at"]))
            and day.replace(day=1) == point.period
        ]
        assert point.n == len(days)
        assert point.value == (pytest.approx(np.percentile(days, 90)) if days else None)


def test_waits_are_the_gaps_between_contacts(conn: Connection, rows: Rows) -> None:
    journeys: dict[tuple[str, str], list[Any]] = {}
    for row in sorted(rows["contact"], key=lambda r: (r["occurred_at"], r["id"])):
        journeys.setdefault((row["source"], row["journey_id"]), []).append(row)
    gaps = [
        (b["occurred_at"] - a["occurred_at"]).total_seconds() / 3600
        for contacts in journeys.values()
        for a, b in pairwise(contacts)
        if a["direction"] == "in"
    ]
    (point,) = measure(conn, METRICS["wait-on-us-median"], Ask(grain="all"), EVERYTHING, AFTER)
    assert point.n == len(gaps)
    assert point.value == pytest.approx(np.median(gaps))


def test_repeats_are_new_inbound_contacts_of_the_account_about_the_issue(conn: Connection, rows: Rows) -> None:
    ends = {(r["source"], r["id"]): r["ended_at"] for r in rows["journey"] if r["ended_at"]}
    issues = {
        (r["source"], r["journey_id"], r["account_id"], r["issue_code"])
        for r in rows["contact"]
        if r["issue_code"] and (r["source"], r["journey_id"]) in ends
    }
    back = 0
    for source, journey, account, code in issues:
        closed = ends[source, journey]
        back += any(
            r["account_id"] == account
            and r["issue_code"] == code
            and r["direction"] == "in"
            and closed < r["occurred_at"] <= closed + timedelta(days=7)
            for r in rows["contact"]
        )
    (point,) = measure(conn, METRICS["repeat-7"], Ask(grain="all"), EVERYTHING, AFTER)
    assert point.n == len(issues)
    assert point.value == pytest.approx(back / len(issues))


def test_replies_are_answers_or_later_outbound_contacts(conn: Connection, rows: Rows) -> None:
    """A call is answered while it lasts and waits for nothing; a source that names no channel may have had mails."""
    ends = {(r["source"], r["id"]): r["ended_at"] for r in rows["journey"]}
    inbound = [r for r in rows["contact"] if r["direction"] == "in"]
    assert {r["channel"] for r in inbound} == {"mail", "phone", None}
    owed = replied = 0
    hours = list[float]()
    for row in (r for r in inbound if r["channel"] != "phone"):
        ended = ends[row["source"], row["journey_id"]]
        if ended and ended <= row["occurred_at"]:
            continue
        out = [
            r["occurred_at"]
            for r in rows["contact"]
            if (r["source"], r["journey_id"], r["direction"]) == (row["source"], row["journey_id"], "out")
            and r["occurred_at"] > row["occurred_at"]
        ]
        reply = min([*out, *([row["answered_at"]] if row["answered_at"] else [])], default=None)
        owed += 1
        replied += bool(reply and reply <= row["occurred_at"] + timedelta(hours=24))
        hours += [(reply - row["occurred_at"]) / timedelta(hours=1)] if reply else []
    (point,) = measure(conn, METRICS["answered-in-time"], Ask(grain="all"), EVERYTHING, AFTER)
    assert point.n == owed
    assert point.value == pytest.approx(replied / owed)
    (middle,) = measure(conn, METRICS["reply-hours-median"], Ask(grain="all"), EVERYTHING, AFTER)
    assert middle.n == len(hours)
    assert middle.value == pytest.approx(median(hours))


def test_account_columns_are_those_of_the_day(conn: Connection, rows: Rows) -> None:
    ask = Ask(by=("account.tier",), grain="all")
    points = measure(conn, METRICS["contacts"], ask, EVERYTHING, AFTER)
    small = sum(
        int(r["account_id"][1]) % 2 == 0 and (local_day(r["occurred_at"]) or date.max) < date(2025, 11, 15)
        for r in rows["contact"]
    )
    assert {p.by: p.n for p in points} == {("key",): len(rows["contact"]) - small, ("small",): small}


def test_journey_columns_are_those_of_the_journey(conn: Connection, rows: Rows) -> None:
    types = {(r["source"], r["id"]): r["journey_type"] for r in rows["journey"]}
    expected = sum(types[r["source"], r["journey_id"]] == "repair" for r in rows["contact"])
    ask = Ask(grain="all", where=(condition("journey.journey_type", "repair"),))
    assert measure(conn, METRICS["contacts"], ask, EVERYTHING, AFTER)[0].n == expected


# Rows and rollups.


def _by(metric: Metric) -> st.SearchStrategy[tuple[str, ...]]:
    offered = {"contact": ("touchpoint", "channel"), "response": ("touchpoint",), "defect": ("code", "severity")}
    return st.lists(
        st.sampled_from(("vertical", *offered.get(metric.table, ("journey_type",)))), max_size=2, unique=True
    ).map(tuple)


@st.composite
def asks(draw: st.DrawFn) -> tuple[Metric, Ask, Scope, datetime]:
    metric = draw(st.sampled_from(ROLLED))
    days = st.integers(-10, DAYS + 40).map(lambda n: (START + timedelta(days=n)).date())
    since, until = draw(st.none() | days), draw(st.none() | days)
    where = draw(st.sampled_from([(), (condition("vertical", "North", "unknown"),)]))
    grain = draw(st.sampled_from(["day", "week", "month", "quarter", "all"]))
    scope = draw(
        st.sampled_from([EVERYTHING, Scope("gm", frozenset({"North"})), Scope("x", None, frozenset({"call"}))])
    )
    as_of = START + timedelta(hours=draw(st.integers(0, 24 * (DAYS + 60))))
    if since and until and until <= since:
        since = None
    return metric, Ask(draw(_by(metric)), grain, since, until, where), scope, as_of.replace(tzinfo=UTC)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asks())
def test_a_rollup_says_what_its_rows_say(engine: Engine, asked: tuple[Metric, Ask, Scope, datetime]) -> None:
    metric, ask, scope, as_of = asked
    with engine.connect() as conn, pytest.MonkeyPatch.context() as patch:
        rolled = measure(conn, metric, ask, scope, as_of)
        patch.setattr(query_plan, "ROLLUPS", {})
        from_rows = measure(conn, metric, ask, scope, as_of)
    assert _rounded(rolled) == _rounded(from_rows)


def _rounded(points: tuple[MetricPoint, ...]) -> list[tuple[Any, ...]]:
    return [
        (p.period, p.by, p.n, p.status, *(None if x is None else round(x, 9) for x in (p.value, p.low, p.high)))
        for p in points
    ]


@pytest.mark.parametrize(
    ("metric", "by", "scope", "rollup"),
    [
        ("contacts", ("vertical", "channel"), EVERYTHING, "roll_contact"),
        ("emotion-net", ("vertical",), EVERYTHING, "roll_emotion"),
        ("emotion-net", ("channel",), EVERYTHING, None),  # no rollup has both
        ("nps", ("vertical", "touchpoint"), EVERYTHING, "roll_response"),
        ("response-rate", ("vertical",), EVERYTHING, "roll_invitation"),
        ("invitations", ("status",), EVERYTHING, None),  # an answer may still come, and the metric is final at once
        ("promise-kept", (), EVERYTHING, "roll_journey"),
        ("promise-kept-due", ("journey_type",), EVERYTHING, "roll_journey_due"),
        ("contacts-per-journey", (), EVERYTHING, "roll_journey"),
        ("nps", ("account.tier",), EVERYTHING, None),
        ("nps", (), Scope("x", accounts=frozenset({"A1"})), None),  # a rollup knows no accounts
        ("journey-days-median", (), EVERYTHING, None),
    ],
)
def test_the_smallest_rollup_that_holds_every_column(
    conn: Connection, metric: str, by: tuple[str, ...], scope: Scope, rollup: str | None
) -> None:
    assert plan(METRICS[metric], by, scope, clock_of(conn, AFTER)).rollup == rollup


# Known at.


@pytest.fixture(scope="module", params=["2025-11-02T23:30", "2025-12-15T09:41", "2026-01-20T00:00"])
def then(
    request: pytest.FixtureRequest, rows: Rows, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, datetime]]:
    at = datetime.fromisoformat(request.param)
    made = warehouse(tmp_path_factory.mktemp("then") / "cut.duckdb", cut(rows, at))
    yield made, at
    made.dispose()


@pytest.mark.parametrize("by", [(), ("vertical",)])
def test_what_is_read_then_is_what_there_was_then(
    conn: Connection, then: tuple[Engine, datetime], by: tuple[str, ...]
) -> None:
    made, at = then
    for ask in (Ask(by=by), Ask(by=by, grain="week", since=date(2025, 10, 6))):
        now = measure_all(conn, METRICS.values(), ask, EVERYTHING, at)
        with made.connect() as past:
            was = measure_all(past, METRICS.values(), ask, EVERYTHING, at)
        for name, metric in METRICS.items():
            assert _settled(metric, now[name]) == _settled(metric, was[name]), name


def _settled(metric: Metric, points: tuple[MetricPoint, ...]) -> list[tuple[Any, ...]]:
    """A defect counts until 14 days after the journey's end; until then the figure is immature."""
    kept = (p for p in points if p.status != "immature") if "defect" in metric.name else points
    return _rounded(tuple(kept))


def test_relations_know_nothing_later(conn: Connection, then: tuple[Engine, datetime]) -> None:
    made, at = then
    late = {"defects", "defective", *(f"journey.{c}" for c in ("defects", "defective"))}
    for name, columns in COLUMNS.items():
        wanted = sorted(columns - late)
        with made.connect() as past:
            was = past.execute(select(relation(name, at, wanted))).all()
        now = conn.execute(select(relation(name, at, wanted))).all()
        assert sorted(map(repr, now)) == sorted(map(repr, was)), name


def test_a_promise_not_yet_due_is_not_counted(conn: Connection, rows: Rows) -> None:
    at = datetime(2025, 12, 15, 9)  # noqa: DTZ001 - naive UTC is allowed
    due = [r for r in rows["journey"] if r["started_at"] < at and r["promised_at"] and r["promised_at"] < at]
    kept = [r for r in due if r["ended_at"] and r["ended_at"] <= r["promised_at"]]
    (point,) = measure(conn, METRICS["promise-kept-due"], Ask(grain="all"), EVERYTHING, at)
    assert point.n == len(due)
    assert point.value == pytest.approx(len(kept) / len(due))


# Periods and their status.


def test_statuses_say_what_is_wrong_with_a_period(conn: Connection) -> None:
    metric = METRICS["repeat-14"].model_copy(update={"min_n": 5})
    ask = Ask(since=date(2025, 6, 1), until=date(2026, 4, 1))
    points = measure(conn, metric, ask, EVERYTHING, datetime(2026, 2, 10, tzinfo=UTC))
    found = {p.period.isoformat()[:7]: p.status for p in points}
    assert found["2025-06"] == "no_data"
    assert found["2025-09"] == "too_few"
    assert found["2025-12"] == "ok"
    assert found["2026-01"] == "immature"  # ended on the 31st, final 14 days later
    assert max(found) == "2026-02"  # what lies ahead is not a period yet
    assert all(p.value is None for p in points if p.status in {"no_data", "too_few"})
    assert all(p.n for p in points if p.status != "no_data")


def test_periods_without_calendar_days_are_months_all_the_same(conn: Connection) -> None:
    ask = Ask(since=date(2024, 11, 1), until=date(2025, 2, 1))
    points = measure(conn, METRICS["contacts"], ask, EVERYTHING, AFTER)
    assert [(p.period, p.status) for p in points] == [
        (date(2024, 11, 1), "no_data"),
        (date(2024, 12, 1), "no_data"),
        (date(2025, 1, 1), "no_data"),
    ]


def test_gaps_are_shown_for_every_slice(conn: Connection) -> None:
    points = measure(conn, METRICS["nps"], Ask(by=("vertical", "touchpoint"), grain="week"), EVERYTHING, AFTER)
    periods, slices = {p.period for p in points}, {p.by for p in points}
    assert len(points) == len(periods) * len(slices)
    assert "no_data" in {p.status for p in points}


def test_the_whole_range_is_named_by_its_first_day(conn: Connection, rows: Rows) -> None:
    first = min(local_day(r["occurred_at"]) or date.max for r in rows["contact"])
    metric = METRICS["contacts"]
    assert measure(conn, metric, Ask(grain="all"), EVERYTHING, AFTER)[0].period == first
    since = date(2025, 11, 3)
    assert measure(conn, metric, Ask(grain="all", since=since), EVERYTHING, AFTER)[0].period == since


def test_a_range_that_ends_inside_a_period_counts_its_days_only(conn: Connection, rows: Rows) -> None:
    since, until = date(2025, 11, 10), date(2025, 12, 5)
    points = measure(conn, METRICS["contacts"], Ask(since=since, until=until), EVERYTHING, AFTER)
    assert [p.period for p in points] == [date(2025, 11, 1), date(2025, 12, 1)]
    inside = [r for r in rows["contact"] if since <= (local_day(r["occurred_at"]) or date.max) < until]
    assert sum(p.n for p in points) == len(inside)


def test_an_unknown_column_is_refused_with_those_there_are(conn: Connection) -> None:
    with pytest.raises(EarshotError, match="journey, which has no column 'touchpoint'; available: account"):
        measure(conn, METRICS["promise-kept"], Ask(by=("touchpoint",)), EVERYTHING, AFTER)


# Scope.


def test_scope_is_part_of_every_reading(conn: Connection, rows: Rows) -> None:
    scope = Scope("gm", verticals=frozenset({"North"}))
    for metric in METRICS.values():
        for point in measure(conn, metric, Ask(by=("vertical",)), scope, AFTER):
            assert point.by == ("North",), metric.name
    one = Scope("team", accounts=frozenset({"A1"}))
    expected = sum(r["account_id"] == "A1" for r in rows["contact"])
    assert measure(conn, METRICS["contacts"], Ask(grain="all"), one, AFTER)[0].n == expected
    nothing = Scope("nobody", verticals=frozenset())
    assert [p.n for p in measure(conn, METRICS["contacts"], Ask(grain="all"), nothing, AFTER)] == [0]


# Cubes.


def _from_cube(cube: Cube, metric: Metric, kept: Any) -> tuple[int, float | None]:
    figure = estimate(metric, Tally(*cube.tallies[metric.name][kept].sum(axis=0)))
    return figure.n, figure.value


@pytest.mark.parametrize("as_of", [AFTER, datetime(2025, 12, 20, 13, tzinfo=UTC)])
def test_a_cube_adds_up_to_the_figures(conn: Connection, as_of: datetime) -> None:
    metrics = [m for m in METRICS.values() if m.table == "response"]
    cube = read_cube(conn, metrics, ("vertical", "touchpoint"), None, None, EVERYTHING, as_of)
    figures = measure_all(conn, metrics, Ask(by=("vertical",), grain="all"), EVERYTHING, as_of)
    for metric in metrics:
        for point in figures[metric.name]:
            found = _from_cube(cube, metric, cube.column("vertical") == point.by[0])
            assert found[0] == point.n, metric.name
            assert found[1] == pytest.approx(point.value), metric.name


def test_a_cube_has_a_row_for_each_day_and_slice(conn: Connection) -> None:
    metrics = [METRICS["contacts"], METRICS["contacts-in"]]
    cube = read_cube(conn, metrics, ("vertical",), date(2025, 10, 1), date(2025, 11, 1), EVERYTHING, AFTER)
    keys = list(zip(cube.days.tolist(), cube.column("vertical"), strict=True))
    assert len(keys) == len(set(keys))
    assert {date.fromordinal(day).month for day in cube.days.tolist()} == {10}
    assert set(cube.column("vertical")) == {"North", "South", "unknown"}
    assert all(table.shape == (len(keys), 5) for table in cube.tallies.values())


def test_a_cube_without_rows_is_empty(conn: Connection) -> None:
    cube = read_cube(conn, [METRICS["nps"]], ("vertical",), date(2020, 1, 1), date(2020, 2, 1), EVERYTHING, AFTER)
    assert len(cube.days) == len(cube.column("vertical")) == len(cube.tallies["nps"]) == 0


def test_quantiles_make_no_cube(conn: Connection) -> None:
    with pytest.raises(EarshotError, match="cannot be summed"):
        read_cube(conn, [METRICS["journey-days-p90"]], (), None, None, EVERYTHING, AFTER)


# The shared warehouse.


def test_postgresql_says_the_same(conn: Connection, rows: Rows, postgres_url: str) -> None:
    other = on(shared(postgres_url), rows)
    at = datetime(2025, 12, 20, 13, tzinfo=UTC)
    ask = Ask(by=("vertical",), since=date(2025, 10, 1), until=date(2026, 2, 1))
    with other.begin() as there:
        for moment in (at, AFTER):
            here = measure_all(conn, METRICS.values(), ask, EVERYTHING, moment)
            found = measure_all(there, METRICS.values(), ask, EVERYTHING, moment)
            assert {n: _rounded(p) for n, p in found.items()} == {n: _rounded(p) for n, p in here.items()}
        nps = [METRICS["nps"], METRICS["csat"]]
        cubes = [read_cube(c, nps, ("touchpoint",), None, None, EVERYTHING, AFTER) for c in (conn, there)]
        assert _contents(cubes[0]) == _contents(cubes[1])
        write_design_effects(there, read_catalog(CONFIG))
        assert design_effects(there, AFTER)["mean-csat", "*"] >= 1
    other.dispose()


def _contents(cube: Cube) -> list[Any]:
    tables = [cube.tallies[name].tolist() for name in sorted(cube.tallies)]
    return sorted(zip(cube.days.tolist(), *(cube.column(name) for name in cube.dims), *tables, strict=True))


# Design effects.


def test_equal_answers_within_accounts_say_no_more_than_one_each() -> None:
    """Ten accounts of eight equal answers: the design effect is the size of the cluster, but for g / (g - 1)."""
    y = [8.0] * 5 + [0.0] * 5
    found = ratio(g=10, n=80, y=40, sq=40, yy=sum(v * v for v in y), yn=sum(v * 8 for v in y), nn=10 * 64)
    assert found == pytest.approx(8 * 10 / 9)


def test_answers_spread_evenly_over_accounts_are_never_worth_more() -> None:
    assert ratio(g=10, n=80, y=40, sq=40, yy=10 * 16, yn=10 * 4 * 8, nn=10 * 64) == 1.0
    assert ratio(g=1, n=80, y=40, sq=40, yy=1600, yn=3200, nn=6400) == 1.0
    assert ratio(g=10, n=80, y=80, sq=80, yy=640, yn=640, nn=640) == 1.0  # everybody satisfied


def test_design_effects_are_measured_from_the_rows(rows: Rows, tmp_path: Path) -> None:
    made = warehouse(tmp_path / "clusters.duckdb", rows)
    catalog = read_catalog(CONFIG)
    with made.begin() as conn:
        write_design_effects(conn, catalog)
        stored = conn.execute(select(warehouse_tables.design_effect)).all()
        expected = _by_hand(rows, date(2025, 10, 1), date(2026, 1, 1))
        found = {(r.metric, r.vertical, r.quarter): r.deff for r in stored}
        assert found["mean-csat", "*", date(2025, 10, 1)] == pytest.approx(max(expected, 1.0))
        assert {r.vertical for r in stored} == {"North", "South", "unknown", "*"}
        assert all(r.deff >= 1 and r.n > 0 for r in stored)
        in_march = read_design_effects(conn, datetime(2026, 3, 1, tzinfo=UTC))
        assert in_march["mean-csat", "*"].deff == found["mean-csat", "*", date(2025, 10, 1)]  # not the quarter running
    made.dispose()


def _by_hand(rows: Rows, since: date, until: date) -> float:
    answers = [
        (r["account_id"], r["score"])
        for r in rows["response"]
        if r["scale"] == "csat" and (day := local_day(r["responded_at"])) and since <= day < until
    ]
    scores = np.array([float(score) for _, score in answers])
    accounts = sorted({account for account, _ in answers})
    residuals = [sum(s - scores.mean() for a, s in answers if a == account) for account in accounts]
    g, n = len(accounts), len(scores)
    clustered = g / (g - 1) * sum(r * r for r in residuals) / n**2
    return float(clustered / (scores.var() / n))


def test_design_effects_widen_the_figures_and_grow_with_the_sample(rows: Rows, tmp_path: Path) -> None:
    made = warehouse(tmp_path / "wide.duckdb", rows)
    metric, ask = METRICS["promise-kept"], Ask(grain="all")
    with made.begin() as conn:
        (plain,) = measure(conn, metric, ask, EVERYTHING, AFTER)
        row = {
            "metric": metric.name,
            "vertical": "*",
            "quarter": date(2025, 10, 1),
            "n": plain.n,
            "clusters": 6,
            "deff": 4.0,
        }
        conn.execute(insert(warehouse_tables.design_effect), row)
        (wide,) = measure(conn, metric, ask, EVERYTHING, AFTER)
        assert design_effects(conn, AFTER)[metric.name, "*"] == 4.0
        assert design_effects(conn, AFTER)["nps", "North"] == 1.0
        assert design_effects(conn, datetime(2025, 12, 1, tzinfo=UTC))[metric.name, "*"] == 1.0
        conn.execute(text("delete from design_effect"))
    made.dispose()
    assert (wide.n, wide.value) == (plain.n, plain.value)
    assert None not in (wide.low, wide.high, plain.low, plain.high)
    assert (wide.high or 0) - (wide.low or 0) > 1.8 * ((plain.high or 0) - (plain.low or 0))
    assert (DesignEffect(3.0, 100).at(100), DesignEffect(3.0, 100).at(10), DesignEffect(3.0, 100).at(400)) == (
        3.0,
        3.0,
        9.0,
    )
