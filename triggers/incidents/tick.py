"""One tick: read what is due, evaluate it, write all it means in one transaction. Live runs and backtests share it.

Nothing is sent here. Slots, incidents and messages have keys that follow from what was found, so a second tick over the
same slots, in this process or another, writes nothing.
"""

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from config import EarshotError
from config.models import Catalog
from queries.engine import aware, day_of
from queries.messages import newest_case_digest, refresh_measured
from queries.state import Evaluated, Remembered, RuleError, RuleVersion, TickRecord, incidents_by_id, spent, write
from queries.warehouse import Pin, settle
from triggers.data_faults.detectors.history import DataFault
from triggers.data_faults.scan import NAME, FaultScanner, new_faults, rule_of_faults
from triggers.evaluation import (
    EvaluatedWindow,
    Evaluation,
    EventRuleResult,
    StateChange,
    clock,
    contained,
    find_cases,
    log_errors,
    rule_errors,
)
from triggers.evaluation.evaluate import evaluate
from triggers.evaluation.event_rules import event_rules
from triggers.incidents import escalation, person_budget
from triggers.incidents.ledger import IncidentLedger
from triggers.rules import FRESH, Event, Moment, PreviousState, Subject, read_previous_state, remember, tasks, version

KEPT: Final = timedelta(days=90)
"""Of a past that is replayed only these slots are noted; the incidents of all of it are."""

Guard = Callable[[Connection], None]
Explained = Callable[[Subject, EvaluatedWindow], DataFault | None]


class OldGenerationError(EarshotError):
    """The warehouse is older than what was evaluated before."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a tick did."""

    generation: int
    slots: int = 0
    opened: int = 0
    worsened: int = 0
    over: int = 0
    open: int = 0
    queued: int = 0
    instances: int = 0
    errors: tuple[RuleError, ...] = ()

    def __str__(self) -> str:
        """The report in one line."""
        found = f"{self.opened} opened, {self.worsened} worsened, {self.over} ended, {self.open} open"
        line = f"{self.slots} slots evaluated: {found}, {self.queued} messages queued"
        ill = len({error.rule for error in self.errors})
        return f"{line}, {ill} {'rule' if ill == 1 else 'rules'} could not be evaluated" if ill else line


def tick(
    states: Engine,
    pin: Pin,
    catalog: Catalog,
    now: datetime,
    guard: Guard = lambda _: None,
    author: str | None = None,
    *,
    scans: bool = True,
) -> Report:
    """Evaluate every slot that is due, and record what it means.

    A rule or slice that cannot be evaluated is recorded as such: its incidents stay as they are, and the others go on.

    Args:
        states: the state.
        pin: the generation to read; every read of the tick sees the same data.
        catalog: rules, metrics and routes.
        now: aware UTC; nothing that happened later is read.
        guard: called first in the writing transaction; raises where another process has taken over.
        author: who wrote the rules as they are now, where that is known.
        scans: whether faults of the data are looked for in every slot, or only where they may explain a breach.

    Raises:
        OldGenerationError: the warehouse is older than the one evaluated last.
        RacedError: another process was first; nothing was written.
    """
    with states.connect() as conn:
        memory = read_previous_state(conn)
    pinned = pin.generation
    if pinned.number < memory.generation:
        older = f"the warehouse (generation {pinned.number}) is older than the last one evaluated ({memory.generation})"
        raise OldGenerationError(f"{older}; use the state that belongs to it, or load again")
    moment = Moment(now, pinned.number, aware(pinned.published_at), ZoneInfo(pinned.zone), settle(pin.conn))
    evaluations = tuple(evaluate(pin.conn, tasks(catalog, memory, moment), moment))
    scanner = FaultScanner(pin.conn, catalog.guard, moment)
    failures = {(e.task.subject.rule.name, key): error for e in evaluations for key, error in e.errors.items()}
    severe = tuple(_severe(scanner, catalog, memory, failures, scans=scans))
    # Tried are all rules that were due; what was not keeps the error that it had.
    tried = {NAME, *(e.task.subject.rule.name for e in evaluations), *(rule.name for rule in event_rules(catalog))}
    kept = {rule.name for rule in catalog.rules if rule.enabled} - tried
    ledger = IncidentLedger(catalog, moment.generation, now, dict(memory.incidents), memory.told, zone=moment.zone)
    with states.connect() as conn:
        gathering = (rule.name for rule in event_rules(catalog) if rule.gathers)
        ledger.gathered = {name: found for name in gathering if (found := newest_case_digest(conn, name))}
        ledger.spent = spent(conn, person_budget.monday(now, moment.zone))
        breaches = (f.incident for e in evaluations for f in e.findings if f.event.change == "opened")
        ledger.existing = incidents_by_id(conn, (*breaches, *(c.id for found in severe for c in found.cases)))
    standing = tuple(ledger.incidents.values())
    severe = tuple(
        replace(found, cases=new_faults(found.cases, standing, ledger.existing, catalog.guard, scanner.cadence))
        if found.rule.name == NAME
        else found
        for found in severe
    )
    ledger.errors = {(e.rule, e.slice) for e in rule_errors(memory.errors, failures, kept, now)}

    def explained(subject: Subject, reading: EvaluatedWindow) -> DataFault | None:
        fault: DataFault | None = None
        with contained(failures, (NAME, ""), scanner.conn):
            fault = scanner.explained(subject, reading)
        return fault  # noqa: RET504 - what is returned within is lost to the checker

    record = _recorded(ledger, memory, moment, evaluations, severe, explained, author)
    errors = rule_errors(memory.errors, failures, kept, now)
    if errors != memory.errors:
        record = replace(record, errors=errors)
    if record != TickRecord():
        with states.begin() as conn:
            # In the transaction that writes: a lease that ran out before it would let two processes write.
            guard(conn)
            write(conn, record)
            refresh_measured(conn, {slot.rule: slot.slot for slot in record.slots}, now)
        log_errors(memory.errors, errors, failures)
    return replace(_report(record, ledger), errors=errors)


def _severe(
    scanner: FaultScanner,
    catalog: Catalog,
    memory: PreviousState,
    failures: MutableMapping[tuple[str, str], Exception],
    *,
    scans: bool,
) -> Iterator[EventRuleResult]:
    """The severe cases of the event rules, and the faults of the data as cases; what fails is noted and left out."""
    for rule in event_rules(catalog):
        with contained(failures, (rule.name, ""), scanner.conn):
            yield find_cases(scanner.conn, rule, memory, scanner.moment)
    if scans:
        with contained(failures, (NAME, ""), scanner.conn):
            yield _faults(scanner, catalog, memory)


def _faults(scanner: FaultScanner, catalog: Catalog, memory: PreviousState) -> EventRuleResult:
    """What is wrong with the data, as cases of the rule that records it."""
    rule, newest, slot = rule_of_faults(catalog.guard), memory.slots.get(NAME), scanner.newest()
    found = tuple(scanner.faults(newest.slot if newest else None))
    scanned = newest is None or newest.slot < slot
    return EventRuleResult(rule, version(rule), newest is None, scanned, found, slot)


def _recorded(
    ledger: IncidentLedger,
    memory: PreviousState,
    moment: Moment,
    evaluations: tuple[Evaluation, ...],
    severe: tuple[EventRuleResult, ...],
    explained: Explained,
    author: str | None,
) -> TickRecord:
    """Everything the tick has to write."""
    for evaluation in evaluations:
        for slot in evaluation.slots:
            _record_slot(ledger, evaluation, slot, explained, clock(evaluation.task, moment))
        for standing in evaluation.standing:
            ledger.record_standing(evaluation.task.subject, standing)
    for found in severe:
        _record_cases(ledger, found, moment)
    # Before anything is released or escalated: an incident that ends here speaks for no other and climbs no ladder.
    orphans = tuple(_orphans(ledger, memory, moment))
    ledger.release_inhibited()
    ledger.join()
    moves = escalation.due_steps(ledger.uninhibited(), ledger.catalog, moment.zone, moment.now)
    for taken in person_budget.assign_steps(moves, ledger.catalog.people, ledger.spent):
        ledger.escalate(taken)
    used = (*(e.task.subject.version for e in evaluations if e.slots), *(found.version for found in severe))
    new = {v.hash: v for v in used if v.hash not in memory.hashes}
    return replace(
        ledger.record(),
        slots=tuple(_slots(memory, moment, evaluations, severe)),
        versions=tuple(RuleVersion(v.hash, v.rule.name, v.body, author, moment.now) for v in new.values()),
        baselines=tuple(row for e in evaluations for row in e.baselines),
        instances=(*(row for e in evaluations for row in e.changed), *orphans),
    )


def _record_slot(
    ledger: IncidentLedger, evaluation: Evaluation, slot: date, explained: Explained, at: Callable[[date], datetime]
) -> None:
    """What changed in a slot, and which breaches the data does not explain any more."""
    subject, judged = evaluation.task.subject, evaluation.judged
    for finding in (finding for finding in evaluation.findings if finding.reading.slot == slot):
        fault = explained(subject, finding.reading) if finding.event.change == "opened" else None
        ledger.record_breach(subject, finding, fault, evaluation.verticals, evaluation.task.first_run)
    for incident in ledger.explained(subject):
        reading = judged.breach(subject.by, slot, incident.slice) if judged and incident.slot < slot else None
        if reading and not explained(subject, reading):
            event = Event(
                "opened", f"{subject.rule.breach}, no longer explained by a data fault", at(slot), reading.sample
            )
            ledger.hand_over(subject, incident, StateChange(incident.slice, incident.id, event, reading))


def _record_cases(ledger: IncidentLedger, found: EventRuleResult, moment: Moment) -> None:
    """Open what is new, and close what is old enough: a case has no figure that could recover."""
    for one in found.cases:
        ledger.record_case(found, one)
    for incident in tuple(ledger.incidents.values()):
        over_at = incident.opened_at + found.rule.lasts
        if incident.rule == found.rule.name and incident.is_open and over_at <= moment.now:
            ledger.close(incident, "closed", f"closed automatically after {found.rule.lasts.days} days", over_at)


def _orphans(ledger: IncidentLedger, memory: PreviousState, moment: Moment) -> Iterator[Remembered]:
    """Close the incidents of rules that are gone, and forget their instances."""
    rules = {NAME, *(rule.name for rule in ledger.catalog.rules if rule.enabled)}
    for incident in tuple(ledger.incidents.values()):
        if incident.rule not in rules:
            ledger.close(incident, "closed", "its rule was removed or turned off", moment.now)
    for rule, instances in memory.instances.items():
        if rule not in rules:
            yield from (remember(rule, slice_, FRESH) for slice_, known in instances.items() if known != FRESH)


def _slots(
    memory: PreviousState, moment: Moment, evaluations: tuple[Evaluation, ...], severe: tuple[EventRuleResult, ...]
) -> Iterator[Evaluated]:
    for e in evaluations:
        if e.task.is_current:
            rule = e.task.subject.rule.name
            kept = (slot for slot in e.slots if slot > e.slots[-1] - KEPT)
            yield from (_slot(rule, slot, e.task.subject.hash, moment, e.task.first_run) for slot in kept)
    for found in severe:
        today = day_of(moment.now, moment.zone)
        newest = memory.slots.get(found.rule.name)
        slot = found.slot or today
        is_noted = newest is not None and (newest.slot, newest.generation) == (slot, moment.generation)
        if found.scanned and not is_noted:
            yield _slot(found.rule.name, slot, found.version.hash, moment, found.first_run)


def _slot(rule: str, slot: date, hash_: str, moment: Moment, first_run: bool) -> Evaluated:  # noqa: FBT001
    origin = "backfill" if first_run else "live"
    return Evaluated(rule, slot, moment.generation, hash_, origin, moment.now)


def _report(record: TickRecord, ledger: IncidentLedger) -> Report:
    kinds = [entry.kind for entry in record.entries]
    return Report(
        ledger.generation,
        len(record.slots),
        len(record.opened) + kinds.count("reopened"),
        kinds.count("worsened"),
        kinds.count("resolved") + kinds.count("closed"),
        sum(incident.is_open for incident in ledger.incidents.values()),
        sum(message.state == "pending" for message in record.queued),
        len(record.instances),
    )
