"""Metrics, and the goals that they are held against."""

from datetime import date
from math import inf
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from config.models.values import ZERO, Conditions, Duration, FrozenModel, KeyedError, Name

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


class Goal(FrozenModel):
    """What a vertical promised itself for a metric, from a day on. `vertical = "*"` is every vertical."""

    metric: Name
    vertical: str = "*"
    value: float
    valid_from: date
    where: Conditions = ()


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


def goal_of(goals: tuple[Goal, ...], metric: str, vertical: str, day: date, where: Conditions = ()) -> Goal | None:
    """The newest goal of a metric for a vertical that is valid on `day`; the vertical's own before `*`.

    A goal for part of the cases (`where`) answers only to those who ask for the same part.
    """
    asked = [g for g in goals if (g.metric, g.where) == (metric, where)]
    valid = [g for g in asked if g.vertical in {vertical, "*"} and g.valid_from <= day]
    return max(valid, key=lambda g: (g.vertical != "*", g.valid_from), default=None)
