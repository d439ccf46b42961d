"""How sure a detector must be, and the tails that it asks: of counts that vary more than Poisson counts do.

A dispersion is how many times as much: both counts are divided by it.
"""

from typing import Final

from scipy import special

ALPHA: Final = 1e-6
"""How rarely each detector may be wrong in one look."""


def few(seen: float, others: float, share: float, dispersion: float) -> float:
    """The chance of at most `seen` of seen + others, were each in its part with probability `share`."""
    x, n = seen / dispersion, (seen + others) / dispersion
    return float(special.betainc(n - x, x + 1, 1 - share)) if n > x else 1.0


def at_least(seen: float, expected: float, dispersion: float) -> float:
    """The chance of a Poisson count of `seen` or more."""
    return float(special.gammainc(seen / dispersion, expected / dispersion)) if seen > 0 else 1.0


def at_most(seen: float, expected: float, dispersion: float) -> float:
    """The chance of a Poisson count of `seen` or fewer."""
    return float(special.gammaincc(seen / dispersion + 1, expected / dispersion))
