"""How long something takes where for some of it the end is still to come."""

from collections.abc import Sequence

import numpy as np
import scipy  # its parts are loaded when they are first asked for, and scipy.stats takes a second


def median_time(ended: Sequence[float], waiting: Sequence[float]) -> float | None:
    """The time by which half have ended; None where the estimate does not fall that far.

    The product-limit estimate (Kaplan and Meier 1958, J. Am. Stat. Assoc. 53): what still waits counts for as long as
    it has waited. A median of what has ended alone would be the shorter, the more is still open.

    Args:
        ended: how long each took that has ended, in any unit.
        waiting: how long each other one has waited so far, in the same unit.
    """
    if not ended:
        return None
    survival = scipy.stats.ecdf(scipy.stats.CensoredData(uncensored=ended, right=waiting)).sf
    (reached,) = np.nonzero(survival.probabilities <= 0.5 + 1e-9)
    return float(survival.quantiles[reached[0]]) if reached.size else None
