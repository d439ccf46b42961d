"""The incidents that a rule opens in its test: by the judge, the replay and the tick that live runs use."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.errors import ConfigError, Mistake
from config.models import ZERO, Catalog, Rule
from config.reading.entries import ConfigEntry
from config.reading.error_messages import suggest
from config.reading.rule_tests import RuleTest, WrittenSignals, tested_rule
from queries.loading.fixture_warehouse import WRITABLE, domain, missing, open_fixture
from queries.metrics.design_effects import EVERY_VERTICAL, DesignEffect, DesignEffects
from queries.scope import EVERYTHING
from queries.state import HistoryEntry as Line
from queries.state import Incident, entries, passing_state, slice_key
from queries.state.incidents import incidents
from queries.warehouse import COLUMNS
from triggers.evaluation.metric_rules import EvaluationInput, evaluate_rule, evaluation_input
from triggers.evaluation.replay import StateChange, replay
from triggers.incidents.tick import tick
from triggers.rule_tests.written_counts import histories, slice_of
from triggers.rules import Moment, Slice, Subject, Task, version_of
from triggers.rules.due import subject

EVER: Final = 10**9
"""More rows than any test has: up to so many a design effect stays as it is written."""

OVER: Final = frozenset({"resolved", "closed"})


@dataclass(frozen=True, slots=True)
class OpenedIncident:
    """One incident that a test opened. Days are of the test's zone.

    Args:
        slice: as text, such as `vertical=Retail`; of an event the key of its row.
        opened: the day on which it was known.
        slot: the day after its window's last.
        resolved: the day on which it was known to be over; None while it holds.
        value: what opened it, in the metric's unit.
        held: what that was held against.
        n: rows.
        reason: why it opened.
    """

    slice: str
    opened: date
    slot: date
    resolved: date | None
    value: float | None
    held: float | None
    n: int | None
    reason: str


def run_rule_test(entry: ConfigEntry[RuleTest], catalog: Catalog) -> tuple[OpenedIncident, ...]:
    """The incidents that the rule of a test opens up to the end of its day, oldest first.

    Counts are judged and replayed as they are. Rows and signals make a warehouse that is thrown away, and are ticked.

    Raises:
        ConfigError: with what is wrong in the test.
        EarshotError: its rows contradict each other.
    """
    rule = tested_rule(entry, catalog, COLUMNS)
    goals = {"goals": entry.item.goal} if entry.item.goal else {}
    known = catalog.model_copy(update={"rules": (rule.model_copy(update={"enabled": True}),), **goals})
    _refuse_wrong_input(entry, rule)
    found = _counted(entry, known) if entry.item.series else _ticked(entry, known)
    return tuple(sorted(found, key=lambda seen: (seen.opened, seen.slice)))


def _refuse_wrong_input(entry: ConfigEntry[RuleTest], rule: Rule) -> None:
    if entry.item.series and not rule.metric_names:
        wrong = f"a rule of kind {rule.kind} reads no counts"
        right = "write [[test.signals]]" if rule.hears_signals else "write [[test.row]]"
        raise ConfigError((entry.mistake(("series", 0), wrong, right),))
    if entry.item.signals and not rule.hears_signals:
        wrong = "only a quiet rule of an account, an instrument or a source hears signals"
        raise ConfigError((entry.mistake(("signals", 0), wrong, "write [[test.series]] or [[test.row]]"),))


def _end(of: RuleTest) -> datetime:
    """The last second of the day: what begins the next day is not known yet."""
    return datetime.combine(of.at + timedelta(days=1), time(), ZoneInfo(of.zone)).astimezone(UTC) - timedelta(seconds=1)


def _counted(entry: ConfigEntry[RuleTest], catalog: Catalog) -> Iterator[OpenedIncident]:
    """Judge and replay counts."""
    of, now = entry.item, _end(entry.item)
    zone = ZoneInfo(of.zone)
    (rule,) = catalog.rules
    asked = subject(version_of(catalog, rule), catalog, Moment(now, 1, now, zone, of.settle), of.alpha)
    basis = _basis(entry, asked, now)
    _, findings = replay(asked, evaluate_rule(asked, basis), {}, asked.cadence.as_of)
    return _incidents(findings, zone)


def _basis(entry: ConfigEntry[RuleTest], asked: Subject, now: datetime) -> EvaluationInput:
    counts = histories(entry, asked)
    places = {value for one in counts for slice_ in one.slices for value in slice_}
    task = Task(asked, (), first_run=True)
    return evaluation_input(task, counts, counts[0], lambda _: _effects(entry.item, asked, places), now)


def _effects(of: RuleTest, asked: Subject, places: Iterable[str]) -> DesignEffects:
    """The same design effect everywhere."""
    named = {str(value) for c in asked.rule.where if c.column == "vertical" for value in c.any_of or ()}
    return {(asked.metric.name, place): DesignEffect(of.deff, EVER) for place in {*places, *named, EVERY_VERTICAL}}


def _incidents(findings: Iterable[StateChange], zone: ZoneInfo) -> Iterator[OpenedIncident]:
    seen: dict[str, OpenedIncident] = {}
    for finding in findings:
        reading, event = finding.reading, finding.event
        day = event.at.astimezone(zone).date()
        if event.change == "opened":
            n = event.sample.n
            figures = (reading.value, reading.held, n)
            seen[finding.incident] = OpenedIncident(finding.slice, day, reading.slot, None, *figures, event.reason)
        elif event.change in OVER:
            seen[finding.incident] = replace(seen[finding.incident], resolved=day)
    yield from seen.values()


def _ticked(entry: ConfigEntry[RuleTest], catalog: Catalog) -> Iterator[OpenedIncident]:
    """Tick over rows, in a warehouse and a state that nobody keeps."""
    of, now = entry.item, _end(entry.item)
    (rule,) = catalog.rules
    states = passing_state()
    try:
        with open_fixture(catalog, of.zone, tuple(_rows(entry, rule)), now) as pin:
            tick(states, pin, catalog, now)
        with states.connect() as conn:
            for one in incidents(conn, EVERYTHING):
                if one.rule == rule.name:
                    yield _seen(one, entries(conn, one.id)[0], ZoneInfo(of.zone))
    finally:
        states.dispose()


def _seen(of: Incident, opening: Line, zone: ZoneInfo) -> OpenedIncident:
    sample: Mapping[str, Any] = opening.sample or {}
    over = of.resolved_at.astimezone(zone).date() if of.resolved_at else None
    n = round(sample["tally"][0]) if "tally" in sample else of.n
    figures = (sample.get("value"), sample.get("held"), n)
    return OpenedIncident(of.slice, of.opened_at.astimezone(zone).date(), of.slot, over, *figures, opening.reason)


def _rows(entry: ConfigEntry[RuleTest], rule: Rule) -> Iterator[tuple[str, Mapping[str, Any]]]:
    mistakes = tuple(_mistakes(entry))
    if mistakes:
        raise ConfigError(mistakes)
    for row in entry.item.row:
        for one in _each(row):
            yield one["table"], {name: value for name, value in one.items() if name != "table"}
    for i, signals in enumerate(entry.item.signals):
        (unit,) = slice_of(entry, ("signals", i), signals.slice, rule.slice_columns)
        for k, day in enumerate(_days(entry, i, signals)):
            yield _signal(rule.slice_columns[0], unit, day, f"signal-{i + 1}-{k + 1}")


def _each(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A list stands for a row of each of its values."""
    lists = [value if isinstance(value, list) else [value] for value in row.values()]
    return (dict(zip(row, values, strict=True)) for values in product(*lists))


def _mistakes(entry: ConfigEntry[RuleTest]) -> Iterator[Mistake]:
    """What a table does not know, and what it still needs."""
    for i, row in enumerate(entry.item.row):
        table = row.get("table")
        if table not in WRITABLE:
            wrong = f"unknown table {table!r}" if table else "a row does not say of which table it is"
            yield entry.mistake(("row", i, "table"), wrong, suggest(str(table), WRITABLE))
            continue
        for name, value in row.items():
            if name != "table" and name not in WRITABLE[table]:
                yield entry.mistake(("row", i, name), f"{table} has no column {name!r}", suggest(name, WRITABLE[table]))
            elif name != "table" and (strange := _not_allowed(table, name, value)):
                right = suggest(str(strange[0]), domain(table, name))
                yield entry.mistake(("row", i, name), f"{name} cannot be {strange[0]!r}", right)
        for name in missing(table, row):
            yield entry.mistake(("row", i), f"a row of {table} needs {name!r}", "add it")


def _not_allowed(table: str, column: str, value: Any) -> list[Any]:
    allowed, given = domain(table, column), value if isinstance(value, list) else [value]
    return [one for one in given if allowed and one not in allowed]


def _days(entry: ConfigEntry[RuleTest], number: int, signals: WrittenSignals) -> Iterator[date]:
    if signals.days is not None:
        yield from signals.days
        return
    since, every, until = signals.from_ or entry.item.from_, signals.every, signals.until
    if since is None or every is None or until is None or every % timedelta(days=1) or every <= ZERO:
        wrong = "the days are not clear: 'from' is missing, or 'every' is not whole days"
        raise ConfigError((entry.mistake(("signals", number), wrong, "write from, every = '3d' and until"),))
    day = since
    while day < until:
        yield day
        day += every


def _signal(column: str, unit: str, day: date, id_: str) -> tuple[str, Mapping[str, Any]]:
    """A row by which a quiet rule hears of its unit."""
    if column == "instrument":
        row = {"account_id": "somebody", "kind": "relationship", "status": "invited", "invited_at": day}
        return "response", {"id": id_, "instrument": unit, **row}
    place = {"account_id": unit} if column == "account_id" else {"account_id": "somebody", "source": unit}
    return "contact", {"id": id_, "touchpoint": "call", "direction": "in", "occurred_at": day, **place}


def incident_slice(rule: Rule, written: Slice) -> str:
    """A slice as incidents name it."""
    return slice_key(rule.slice_columns, written)
