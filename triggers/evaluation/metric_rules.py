"""Evaluate the rules that read a metric: their counts from what rules share, all else in memory."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
from sqlalchemy import Connection

from config.models import RateRule
from queries.monitoring.conditions import ConditionPeriod, condition_periods
from queries.statistics.estimates import Floats
from triggers.evaluation.failures import contained
from triggers.evaluation.few_people import few_people
from triggers.evaluation.kinds import EffectsAt, Inputs, Windows, bonferroni, kind_of, verdicts
from triggers.evaluation.quantiles import first_day, measured
from triggers.evaluation.replay import EvaluatedRule
from triggers.evaluation.shared_counts import CountRequest, SharedCounts, read_shared_counts
from triggers.rules import Bools, Counts, FrozenBaseline, History, Moment, Slice, Subject, Task


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """What one rule is judged on: its slots, what was counted, and the baselines that it takes for the first time."""

    slots: tuple[date, ...]
    given: Inputs
    fresh: Mapping[Slice, FrozenBaseline]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what rules are judged on. `conditions` are left out of baselines."""

    conn: Connection
    moment: Moment
    effects: EffectsAt
    conditions: tuple[ConditionPeriod, ...]

    def bases(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, EvaluationInput]]:
        """Each task with what it is judged on: one query for all that share a rollup."""
        given = tuple(task for task in tasks if task.slots or task.first_run)
        shared = self.shared(given)
        for task in given:
            yield task, self.basis(task, shared)

    def shared(self, tasks: Iterable[Task]) -> SharedCounts:
        """The counts of all tasks that are due; none of any where those of one cannot be computed."""
        added = (task for task in tasks if not task.subject.is_quantile)
        counted = SharedCounts({}, {})
        with contained(dict[str, Exception](), "", self.conn):
            counted = self._counted(want for task in added for want in count_requests(task))
        return counted  # noqa: RET504 - what is returned within is lost to the checker

    def _counted(self, wanted: Iterable[CountRequest]) -> SharedCounts:
        return read_shared_counts(self.conn, wanted, self.moment.now, self.moment.settle)

    def basis(self, task: Task, shared: SharedCounts) -> EvaluationInput:
        """What a task is judged on; its counts are among those that are shared, or read for it alone."""
        found = self._quantile(task) if task.subject.is_quantile else self._sums(task, shared)
        few = few_people(self.conn, task.subject, found.slots, self.moment)
        return replace(found, given=replace(found.given, few=few.windows)) if few else found

    def _sums(self, task: Task, shared: SharedCounts) -> EvaluationInput:
        if not shared.cubes:
            shared = self._counted(count_requests(task))
        subject, whole = task.subject, task.is_whole
        known = frozenset(task.instances) if len(subject.figures) == 1 else frozenset()
        counts = [shared.history(figure, known, subject.cadence, whole=whole) for figure in subject.figures]
        return evaluation_input(
            task, counts, self._without_conditions(subject, counts[0]), self.effects, self.moment.now
        )

    def _quantile(self, task: Task) -> EvaluationInput:
        subject = task.subject
        first = first_day(self.conn, subject, self.moment) if task.first_run else None
        slots = task.due(first, self.moment.now)
        return EvaluationInput(
            slots, Inputs(measured(self.conn, subject, slots, frozenset(task.instances)), self.effects), {}
        )

    def _without_conditions(self, subject: Subject, counts: History) -> History:
        """The counts without the days on which something out of the ordinary held: what baselines are made of."""
        rule = subject.rule
        if not self.conditions or not isinstance(rule, RateRule) or not counts.first_day:
            return counts
        if not kind_of(rule).leaves_out_conditions:
            return counts
        blank = np.zeros(counts.sums.shape[:2], dtype=bool)[1:]
        for condition in self.conditions:
            since = max(condition.since.toordinal() - counts.first_day, 0)
            until = max((condition.until or date.max).toordinal() - counts.first_day + 1, 0)
            for column, slice_ in enumerate(counts.slices):
                place = dict(zip(subject.by, slice_, strict=False))
                if condition.concerns(place.get("vertical"), place.get("touchpoint")):
                    blank[since:until, column] = True
        return counts.without(blank)


def reader(conn: Connection, moment: Moment, effects: EffectsAt) -> Reader:
    """A reader of one generation."""
    return Reader(conn, moment, effects, condition_periods(conn, moment.zone))


def evaluation_input(
    task: Task, counts: Sequence[History], plain: History, effects: EffectsAt, now: datetime
) -> EvaluationInput:
    """What a task is judged on.

    Args:
        task: its first run begins with the first day that was counted.
        counts: of each of its figures.
        plain: of its own figure, without the days that baselines leave out.
        effects: the design effects known at a slot.
        now: aware UTC.
    """
    first = min((c.first_day for c in counts if c.first_day), default=0)
    slots = task.due(date.fromordinal(first) if first else None, now)
    fresh = _fresh(task, plain, slots)
    frozen = {**fresh, **task.frozen}
    other = counts[1] if len(counts) > 1 else None
    return EvaluationInput(slots, Inputs(counts[0], effects, other, plain, frozen, frozenset(task.instances)), fresh)


def _fresh(task: Task, counts: History, slots: Sequence[date]) -> Mapping[Slice, FrozenBaseline]:
    """The baselines of a chart that were not stored before."""
    rule = task.subject.rule
    if not isinstance(rule, RateRule) or not slots or not task.is_whole:
        return {}
    found = kind_of(rule).freeze(counts, date.fromordinal(max(counts.first_day, 1)), slots[-1])
    return {slice_: frozen for slice_, frozen in found.items() if slice_ not in task.frozen}


def count_requests(task: Task) -> Iterator[CountRequest]:
    """The days that a task reads of its figures; all of the past on a first run, and until a chart has its baseline."""
    rule = task.subject.rule
    if task.is_whole or not isinstance(rule, RateRule):
        yield from (CountRequest(figure, None, None) for figure in task.subject.figures)
        return
    since = min(slot - kind_of(rule).lookback for slot in task.slots)
    yield from (CountRequest(figure, since, max(task.slots)) for figure in task.subject.figures)


def panel(subject: Subject, given: Inputs, slots: Sequence[date], alpha: Floats) -> Windows:
    """The panel of a rule that reads a metric; see `MetricKind.panel`."""
    if not isinstance(subject.rule, RateRule):
        raise TypeError(subject.rule.kind)
    found = kind_of(subject.rule).panel(subject, given, slots, alpha)
    if given.few is None:
        return found
    told = ~given.few(found.slots, found.slices, found.enough)
    return replace(found, enough=found.enough & told, suspect=found.suspect & told)


def evaluate_rule(subject: Subject, basis: EvaluationInput, remembered: Iterable[Slice] = ()) -> EvaluatedRule:
    """What a rule makes of its windows.

    Args:
        subject: the rule.
        basis: what it is judged on.
        remembered: the slices that were known before; how sure a rule must be that was not calibrated depends on them.
    """
    alpha = alphas(subject, basis, frozenset(remembered))
    found = panel(subject, basis.given, basis.slots, alpha)
    return EvaluatedRule(found, alpha, verdicts(subject.rule, found, alpha))


@dataclass(frozen=True, slots=True)
class _SomeSlices:
    """Counts without the other slices."""

    counts: Counts
    columns: tuple[int, ...]

    @property
    def slices(self) -> tuple[Slice, ...]:
        return tuple(self.counts.slices[column] for column in self.columns)

    def spans(self, since: Sequence[date], until: Sequence[date]) -> Floats:
        return self.counts.spans(since, until)[:, list(self.columns)]


def evaluate_apart(
    subject: Subject, basis: EvaluationInput, remembered: Iterable[Slice], error: Exception
) -> tuple[EvaluatedRule, Mapping[Slice, Exception]]:
    """What a rule makes of the slices that can be evaluated, where `error` was raised for all together.

    Each slice is judged alone, as surely as among the others. Raises `error` where no slice alone is to blame.
    """
    if not isinstance(subject.rule, RateRule) or kind_of(subject.rule).null == "all verticals together":
        raise error  # each slice is held against the others: without one of them all figures change
    given, by = basis.given, len(subject.rule.by)
    sides = [counts for counts in (given.counts, given.other, given.plain) if counts is not None]
    own = {slice_[:by] for counts in sides for slice_ in counts.slices}.union(given.known)
    alpha, failures = alphas(subject, basis, frozenset(remembered)), dict[Slice, Exception]()

    def part(side: Counts, slices: Collection[Slice]) -> Counts:
        return _SomeSlices(side, tuple(i for i, slice_ in enumerate(side.slices) if slice_[:by] in slices))

    def only(slices: Collection[Slice]) -> Inputs:
        other, plain = (part(side, slices) if side is not None else None for side in (given.other, given.plain))
        known = given.known.intersection(slices)
        return replace(given, counts=part(given.counts, slices), other=other, plain=plain, known=known)

    for slice_ in sorted(own):
        with contained(failures, slice_):
            panel(subject, only({slice_}), basis.slots, alpha)
    if not failures or len(failures) == len(own):
        raise error
    found = panel(subject, only(own.difference(failures)), basis.slots, alpha)
    return EvaluatedRule(found, alpha, verdicts(subject.rule, found, alpha)), failures


def alphas(subject: Subject, basis: EvaluationInput, remembered: frozenset[Slice]) -> Floats:
    """What the tail must be below in each slot: what the null replay found, else Bonferroni's bound."""
    rule = subject.rule
    if not rule.is_weighed:
        return np.ones(len(basis.slots))
    if subject.alpha is not None:
        return np.full(len(basis.slots), subject.alpha)
    if rule.keeps_baseline:
        # A chart can judge the slices whose baseline is frozen, from the first slot on.
        seen = np.ones((len(basis.slots), len(basis.given.frozen or {})), dtype=bool)
    else:
        seen = _seen(subject, basis, remembered)
    return bonferroni(rule, subject.cadence.a_year, seen)


def _seen(subject: Subject, basis: EvaluationInput, remembered: frozenset[Slice]) -> Bools:
    """The slices known by each slot: those that an earlier tick remembers, and those that a replay steps by then."""
    counts, length = basis.given.counts, subject.rule.window
    window = counts.spans([slot - length for slot in basis.slots], list(basis.slots))[:, :, 0] > 0
    own = [slice_[: len(subject.by)] for slice_ in counts.slices]
    places = {slice_: i for i, slice_ in enumerate(sorted(remembered.union(own)))}
    seen = np.zeros((len(window), len(places)), dtype=bool)
    seen[:, [places[slice_] for slice_ in remembered]] = True
    for column, slice_ in enumerate(own):
        seen[:, places[slice_]] |= window[:, column]
    return np.logical_or.accumulate(seen, axis=0) if len(seen) else seen
