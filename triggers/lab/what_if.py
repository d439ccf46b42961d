"""One rule over its whole past, in memory: its counts are read once, and every setting of it is judged and replayed.

A setting is judged by the functions that live ticks use, from the first day of data on. What a fault of the data would
explain is told to whom the rule tells, unless it is asked for: nothing else differs from a live tick.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog, Rule, WatchRule
from queries.engine import aware
from queries.monitoring.activity import Signals
from queries.state import Incident
from queries.warehouse import Pin, settle
from triggers.data_faults.detectors.history import DataFault
from triggers.data_faults.scan import FaultScanner
from triggers.evaluation import (
    EvaluatedRule,
    EvaluationInput,
    QuietRuleEvaluator,
    StateChange,
    as_quiet,
    clock,
    design_effects_at,
    evaluate_rule,
    reader,
    replay,
)
from triggers.incidents.ledger import IncidentLedger
from triggers.incidents.notification_load import NotificationLoad, notification_loads, notifications
from triggers.lab.backtest import Row
from triggers.rules import Moment, Subject, Task, midnight, subject_of, version_of


class UntriedError(EarshotError):
    """The rule has nothing to vary, or there is nothing to try it on."""


@dataclass(frozen=True, slots=True)
class TrialIncident:
    """One incident of a trial and the reading that opened it."""

    incident: Incident
    opening: StateChange
    fault: DataFault | None = None


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What a rule would have done in the days of a trial, as it was set.

    Args:
        rule: the rule with that setting.
        found: the incidents that opened, oldest first.
        attention: what they and older ones ask of each reader, were nobody to take one on.
        standing: the share of all slices' days on which one of them was open.
    """

    rule: WatchRule
    found: tuple[TrialIncident, ...]
    attention: tuple[NotificationLoad, ...]
    standing: float = 0.0

    @property
    def a_week(self) -> float:
        """How often the reader who is told most would be told in a week, on average."""
        return max((one.a_week for one in self.attention), default=0.0)

    @property
    def busiest(self) -> int:
        """How often anybody would be told in their busiest week."""
        return max((one.busiest for one in self.attention), default=0)

    def load(self, reader: str) -> NotificationLoad:
        """How often a reader would be told; never, where none of it reaches them."""
        never = NotificationLoad(reader, 0, 0.0, 0)
        return next((load for load in self.attention if load.reader == reader), never)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A rule with all that it reads. Equal only to itself.

    Args:
        subject: the rule as it is, as sure as its null replay found it must be, where there was one.
        task: a first run of it.
        since: the first day that is asked about.
        until: the day after the last.
        slots: all slots that are due by then, from the first day of data on.
        basis: what a rule on a metric is judged on.
        heard: what a rule on silence listens to.
        verticals: of the accounts that it tells apart, the vertical of each.
        judged: what the rule as it is makes of its slots.
    """

    subject: Subject
    task: Task
    catalog: Catalog
    moment: Moment
    since: date
    until: date
    slots: tuple[date, ...]
    basis: EvaluationInput | None
    heard: Signals | None
    judged: EvaluatedRule
    verticals: Mapping[str, str] = field(default_factory=dict)

    @property
    def rule(self) -> WatchRule:
        """The rule as it is."""
        return self.subject.rule


def trial(
    pin: Pin,
    catalog: Catalog,
    rule: Rule,
    since: date,
    until: date,
    alphas: Mapping[str, float] | None = None,
) -> Trial:
    """Read all that a rule is judged on.

    Args:
        pin: the generation to read.
        catalog: for routes, people, metrics and goals.
        rule: as it is to be tried, in the catalogue or not.
        since: the first day that is asked about, in the reporting zone.
        until: the day after the last; nothing that happened from then on is read.
        alphas: what null replays found, by the version's hash.

    Raises:
        UntriedError: the rule looks at no slots, or it has no slot in the data.
    """
    if not isinstance(rule, WatchRule):
        raise UntriedError(f"{rule.name} waits for a severe case and has no limit to vary; use `backtest`")
    if not is_tried(rule):
        raise UntriedError(f"{rule.name} depends on all revenue and cannot be tried here; use `backtest`")
    zone, of = ZoneInfo(pin.generation.zone), pin.generation
    moment = Moment(midnight(until, zone), of.number, aware(of.published_at), zone, settle(pin.conn))
    version = version_of(catalog, rule)
    own = subject_of(version, catalog, moment, (alphas or {}).get(version.hash))
    task = Task(own, (), first_run=True)
    slots, basis, heard = _read(pin.conn, task, moment)
    if not slots:
        raise UntriedError(f"{rule.name} has no window of {rule.window.days} days in the data before {until}")
    judged = _judged(pin.conn, task, moment, slots, basis, heard)
    verticals: Mapping[str, str] = {}
    if own.by == ("account_id",):
        accounts = [slice_[0] for slice_ in judged.panel.slices]
        verticals = QuietRuleEvaluator(pin.conn, moment).verticals(accounts)
    return Trial(own, task, catalog, moment, since, until, slots, basis, heard, judged, verticals)


def _read(
    conn: Connection, task: Task, moment: Moment
) -> tuple[tuple[date, ...], EvaluationInput | None, Signals | None]:
    if rule := as_quiet(task.subject.rule):
        listener = QuietRuleEvaluator(conn, moment)
        heard = listener.heard(rule)
        return listener.slots(task, heard), None, heard
    for _, basis in reader(conn, moment, design_effects_at(conn, moment)).bases([task]):
        known = {slot: basis.given.effects(slot) for slot in basis.slots}
        given = replace(basis.given, effects=known.__getitem__)
        return basis.slots, replace(basis, given=given), None
    return (), None, None


def _judged(
    conn: Connection,
    task: Task,
    moment: Moment,
    slots: Sequence[date],
    basis: EvaluationInput | None,
    heard: Signals | None,
) -> EvaluatedRule:
    rule = as_quiet(task.subject.rule)
    if rule and heard is not None:
        return QuietRuleEvaluator(conn, moment).judge(task, rule, heard, slots)
    if basis is None:
        raise TypeError(task.subject.rule.name)
    return evaluate_rule(task.subject, basis)


def outcome(
    conn: Connection, on: Trial, rule: WatchRule | None = None, scanner: FaultScanner | None = None
) -> TrialOutcome:
    """What the rule would have done with another setting; by default as it is.

    Args:
        conn: the warehouse; only a rule on silence that is set otherwise asks it (for cadences).
        on: the rule and all that it reads.
        rule: the rule as it is set; it reads what the trial's rule reads.
        scanner: asked whether the data explains what opened; None asks nobody.
    """
    task, judged = on.task, on.judged
    if rule is not None and rule != on.rule:
        task = replace(task, subject=replace(task.subject, rule=rule))
        judged = _judged(conn, task, on.moment, on.slots, on.basis, on.heard)
    _, findings = replay(task.subject, judged, {}, clock(task, on.moment))
    trials = _incidents(on, task.subject, findings, scanner)
    begins, end = midnight(on.since, on.moment.zone), on.moment.now
    told = notifications([trial_.incident for trial_ in trials], on.catalog, on.moment.zone, end)
    loads = notification_loads((notification for notification in told if notification.at >= begins), on.since, on.until)
    opened = tuple(trial_ for trial_ in trials if trial_.incident.opened_at >= begins)
    lasted = ((trial_.incident.resolved_at or end) - trial_.incident.opened_at for trial_ in opened)
    slices = max(len(on.judged.panel.slices), 1)
    standing = sum(lasted, timedelta(0)) / ((on.until - on.since) * slices)
    return TrialOutcome(task.subject.rule, opened, loads, standing)


def curve(conn: Connection, on: Trial, rules: Iterable[WatchRule]) -> tuple[TrialOutcome, ...]:
    """What each setting of a rule would have done, in their order."""
    return tuple(outcome(conn, on, rule) for rule in rules)


def _incidents(
    on: Trial, of: Subject, findings: Sequence[StateChange], scanner: FaultScanner | None
) -> tuple[TrialIncident, ...]:
    """Every incident that opened, as it stands at the end."""
    ledger = IncidentLedger(on.catalog, on.moment.generation, on.moment.now, {}, frozenset(), zone=on.moment.zone)
    found: dict[str, TrialIncident] = {}
    for finding in findings:
        change, id_ = finding.event.change, finding.incident
        if change == "opened":
            fault = scanner.explained(of, finding.reading) if scanner else None
            found[id_] = TrialIncident(ledger.opening(of, finding, on.verticals, fault), finding, fault)
        elif change in ("resolved", "closed") and id_ in found:
            over = replace(found[id_].incident, state=change, resolved_at=finding.event.at)
            found[id_] = replace(found[id_], incident=over)
    return tuple(sorted(found.values(), key=lambda one: (one.incident.opened_at, one.incident.slice)))


def fault_scanner(pin: Pin, on: Trial) -> FaultScanner:
    """Who can say whether the data explains what opened in a trial."""
    return FaultScanner(pin.conn, on.catalog.guard, on.moment)


def rows(of: TrialOutcome) -> tuple[Row, ...]:
    """The incidents as a backtest shows them."""
    rows: list[Row] = []
    for incident, slot in ((opened.incident, opened.opening.reading.slot) for opened in of.found):
        window, times = (slot - of.rule.period, slot), (incident.opened_at, incident.resolved_at)
        figures = incident.value, incident.n
        rows.append(Row(of.rule.name, incident.slice, incident.class_, *times, *figures, window, incident))
    return tuple(rows)


def is_tried(rule: Rule) -> bool:
    """Whether a rule can be tried."""
    return bool(rule.metric_names) or rule.hears_signals
