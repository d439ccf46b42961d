"""One rule over its slots, oldest first: every slice's instance afterwards, and what was found on the way. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import numpy as np

from queries.state import incident_id, slice_key
from queries.statistics.estimates import Floats, Tally
from triggers.evaluation.kinds import BREACH, VERDICTS, Codes, Windows, kind_of
from triggers.rules import FRESH, OPEN, Event, Instance, Sample, Slice, Subject, Verdict, step

Clock = Callable[[date], datetime]
"""Slot -> when what it says became knowable."""


@dataclass(frozen=True, slots=True)
class EvaluatedWindow:
    """One window of one slice and what the gate made of it.

    Args:
        slot: the day after the window's last day.
        slice: the values of the rule's `by`.
        tally: the sums that the figure is made of.
        value: in the metric's unit; None without rows.
        held: what it is held against; None where there is none.
        right: the tally of what a difference is measured from; else None.
        deffs: the design effects that the gate used, of the figure and of what it is measured from.
        p: the one-sided tail; 1 where it was not needed.
        alpha: what `p` had to be below.
        verdict: what the evaluator acts on.
        bad: how far the value lies on the bad side of `held`, in the metric's unit.
        details: what else its words need.
    """

    slot: date
    slice: Slice
    tally: Tally
    value: float | None
    held: float | None
    right: Tally | None
    deffs: tuple[float, float]
    p: float
    alpha: float
    verdict: Verdict
    bad: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sample(self) -> Sample:
        """What the evaluator needs of it."""
        return Sample(self.slot, self.verdict, self.value, round(self.tally.n), self.bad)


@dataclass(frozen=True, slots=True)
class StateChange:
    """Something that changed in one slice, and the reading that changed it."""

    slice: str
    incident: str
    event: Event
    reading: EvaluatedWindow


@dataclass(frozen=True, slots=True)
class EvaluatedRule:
    """A panel with what the gate made of it: `alpha` has shape (slots,), `codes` (slots, slices)."""

    panel: Windows
    alpha: Floats
    codes: Codes

    def reading(self, slot: int, column: int) -> EvaluatedWindow:
        """One cell."""
        panel, at = self.panel, (slot, column)
        right = Tally(*panel.right[at].tolist()) if panel.right is not None else None
        effects = float(panel.deffs[at]), float(panel.right_deffs[at]) if panel.right_deffs is not None else 1.0
        value, held, bad = (_known(part[at]) for part in (panel.value, panel.held, panel.bad))
        return EvaluatedWindow(
            panel.slots[slot],
            panel.slices[column],
            Tally(*panel.counts[at].tolist()),
            value,
            held,
            right,
            effects,
            float(panel.p[at]),
            float(self.alpha[slot]),
            VERDICTS[self.codes[at]],
            bad or 0.0,
            panel.details(slot, column),
        )

    def breach(self, by: Sequence[str], slot: date, slice_: str) -> EvaluatedWindow | None:
        """The window of a slice, by its key, in a slot, if it is in breach."""
        keys = [slice_key(by, known) for known in self.panel.slices]
        if slot not in self.panel.slots or slice_ not in keys:
            return None
        at = self.panel.slots.index(slot), keys.index(slice_)
        return self.reading(*at) if self.codes[at] == BREACH else None


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def replay(
    subject: Subject,
    judged: EvaluatedRule,
    instances: Mapping[Slice, Instance],
    at: Clock,
    is_own: Callable[[Slice], bool] = lambda _: True,
) -> tuple[dict[Slice, Instance], tuple[StateChange, ...]]:
    """Evaluate the slots in order, from the instances as they are. A slice is known from its first row in a window on.

    Args:
        subject: the rule.
        judged: its panel and verdicts.
        instances: what is remembered, by slice.
        at: when what a slot says became knowable.
        is_own: the slices to step; the others are held by another version of the rule.
    """
    present, findings = dict(instances), list[StateChange]()
    recovery = kind_of(subject.rule).recovery(subject.metrics[0] if subject.metrics else None)
    seen = judged.panel.seen
    for column, slice_ in enumerate(judged.panel.slices):
        if not is_own(slice_) or not (slice_ in present or seen[:, column].any()):
            continue
        start = 0 if slice_ in present else int(np.argmax(seen[:, column]))
        instance, found = _column(subject, judged, column, start, present.get(slice_, FRESH), at, recovery)
        present[slice_] = instance
        findings += found
    order = {slot: i for i, slot in enumerate(judged.panel.slots)}
    return present, tuple(sorted(findings, key=lambda f: (order[f.reading.slot], f.reading.slice)))


def _column(
    subject: Subject, judged: EvaluatedRule, column: int, start: int, instance: Instance, at: Clock, recovery: str
) -> tuple[Instance, list[StateChange]]:
    findings: list[StateChange] = []
    codes = judged.codes[:, column]
    slot = start
    while slot < len(codes):
        if instance.state not in OPEN and codes[slot] != BREACH:
            slot = _last_before_a_breach(codes, slot)
        instance, found = _stepped(subject, instance, judged.reading(slot, column), at, recovery)
        findings += found
        slot += 1
    return instance, findings


def _last_before_a_breach(codes: Codes, slot: int) -> int:
    """Where nothing is open and nothing is beyond its limit, only the last such slot says anything."""
    breaches = np.flatnonzero(codes[slot:] == BREACH)
    return slot + int(breaches[0]) - 1 if len(breaches) else len(codes) - 1


def _stepped(
    subject: Subject, before: Instance, reading: EvaluatedWindow, at: Clock, recovery: str
) -> tuple[Instance, tuple[StateChange, ...]]:
    """One step, with the id of the incident that it opens, or that was open before it."""
    key = slice_key(subject.by, reading.slice)
    after, events = step(subject.rule, before, reading.sample, at(reading.slot), recovery)
    named = before.incident
    if any(event.change == "opened" for event in events):
        named = incident_id(subject.rule.name, key, reading.slot)
    if after.state in OPEN:
        after = replace(after, incident=named)
    return after, tuple(StateChange(key, named or "", event, reading) for event in events)
