"""What analysts edit, as frozen values: metrics, goals, rules, routes, people, audiences and the calendar."""

import codecs
from datetime import date, timedelta
from math import inf
from pathlib import PurePath
from typing import Annotated, Final, Literal, Protocol, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from config.values import ChannelId, Conditions, Duration, Frozen, KeyedError, Listed, MemberId, Name, Names
from config.zones import Zone

Shape = Literal["share", "balance", "mean", "quantile", "count"]
Grain = Literal["day", "week", "month", "quarter"]
Page = Literal["review", "strategy", "journeys", "incidents", "accounts", "explorer", "lab", "quality"]
ZERO: Final = timedelta(0)
INEXACT: Final = frozenset({"quantile", "count"})
"""The shapes whose tail against a limit has no exact law: their rules compare plain values."""

TABLES: Final = frozenset(
    {
        "account",
        "account_history",
        "person",
        "revenue",
        "fx_rate",
        "journey",
        "contact",
        "response",
        "defect",
        "condition",
        "instrument",
    },
)
"""The tables a source may fill, and so the names its `.sql` files may have."""


class Metric(Frozen):
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


class Goal(Frozen):
    """What a vertical promised itself for a metric, from a day on. `vertical = "*"` is every vertical."""

    metric: Name
    vertical: str = "*"
    value: float
    valid_from: date
    where: Conditions = ()


class _Rule(Frozen):
    """What every kind of rule states."""

    name: Name
    label: str = ""
    by: Names = ()
    where: Conditions = ()
    class_: Literal["customer", "data"] = Field(default="customer", alias="class")
    settle: Duration = ZERO
    severity: Annotated[int, Field(ge=1, le=4)]
    route: Name
    evidence: Names = ("accounts",)
    runbook: str = ""
    owner: Name
    enabled: bool = True


class ThresholdRule(_Rule):
    """Fires when a metric is beyond its limit, on evidence: the exact tail against the limit is below the rule's alpha.

    `recover` is the value on the safe side of `limit` that must hold for `keep_firing` before the incident resolves.
    `false_alarms_per_year` covers all slices, slots and overlapping windows of the rule. `floor` is the smallest
    distance from the limit worth anybody's attention, in the metric's unit.
    """

    kind: Literal["threshold"]
    metric: Name
    limit: float
    recover: float
    window: Duration
    every: Duration
    false_alarms_per_year: Annotated[float, Field(gt=0)]
    floor: Annotated[float, Field(ge=0)] = 0
    gate: Literal["exact", "none"] = "exact"
    for_: Duration = Field(default=ZERO, alias="for")
    consecutive: Annotated[int, Field(ge=1)] = 1
    keep_firing: Duration = ZERO
    min_n: Annotated[int, Field(ge=1)] | None = None
    no_data: Literal["keep", "close"] = "keep"

    @model_validator(mode="after")
    def _whole_days(self) -> Self:
        for name in ("window", "every"):
            length: timedelta = getattr(self, name)
            if length < timedelta(days=1) or length % timedelta(days=1):
                message = f"{name} must be whole days; write '7d' or '4w'"
                raise KeyedError(name, message)
        return self


class EventRule(_Rule):
    """Fires once for each severe case: a row of `table` matching `where`, told apart by its key, for ever.

    `scan_back` is how far behind the newest slot late rows are still looked for.
    """

    kind: Literal["event"]
    table: str
    dated_by: str
    scan_back: Duration = timedelta(days=30)
    resolve_after: Duration = timedelta(days=30)


Rule = Annotated[ThresholdRule | EventRule, Field(discriminator="kind")]


class Step(Frozen):
    """One step of a ladder: how long after the opening, and who is told: `channel`, `gm` or a person's name."""

    after: Duration = ZERO
    notify: Name = "channel"


class Route(Frozen):
    """Where a rule's incidents go: a Slack channel, and a ladder of who is told when."""

    name: Name
    label: str = ""
    channel: ChannelId | None = None
    ladder: Annotated[tuple[Step, ...], Listed, Field(min_length=1)] = (Step(),)
    show: Names = ("accounts",)
    verticals: Names | None = None


class Person(Frozen):
    """Somebody at the company: who they are to Slack and to the sign-in, and what they may see."""

    name: Name
    label: str
    audience: Name
    slack: MemberId | None = None
    email: str | None = None
    verticals: Names | None = None
    touchpoints: Names | None = None
    accounts: Names | None = None


class Audience(Frozen):
    """Which pages an audience opens and how much detail a page may give it."""

    name: Name
    label: str
    pages: Annotated[tuple[Page, ...], Listed]
    issues: Annotated[int, Field(ge=1)]
    figures: Annotated[int, Field(ge=1)]
    charts: Annotated[int, Field(ge=1)]
    grains: Annotated[tuple[Grain, ...], Listed]
    rows: bool = False
    verbatims: bool = False
    account_names: bool = False


Weekday = Annotated[int, Field(ge=1, le=7)]
"""Monday is 1, as in ISO 8601."""


class Calendar(Frozen):
    """How days add up to periods, and which are business days."""

    fiscal_year_start: Annotated[int, Field(ge=1, le=12)] = 1
    pattern: Literal["months", "4-4-5"] = "months"
    weekend: Annotated[tuple[Weekday, ...], Listed, Field(max_length=6)] = (6, 7)
    holidays: Annotated[tuple[date, ...], Listed] = ()


class Review(Frozen):
    """What the monthly review shows: the metrics compared with goals, in order, and where financials stand."""

    metrics: Names = ("nps", "csat", "promise-kept", "defect-rate")
    max_issues: Annotated[int, Field(ge=1, le=10)] = 5


class SourceInput(Frozen):
    """How one input of a source is read. `file` is relative to the load's data folder and may be a glob."""

    file: Annotated[str, Field(min_length=1)]
    format: Literal["csv", "parquet", "jsonl"]
    encoding: str = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","

    @field_validator("file")
    @classmethod
    def _inside_the_data_folder(cls, file: str) -> str:
        if PurePath(file).is_absolute() or ".." in PurePath(file).parts or "\0" in file:
            message = f"{file!r} leaves the data folder; write a path relative to --data"
            raise ValueError(message)
        return file

    @field_validator("encoding")
    @classmethod
    def _known_to_python(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except (LookupError, ValueError):
            message = f"{encoding!r} is no known encoding; write one such as 'utf-8', 'latin-1' or 'cp1252'"
            raise ValueError(message) from None
        return encoding

    @model_validator(mode="after")
    def _has_what_its_format_knows(self) -> Self:
        for key, formats in (("encoding", {"csv", "jsonl"}), ("delimiter", {"csv"})):
            if key in self.model_fields_set and self.format not in formats:
                raise KeyedError(key, f"a {self.format} input has no {key!r}; leave it out")
        return self


class Source(Frozen):
    """A folder of SELECTs that maps somebody's files to the canonical tables."""

    name: Name
    zone: Zone
    mode: Literal["append", "snapshot"]
    settle: Duration = ZERO
    sample: bool = False
    max_rejected: Annotated[float, Field(ge=0, le=1)] = 0.05
    inputs: Annotated[dict[Name, SourceInput], Field(min_length=1)]
    note: str = ""


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """How other entries refer to it."""
        ...


NamedT = TypeVar("NamedT", bound=Named)


class Catalog(Frozen):
    """Everything in the config folder, checked against itself."""

    metrics: tuple[Metric, ...]
    goals: tuple[Goal, ...]
    rules: tuple[Rule, ...]
    routes: tuple[Route, ...]
    people: tuple[Person, ...]
    audiences: tuple[Audience, ...]
    calendar: Calendar
    review: Review

    def metric(self, name: str) -> Metric:
        """The metric of that name. Raises KeyError."""
        return next_named(self.metrics, name)

    def route(self, name: str) -> Route:
        """The route of that name. Raises KeyError."""
        return next_named(self.routes, name)

    def rule(self, name: str) -> Rule:
        """The rule of that name. Raises KeyError."""
        return next_named(self.rules, name)

    def person(self, name: str) -> Person:
        """The person of that name. Raises KeyError."""
        return next_named(self.people, name)

    def audience(self, name: str) -> Audience:
        """The audience of that name. Raises KeyError."""
        return next_named(self.audiences, name)

    def goal(self, metric: str, vertical: str, day: date, where: Conditions = ()) -> Goal | None:
        """The newest goal of a metric for a vertical that is valid on `day`; the vertical's own before `*`.

        A goal for part of the cases (`where`) answers only to those who ask for the same part.
        """
        asked = [g for g in self.goals if (g.metric, g.where) == (metric, where)]
        valid = [g for g in asked if g.vertical in {vertical, "*"} and g.valid_from <= day]
        return max(valid, key=lambda g: (g.vertical != "*", g.valid_from), default=None)


def next_named(items: tuple[NamedT, ...], name: str) -> NamedT:
    """The item of that name. Raises KeyError."""
    for item in items:
        if item.name == name:
            return item
    raise KeyError(name)
