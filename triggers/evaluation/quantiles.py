"""Windows of a metric that cannot be added up over days: each is read by a query of its own, as known at its slot."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from queries.metrics import Ask, Grain, measure
from queries.warehouse import EVERYTHING
from triggers.rules import TALLY, Moment, Slice, Subject


@dataclass(frozen=True, slots=True)
class Measured:
    """The windows of a rule by the day that they end: the n and the figure of each slice, as the tally of a mean."""

    first_day: int
    slices: tuple[Slice, ...]
    windows: dict[date, NDArray[np.float64]]

    def spans(self, _since: Sequence[date], until: Sequence[date]) -> NDArray[np.float64]:
        """The tallies of the windows that end with each `until`: shape (spans, slices, 5)."""
        empty = np.zeros((0, len(self.slices), TALLY))
        return np.array([self.windows[day] for day in until]) if len(until) else empty


def first_day(conn: Connection, subject: Subject, moment: Moment) -> date | None:
    """The first day with a row, None where there is none."""
    points = measure(conn, subject.metrics[0], _ask(subject, "all", None, None, by=()), EVERYTHING, moment.now)
    return points[0].period if points and points[0].n else None


def measured(conn: Connection, subject: Subject, slots: Sequence[date], known: frozenset[Slice]) -> Measured:
    """Read the windows of these slots."""
    found: dict[date, dict[Slice, tuple[int, float]]] = {}
    for slot in slots:
        ask = _ask(subject, "all", slot - subject.rule.window, slot, by=subject.by)
        points = measure(conn, subject.metrics[0], ask, EVERYTHING, subject.cadence.as_of(slot))
        found[slot] = {p.by: (p.n, p.value) for p in points if p.n and p.value is not None}
    slices = tuple(sorted(known.union(*found.values())))
    windows: dict[date, NDArray[np.float64]] = {}
    for slot, figures in found.items():
        windows[slot] = np.zeros((len(slices), TALLY))
        for place, slice_ in enumerate(slices):
            n, value = figures.get(slice_, (0, 0.0))
            windows[slot][place, [0, 3]] = n, n * value / subject.metric.factor
    return Measured(0, slices, windows)


def _ask(subject: Subject, grain: Grain, since: date | None, until: date | None, *, by: Slice) -> Ask:
    return Ask(by=by, grain=grain, since=since, until=until, where=subject.rule.where)
