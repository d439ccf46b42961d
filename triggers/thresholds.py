"""Evaluate threshold rules: one grouped query for all that share a rollup, the rest in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import Connection

from queries import clusters
from queries.cubes import Cube, read_cube
from queries.incidents import Remembered
from queries.readings import Reading, clock_of, plan
from queries.scope import EVERYTHING
from triggers.evaluate import Instance
from triggers.memory import Memory, remember
from triggers.quantiles import first_day, measured
from triggers.replay import Finding, Subject, replay, slice_key, slice_values
from triggers.samples import History, Slice, Windows, history, is_plain
from triggers.tasks import Moment, Task, dimensions


@dataclass(frozen=True, slots=True)
class Added:
    """A cube, and what it was added up to: rules that differ in their limits alone share it."""

    cube: Cube
    known: dict[object, History] = field(default_factory=dict)

    def history(self, subject: Subject, slices: frozenset[Slice]) -> History:
        """The counts of a rule's slices."""
        plain = tuple(condition for condition in subject.rule.where if is_plain(condition))
        key = (subject.figure.name, subject.rule.by, plain, slices)
        if key not in self.known:
            self.known[key] = history(self.cube, subject.figure.name, subject.rule.by, plain, slices)
        return self.known[key]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one task came to: the slots it evaluated, the instances that changed and what was found."""

    task: Task
    slots: tuple[date, ...]
    changed: tuple[Remembered, ...]
    findings: tuple[Finding, ...]


def evaluate(conn: Connection, tasks: Iterable[Task], memory: Memory, moment: Moment) -> Iterator[Evaluation]:
    """Evaluate every task on the warehouse's data as of the moment."""
    effects, given = _effects(conn, moment), tuple(tasks)
    for group in _groups(conn, (task for task in given if not task.subject.is_quantile), moment).values():
        added = Added(_cube(conn, group, moment))
        for task in group:
            before = _instances(task.subject, memory)
            counts = added.history(task.subject, frozenset(before))
            first = date.fromordinal(counts.first_day) if counts.first_day else None
            yield _evaluation(task, counts, _slots(task, first, moment), before, moment, effects)
    for task in given:
        if task.subject.is_quantile and (task.slots or task.first_run):
            before = _instances(task.subject, memory)
            slots = _slots(task, first_day(conn, task.subject, moment) if task.first_run else None, moment)
            windows = measured(conn, task.subject, slots, frozenset(before))
            yield _evaluation(task, windows, slots, before, moment, effects)


def _slots(task: Task, first: date | None, moment: Moment) -> tuple[date, ...]:
    """The slots of a task; on a first run those that the data's first day begins."""
    if task.first_run and first:
        return task.subject.cadence.due(None, first, moment.now)
    return task.slots


def _groups(conn: Connection, tasks: Iterable[Task], moment: Moment) -> dict[object, list[Task]]:
    """Tasks that one query can serve; a first run reads the whole past, the others only their windows."""
    clock, groups, plans = clock_of(conn, moment.now), dict[object, list[Task]](), dict[object, Reading]()
    for task in tasks:
        if task.slots or task.first_run:
            figure, dims = task.subject.figure, dimensions(task.subject)
            if (figure.name, dims) not in plans:
                plans[figure.name, dims] = plan(figure, dims, EVERYTHING, clock)
            where = plans[figure.name, dims]
            groups.setdefault((where.table, where.at, where.rollup, task.first_run), []).append(task)
    return groups


def _cube(conn: Connection, group: Sequence[Task], moment: Moment) -> Cube:
    dims = tuple(sorted({name for task in group for name in dimensions(task.subject)}))
    figures = [task.subject.figure for task in group]
    slots = [(task.subject.rule.window, slot) for task in group for slot in task.slots]
    since = min((slot - window for window, slot in slots), default=None)
    until = max((slot for _, slot in slots), default=None)
    return read_cube(conn, figures, dims, since, until, EVERYTHING, moment.now)


def _effects(conn: Connection, moment: Moment) -> Callable[[Subject, date], clusters.Effects]:
    """The design effects known at a rule's slot, read once for each quarter."""
    known: dict[tuple[int, int], clusters.Effects] = {}

    def at(subject: Subject, slot: date) -> clusters.Effects:
        as_of = subject.cadence.as_of(slot)
        day = as_of.astimezone(moment.zone).date()
        quarter = day.year, (day.month - 1) // 3
        if quarter not in known:
            known[quarter] = clusters.effects(conn, as_of)
        return known[quarter]

    return at


def _evaluation(
    task: Task,
    counts: Windows,
    slots: tuple[date, ...],
    before: Mapping[Slice, Instance],
    moment: Moment,
    effects: Callable[[Subject, date], clusters.Effects],
) -> Evaluation:
    subject = task.subject

    def at(slot: date) -> datetime:
        return moment.now if slot == task.again else subject.cadence.as_of(slot)

    def known(slot: date) -> clusters.Effects:
        return effects(subject, slot)

    after, findings = replay(subject, counts, slots, before, known, at, task.is_own)
    return Evaluation(task, slots, tuple(_changed(subject, before, after)), findings)


def _instances(subject: Subject, memory: Memory) -> Mapping[Slice, Instance]:
    """The rule's instances by slice: those whose columns this version slices by."""
    stored = memory.instances.get(subject.rule.name, {})
    named = ((slice_values(key), instance) for key, instance in stored.items())
    by = subject.rule.by
    return {tuple(v[name] for name in by): instance for v, instance in named if set(v) == set(by)}


def _changed(
    subject: Subject, before: Mapping[Slice, Instance], after: Mapping[Slice, Instance]
) -> Iterator[Remembered]:
    for slice_, instance in after.items():
        if before.get(slice_) != instance:
            yield remember(subject.rule.name, slice_key(subject.rule.by, slice_), instance)
