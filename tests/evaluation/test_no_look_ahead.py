"""Nothing looks ahead: what a backtest reads in a slot is what the warehouse of that moment says.

The warehouse of a moment holds no row of later days, and nothing that became known later. Every kind of rule, the
severe cases of event rules and the faults that the guard finds are compared, number for number.
"""

from collections.abc import Iterator, Mapping
from dataclasses import astuple
from datetime import date, datetime
from itertools import chain
from typing import Any, Final

import pytest
from sqlalchemy import Connection

from config.models import EventRule
from queries.engine import aware, naive
from queries.loading.publish import derive
from queries.metrics.cube import late_columns
from queries.metrics.design_effects import read_design_effects
from queries.monitoring.row_profiles import PROFILED, read_profile
from queries.monitoring.severe_cases import cases
from queries.state import passing_state
from queries.warehouse import EVERYTHING, settle, tables
from tests.support.daily import (
    DAYS,
    ZONE,
    Rows,
    begin,
    company,
    fill,
    known,
    memory,
    morning,
    pinned,
    publish,
    rulebook,
)
from triggers.data_faults.detect import detect
from triggers.data_faults.detectors.history import DataFault
from triggers.evaluation import (
    DeclineRuleEvaluator,
    EvaluatedRule,
    QuietRuleEvaluator,
    design_effects_at,
    evaluate_rule,
    reader,
)
from triggers.rules import Moment, Slice, Subject, midnight, read_previous_state, tasks

SLOTS: Final = (
    date(2025, 6, 2),  # the charts have just frozen their baselines
    date(2025, 11, 24),  # answers about journeys that have not ended yet; a condition holds in part of the windows
    date(2026, 1, 5),  # knows the design effects of a new quarter; rows came twice
    date(2026, 4, 27),  # a survey is overdue, the company was shut
    date(2026, 6, 8),  # a channel has stopped; a vertical has just begun
    date(2026, 7, 6),  # the channel has begun again
)

SOME: Final = [pytest.param(slot, marks=() if i == 1 else pytest.mark.proof) for i, slot in enumerate(SLOTS)]

Judgements = Mapping[str, tuple[Subject, tuple[date, ...], EvaluatedRule]]


def judgements(conn: Connection, now: datetime) -> Judgements:
    """What every rule makes of every slot up to `now`: the replay of its first run."""
    pin = pinned(conn)
    states = passing_state()
    with states.connect() as empty:
        nothing = read_previous_state(empty)
    states.dispose()
    published = aware(pin.generation.published_at)
    moment = Moment(now, pin.generation.number, published, ZONE, settle(conn))
    due = tuple(tasks(rulebook(), nothing, moment))
    rates = [task for task in due if task.subject.rule.metric_names]
    found = reader(conn, moment, design_effects_at(conn, moment)).bases(rates)
    judged = ((task.subject, basis.slots, evaluate_rule(task.subject, basis)) for task, basis in found)
    others = (QuietRuleEvaluator(conn, moment), DeclineRuleEvaluator(conn, moment))
    heard = ((task.subject, slots, panel) for one in others for task, slots, panel in one.judged(due))
    return {subject.rule.name: (subject, slots, panel) for subject, slots, panel in chain(judged, heard)}


def readings(of: tuple[Subject, tuple[date, ...], EvaluatedRule], slot: date) -> dict[Slice, tuple[Any, ...]]:
    """The readings of a slot by slice. What was not heard of yet is left out, and no baseline is named before it is."""
    _, slots, judged = of
    if slot not in slots:
        return {}
    row, found = slots.index(slot), dict[Slice, tuple[Any, ...]]()
    for column, slice_ in enumerate(judged.panel.slices):
        reading = judged.reading(row, column)
        if judged.panel.seen[row, column]:
            held = reading.held if reading.verdict != "no_data" else None
            parts = (reading.tally, reading.value, held, reading.right, reading.deffs, reading.alpha, reading.verdict)
            found[slice_] = (*map(rounded, parts), float(f"{reading.p:.9g}"))
    return found


def rounded(part: Any) -> Any:
    """Sums are added up in another order over another stretch of days."""
    if isinstance(part, float):
        return float(f"{part:.9g}")
    if isinstance(part, str) or part is None:
        return part
    return tuple(rounded(float(number)) for number in (part if isinstance(part, tuple) else astuple(part)))


@pytest.fixture(scope="module")
def finished() -> Iterator[Connection]:
    with memory() as conn:
        _put(conn, known(company().rows, begin(DAYS)), morning(DAYS))
        yield conn


@pytest.fixture(scope="module")
def backtest(finished: Connection) -> Judgements:
    return judgements(finished, morning(DAYS))


def _put(conn: Connection, rows: Rows, now: datetime) -> None:
    fill(conn, rows)
    publish(conn, 1, now)


def _moments(backtest: Judgements, slot: date) -> dict[datetime, list[str]]:
    """When the slot may be read, by the rules that read it then."""
    found: dict[datetime, list[str]] = {}
    for name, (subject, _, _) in backtest.items():
        found.setdefault(subject.cadence.as_of(slot), []).append(name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("slot", SOME, ids=str)
def test_a_slot_is_read_as_it_was_known(finished: Connection, backtest: Judgements, slot: date) -> None:
    for moment, names in _moments(backtest, slot).items():
        with memory() as conn:
            _put(conn, known(company().rows, naive(moment) or begin(0)), moment)
            then = judgements(conn, moment)
            for name in names:
                assert readings(then[name], slot) == readings(backtest[name], slot), name
            assert _cases(conn, moment) == _cases(finished, moment)
            assert _faults(conn, slot, moment) == _faults(finished, slot, morning(DAYS))


def _cases(conn: Connection, moment: datetime) -> list[Any]:
    rules = (rule for rule in rulebook().rules if isinstance(rule, EventRule))
    return [cases(conn, rule, EVERYTHING, rule.settle, None, moment) for rule in rules]


def _faults(conn: Connection, slot: date, now: datetime) -> list[tuple[DataFault, ...]]:
    window = rulebook().guard.window
    return [detect(read_profile(conn, table, now), slot - window, slot) for table in PROFILED]


@pytest.mark.slow
def test_every_kind_is_compared(backtest: Judgements) -> None:
    """Each rule judges something in some of these slots; one of them reads what becomes known late."""
    judged = {name: [readings(of, slot) for slot in SLOTS] for name, of in backtest.items()}
    verdicts = {name: {r[-2] for slot in found for r in slot.values()} for name, found in judged.items()}
    assert {name for name, seen in verdicts.items() if seen <= {"no_data"}} == set()
    late = [name for name, (of, _, _) in backtest.items() if any(late_columns(f.metric, f.dims) for f in of.figures)]
    assert late == ["journeys-that-arrived"]


@pytest.mark.slow
@pytest.mark.parametrize("slot", SLOTS[:3], ids=str)
def test_what_becomes_known_later_is_not_counted_before(backtest: Judgements, slot: date) -> None:
    """Answers about journeys that ended after the window was read: a reading of today would count them."""
    then = sum(reading[0][0] for reading in readings(backtest["journeys-that-arrived"], slot).values())
    subject, at = backtest["journeys-that-arrived"][0], naive(midnight(slot, ZONE)) or begin(0)
    rows = known(company().rows, begin(DAYS))
    ends = {row["id"]: row["ended_at"] for row in rows[tables.journey] if row["outcome"] == "reached"}
    answers = [row for row in rows[tables.response] if row["scale"] == "csat" and row["touchpoint"] is None]
    inside = [row for row in answers if row["responded_at"] and at - subject.rule.window <= row["responded_at"] < at]
    about = [ends[row["journey_id"]] for row in inside if row["journey_id"] in ends]
    assert then == sum(end < at for end in about) < len(about)


@pytest.mark.slow
def test_design_effects_are_those_of_quarters_that_ended_before() -> None:
    """Where the fiscal year begins in February, slots of one calendar quarter lie in two of the company's."""
    calendar = rulebook().calendar.model_copy(update={"fiscal_year_start": 2})
    now, days = morning(300), (date(2025, 1, 6), date(2025, 2, 3), date(2025, 3, 3))
    with memory() as conn:
        _put(conn, known(company().rows, begin(300)), now)
        derive(conn, rulebook().model_copy(update={"calendar": calendar}), None)
        at = design_effects_at(conn, Moment(now, 1, now, ZONE, settle(conn)))
        found = [at(day) for day in days]
        assert found == [read_design_effects(conn, midnight(day, ZONE)) for day in days]
    assert found[0] != found[1] == found[2]
