"""Evaluate every rule that looks at slots: what one tick, a backtest, a rule's test and the lab have in common."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import chain

import numpy as np
from sqlalchemy import Connection

from queries.metrics import design_effects
from queries.state import Remembered, StoredBaseline, slice_key, tally_text
from triggers.evaluation.decline_rules import DeclineRuleEvaluator
from triggers.evaluation.failures import contained
from triggers.evaluation.kinds import EffectsAt
from triggers.evaluation.metric_rules import EvaluationInput, evaluate_apart, evaluate_rule, reader
from triggers.evaluation.quiet_rules import QuietRuleEvaluator
from triggers.evaluation.replay import EvaluatedRule, StateChange, replay
from triggers.rules import FRESH, ROUNDING, Event, Instance, Moment, Slice, Task, remember


@dataclass(frozen=True, slots=True)
class Standing:
    """How what a first run opened stands at its end.

    Args:
        change: the newest window with rows enough, as a change.
        always: whether all such windows of the slice lay on the bad side of what the rule holds them against.
    """

    change: StateChange
    always: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one task came to.

    Args:
        task: the version of a rule, and what was due.
        slots: those that were evaluated.
        changed: the instances that changed.
        findings: what was found.
        baselines: those that a chart froze.
        verticals: of the accounts that are told apart, the vertical of each.
        errors: why a slice could not be evaluated, by its key; "" is the whole task.
        judged: what every window came to; None where none could be judged.
        standing: of a first run, what is open at its end.
    """

    task: Task
    slots: tuple[date, ...]
    changed: tuple[Remembered, ...]
    findings: tuple[StateChange, ...]
    baselines: tuple[StoredBaseline, ...] = ()
    verticals: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Exception] = field(default_factory=dict)
    judged: EvaluatedRule | None = None
    standing: tuple[Standing, ...] = ()


def evaluate(conn: Connection, tasks: Iterable[Task], moment: Moment) -> Iterator[Evaluation]:
    """Evaluate every task on the warehouse's data as of the moment; one that fails stops no other."""
    given = tuple(task for task in tasks if task.slots or task.first_run)
    rates = [task for task in given if task.subject.rule.metric_names]
    source, months = reader(conn, moment, design_effects_at(conn, moment)), DeclineRuleEvaluator(conn, moment)
    listener = QuietRuleEvaluator(conn, moment)
    shared = source.shared(rates)
    for task in rates:
        failures = dict[str, Exception]()
        evaluation = Evaluation(task, (), (), (), errors=failures)
        with contained(failures, "", conn):
            evaluation = _metric_rule(task, source.basis(task, shared), moment)
        yield evaluation
    for task in given:
        if not task.subject.rule.metric_names:
            failures = {}
            evaluation = Evaluation(task, (), (), (), errors=failures)
            with contained(failures, "", conn):
                _, slots, judged = next(chain(listener.judged([task]), months.judged([task])))
                evaluation = _with_verticals(_evaluation(task, slots, judged, moment), listener)
            yield evaluation


def _metric_rule(task: Task, basis: EvaluationInput, moment: Moment) -> Evaluation:
    subject, failures, failed = task.subject, dict[str, Exception](), dict[str, Exception]()
    with contained(failures, ""):
        judged = evaluate_rule(subject, basis, task.instances)
    if failures:
        judged, apart = evaluate_apart(subject, basis, task.instances, failures[""])
        failed = {slice_key(subject.by, slice_): error for slice_, error in apart.items() if task.is_own(slice_)}
    stored = tuple(
        StoredBaseline(subject.hash, slice_key(subject.by, slice_), b.since, b.until, tally_text(b.tally), moment.now)
        for slice_, b in basis.fresh.items()
    )
    return replace(_evaluation(task, basis.slots, judged, moment), baselines=stored, errors=failed)


def _with_verticals(evaluation: Evaluation, listener: QuietRuleEvaluator) -> Evaluation:
    if evaluation.task.subject.by != ("account_id",):
        return evaluation
    accounts = sorted({finding.reading.slice[0] for finding in evaluation.findings})
    return replace(evaluation, verticals=listener.verticals(accounts))


def design_effects_at(conn: Connection, moment: Moment) -> EffectsAt:
    """The design effects known at a slot's end, read once for each quarter. They are of quarters that ended before."""
    known, quarters = dict[date, design_effects.DesignEffects](), design_effects.quarters(conn)

    def at(slot: date) -> design_effects.DesignEffects:
        quarter = quarters.get(slot, slot)
        if quarter not in known:
            known[quarter] = design_effects.read_design_effects(
                conn, datetime(slot.year, slot.month, slot.day, tzinfo=moment.zone)
            )
        return known[quarter]

    return at


def clock(task: Task, moment: Moment) -> Callable[[date], datetime]:
    """When a slot's sample became knowable; what was evaluated before became so with the newer data."""

    def at(slot: date) -> datetime:
        return moment.now if slot == task.again else task.subject.cadence.as_of(slot)

    return at


def _evaluation(task: Task, slots: tuple[date, ...], judged: EvaluatedRule, moment: Moment) -> Evaluation:
    rule, by = task.subject.rule.name, task.subject.by
    after, findings = replay(task.subject, judged, task.instances, clock(task, moment), task.is_own)
    changed = ((slice_, instance) for slice_, instance in after.items() if task.instances.get(slice_) != instance)
    remembered = tuple(remember(rule, slice_key(by, slice_), instance) for slice_, instance in changed)
    standing = tuple(_standing(task, judged, after)) if task.first_run else ()
    return Evaluation(task, slots, remembered, findings, judged=judged, standing=standing)


def _standing(task: Task, judged: EvaluatedRule, after: Mapping[Slice, Instance]) -> Iterator[Standing]:
    rule, panel = task.subject.rule, judged.panel
    for column, slice_ in enumerate(panel.slices):
        named, known = after.get(slice_, FRESH).incident, np.flatnonzero(panel.enough[:, column])
        if named is not None and len(known):
            reading = judged.reading(int(known[-1]), column)
            event = Event("standing", rule.breach, task.subject.cadence.as_of(reading.slot), reading.sample)
            always = rule.is_level and bool((panel.bad[known, column] > ROUNDING).all())
            yield Standing(StateChange(slice_key(task.subject.by, slice_), named, event, reading), always)
