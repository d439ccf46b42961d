"""What is left of a breach without the rows that a fault of the data spoils."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from config.models import RateRule
from queries.monitoring.row_profiles import read_copies
from triggers.data_faults.detectors.history import DataFault
from triggers.evaluation import EvaluatedWindow, design_effects_at, reader
from triggers.evaluation.kinds import BREACH, kind_of, verdicts
from triggers.rules import Counts, CubeRequest, Moment, Slice, Subject, Task, slice_history

_KNOWN_FOR: Final = timedelta(weeks=26)
"""A fault that is older has spoilt the quarter of which the design effects were measured."""


@dataclass(frozen=True, slots=True)
class _Sound:
    """Counts without the days [first, end) that are spoilt, or without the rows that came twice."""

    counts: Counts
    first: date
    end: date
    copies: Counts | None

    @property
    def slices(self) -> tuple[Slice, ...]:
        return self.counts.slices

    def spans(self, since: Sequence[date], until: Sequence[date]) -> NDArray[np.float64]:
        if self.copies is None:
            spans = [*zip(since, until, strict=True)]
            before = self.counts.spans(since, [max(first, min(end, self.first)) for first, end in spans])
            return before + self.counts.spans([min(end, max(first, self.end)) for first, end in spans], until)
        found, known = self.counts.spans(since, until), {slice_: i for i, slice_ in enumerate(self.slices)}
        there = [i for i, slice_ in enumerate(self.copies.slices) if slice_ in known]
        found[:, [known[self.copies.slices[i]] for i in there]] -= self.copies.spans(since, until)[:, there]
        return found


def stands(conn: Connection, moment: Moment, subject: Subject, reading: EvaluatedWindow, fault: DataFault) -> bool:
    """Whether a breach is one also without the rows that a fault spoils, as far as they can be told from the others.

    What rows of another table make of a figure, and what cannot be added up, cannot be taken out of it.
    """
    rule, slot = subject.rule, reading.slot
    if not isinstance(rule, RateRule) or subject.is_quantile or subject.metric.table != fault.table:
        return False
    task = Task(subject, (slot,), first_run=rule.keeps_baseline)
    ((_, basis),) = reader(conn, moment, design_effects_at(conn, moment)).bases([task])
    given = basis.given

    def sound(counts: Counts, figure: CubeRequest) -> _Sound:
        copies = None
        if fault.kind == "duplicated-rows":
            cube = read_copies(conn, figure.metric, figure.dims, (fault.since, fault.until), moment.now)
            copies = slice_history(cube, figure.metric.name, figure.by, figure.where)
        return _Sound(counts, fault.since, fault.until, copies)

    counts = sound(given.counts, subject.figures[0])
    other = sound(given.other, subject.figures[-1]) if given.other is not None else None
    plain = replace(counts, counts=given.plain) if given.plain is not None else None
    since = [slot - kind_of(rule).lookback]
    kept = counts.spans(since, [slot])[..., 0].sum() / max(given.counts.spans(since, [slot])[..., 0].sum(), 1)

    def effects(day: date) -> Mapping[tuple[str, str], Any]:
        """Copies resemble each other more than anything else: without them each row says so much more."""
        known = given.effects(day)
        if fault.kind != "duplicated-rows" or slot - fault.since < _KNOWN_FOR:
            return known
        alike = ((key, max(1.0, one.deff * kept), max(1, round(one.n * kept))) for key, one in known.items())
        return {key: replace(known[key], deff=deff, n=n) for key, deff, n in alike}

    alpha = np.full(len(basis.slots), reading.alpha)
    panel = kind_of(rule).panel(
        subject, replace(given, counts=counts, other=other, plain=plain, effects=effects), basis.slots, alpha
    )
    cell = basis.slots.index(slot), panel.slices.index(reading.slice)
    return bool(verdicts(rule, panel, alpha)[cell] == BREACH)
