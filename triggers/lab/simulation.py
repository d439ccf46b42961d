"""Counts of slices whose truth is known, drawn at random: what a rule sees where nothing changed, or a planted shift.

Pure: the generator is an argument. A share is binomial, a balance multinomial, a mean normal. Rows of one block of
periods are alike (intra-class correlation), which is what makes a design effect (Kish 1965, section 5.4).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from config import EarshotError
from config.models import Shape
from triggers.rules import TALLY, Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PeriodCounts:
    """Counts by periods of equal length, added up: a History that takes less room.

    Args:
        first_day: the ordinal of the first period's first day.
        length: of a period, in days; spans begin and end with one.
        slices: in the order of the array.
        sums: shape (periods + 1, slices, 5); `sums[i]` holds all periods before number i.
    """

    first_day: int
    length: int
    slices: tuple[Slice, ...]
    sums: Floats

    def spans(self, since: Sequence[date], until: Sequence[date]) -> Floats:
        """The tallies of each [since, until): shape (spans, slices, 5)."""
        return np.asarray(self.sums[self._places(until)] - self.sums[self._places(since)], dtype=np.float64)

    def _places(self, days: Sequence[date]) -> Ints:
        ordinals = np.array([day.toordinal() for day in days], dtype=np.int64)
        return np.clip((ordinals - self.first_day) // self.length, 0, len(self.sums) - 1)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the rows of each slice come out. All arrays have shape (slices,).

    Args:
        shape: of the metric.
        level: the truth for one row: a share, plus less minus, or a mean.
        rest: of a mean the standard deviation of a row, of a balance the share that is neither plus nor minus.
        alike: the correlation of two rows of one block.
        block: periods in a block.
    """

    shape: Shape
    level: Floats
    rest: Floats
    alike: Floats
    block: Ints

    def at(self, places: Ints) -> "Distribution":
        """The law of these slices."""
        level, rest, alike, block = self.level[places], self.rest[places], self.alike[places], self.block[places]
        return Distribution(self.shape, level, rest, alike, block)


def period_counts(first_day: date, length: int, slices: Sequence[Slice], tallies: Floats) -> PeriodCounts:
    """Tallies (periods, slices, 5) as counts, from a day on."""
    sums = np.zeros((len(tallies) + 1, len(slices), TALLY))
    np.cumsum(tallies, axis=0, out=sums[1:])
    return PeriodCounts(first_day.toordinal(), length, tuple(slices), sums)


def draw(law: Distribution, n: Ints, chance: Generator, shift: Floats | float = 0.0) -> Floats:
    """Tallies of `n` rows (periods, slices): shape (periods, slices, 5).

    Args:
        law: the truth.
        n: rows of each period and slice.
        chance: where the draws come from.
        shift: added to the truth from some period on; in its unit, broadcast to (periods, slices).

    Raises:
        EarshotError: the metric is a count or a quantile, which have no law here.
    """
    if law.shape not in _DRAWS:
        raise EarshotError(f"a {law.shape} cannot be simulated; use a share, a balance or a mean")
    places = np.arange(len(n))[:, None] // law.block[None, :]
    found = np.zeros((*n.shape, TALLY))
    found[..., 0] = n
    _DRAWS[law.shape](law, n, places, chance, shift, found)
    return found


def alike(deff: Floats, n: Floats, together: Floats | float) -> Floats:
    """The correlation within blocks that gives a window of n rows a design effect.

    Args:
        deff: the design effects.
        n: the rows of a window.
        together: how likely two rows of one window are of one block.
    """
    pairs = np.maximum(n * together - 1, _TINY)
    return np.clip((np.maximum(deff, 1.0) - 1) / pairs, 0.0, MOST_ALIKE)


def together(block: int, window: int, every: int) -> float:
    """How likely two rows of one window are of one block, over all slots; lengths in periods."""
    starts = (np.arange(block) * every) % block
    edges = np.arange(0, block + window + 1, block)
    found = [np.diff(np.clip(edges, start, start + window)) for start in starts.tolist()]
    return sum(float((overlap.astype(np.float64) ** 2).sum()) for overlap in found) / len(found) / window**2


def _share(law: Distribution, n: Ints, places: Ints, chance: Generator, shift: Floats | float, found: Floats) -> None:
    level = _beta(law.level, 1 - law.level, law.alike, places, chance)
    found[..., 1] = chance.binomial(n, np.clip(level + shift, 0.0, 1.0))


def _balance(law: Distribution, n: Ints, places: Ints, chance: Generator, shift: Floats | float, found: Floats) -> None:
    """Plus, and minus among what is not plus: a Dirichlet law in two steps."""
    neither = np.minimum(law.rest, 1 - np.abs(law.level))
    up, down = (1 - neither + law.level) / 2, (1 - neither - law.level) / 2
    plus = _beta(up, 1 - up, law.alike, places, chance)
    minus = (1 - plus) * _beta(down, neither, law.alike, places, chance)
    moved = np.minimum(np.abs(shift) / 2, np.where(np.asarray(shift) < 0, plus, minus)) * np.sign(shift)
    plus, minus = plus + moved, minus - moved
    found[..., 1] = chance.binomial(n, np.clip(plus, 0.0, 1.0))
    left = np.clip(minus / np.maximum(1 - plus, _TINY), 0.0, 1.0)
    found[..., 2] = chance.binomial(n - found[..., 1].astype(np.int64), left)


def _mean(law: Distribution, n: Ints, places: Ints, chance: Generator, shift: Floats | float, found: Floats) -> None:
    blocks = chance.standard_normal((int(places.max(initial=0)) + 1, n.shape[1]))
    level = law.level + law.rest * np.sqrt(law.alike) * np.take_along_axis(blocks, places, axis=0) + shift
    spread = law.rest * np.sqrt(1 - law.alike)
    total = n * level + spread * np.sqrt(n) * chance.standard_normal(n.shape)
    inside = np.where(n > 1, spread**2 * chance.chisquare(np.maximum(n - 1, 1)), 0.0)
    found[..., 3], found[..., 4] = total, total**2 / np.maximum(n, 1) + inside


def _beta(of: Floats, other: Floats, alike: Floats, places: Ints, chance: Generator) -> Floats:
    """The share that `of` makes up of both, drawn anew for each block where its rows are alike."""
    whole = np.maximum(of + other, _TINY)
    if not alike.any():
        return np.broadcast_to(of / whole, places.shape)
    strength = (1 - alike) / np.maximum(alike, _TINY)
    blocks = (int(places.max(initial=0)) + 1, len(of))
    drawn = chance.beta(np.maximum(of, _TINY) * strength, np.maximum(other, _TINY) * strength, size=blocks)
    return np.take_along_axis(np.where(alike > 0, drawn, of / whole), places, axis=0)


_TINY: Final = 1e-9
MOST_ALIKE: Final = 0.9
_DRAWS: Final = {"share": _share, "balance": _balance, "mean": _mean}
