"""Where a rule's figure usually lies: to whoever does not know that, a limit says nothing. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from config.models import Metric
from queries.metrics.formatting import figure
from triggers.lab.what_if import Trial

PARTS: Final = (0.05, 0.25, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class TypicalRange:
    """The figure in the windows that had enough cases to judge, over all slices.

    Args:
        parts: where `PARTS` of them lie below, in the metric's unit.
        windows: how many they are; those that overlap count each.
        slices: in how many slices.
        fewest: rows of the smallest.
    """

    parts: tuple[float, float, float, float]
    windows: int
    slices: int
    fewest: int

    def words(self, metric: Metric) -> str:
        """In one sentence."""
        low, lower, upper, high = (figure(metric, part, self._spread) for part in self.parts)
        of = f"{self.windows:,} windows in {self.slices} {'slice' if self.slices == 1 else 'slices'}"
        where = f"the figure lay between {lower} and {upper} half the time, {low} to {high} nine times in ten"
        return f"{where} ({of}, n from {self.fewest:,})"

    @property
    def _spread(self) -> float:
        return (self.parts[-1] - self.parts[0]) / 2


def typical_range(of: Trial) -> TypicalRange | None:
    """What a rule's own figure was in the days that are asked about; None for what has no figure, or never enough."""
    panel = of.judged.panel
    asked = np.array([slot > of.since for slot in panel.slots])[:, None]
    kept = asked & panel.enough & np.isfinite(panel.value)
    if not of.subject.metrics or not kept.any():
        return None
    low, lower, upper, high = (float(part) for part in np.quantile(panel.value[kept], PARTS))
    fewest = round(float(panel.counts[..., 0][kept].min()))
    return TypicalRange((low, lower, upper, high), int(kept.sum()), int(kept.any(axis=0).sum()), fewest)
