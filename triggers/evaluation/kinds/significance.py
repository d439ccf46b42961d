"""How sure a rule must be, and what it makes of a panel. Pure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.models import WatchRule
from queries.statistics.estimates import Floats
from triggers.evaluation.kinds.window import Windows
from triggers.rules import Bools, Verdict

VERDICTS: Final[tuple[Verdict, ...]] = ("no_data", "breach", "safe", "between")
NO_DATA, BREACH, SAFE, BETWEEN = range(4)

Codes = NDArray[np.int8]
"""Places in VERDICTS."""


def bonferroni(rule: WatchRule, slots_a_year: float, seen: Bools) -> Floats:
    """What the tail must be below in each slot where nothing better is known: shape (slots,).

    The rule's declared false alarms over its slots a year and the slices seen by then: the expected number of breaches
    a year without any change is then at most `false_alarms_per_year`, however slices and overlapping windows depend on
    each other. Each incident needs a breach, so the incidents are bounded too; `consecutive` and `for` only lower their
    number.
    """
    slices = np.maximum(seen.sum(axis=1), 1)
    return np.asarray(rule.false_alarms_per_year / (slots_a_year * slices), dtype=np.float64)


def verdicts(rule: WatchRule, panel: Windows, alpha: Floats) -> Codes:
    """The verdict of each cell: shape (slots, slices)."""
    sure = np.minimum(alpha, 1.0)[:, None]
    breach = panel.suspect & (panel.p < sure)
    safe = panel.safe
    if safe is None:
        safe = panel.p >= sure**rule.calm
    found = np.select([~panel.enough, breach, safe], [NO_DATA, BREACH, SAFE], BETWEEN)
    return found.astype(np.int8)
