"""Files of rule tests: each run, and told in lines.

A test opens its incidents by the judge, the replay and the tick that live runs use.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from config import ConfigError, EarshotError, Mistake
from config.models import ZERO, Catalog, Rule
from config.reading import ConfigEntry, RuleTest, WrittenSignals, line, read_rule_tests, suggest, tested_rule
from queries.loading.fixture_warehouse import WRITABLE, domain, missing, open_fixture
from queries.metrics import EVERY_VERTICAL, DesignEffect
from queries.state import entries, passing_state, read_incidents
from queries.warehouse import COLUMNS, EVERYTHING
from triggers.evaluation import StateChange, evaluate_rule, evaluation_input, replay
from triggers.incidents.tick import tick
from triggers.rule_tests.compare import OpenedIncident, differences, matched
from triggers.rule_tests.written_counts import histories, slice_of
from triggers.rules import Moment, Task, subject_of, version_of

EVER: Final = 10**9
"""More rows than any test has: up to so many a design effect stays as it is written."""

OVER: Final = frozenset({"resolved", "closed"})


@dataclass(frozen=True, slots=True)
class RuleTestResult:
    """What became of one test. `lines` say what differs, or what is wrong with the test itself."""

    where: str
    name: str
    lines: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all came as expected."""
        return not self.lines

    def __str__(self) -> str:
        """One line, and where it failed those that say how."""
        return "\n".join((f"{'ok  ' if self.passed else 'FAIL'} {self.where}: {self.name}", *self.lines))


def suite(paths: Iterable[Path], catalog: Catalog) -> Iterator[RuleTestResult]:
    """Run the tests of files, and of the `.toml` files in folders, one after the other.

    Raises:
        EarshotError: a folder without a test file.
    """
    for file in files(paths):
        try:
            entries = read_rule_tests(file)
        except ConfigError as error:
            mistakes = tuple(f"  {mistake}" for mistake in error.mistakes)
            yield RuleTestResult(str(file), "the file cannot be read", mistakes)
            continue
        for entry in entries:
            try:
                rule = tested_rule(entry, catalog, COLUMNS)
                lines = tuple(differences(matched(entry, rule, run_rule_test(entry, catalog))))
            except ConfigError as error:
                lines = tuple(f"  {mistake}" for mistake in error.mistakes)
            except EarshotError as error:
                lines = (f"  {error}",)
            yield RuleTestResult(line(entry), entry.item.name, lines)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that are named, and those in folders that are."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        named = sorted(path.glob("*.toml"))
        if not named:
            raise EarshotError(f"{path} has no .toml file; name a file of rule tests, or a folder of them")
        yield from named


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
    if entry.item.series and not rule.metric_names:
        wrong = f"a rule of kind {rule.kind} reads no counts"
        right = "write [[test.signals]]" if rule.hears_signals else "write [[test.row]]"
        raise ConfigError((entry.mistake(("series", 0), wrong, right),))
    if entry.item.signals and not rule.hears_signals:
        wrong = "only a quiet rule of an account, an instrument or a source hears signals"
        raise ConfigError((entry.mistake(("signals", 0), wrong, "write [[test.series]] or [[test.row]]"),))
    opened = _counted(entry, known) if entry.item.series else _ticked(entry, known)
    return tuple(sorted(opened, key=lambda incident: (incident.opened, incident.slice)))


def _end(test: RuleTest) -> datetime:
    """The last second of the day: what begins the next day is not known yet."""
    return datetime.combine(test.at + timedelta(days=1), time(), ZoneInfo(test.zone)).astimezone(UTC) - timedelta(
        seconds=1
    )


def _counted(entry: ConfigEntry[RuleTest], catalog: Catalog) -> Iterator[OpenedIncident]:
    """Judge and replay counts."""
    test, now = entry.item, _end(entry.item)
    zone = ZoneInfo(test.zone)
    (rule,) = catalog.rules
    moment = Moment(now, 1, now, zone, test.settle)
    tested = subject_of(version_of(catalog, rule), catalog, moment, test.alpha)
    counts = histories(entry, tested)
    # The same design effect everywhere: in each slice, in the verticals that the rule names, and in the company.
    places = {EVERY_VERTICAL, *(value for history in counts for slice_ in history.slices for value in slice_)}
    places |= {str(value) for c in tested.rule.where if c.column == "vertical" for value in c.any_of or ()}
    effects = {(tested.metric.name, place): DesignEffect(test.deff, EVER) for place in places}
    basis = evaluation_input(Task(tested, (), first_run=True), counts, counts[0], lambda _: effects, now)
    _, findings = replay(tested, evaluate_rule(tested, basis), {}, tested.cadence.as_of)
    return _incidents(findings, zone)


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
    now, zone = _end(entry.item), ZoneInfo(entry.item.zone)
    (rule,) = catalog.rules
    states = passing_state()
    try:
        with open_fixture(catalog, entry.item.zone, tuple(_rows(entry, rule)), now) as pin:
            report = tick(states, pin, catalog, now)
        if report.errors:
            raise EarshotError("; ".join(f"{e.where} could not be evaluated: {e.reason}" for e in report.errors))
        with states.connect() as conn:
            for incident in read_incidents(conn, EVERYTHING):
                if incident.rule != rule.name:
                    continue
                opening = entries(conn, incident.id)[0]
                sample: Mapping[str, Any] = opening.sample or {}
                opened = incident.opened_at.astimezone(zone).date()
                over = incident.resolved_at.astimezone(zone).date() if incident.resolved_at else None
                n = round(sample["tally"][0]) if "tally" in sample else incident.n
                figures = (sample.get("value"), sample.get("held"), n)
                yield OpenedIncident(incident.slice, opened, incident.slot, over, *figures, opening.reason)
    finally:
        states.dispose()


def _rows(entry: ConfigEntry[RuleTest], rule: Rule) -> Iterator[tuple[str, Mapping[str, Any]]]:
    mistakes = tuple(_mistakes(entry))
    if mistakes:
        raise ConfigError(mistakes)
    for row in entry.item.row:
        # A list stands for a row of each of its values.
        lists = [value if isinstance(value, list) else [value] for value in row.values()]
        for values in product(*lists):
            cells = dict(zip(row, values, strict=True))
            yield cells.pop("table"), cells
    for i, signals in enumerate(entry.item.signals):
        (unit,) = slice_of(entry, ("signals", i), signals.slice, rule.slice_columns)
        for k, day in enumerate(_days(entry, i, signals)):
            yield _signal(rule.slice_columns[0], unit, day, f"signal-{i + 1}-{k + 1}")


def _mistakes(entry: ConfigEntry[RuleTest]) -> Iterator[Mistake]:
    """What a table does not know, and what it still needs."""
    for i, row in enumerate(entry.item.row):
        table = row.get("table")
        if table not in WRITABLE:
            wrong = f"unknown table {table!r}" if table else "a row does not say of which table it is"
            yield entry.mistake(("row", i, "table"), wrong, suggest(str(table), WRITABLE))
            continue
        for name, value in row.items():
            if name == "table":
                continue
            if name not in WRITABLE[table]:
                yield entry.mistake(("row", i, name), f"{table} has no column {name!r}", suggest(name, WRITABLE[table]))
                continue
            allowed = domain(table, name)
            strange = [v for v in (value if isinstance(value, list) else [value]) if allowed and v not in allowed]
            if strange:
                wrong = f"{name} cannot be {strange[0]!r}"
                yield entry.mistake(("row", i, name), wrong, suggest(str(strange[0]), allowed))
        for name in missing(table, row):
            yield entry.mistake(("row", i), f"a row of {table} needs {name!r}", "add it")


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
