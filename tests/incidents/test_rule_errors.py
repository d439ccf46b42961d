"""A rule or a slice that cannot be evaluated: it is named, its incidents stay, and all others are evaluated as ever."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, OperationalError

from config import EarshotError
from config.models import Catalog, Route, Step
from queries.engine import disposing, embedded, reading, recovering, shared
from queries.operations.health import read_health
from queries.state import Incident, RuleError, entries, newest_slots, read_incidents, rule_errors
from queries.warehouse import EVERYTHING, Pin
from tests.support.company import ROUTE, Rows, catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.states import NewState
from triggers.data_faults import scan
from triggers.evaluation import shared_counts
from triggers.evaluation.kinds.threshold import Threshold
from triggers.incidents.tick import Report, tick
from triggers.lab.backtest import backtest
from triggers.processes.audit import ExpectedState as Expected
from triggers.processes.audit import audit

FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
OPENS: Final = date(2025, 12, 22)
WEEK: Final = timedelta(weeks=1)
APART: Final = (*(ROUTE.model_copy(update={"name": name}) for name in ("analysts", "elsewhere")), ROUTE)
"""Of two rules with one route, or the guard's, one would speak for both; with it ill the other speaks for itself."""
Judge = Callable[..., Any]
BAD: Final = [w for name in ("V0", "V1", "V2") for w in weeks(FIRST, STORY, vertical=name)]


@contextmanager
def pinned(tmp_path: Path, config: Catalog, rows: Rows) -> Iterator[Pin]:
    with warehouse(tmp_path, config, rows) as made, made.pin() as pin:
        yield pin


def failing(
    monkeypatch: pytest.MonkeyPatch, error: Exception, names: str = "defects", slice_: tuple[str, ...] | None = None
) -> None:
    """Rules of that name raise an error, always or wherever they are asked for one slice."""
    panel: Judge = Threshold.panel

    def judged(self: Threshold, subject: Any, given: Any, *rest: Any) -> Any:
        if subject.rule.name == names and (slice_ is None or slice_ in given.counts.slices):
            raise error
        return panel(self, subject, given, *rest)

    monkeypatch.setattr(Threshold, "panel", judged)


def found(states: Engine) -> dict[tuple[str, str], Incident]:
    with states.connect() as conn:
        return {(i.rule, i.slice): i for i in read_incidents(conn, EVERYTHING) if i.rule != scan.NAME}


def errors(states: Engine) -> tuple[RuleError, ...]:
    with states.connect() as conn:
        return rule_errors(conn)


def through(states: Engine, pin: Pin, config: Catalog, since: date, until: date) -> Report:
    day = since
    while day <= until:
        report = tick(states, pin, config, noon(day))
        day += WEEK
    return report


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("Singular matrix"), ZeroDivisionError(), OverflowError("x")])
def test_one_slice_is_ill_and_the_others_open_as_they_would_have(
    tmp_path: Path, new_state: NewState, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    often = {"false_alarms_per_year": 2}
    rules = rule(**often), rule(name="others", route="elsewhere", **often)
    config, well, ill = catalog(*rules, routes=APART), new_state(), new_state()
    with pinned(tmp_path, config, rows_of(BAD)) as pin:
        through(well, pin, config, OPENS - 2 * WEEK, OPENS)
        failing(monkeypatch, error, slice_=("V1",))
        report = through(ill, pin, config, OPENS - 2 * WEEK, OPENS)
    expected, got = found(well), found(ill)
    assert len(expected) == 6
    assert got == {key: incident for key, incident in expected.items() if key != ("defects", "vertical=V1")}
    (named,) = errors(ill)
    assert (named.rule, named.slice, named.since) == ("defects", "vertical=V1", noon(OPENS - 2 * WEEK))
    assert named.reason.startswith(f"{type(error).__name__} in test_rule_errors.py, line ")
    assert str(report).endswith(", 1 rule could not be evaluated")


def test_an_open_incident_of_an_ill_rule_stays_as_it_is_and_goes_on_afterwards(
    tmp_path: Path, new_state: NewState, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While its figure recovers and its ladder is due; what the others do is done."""
    config, states = catalog(rule(), rule(name="others", route="elsewhere"), routes=APART), new_state()
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        through(states, pin, config, OPENS - WEEK, OPENS)
        before = found(states)["defects", "vertical=Retail"]
        assert before.is_open
        with monkeypatch.context() as patched, caplog.at_level(logging.INFO, "triggers"):
            failing(patched, ZeroDivisionError())
            through(states, pin, config, OPENS + WEEK, OPENS + 10 * WEEK)
            after = found(states)
            assert after["defects", "vertical=Retail"] == before
            assert after["others", "vertical=Retail"].state == "resolved"
            with states.connect() as conn:
                assert [entry.kind for entry in entries(conn, before.id)] == ["opened"]
                slots = newest_slots(conn)
            assert slots["defects"].slot < slots["others"].slot
            assert [e.since for e in errors(states)] == [noon(OPENS + WEEK)]
        tick(states, pin, config, noon(OPENS + 11 * WEEK))
        assert errors(states) == ()
        said = [record.getMessage() for record in caplog.records if "defects" in record.getMessage()]
        assert len(said) == 1  # not at every tick
    end = found(states)
    assert end["defects", "vertical=Retail"].state == "resolved"
    (mine, others) = (end[name, "vertical=Retail"].resolved_at for name in ("defects", "others"))
    assert mine == others  # the slots that were missed are evaluated in their order


def test_a_ladder_waits_for_what_is_ill(tmp_path: Path, new_state: NewState, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder = (Step(after=(timedelta(0),) * 4, notify="channel"), Step(after=(timedelta(hours=4),) * 4, notify="gm"))
    routes = tuple(Route(name=route.name, ladder=ladder) for route in APART)
    config = catalog(rule(), rule(name="others", route="elsewhere"), routes=routes)
    states = new_state()
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        through(states, pin, config, OPENS - WEEK, OPENS)
        with monkeypatch.context() as patched:
            failing(patched, ZeroDivisionError())
            tick(states, pin, config, noon(OPENS + WEEK))
            waiting, climbing = (found(states)[name, "vertical=Retail"].next_step for name in ("defects", "others"))
        tick(states, pin, config, noon(OPENS + WEEK))
        assert found(states)["defects", "vertical=Retail"].next_step == climbing
    assert waiting < climbing


def test_a_store_that_is_away_ends_the_tick_and_makes_no_rule_ill(
    tmp_path: Path, new_state: NewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, states = catalog(rule(), rule(name="others")), new_state()
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        for away in (OperationalError("select", {}, Exception("gone")), OSError("disk"), MemoryError()):
            with monkeypatch.context() as patched:
                failing(patched, away)
                with pytest.raises(type(away)):
                    tick(states, pin, config, noon(OPENS))
            assert (found(states), errors(states)) == ({}, ())


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("select cast('x' as integer)", "DataError in "),
        ("select n from of_a_later_version", "the warehouse lacks a table or a column that this version reads"),
    ],
)
def test_a_statement_that_cannot_be_computed_is_its_rules_own_error(
    tmp_path: Path, new_state: NewState, monkeypatch: pytest.MonkeyPatch, statement: str, reason: str
) -> None:
    """The database gives the whole reading up; the other rules' counts and the severe cases are read all the same."""
    read = shared_counts.read_cube

    def reading_cube(conn: Connection, metrics: Any, *rest: Any) -> Any:
        if any(metric.name == "other-rate" for metric in metrics):
            conn.execute(text(statement))
        return read(conn, metrics, *rest)

    well = catalog(rule(), routes=APART)
    other = well.metrics[0].model_copy(update={"name": "other-rate"})
    ill = rule(name="others", route="elsewhere", metric="other-rate")
    config = well.model_copy(update={"metrics": (*well.metrics, other), "rules": (ill, *well.rules)})
    states = new_state()
    monkeypatch.setattr(shared_counts, "read_cube", reading_cube)
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        through(states, pin, config, OPENS - WEEK, OPENS)
    assert {name for name, _ in found(states)} == {"defects"}
    (named,) = errors(states)
    assert (named.rule, named.slice) == ("others", "")
    assert named.reason.startswith(reason)


@pytest.mark.parametrize("engine", ["duckdb", "postgresql"])
def test_a_reading_goes_on_after_what_cannot_be_computed(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    """On what it began with, whatever was written meanwhile."""
    made = (
        shared(request.getfixturevalue("postgres_url"))
        if engine == "postgresql"
        else embedded(tmp_path / "x.duckdb", read_only=False)
    )
    with disposing(made), made.begin() as writer:
        writer.execute(text("create table seen (n integer)"))
        writer.execute(text("insert into seen values (1)"))
        writer.commit()
        with reading(made) as conn:
            assert conn.execute(text("select sum(n) from seen")).scalar_one() == 1
            with pytest.raises(DataError), recovering(conn):
                conn.execute(text("select cast('x' as integer)"))
            with recovering(conn):
                assert conn.execute(text("select sum(n) from seen")).scalar_one() == 1
            assert conn.execute(text("select sum(n) from seen")).scalar_one() == 1


def test_a_detector_of_data_faults_that_fails_hides_no_breach(
    tmp_path: Path, new_state: NewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError

    config, states = catalog(rule()), new_state()
    monkeypatch.setattr(scan, "detect", broken)
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        through(states, pin, config, OPENS - WEEK, OPENS)
    assert found(states)["defects", "vertical=Retail"].is_open
    assert [(e.rule, e.slice) for e in errors(states)] == [(scan.NAME, "")]


def test_the_watchdog_names_it_and_a_rule_that_is_gone_is_ill_no_more(
    tmp_path: Path, new_state: NewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, states = catalog(rule(), rule(name="others")), new_state()
    failing(monkeypatch, ZeroDivisionError(), slice_=("Retail",))
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        tick(states, pin, config, noon(OPENS))
        with states.connect() as conn:
            seen = read_health(conn, noon(OPENS) + timedelta(hours=3))
        wanted = Expected(config, noon(OPENS), timedelta(days=9), has_slack=True, hears=False)
        told = [str(fault) for fault in audit(seen, wanted) if "could not be evaluated" in str(fault)]
        assert len(told) == 1
        assert told[0].startswith("rule defects could not be evaluated for 3 h 0 min: ZeroDivisionError in ")
        tick(states, pin, catalog(rule(name="others")), noon(OPENS))
    assert errors(states) == ()


def test_a_backtest_of_an_ill_rule_is_refused_and_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = catalog(rule())
    failing(monkeypatch, ZeroDivisionError())
    with (
        pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin,
        pytest.raises(EarshotError, match="some rules could not be evaluated"),
    ):
        backtest(pin, config, FIRST, date(2026, 4, 1))


def test_errors_are_the_same_twice_over(tmp_path: Path, new_state: NewState, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second tick writes nothing, and the moment since when is the first."""
    config, states = catalog(rule()), new_state()
    failing(monkeypatch, ZeroDivisionError())
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        tick(states, pin, config, noon(OPENS))
        before = errors(states)
        tick(states, pin, config, noon(OPENS) + timedelta(hours=5))
    assert errors(states) == before == (replace(before[0], since=datetime.combine(OPENS, noon(OPENS).time(), UTC)),)
