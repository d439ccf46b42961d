"""What looks wrong though no row alone is: swapped days and months, answers asked for on another scale."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from queries.loading.time_zones import Zone
from queries.warehouse import SCALES

_SAMPLED: Final = 4_000
"""Rows looked at in each batch, spread over it: enough to see a pattern, and too few to slow a load."""

_ENOUGH: Final = 50
_ANSWERS: Final = 200
"""Where three of a hundred give the best answer, 200 answers are without one in one case of four hundred."""
_OF_A_MONTH: Final = 20
_HALF: Final = 12
_DAY: Final = 86_400_000_000
"""Microseconds."""


@dataclass(slots=True)
class DayCount:
    """How often days up to the 12th and days after it occur in each month of a column.

    Instants are read in `zone`, where they were written down: midnight east of Greenwich is the day before in UTC.
    """

    zone: Zone | None = None
    early: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    days: set[int] = field(default_factory=set)

    def see(self, instants: pa.Array) -> None:
        """Count a sample of a batch of TIMESTAMPs or DATEs."""
        if pa.types.is_date(instants.type):
            since_1970 = _sampled(instants.cast(pa.date32()), np.int32)
        else:
            micros = _sampled(instants.cast(pa.timestamp("us")), np.int64)
            since_1970 = (micros + self.zone.offsets(micros) if self.zone else micros) // _DAY
        dates = since_1970.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        days = (dates - months.astype("datetime64[D]")).astype(int) + 1
        self.days.update(np.unique(days).tolist())
        self.early.update(_counted(months[days <= _HALF]))
        self.late.update(_counted(months[days > _HALF]))

    def suspicion(self, column: str) -> str | None:
        """A warning if D/M/Y seems to have been read as M/D/Y, or the other way round.

        A wrong format refuses every day after the 12th, and what passes has its days spread over the first twelve.
        Where a source tries one format after the other, swapped rows alone fill months without a day after the 12th.
        Dates that stand for a whole month or quarter, such as the first, look different and are left alone.
        """
        if self.early.total() < _ENOUGH or len(self.days) < _HALF // 2:
            return None
        if not self.late and len(self.early) > 2:
            return f"days above 12 never occur in {column}: day and month may be swapped"
        halves = sorted(month for month, n in self.early.items() if n >= _OF_A_MONTH and not self.late[month])
        if len(halves) > 2:
            which = f"{len(halves)} months of {column} ({halves[0]}, {halves[1]}, ...)"
            return f"days above 12 never occur in {which}: day and month may be swapped in some rows"
        return None


@dataclass(slots=True)
class ScaleCount:
    """How many answers each scale has, and the highest of them."""

    answers: Counter[str] = field(default_factory=Counter)
    highest: dict[str, int] = field(default_factory=dict)

    def see(self, scales: pa.Array, scores: pa.Array) -> None:
        """Count a batch: texts, and whole numbers."""
        batch = pa.table({"scale": scales, "score": scores}).drop_null()
        for row in batch.group_by("scale").aggregate([("score", "count"), ("score", "max")]).to_pylist():
            self.answers[row["scale"]] += row["score_count"]
            self.highest[row["scale"]] = max(self.highest.get(row["scale"], row["score_max"]), row["score_max"])

    def suspicions(self) -> Iterator[str]:
        """A warning for each scale whose best answer nobody gave."""
        for scale, answers in sorted(self.answers.items()):
            end = SCALES.get(scale, (0, 0))[1]
            if answers >= _ANSWERS and self.highest[scale] < end:
                said = f"none of {answers:,} answers on the scale {scale} is above {self.highest[scale]}"
                yield f"{said}, and it ends at {end}: they may have been asked for on another scale"


def _sampled(values: pa.Array, kind: type[np.generic]) -> Any:
    """Some of what is not null, straight from the buffer: `to_numpy` would import pandas first."""
    known = values.drop_null()
    numbers = np.frombuffer(known.buffers()[1], kind, len(known), known.offset * np.dtype(kind).itemsize)
    return numbers[:: max(1, len(values) // _SAMPLED)]


def _counted(months: Any) -> dict[str, int]:
    values, counts = np.unique(months, return_counts=True)
    return dict(zip(np.datetime_as_string(values).tolist(), counts.tolist(), strict=True))
