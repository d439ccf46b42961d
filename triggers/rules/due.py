"""Which version of which rule has to evaluate which slots of which slices. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from config.models import Catalog, WatchRule
from queries.state import slice_key, slice_values
from triggers.rules.counts import Slice
from triggers.rules.previous_state import FrozenBaseline, PreviousState
from triggers.rules.schedule import Moment
from triggers.rules.state_machine import Instance
from triggers.rules.subject import Subject, subject_of
from triggers.rules.versions import Version, version_of

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
        instances: what is remembered of its slices.
        frozen: the baselines that it stored.
    """

    subject: Subject
    slots: tuple[date, ...]
    first_run: bool
    again: date | None = None
    only: frozenset[str] | None = None
    others: frozenset[str] = frozenset()
    instances: Mapping[Slice, Instance] = field(default_factory=dict)
    frozen: Mapping[Slice, FrozenBaseline] = field(default_factory=dict)

    @property
    def is_current(self) -> bool:
        """Whether this is the rule as the catalogue has it."""
        return self.only is None

    @property
    def is_whole(self) -> bool:
        """Whether it reads all of the past: on a first run, and until a chart has its baseline."""
        return self.first_run or (self.subject.rule.keeps_baseline and not self.frozen)

    def due(self, first: date | None, now: datetime) -> tuple[date, ...]:
        """The slots to evaluate, oldest first.

        Args:
            first: the first day of data, where a first run begins; None without data.
            now: aware UTC.
        """
        return self.subject.cadence.due(None, first, now) if self.first_run and first else self.slots

    def is_own(self, slice_: Slice) -> bool:
        """Whether this version evaluates the slice."""
        key = slice_key(self.subject.by, slice_)
        return key in self.only if self.only is not None else key not in self.others


def tasks(catalog: Catalog, memory: PreviousState, moment: Moment) -> Iterator[Task]:
    """Every rule that looks at slots as it is now, and as it was for incidents that opened under another version."""
    for rule in catalog.rules:
        if not isinstance(rule, WatchRule) or not rule.enabled:
            continue
        current = version_of(catalog, rule)
        held = _held(rule, current, memory)
        for hash_, slices in held.items():
            old = subject_of(memory.versions[hash_], catalog, moment, memory.alphas.get(hash_))
            yield _task(old, memory, moment, only=frozenset(slices))
        others = frozenset(slice_ for slices in held.values() for slice_ in slices)
        new = subject_of(current, catalog, moment, memory.alphas.get(current.hash))
        yield _task(new, memory, moment, others=others)


def _held(rule: WatchRule, current: Version, memory: PreviousState) -> Mapping[str, set[str]]:
    """By version, the slices whose open incident began under it: they stay with it until it closes."""
    held: dict[str, set[str]] = {}
    for incident in memory.incidents.values():
        if incident.rule != rule.name or incident.rule_hash == current.hash:
            continue
        old = memory.versions.get(incident.rule_hash)
        if old is not None and isinstance(old.rule, WatchRule):
            held.setdefault(incident.rule_hash, set()).add(incident.slice)
    return held


def _task(
    of: Subject,
    memory: PreviousState,
    moment: Moment,
    *,
    only: frozenset[str] | None = None,
    others: frozenset[str] = frozenset(),
) -> Task:
    newest = memory.slots.get(of.rule.name)
    kept: dict[str, Any] = {
        "only": only,
        "others": others,
        "instances": _instances(of, memory),
        "frozen": _frozen(of, memory),
    }
    if newest is None:
        return Task(of, (), first_run=True, **kept)
    slots = of.cadence.due(newest.slot, ALWAYS, moment.now)
    again = newest.slot if newest.generation < moment.generation else None
    return Task(of, (again, *slots) if again else slots, first_run=False, again=again, **kept)


def _instances(of: Subject, memory: PreviousState) -> Mapping[Slice, Instance]:
    """The rule's instances by slice: those whose columns this version slices by."""
    stored = memory.instances.get(of.rule.name, {})
    named = ((slice_values(key), instance) for key, instance in stored.items())
    return {tuple(v[name] for name in of.by): instance for v, instance in named if set(v) == set(of.by)}


def _frozen(of: Subject, memory: PreviousState) -> Mapping[Slice, FrozenBaseline]:
    stored = memory.baselines.get(of.hash, {})
    named = ((slice_values(key), frozen) for key, frozen in stored.items())
    return {tuple(v[name] for name in of.by): frozen for v, frozen in named}
