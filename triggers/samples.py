"""From the cube to samples: the counts of each window and slice, and what they say against the limit. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from config.catalog import Metric, ThresholdRule
from config.values import Condition
from queries.cubes import Cube
from queries.statistics import Floats, Tally, tails, values
from triggers.evaluate import ROUNDING, Sample, Verdict

Slice = tuple[str, ...]
TALLY: Final = 5


class Windows(Protocol):
    """The counts of a rule's slices in any of its windows."""

    @property
    def slices(self) -> tuple[Slice, ...]:
        """The values of the rule's `by`, in the order of the rows."""
        ...

    def window(self, since: date, until: date, /) -> Floats:
        """The tallies of [since, until), one row a slice."""
        ...


@dataclass(frozen=True, slots=True)
class History:
    """The counts of one rule, by slice, added up over the days.

    Args:
        first_day: the ordinal of the first day.
        slices: the values of the rule's `by`, in the order of the array.
        sums: shape (days + 1, slices, 5); `sums[i]` holds all days before `first_day + i`.
    """

    first_day: int
    slices: tuple[Slice, ...]
    sums: NDArray[np.float64]

    def window(self, since: date, until: date) -> Floats:
        """The tallies of [since, until), one row a slice."""
        return np.asarray(self.sums[self._place(until)] - self.sums[self._place(since)], dtype=np.float64)

    def _place(self, day: date) -> int:
        return min(max(day.toordinal() - self.first_day, 0), len(self.sums) - 1)


@dataclass(frozen=True, slots=True)
class Window:
    """The counts of all slices of a rule in one slot, and what the gate asks of them.

    Args:
        slot: the day after the last day.
        slices: one for each row of `counts`.
        counts: shape (slices, 5), rows of (n, plus, minus, total, squares).
        deffs: the design effect of each slice.
        alpha: what a tail must be below.
    """

    slot: date
    slices: tuple[Slice, ...]
    counts: Floats
    deffs: Floats
    alpha: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One window of one slice and what the gate made of it.

    Args:
        slot: the day after the window's last day.
        slice: the values of the rule's `by`.
        tally: the sums that the figure is made of.
        value: in the metric's unit; None without rows.
        deff: the design effect that the gate used.
        p: the exact one-sided tail against the limit; 1 where it was not needed.
        alpha: what `p` had to be below.
        verdict: what the evaluator acts on.
        bad: how far the value lies on the bad side of the limit, in the metric's unit.
    """

    slot: date
    slice: Slice
    tally: Tally
    value: float | None
    deff: float
    p: float
    alpha: float
    verdict: Verdict
    bad: float

    @property
    def sample(self) -> Sample:
        """What the evaluator needs of it."""
        return Sample(self.slot, self.verdict, self.value, round(self.tally.n), self.bad)


def history(
    cube: Cube, metric: str, by: Sequence[str], where: Sequence[Condition] = (), known: Collection[Slice] = ()
) -> History:
    """Add up a cube to the slices of a rule.

    Args:
        cube: counts by day and the values of its dimensions.
        metric: the name of the tally in the cube.
        by: the dimensions that make a slice.
        where: asks for values of the cube's dimensions only (`is_plain`).
        known: slices that get a place even where the cube has no row of them.
    """
    kept = _kept(cube, where)
    days, tallies = cube.days[kept], cube.tallies[metric][kept]
    rows = list(zip(*(_texts(cube.slices[name][kept]) for name in by), strict=True)) if by else [()] * len(days)
    slices = tuple(sorted({*rows, *known}))
    places = {key: place for place, key in enumerate(slices)}
    first = int(days.min()) if len(days) else 0
    length = int(days.max()) - first + 1 if len(days) else 0
    cells = np.zeros((length + 1, len(slices), TALLY))
    at = np.fromiter((places[row] for row in rows), dtype=np.intp, count=len(rows))
    np.add.at(cells, (days - first + 1, at), tallies)
    return History(first, slices, cells.cumsum(axis=0))


def _texts(column: NDArray[np.object_]) -> list[str]:
    return [v if isinstance(v, str) else str(v).lower() if isinstance(v, bool) else str(v) for v in column]


def is_plain(condition: Condition) -> bool:
    """Whether a condition only names values, so that it can be met by choosing cells of a cube."""
    others = (value for name, value in condition if name not in {"column", "any_of"})
    names = condition.any_of or ()
    return bool(names) and all(isinstance(v, str) for v in names) and all(value is None for value in others)


def _kept(cube: Cube, where: Sequence[Condition]) -> NDArray[np.bool_]:
    kept = np.ones(len(cube.days), dtype=bool)
    for condition in where:
        wanted = frozenset(condition.any_of or ())
        kept &= np.fromiter((value in wanted for value in cube.slices[condition.column]), dtype=bool, count=len(kept))
    return kept


def alpha(rule: ThresholdRule, slots_a_year: float, known_slices: int) -> float:
    """What the tail must be below in one slot of one slice.

    Bonferroni over the rule's slots a year and the slices known: the expected number of breaches a year without any
    change is then at most `false_alarms_per_year`, however slices and overlapping windows depend on each other. Each
    incident needs a breach, so the incidents are bounded too; `consecutive` and `for` only lower their number.
    """
    return rule.false_alarms_per_year / (slots_a_year * max(known_slices, 1))


def minimum(rule: ThresholdRule, metric: Metric) -> int:
    """The rows below which nothing is judged."""
    return rule.min_n if rule.min_n is not None else metric.min_n


def judge(rule: ThresholdRule, metric: Metric, window: Window) -> tuple[Reading, ...]:
    """One reading a slice: breach, safe, between, or no data (fewer rows than the minimum)."""
    counts = window.counts
    if not len(counts):
        return ()
    found = values(metric, counts)
    side = 1.0 if metric.good == "up" else -1.0
    bad, past = side * (rule.limit - found), side * (found - rule.recover)
    enough = (counts[:, 0] >= minimum(rule, metric)) & np.isfinite(found)
    suspect = enough & (bad > ROUNDING) & (bad >= rule.floor - ROUNDING)
    p = _tails(rule, metric, window, suspect)
    conditions = [~enough, suspect & (p < window.alpha), past >= -ROUNDING]
    verdicts = np.select(conditions, ["no_data", "breach", "safe"], "between")
    columns = (
        window.slices,
        counts.tolist(),
        found.tolist(),
        window.deffs.tolist(),
        p.tolist(),
        verdicts.tolist(),
        bad.tolist(),
    )
    return tuple(_reading(window, row) for row in zip(*columns, strict=True))


def _tails(rule: ThresholdRule, metric: Metric, window: Window, suspect: NDArray[np.bool_]) -> Floats:
    """The tails of what lies beyond the limit by more than the floor; 1 elsewhere. Without a gate they are 0."""
    p = np.ones(len(window.counts))
    if rule.gate == "none":
        p[suspect] = 0.0
    elif suspect.any():
        p[suspect] = tails(metric, window.counts[suspect], rule.limit, window.deffs[suspect])
    return p


def _reading(window: Window, row: tuple[Slice, list[float], float, float, float, Verdict, float]) -> Reading:
    slice_, counts, value, deff, p, verdict, bad = row
    known = value if isfinite(value) else None
    worse = bad if isfinite(bad) else 0.0
    return Reading(window.slot, slice_, Tally(*counts), known, deff, p, window.alpha, verdict, worse)
