"""Evaluate every rule that looks at slots: what one tick, a backtest, a rule's test and the lab have in common."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from sqlalchemy import Connection

from queries.metrics import design_effects
from queries.state import Remembered, StoredBaseline, slice_key, tally_text
from triggers.evaluation.kinds.window import EffectsAt
from triggers.evaluation.metric_rules import evaluate_rule, reader
from triggers.evaluation.quiet_rules import QuietRuleEvaluator
from triggers.evaluation.replay import EvaluatedRule, StateChange, replay
from triggers.rules import Moment, Task, remember


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
    """

    task: Task
    slots: tuple[date, ...]
    changed: tuple[Remembered, ...]
    findings: tuple[StateChange, ...]
    baselines: tuple[StoredBaseline, ...] = ()
    verticals: Mapping[str, str] = field(default_factory=dict)


def evaluate(conn: Connection, tasks: Iterable[Task], moment: Moment) -> Iterator[Evaluation]:
    """Evaluate every task on the warehouse's data as of the moment."""
    given = tuple(tasks)
    rates = [task for task in given if task.subject.rule.metric_names]
    for task, basis in reader(conn, moment, design_effects_at(conn, moment)).bases(rates):
        subject, judged = task.subject, evaluate_rule(task.subject, basis, task.instances)
        stored = tuple(
            StoredBaseline(
                subject.hash, slice_key(subject.by, slice_), b.since, b.until, tally_text(b.tally), moment.now
            )
            for slice_, b in basis.fresh.items()
        )
        yield replace(_evaluation(task, basis.slots, judged, moment), baselines=stored)
    listener = QuietRuleEvaluator(conn, moment)
    for task, slots, judged in listener.judged(given):
        evaluation = _evaluation(task, slots, judged, moment)
        if task.subject.by == ("account_id",):
            accounts = sorted({finding.reading.slice[0] for finding in evaluation.findings})
            evaluation = replace(evaluation, verticals=listener.verticals(accounts))
        yield evaluation


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
    return Evaluation(task, slots, remembered, findings)
