"""Metrics, and the goals that they are held against."""

from collections.abc import Iterable
from datetime import date
from math import inf
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from config.models.values import (
    ZERO,
    Condition,
    Conditions,
    Duration,
    FrozenModel,
    KeyedError,
    Name,
    Words,
    conditions_text,
)

Shape = Literal["share", "balance", "mean", "quantile", "count"]
INEXACT: Final = frozenset({"quantile", "count"})
"""The shapes whose tail against a limit has no exact law: their rules compare plain values."""


class Metric(FrozenModel):
    """One named figure over one table.

    A `share` is rows matching `where` and `count` over rows matching `where`; a `balance` is the share matching `plus`
    less the share matching `minus`; a `mean` and a `quantile` take the column `value`; a `count` counts `where`.
    """

    name: Name
    label: str
    shape: Shape
    table: str
    dated_by: str
    good: Literal["up", "down"]
    unit: str
    where: Conditions = ()
    count: Conditions = ()
    plus: Conditions = ()
    minus: Conditions = ()
    value: str | None = None
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    factor: Annotated[float, Field(gt=0)] = 1
    min_n: Annotated[int, Field(ge=1)] = 30
    matures: Duration = ZERO
    version: int = 1
    note: str = ""

    @model_validator(mode="after")
    def _has_the_parts_of_its_shape(self) -> Self:
        needed = _PARTS[self.shape]
        for part in ("count", "plus", "minus", "value", "quantile"):
            given = bool(getattr(self, part))
            if given != (part in needed):
                message = f"needs {part!r}; add it" if part in needed else f"has no {part!r}; leave it out"
                raise KeyedError(part, f"a {self.shape} {message}")
        return self

    @property
    def columns(self) -> frozenset[str]:
        """Every column the metric reads besides its date."""
        conditions = (*self.where, *self.count, *self.plus, *self.minus)
        return frozenset(c.column for c in conditions) | ({self.value} if self.value else frozenset())

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value the metric can have."""
        least = {"share": 0.0, "count": 0.0, "balance": -self.factor}.get(self.shape, -inf)
        return least, self.factor if self.shape in {"share", "balance"} else inf


_PARTS: dict[str, frozenset[str]] = {
    "share": frozenset({"count"}),
    "balance": frozenset({"plus", "minus"}),
    "mean": frozenset({"value"}),
    "quantile": frozenset({"value", "quantile"}),
    "count": frozenset(),
}


class Benchmark(FrozenModel):
    """What a competitor, a sector or a standard has for a metric: shown beside a goal, and never counted as one."""

    value: float
    source: Annotated[str, Field(pattern=r"\S", max_length=120)]
    dated: date


class Goal(FrozenModel):
    """What a vertical promised itself for a metric, from a day on. `vertical = "*"` is every vertical.

    It may be for a part of the cases, such as one touchpoint or product (`where`, in words `label`), or for what one
    `function` of the company is responsible for.
    """

    metric: Name
    vertical: str = "*"
    value: float
    valid_from: date
    where: Conditions = ()
    label: Words | None = None
    function: Words | None = None
    reference: Benchmark | None = None

    @property
    def part(self) -> str:
        """What it is for, in words: `installations`; empty where it is for a whole vertical."""
        words = self.label or ", ".join(_in_words(condition) for condition in self.where)
        return ", ".join(filter(None, (words, self.function)))

    def suits(self, where: Conditions, by: Iterable[str] = ()) -> bool:
        """Whether it names what a figure is narrowed to by `where`, and otherwise only columns that it is sliced `by`.

        What a function promised is for all that it is responsible for.
        """
        own, known = {c.column for c in self.where}, {c.column for c in where}
        return (bool(self.function) or known <= own) and own <= known | {*by}

    def covers(self, figure: Conditions) -> bool:
        """Whether each of its conditions holds for a figure that is narrowed to this."""
        return all(any(_implies(known, wanted) for known in figure) for wanted in self.where)


def _in_words(condition: Condition) -> str:
    is_plain = condition.any_of and not isinstance(condition.any_of[0], bool)
    return " or ".join(map(str, condition.any_of or ())) if is_plain else conditions_text((condition,))


def _implies(known: Condition, wanted: Condition) -> bool:
    if known == wanted:
        return True
    values = [condition.model_dump(exclude={"column", "any_of"}, exclude_none=True) for condition in (known, wanted)]
    is_listed = bool(known.any_of) and not any(values) and known.column == wanted.column
    return is_listed and {*(known.any_of or ())} <= {*(wanted.any_of or ())}


class Cutoffs(FrozenModel):
    """Where the quadrants of the portfolio meet, from a day on.

    `score` is the mean likelihood to recommend (0 to 10) from which a relationship is good. What an account is worth is
    high from `share`, our part of its wallet (0 to 1); where that is not known from `growth`, the change of its revenue
    in a quarter against the same quarter a year before (0.1 is a tenth more).
    """

    score: Annotated[float, Field(ge=0, le=10)]
    share: Annotated[float, Field(ge=0, le=1)]
    growth: Annotated[float, Field(ge=-1, le=10)] = 0.0
    valid_from: date


class BaselinePeriod(FrozenModel):
    """The months that a share of journeys is held against, from a day on.

    They begin with `since`; without it, with the first full month of the data.
    """

    metric: Name
    since: date | None = None
    months: Annotated[int, Field(ge=1, le=36)] = 12
    valid_from: date


class ContactCost(FrozenModel):
    """What a contact costs in the reporting currency, from a day on; `*` is every channel without a cost of its own."""

    channel: str = "*"
    amount: Annotated[float, Field(gt=0)]
    valid_from: date


def goal_of(
    goals: Iterable[Goal],
    metric: str,
    vertical: str,
    day: date,
    where: Conditions = (),
    *,
    slices: Conditions = (),
    function: str | None = None,
) -> Goal | None:
    """The most specific goal of a metric that fits a figure and is valid on `day`.

    That is the one that names most of the part that the figure is of, then the function, then the vertical; of equals
    the newest. A goal that does not name the part does not fit.

    Args:
        goals: those there are.
        metric: its name.
        vertical: the figure's, or `*`.
        day: the last of the figure.
        where: what the figure is narrowed to, which the goal must name.
        slices: what it is narrowed to besides, which the goal may name.
        function: who in the company is responsible for it.
    """
    fitting = (
        g
        for g in goals
        if g.metric == metric
        and g.valid_from <= day
        and g.vertical in {vertical, "*"}
        and g.function in {None, function}
        and g.suits(where, {c.column for c in slices})
        and g.covers((*where, *slices))
    )
    return max(
        fitting, key=lambda g: (len(g.where), g.function is not None, g.vertical != "*", g.valid_from), default=None
    )
