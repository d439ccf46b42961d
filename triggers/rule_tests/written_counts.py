"""Counts written by hand as the counts that rules are judged on. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from config import ConfigError, Mistake
from config.models import Conditions, Metric, Scalar
from config.reading import ConfigEntry, Place, RuleTest, Series, Slices, suggest
from queries.metrics import Coded, Cube
from queries.statistics.estimates import Floats
from triggers.rules import TALLY, History, Slice, Subject, slice_history

Numbers = tuple[float, ...] | float
PARTS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "share": (("n", "plus"), ("n", "bad")),
    "balance": (("n", "plus", "minus"),),
    "mean": (("n", "mean", "spread"),),
    "count": (("n",),),
}
"""The ways to write the counts of each shape, besides scores."""


@dataclass(frozen=True, slots=True)
class WrittenSeries:
    """One series of a test, as it is read: where it stands, and the metric and columns that it is of."""

    entry: ConfigEntry[RuleTest]
    number: int
    metric: Metric
    by: tuple[str, ...]

    @property
    def series(self) -> Series:
        """What is written."""
        return self.entry.item.series[self.number]

    def refusal(self, place: Place, wrong: str, right: str) -> ConfigError:
        """A mistake in it."""
        return ConfigError((self.entry.mistake(("series", self.number, *place), wrong, right),))

    def slice(self) -> Slice:
        """The values of the columns that it is sliced by."""
        return slice_of(self.entry, ("series", self.number), self.series.slice, self.by)

    def rows(self) -> Iterator[tuple[date, Floats]]:
        """The day and the tally of each number."""
        since, every = self.series.from_ or self.entry.item.from_, self.series.every or self.entry.item.every
        for name, value in (("from", since), ("every", every)):
            if not value:
                right = "write it for the series, or once for the test"
                raise self.refusal((), f"{name!r} is missing", right)
        if since is None or every is None or every % timedelta(days=1):
            place: Place = ("series", self.number, "every") if self.series.every else ("every",)
            wrong = "the numbers are not whole days apart"
            raise ConfigError((self.entry.mistake(place, wrong, "write '1d' or '7d'"),))
        for i, tally in enumerate(self._tallies()):
            yield since + i * every, tally

    def _tallies(self) -> Floats:
        if self.series.scores is not None:
            return self._scored()
        written = {name: value for name in _NAMES if (value := getattr(self.series, name)) is not None}
        if self.metric.shape == "quantile":
            raise self.refusal((), f"{self.metric.name} is a quantile and not made of counts", "write [[test.row]]")
        ways = PARTS[self.metric.shape]
        if not any(set(way) == set(written) for way in ways):
            right = f"write {' or '.join(', '.join(way) for way in ways)}, or scores"
            wrong = (
                f"{self.metric.name} is a {self.metric.shape}, which is not made of {', '.join(written) or 'nothing'}"
            )
            raise self.refusal((), wrong, right)
        found = tally(self.metric, self._aligned(written))
        n, sides = found[:, 0], found[:, 1:3]
        if (n < 0).any():
            raise self.refusal(("n",), "there cannot be fewer rows than none", "correct the numbers")
        if (sides < 0).any() or (sides.sum(axis=1) > n).any():
            name = next(name for name in ("bad", "plus", "n") if name in written)
            raise self.refusal((name,), "more rows count than there are", "correct the numbers")
        return found

    def _scored(self) -> Floats:
        """Rows by the value of the column that decides, as the metric's own conditions take them."""
        scores = self.series.scores or {}
        if any(getattr(self.series, name) is not None for name in _NAMES):
            raise self.refusal(("scores",), "scores stand beside other counts", "keep one of them")
        column = scored_column(self.metric)
        if column is None:
            right = f"write {' or '.join(', '.join(way) for way in PARTS.get(self.metric.shape, ()))}"
            raise self.refusal(("scores",), f"{self.metric.name} looks at more than one column", right)
        numbers = self._aligned(scores)
        first = next(iter(numbers.values()))
        found = np.zeros((len(first), TALLY))
        for text, rows in numbers.items():
            found += rows[:, None] * unit_tally(self.metric, column, _value(text))
        return found

    def _aligned(self, written: Mapping[str, Numbers]) -> dict[str, Floats]:
        """The lists at one length; a single number holds throughout."""
        lengths = {name: len(value) for name, value in written.items() if isinstance(value, tuple)}
        if len(set(lengths.values())) != 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            right = "write lists of one length, such as n = '40x12'"
            raise self.refusal((), f"the lists differ in length ({told})" if lengths else "nothing is a list", right)
        length = next(iter(lengths.values()))
        return {
            name: np.array(value if isinstance(value, tuple) else (value,) * length, dtype=np.float64)
            for name, value in written.items()
        }


_NAMES: Final = ("n", "plus", "minus", "bad", "mean", "spread")


def tally(metric: Metric, parts: Mapping[str, Floats]) -> Floats:
    """Counts as tallies, shape (numbers, 5). A mean and its spread are in the metric's unit."""
    n = parts["n"]
    zero = np.zeros(len(n))
    plus, minus = parts.get("plus", zero), parts.get("minus", zero)
    if "bad" in parts:
        plus = n - parts["bad"] if metric.good == "up" else parts["bad"]
    if "mean" not in parts:
        return np.stack([n, plus, minus, zero, zero], axis=1)
    mean, spread = parts["mean"] / metric.factor, parts["spread"] / metric.factor
    squares = np.where(n > 0, n * mean**2 + np.maximum(n - 1, 0) * spread**2, 0.0)
    return np.stack([n, zero, zero, n * mean, squares], axis=1)


def scored_column(metric: Metric) -> str | None:
    """The one column that decides what a row counts as; None where there are several."""
    if metric.value is not None:
        return metric.value
    deciding = {c.column for c in (*metric.count, *metric.plus, *metric.minus)}
    return deciding.pop() if len(deciding) == 1 else None


def unit_tally(metric: Metric, column: str, value: Scalar) -> Floats:
    """The tally of one row with that value, all else as the metric asks: zero where its conditions leave it out."""
    own = tuple(condition for condition in metric.where if condition.column == column)
    found = np.zeros(TALLY)
    if not meets_conditions(own, value):
        return found
    found[0] = 1
    if metric.value is not None:
        number = float(value) if isinstance(value, int | float) else 0.0
        found[3:] = number, number**2
        return found
    found[1] = meets_conditions(metric.count or metric.plus, value)
    found[2] = bool(metric.minus) and meets_conditions(metric.minus, value)
    return found


def meets_conditions(conditions: Conditions, value: Any) -> bool:
    """Whether a known value meets conditions on its column."""
    return all(
        (condition.any_of is None or value in condition.any_of)
        and (condition.at_least is None or value >= condition.at_least)
        and (condition.at_most is None or value <= condition.at_most)
        and (condition.above is None or value > condition.above)
        and (condition.below is None or value < condition.below)
        and condition.known is not False
        for condition in conditions
    )


def _value(text: str) -> Scalar:
    if text in {"true", "false"}:
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def slice_of(entry: ConfigEntry[RuleTest], place: Place, written: Slices, by: Sequence[str]) -> Slice:
    """A slice as it is written, in the order of `by`. Raises ConfigError unless it names just these columns."""
    for name in written:
        if name not in by:
            right = suggest(name, by) if by else "leave slice out: the rule has one for the whole company"
            raise ConfigError((entry.mistake((*place, "slice", name), f"the rule is not sliced by {name!r}", right),))
    for name in by:
        if name not in written:
            wrong, right = f"slice does not say which {name}", f"add {name} to it"
            raise ConfigError((entry.mistake((*place, "slice"), wrong, right),))
    return tuple(str(written[name]).lower() if isinstance(written[name], bool) else str(written[name]) for name in by)


def histories(entry: ConfigEntry[RuleTest], subject: Subject) -> tuple[History, ...]:
    """The counts of each of the rule's metrics: its own, and for a gap what it is measured from.

    Raises:
        ConfigError: with every mistake in the series.
    """
    sides = ("own", "against")[: len(subject.figures)]
    mistakes: list[Mistake] = []
    counts: list[History] = []
    for side, metric, figure in zip(sides, subject.metrics, subject.figures, strict=True):
        rows: list[tuple[date, Slice, Floats]] = []
        for number, written in enumerate(entry.item.series):
            if written.side != side:
                continue
            series = WrittenSeries(entry, number, metric, figure.by)
            try:
                slice_ = series.slice()
                rows += [(day, slice_, numbers) for day, numbers in series.rows() if numbers[0] > 0]
            except ConfigError as error:
                mistakes += error.mistakes
        counts.append(_history(rows, figure.by))
    for i, written in enumerate(entry.item.series):
        if written.side not in sides:
            wrong = "only a gap rule is measured from a series"
            mistakes.append(entry.mistake(("series", i, "side"), wrong, "leave side out"))
    for side in sides:
        if side not in [written.side for written in entry.item.series]:
            mistakes.append(entry.mistake((), f"no series with side = {side!r}", "add one: a gap needs both"))
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return tuple(counts)


def _history(rows: Sequence[tuple[date, Slice, Floats]], by: tuple[str, ...]) -> History:
    ordinals = np.array([day.toordinal() for day, _, _ in rows], dtype=np.int64)
    dims: dict[str, Coded] = {}
    for i, name in enumerate(by):
        column = [slice_[i] for _, slice_, _ in rows]
        values = tuple(dict.fromkeys(column))
        dims[name] = Coded(np.array([values.index(value) for value in column], dtype=np.int64), values)
    tallies = np.array([numbers for _, _, numbers in rows]).reshape(len(rows), TALLY)
    return slice_history(Cube(ordinals, dims, {"it": tallies}), "it", by)
