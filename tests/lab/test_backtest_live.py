"""What live ticks did, day by day as the data came, is what one backtest over the finished data says.

Both logs are compared record for record, with the counts, tails and design effects of each. Where rows came late or
were corrected the logs differ, and each difference is told with the rows that made it.
"""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Engine, Table

from config.models import Catalog, ChangeRule, EventRule, QuietRule, RateRule, Rule, WatchRule
from queries.engine import disposing
from queries.state import entries, open_state, passing_state, read_incidents, slice_values
from queries.warehouse import EVERYTHING, EmbeddedWarehouse, SharedWarehouse, tables
from tests.counterparts.postgres import NewDatabase
from tests.support.daily import (
    DAYS,
    HISTORY,
    RULES,
    Row,
    Rows,
    arrivals,
    begin,
    bring,
    company,
    day_of,
    fill,
    known,
    memory,
    morning,
    pinned,
    publish,
    rulebook,
)
from tests.support.installation import configure
from tests.support.states import NewState
from triggers.data_faults.scan import NAME
from triggers.evaluation.kinds import kind_of
from triggers.incidents.tick import tick
from triggers.rules.schedule import ANCHOR

ROOT: Final = Path(__file__).resolve().parents[2]
FOUND: Final = frozenset({"opened", "reopened", "worsened", "resolved", "closed"})
"""What the evaluator says of an incident; who was told of it depends on when the ticks ran."""

Draft = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was found of an incident, as it is recorded for ever."""

    rule: str
    slice: str
    opened_at: datetime
    resolved_at: datetime | None
    at: datetime
    kind: str
    reason: str
    sample: Mapping[str, Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """What is the same in two logs, whatever was measured besides the figure itself."""
        figure = self.sample.get("value"), self.sample.get("tally")
        return self.rule, self.slice, self.opened_at, self.at, self.kind, self.reason, str(figure)


def log(states: Engine) -> tuple[Line, ...]:
    """Everything that was found, oldest first."""
    with states.connect() as conn:
        lines = [
            Line(i.rule, i.slice, i.opened_at, i.resolved_at, entry.at, entry.kind, entry.reason, entry.sample or {})
            for i in read_incidents(conn, EVERYTHING)
            for entry in entries(conn, i.id)
            if entry.kind in FOUND
        ]
    return tuple(sorted(lines, key=lambda line: (line.at, line.rule, line.slice, line.opened_at, line.kind)))


# A warehouse that is loaded again and again, on either engine.


@pytest.fixture(params=["embedded", pytest.param("shared", marks=(pytest.mark.postgres, pytest.mark.proof))])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Draft, Draft, Engine]]:
    """Two ways to change and read a warehouse, and a state: in memory, or on PostgreSQL."""
    with ExitStack() as stack:
        if request.param == "embedded":
            live, test = stack.enter_context(memory()), stack.enter_context(memory())
            yield (lambda: _same(live)), (lambda: _same(test)), stack.enter_context(disposing(passing_state()))
        else:
            new: NewDatabase = request.getfixturevalue("new_database")
            both = [SharedWarehouse(stack.enter_context(new())) for _ in range(2)]
            states = open_state(tmp_path, stack.enter_context(new()))
            for close in (both[0].close, both[1].close, states.dispose):
                stack.callback(close)
            yield (lambda: _drafted(both[0])), (lambda: _drafted(both[1])), states


@contextmanager
def _same(conn: Connection) -> Iterator[Connection]:
    yield conn


@contextmanager
def _drafted(warehouse: SharedWarehouse | EmbeddedWarehouse) -> Iterator[Connection]:
    with warehouse.draft(lambda _: None) as draft:
        yield draft.conn


def ticked(conn: Connection, states: Engine, day: int) -> None:
    tick(states, pinned(conn), rulebook(), morning(day))


@dataclass(frozen=True, slots=True)
class Revision:
    """A row that came late (`before` is None), or that said something else before the day on which it was corrected."""

    table: Table
    row: Row
    before: Row | None
    day: int

    @property
    def kind(self) -> str:
        return "correction" if self.before else "late row"


def lived(draft: Draft, states: Engine, days: Iterable[int], revised: Sequence[Revision] = ()) -> None:
    """The history at once, then each of the days what came since the one before: load, compute, tick."""
    arrived = arrivals(company().rows)
    late = {(one.table, one.row["id"]): one for one in revised}
    with draft() as conn:
        fill(conn, _as_seen(known(company().rows, begin(HISTORY)), late))
        publish(conn, 1, morning(HISTORY))
        ticked(conn, states, HISTORY)
    last = HISTORY
    for number, day in enumerate(days, start=2):
        new = [pair for n in range(last, day) for pair in arrived.get(day_of(n), ())]
        mended = [(one.table, one.row) for one in revised if last < one.day <= day]
        with draft() as conn:
            bring(conn, [*(_as_then(pair, late, day) for pair in new), *mended], begin(day))
            publish(conn, number, morning(day))
            ticked(conn, states, day)
        last = day


def _as_then(pair: tuple[Table, Row], late: Mapping[Any, Revision], day: int) -> tuple[Table, Row | None]:
    table, row = pair
    one = late.get((table, row.get("id")))
    return (table, one.before) if one and day < one.day else pair


def _as_seen(rows: Rows, late: Mapping[Any, Revision]) -> Rows:
    """The history: what was revised lies behind it, or is left out of it."""
    return {table: [row for row in own if (table, row.get("id")) not in late] for table, own in rows.items()}


def at_once_over(draft: Draft, states: Engine, until: int) -> None:
    """One backtest over the finished data."""
    with draft() as conn:
        fill(conn, known(company().rows, begin(until)))
        publish(conn, 1, morning(until))
        ticked(conn, states, until)


@pytest.mark.slow(minutes=3)
def test_a_year_of_days_and_one_backtest_come_to_the_same_log(
    stores: tuple[Draft, Draft, Engine],
    record_property: Any,
    *,
    prove: bool,
    new_state: NewState,
) -> None:
    """A load every 52 days, on all days of the week, on DuckDB; with --prove a load a day, on PostgreSQL too."""
    live, test, states = stores
    at_once = new_state()
    lived(live, states, range(HISTORY + 1, DAYS + 1, 1 if prove else 52))
    at_once_over(test, at_once, DAYS)
    found = log(states)
    record_property("records", len(found))
    assert found == log(at_once)
    _assert_every_rule_spoke(found)


def _assert_every_rule_spoke(found: Sequence[Line]) -> None:
    """In the year that was loaded day by day every rule opened an incident, and one of each was over again."""
    first = morning(HISTORY)
    opened = {line.rule for line in found if line.kind == "opened" and line.at > first}
    over = {line.rule for line in found if line.kind in {"resolved", "closed"} and line.at > first}
    names = {*(rule.name for rule in rulebook().rules), NAME}
    assert (names - opened, names - over) == (set(), set())


@pytest.mark.slow
def test_from_the_very_first_day_on_it_is_the_same(record_property: Any, new_state: NewState, *, prove: bool) -> None:
    """A warehouse that begins empty: what is too young to be judged is judged when its time has come."""
    states, at_once, end, every = new_state(), new_state(), 140, 3 if prove else 23
    arrived = arrivals(company().rows)
    with memory() as conn:
        fill(conn, known(company().rows, begin(0)))
        for number, day in enumerate(range(2, end + 1, every), start=1):
            new = [pair for n in range(max(day - every, 0), day) for pair in arrived.get(day_of(n), ())]
            bring(conn, new, begin(day))
            publish(conn, number, morning(day))
            ticked(conn, states, day)
    with memory() as conn:
        at_once_over(lambda: _same(conn), at_once, 2 + (end - 2) // every * every)
    record_property("records", len(log(states)))
    assert log(states) == log(at_once) != ()


@pytest.mark.slow
def test_ticks_as_processes_of_their_own_are_the_same(tmp_path: Path, new_state: NewState, *, prove: bool) -> None:
    """Twenty weeks: a tick each with --prove, else one at either end."""
    environ = {**os.environ, **configure(tmp_path, rules=RULES.read_text(encoding="utf-8"))}
    warehouse, states, begun = EmbeddedWarehouse(tmp_path / "warehouse"), new_state(), HISTORY + 60
    arrived = arrivals(company().rows)
    every = 7 if prove else 140
    for number in range(140 // every + 1):
        day = begun + every * number
        with _drafted(warehouse) as conn:
            new = [pair for n in range(day - every, day) for pair in arrived.get(day_of(n), ())]
            bring(conn, new, begin(day)) if number else fill(conn, known(company().rows, begin(day)))
            publish(conn, number + 1, morning(day))
        with warehouse.pin() as pin:
            tick(states, pin, rulebook(), morning(day))
        words = [sys.executable, "-m", "triggers", "run", "--once", "--now", morning(day).isoformat()]
        done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    warehouse.close()
    assert log(new_state(tmp_path)) == log(states) != ()


# Where rows came late or were corrected.


@dataclass(frozen=True, slots=True)
class Difference:
    """What only one of two logs says of a rule's slice, first of all, and the revised rows that it comes from."""

    line: Line
    is_live: bool
    causes: tuple[Revision, ...]


def differences(
    live: Iterable[Line], at_once: Iterable[Line], revised: Sequence[Revision], catalog: Catalog
) -> tuple[Difference, ...]:
    """The first difference of each rule and slice, oldest first: what follows in that slice follows from it."""
    ours, theirs = {line.key: line for line in live}, {line.key: line for line in at_once}
    apart = [(line, key in ours) for key, line in {**ours, **theirs}.items() if (key in ours) != (key in theirs)]
    first: dict[tuple[str, str], Difference] = {}
    for line, is_live in sorted(apart, key=lambda pair: (pair[0].at, pair[0].key)):
        found = tuple(one for one in revised if _made(one, line, catalog))
        first.setdefault((line.rule, line.slice), Difference(line, is_live, found))
    return tuple(first.values())


def _made(one: Revision, line: Line, catalog: Catalog) -> bool:
    """Whether a revised row lay in a window that the line rests on, and was not known yet when that was first read."""
    rule = next((rule for rule in catalog.rules if rule.name == line.rule), None)
    if rule is None:  # the guard looks at all rows of half a year before its window
        return bool(one.row["day"] < line.at.date() <= day_of(one.day) + timedelta(days=56 + 182))
    if one.table.name not in _tables(rule, catalog) or not _in_place(one, rule, line):
        return False
    if not isinstance(rule, WatchRule):
        return str(one.row["id"]) in line.slice
    days = {one.row.get("ended_day"), one.row["day"], (one.before or {}).get("ended_day")} - {None}
    return any(_unknown(day, day_of(one.day), slot, rule) for day in days for slot in _slots(rule, line))


def _unknown(day: date, revised: date, slot: date, rule: WatchRule) -> bool:
    back = kind_of(rule).lookback if isinstance(rule, RateRule) else rule.window
    return slot - back <= day < slot <= revised


def _slots(rule: WatchRule, line: Line) -> Iterator[date]:
    """The slots that a line rests on: its own, and those for which a state had to hold."""
    slot = date.fromisoformat(line.sample["until"])
    hold = max(rule.keep_firing, rule.for_, rule.consecutive * rule.every)
    assert (slot - ANCHOR) % rule.every == timedelta(0)
    for back in range(hold // rule.every + 1):
        yield slot - back * rule.every


def _tables(rule: Rule, catalog: Catalog) -> frozenset[str]:
    if isinstance(rule, EventRule):
        return frozenset({rule.table, "journey"})
    if isinstance(rule, QuietRule):
        return frozenset({"contact", "response", "journey", "defect"})
    if not isinstance(rule, RateRule):
        return frozenset({"revenue"})
    return frozenset({catalog.metric(rule.metric).table, "journey"})


def _in_place(one: Revision, rule: Rule, line: Line) -> bool:
    vertical = slice_values(line.slice).get("vertical")
    is_compared = isinstance(rule, ChangeRule) and rule.baseline == "others"
    return vertical is None or is_compared or vertical == one.row["vertical"]


def _revisions() -> Iterator[Revision]:
    """Three weeks of Energy's late journeys come a month late; some of Public's end in time only as corrected."""
    for row in company().rows[tables.journey]:
        ended = (row["ended_day"] - day_of(HISTORY)).days
        if row["vertical"] == "Energy" and 70 <= ended < 91 and row["ended_at"] > row["promised_at"]:
            yield Revision(tables.journey, row, None, HISTORY + 121)
        elif row["vertical"] == "Public" and 60 <= ended < 90:
            too_late = {**row, "promised_at": row["started_at"], "promised_day": row["day"]}
            yield Revision(tables.journey, row, too_late, HISTORY + 107)


@pytest.mark.slow
def test_what_came_late_and_what_was_corrected_explains_every_difference(
    record_property: Any, new_state: NewState, *, prove: bool
) -> None:
    end, revised = HISTORY + 203, tuple(_revisions())
    states, at_once = new_state(), new_state()
    with memory() as live, memory() as test:
        lived(lambda: _same(live), states, range(HISTORY + 7, end + 1, 7 if prove else 28), revised)
        at_once_over(lambda: _same(test), at_once, end)
    found = differences(log(states), log(at_once), revised, rulebook())
    told = [(d.line.rule, d.line.slice, d.line.at.isoformat(), d.line.kind, d.is_live, len(d.causes)) for d in found]
    record_property("differences", told)
    assert [one for one in told if not one[-1]] == []
    kinds: dict[bool, set[str]] = defaultdict(set)
    for one in found:
        kinds[one.is_live].update(cause.kind for cause in one.causes)
    assert kinds[False] >= {"late row"}
    assert kinds[True] >= {"correction"}
