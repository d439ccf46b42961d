"""Which version of which rule has to evaluate which slots of which slices. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from config.catalog import Catalog, Metric, ThresholdRule
from triggers.memory import Memory
from triggers.replay import Subject, slice_key
from triggers.samples import Slice, is_plain
from triggers.slots import Cadence
from triggers.versions import Version, version

ALWAYS: Final = date.min + timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Task:
    """One version of a rule and the slots that are due.

    Args:
        subject: the version.
        slots: oldest first; on a first run they follow from the data and are not known yet.
        first_run: whether the rule was never evaluated: its past is replayed in silence.
        again: the slot that was evaluated before, on older data.
        only: the slices it evaluates; None is all that `others` does not name.
        others: the slices that another version holds.
    """

    subject: Subject
    slots: tuple[date, ...]
    first_run: bool
    again: date | None = None
    only: frozenset[str] | None = None
    others: frozenset[str] = frozenset()

    @property
    def is_current(self) -> bool:
        """Whether this is the rule as the catalogue has it."""
        return self.only is None

    def is_own(self, slice_: Slice) -> bool:
        """Whether this version evaluates the slice."""
        key = slice_key(self.subject.rule.by, slice_)
        return key in self.only if self.only is not None else key not in self.others


@dataclass(frozen=True, slots=True)
class Moment:
    """When and on what a tick runs: its time, the data generation and when it was published (aware UTC), the reporting
    zone and the sources' settle.
    """

    now: datetime
    generation: int
    published_at: datetime
    zone: ZoneInfo
    settle: timedelta


def tasks(catalog: Catalog, memory: Memory, moment: Moment) -> Iterator[Task]:
    """Every threshold rule as it is now, and as it was for incidents that opened under another version."""
    for rule in catalog.rules:
        if isinstance(rule, ThresholdRule) and rule.enabled:
            yield from _of_rule(rule, catalog, memory, moment)


def _of_rule(rule: ThresholdRule, catalog: Catalog, memory: Memory, moment: Moment) -> Iterator[Task]:
    metric = catalog.metric(rule.metric)
    current = version(rule, metric)
    held = _held(rule, current, memory)
    for hash_, slices in held.items():
        yield _task(subject(memory.versions[hash_], metric, moment), memory, moment, only=frozenset(slices))
    others = frozenset(slice_ for slices in held.values() for slice_ in slices)
    yield _task(subject(current, metric, moment), memory, moment, others=others)


def _held(rule: ThresholdRule, current: Version, memory: Memory) -> Mapping[str, set[str]]:
    """By version, the slices whose open incident began under it: they stay with it until it closes."""
    held: dict[str, set[str]] = {}
    for incident in memory.incidents.values():
        if (
            incident.rule == rule.name
            and incident.rule_hash != current.hash
            and _is_readable(incident.rule_hash, memory)
        ):
            held.setdefault(incident.rule_hash, set()).add(incident.slice)
    return held


def _is_readable(hash_: str, memory: Memory) -> bool:
    old = memory.versions.get(hash_)
    return old is not None and isinstance(old.rule, ThresholdRule)


def subject(of: Version, present: Metric, moment: Moment) -> Subject:
    """A version with its cadence, and with its metric as the cube is asked for it."""
    rule, metric = of.rule, of.metric
    if not isinstance(rule, ThresholdRule) or metric is None:
        raise TypeError(of.rule.name)
    settle = max(moment.settle, metric.matures, rule.settle)
    beyond = tuple(condition for condition in rule.where if not is_plain(condition))
    name = f"{metric.name}~{of.hash}" if beyond or metric != present else metric.name
    figure = metric.model_copy(update={"name": name, "where": (*metric.where, *beyond)})
    if metric.shape == "quantile":  # judged by its plain value, which is kept as the mean of its rows is
        figure, metric = metric, metric.model_copy(update={"shape": "mean"})
    return Subject(rule, metric, figure, Cadence(rule.window, rule.every, settle, moment.zone), of)


def _task(
    subject_: Subject,
    memory: Memory,
    moment: Moment,
    *,
    only: frozenset[str] | None = None,
    others: frozenset[str] = frozenset(),
) -> Task:
    newest = memory.slots.get(subject_.rule.name)
    if newest is None:
        return Task(subject_, (), first_run=True, only=only, others=others)
    slots = subject_.cadence.due(newest.slot, ALWAYS, moment.now)
    again = newest.slot if newest.generation < moment.generation else None
    return Task(subject_, (again, *slots) if again else slots, first_run=False, again=again, only=only, others=others)


def dimensions(subject_: Subject) -> tuple[str, ...]:
    """The columns that a cube needs to serve a rule."""
    plain = (condition.column for condition in subject_.rule.where if is_plain(condition))
    return tuple(sorted({*subject_.rule.by, *plain}))
