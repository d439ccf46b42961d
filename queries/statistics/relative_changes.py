"""How much more or less a share is than before, and several such changes as one. Pure.

The variance of the logarithm of a ratio of two shares is linearised over accounts (Katz et al. 1978; Kish 1965, section
6.6): what is alike within an account counts once, and what an account keeps from one period to the next counts not at
all. Several are pooled by their random effects (DerSimonian & Laird 1986), with the interval of Hartung & Knapp 2001,
never narrower than the plain one (Roever, Knapp & Friede 2015); how much they differ is told by I² (Higgins & Thompson
2002).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log, sqrt
from typing import Final

import numpy as np
import scipy

from queries.statistics.estimates import ALPHA, Floats

_SIDE: Final = 1 - ALPHA / 2


@dataclass(frozen=True, slots=True)
class RelativeChange:
    """A change as a part of what was before: -0.16 is a sixth less. `error` is that of the logarithm of the ratio."""

    value: float
    low: float
    high: float
    error: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out that nothing changed."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class RandomEffects:
    """A mean over units, its variance where these differ as they do, and the variance between them."""

    mean: float
    variance: float
    between: float


@dataclass(frozen=True, slots=True)
class PooledChange:
    """Changes of several units as one; `inconsistency` is the part of their differences that is no chance, 0 to 1."""

    change: RelativeChange
    inconsistency: float
    chance: float

    @property
    def differs(self) -> bool:
        """Whether the units differ by more than chance explains."""
        return self.chance < ALPHA


def relative_change(before: Floats, now: Floats) -> RelativeChange | None:
    """The change of a share from one period to another.

    Args:
        before: of each account how many cases, and how many of them count: shape (accounts, 2).
        now: the same accounts, in the same order.

    Returns:
        The change with its 95% interval; None where a period has nothing that counts, or there are too few accounts.
    """
    totals, hits = (np.array([period[:, column].sum() for period in (before, now)]) for column in (0, 1))
    accounts = int(((before[:, 0] > 0) | (now[:, 0] > 0)).sum())
    if accounts < 2 or not hits.all():
        return None
    then, later = (
        (period[:, 1] - period[:, 0] * hit / total) / hit
        for period, total, hit in zip((before, now), totals, hits, strict=True)
    )
    error = sqrt(accounts / (accounts - 1) * float(((later - then) ** 2).sum()))
    return _change(log(hits[1] / totals[1]) - log(hits[0] / totals[0]), error, accounts - 1) if error else None


def _change(logarithm: float, error: float, freedom: float) -> RelativeChange:
    half = float(scipy.special.stdtrit(freedom, _SIDE)) * error
    value, low, high = (exp(min(at, _LARGEST)) - 1 for at in (logarithm, logarithm - half, logarithm + half))
    return RelativeChange(value, low, high, error)


_LARGEST: Final = 50.0
"""No ratio of counts has a larger logarithm; the end of an interval of two units might."""


def random_effects(values: Sequence[float], variances: Sequence[float]) -> RandomEffects:
    """The mean of units that each have a value and its variance (DerSimonian and Laird 1986)."""
    mean, spread, total, squares = _weighted(values, variances)
    scale = total - squares / total
    between = max(0.0, (spread - (len(values) - 1)) / scale) if scale > 0 else 0.0
    mean, _, total, _ = _weighted(values, [variance + between for variance in variances])
    return RandomEffects(mean, 1 / total, between)


def _weighted(values: Sequence[float], variances: Sequence[float]) -> tuple[float, float, float, float]:
    """The mean, the spread around it in units of chance, and the sums of the weights and of their squares."""
    weights = [1 / variance for variance in variances]
    total = sum(weights)
    mean = sum(weight * value for weight, value in zip(weights, values, strict=True)) / total
    spread = sum(weight * (value - mean) ** 2 for weight, value in zip(weights, values, strict=True))
    return mean, spread, total, sum(weight**2 for weight in weights)


def pooled_change(changes: Sequence[RelativeChange]) -> PooledChange | None:
    """Several units' changes as one, with its 95% interval; None where there is but one."""
    if len(changes) < 2:
        return None
    values, variances = [log(1 + one.value) for one in changes], [one.error**2 for one in changes]
    freedom, spread = len(changes) - 1, _weighted(values, variances)[1]
    effects = random_effects(values, variances)
    among = _weighted(values, [variance + effects.between for variance in variances])[1]
    error = sqrt(effects.variance * max(1.0, among / freedom))
    chance = float(scipy.special.chdtrc(freedom, spread))
    inconsistency = max(0.0, 1 - freedom / spread) if spread > 0 and isfinite(spread) else 0.0
    return PooledChange(_change(effects.mean, error, freedom), inconsistency, chance)
