"""One rule over its slots, oldest first: every slice's instance afterwards, and what was found on the way. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np

from config.catalog import Metric, ThresholdRule
from queries.clusters import EVERY_VERTICAL, Effects, deff
from queries.incidents import incident_id
from queries.statistics import Floats
from triggers.evaluate import FRESH, OPEN, Event, Instance, step
from triggers.samples import Reading, Slice, Window, Windows, alpha, judge
from triggers.slots import Cadence
from triggers.versions import Version

EffectsAt = Callable[[date], Effects]
"""Slot -> the design effects that were known then."""

_PART: Final = re.compile(r"(?:\\.|[^|\\])+", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
QUIET: Final = frozenset({"between", "safe"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that changed in one slice, and the reading that changed it."""

    slice: str
    incident: str
    event: Event
    reading: Reading


@dataclass(frozen=True, slots=True)
class Subject:
    """A rule with everything that is evaluated with it.

    Args:
        rule: as its version stands.
        metric: the metric as the catalogue has it.
        figure: the metric as the cube is asked for it: with those conditions of the rule that choose rows, not cells.
        cadence: when it has slots.
        version: the rule and the metric as they are stored.
    """

    rule: ThresholdRule
    metric: Metric
    figure: Metric
    cadence: Cadence
    version: Version

    @property
    def is_quantile(self) -> bool:
        """Whether the metric cannot be added up over days."""
        return self.figure.shape == "quantile"

    @property
    def hash(self) -> str:
        """The version's name."""
        return self.version.hash


def replay(
    subject: Subject,
    history: Windows,
    slots: Sequence[date],
    instances: Mapping[Slice, Instance],
    effects: EffectsAt,
    at: Callable[[date], datetime],
    is_own: Callable[[Slice], bool] = lambda _: True,
) -> tuple[dict[Slice, Instance], tuple[Finding, ...]]:
    """Evaluate the slots in order, from the instances as they are. A slice is known from its first row in a window on.

    Args:
        subject: the rule.
        history: counts that cover every slot's window.
        slots: oldest first.
        instances: what is remembered, by slice.
        effects: the design effects at a slot.
        at: when what a slot says became knowable.
        is_own: the slices to step; the others are held by another version of the rule.
    """
    present, findings = dict(instances), list[Finding]()
    for slot in slots:
        window = _window(subject, history, slot, present, effects(slot))
        for reading in judge(subject.rule, subject.metric, window):
            before = present.setdefault(reading.slice, FRESH)
            if (before is FRESH and reading.verdict in QUIET) or not is_own(reading.slice):
                continue
            after, found = _stepped(subject, before, reading, at(slot))
            present[reading.slice] = after
            findings.extend(found)
    return present, tuple(findings)


def _window(
    subject: Subject,
    history: Windows,
    slot: date,
    instances: Mapping[Slice, Instance],
    effects: Effects,
) -> Window:
    counts = history.window(slot - subject.rule.window, slot)
    known = np.fromiter(
        (has_rows or s in instances for s, has_rows in zip(history.slices, counts[:, 0] > 0, strict=True)),
        dtype=bool,
        count=len(history.slices),
    )
    slices = tuple(s for s, is_known in zip(history.slices, known, strict=True) if is_known)
    gate = alpha(subject.rule, subject.cadence.a_year, len(slices)) if subject.rule.gate == "exact" else 1.0
    return Window(slot, slices, counts[known], _deffs(subject, slices, counts[known], effects), gate)


def _deffs(subject: Subject, slices: Sequence[Slice], counts: Floats, known: Effects) -> Floats:
    """The design effect of each slice: its vertical's, or the whole company's where the rule does not slice by it."""
    rule = subject.rule
    place = rule.by.index("vertical") if "vertical" in rule.by else None
    named = [c.any_of[0] for c in rule.where if c.column == "vertical" and c.any_of and len(c.any_of) == 1]
    pinned = str(named[0]) if named else EVERY_VERTICAL
    verticals = (s[place] if place is not None else pinned for s in slices)
    found = [deff(known, subject.metric, v, round(n)) for v, n in zip(verticals, counts[:, 0], strict=True)]
    return np.array(found, dtype=np.float64)


def _stepped(
    subject: Subject, before: Instance, reading: Reading, at: datetime
) -> tuple[Instance, tuple[Finding, ...]]:
    """One step, with the id of the incident that it opens, or that was open before it."""
    key = slice_key(subject.rule.by, reading.slice)
    after, events = step(subject.rule, before, reading.sample, at)
    named = before.incident
    if any(event.change == "opened" for event in events):
        named = incident_id(subject.rule.name, key, reading.slot)
    if after.state in OPEN:
        after = replace(after, incident=named)
    return after, tuple(Finding(key, named or "", event, reading) for event in events)


def slice_key(by: Sequence[str], values: Slice) -> str:
    """A slice as text, such as `vertical=retail|touchpoint=repair`; the whole company is the empty text."""
    return "|".join(f"{name}={_escaped(value)}" for name, value in zip(by, values, strict=True))


@lru_cache(maxsize=65536)
def slice_values(key: str) -> Mapping[str, str]:
    """The values in a slice's text by their column; a backslash keeps the letter after it from meaning anything."""
    pairs = (part.partition("=") for part in _PART.findall(key))
    return MappingProxyType({name: _ESCAPED.sub(r"\1", value) for name, _, value in pairs})


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("|", "\\|")
