"""The baseline of a chart, computed once and kept. Pure."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class FrozenBaseline:
    """A chart's baseline in one slice: its days [since, until) and its tally."""

    since: date
    until: date
    tally: tuple[float, float, float, float, float]
