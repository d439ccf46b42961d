"""What analysts edit, as frozen values: metrics, goals, rules, routes, people, audiences and the calendar."""

import codecs
from datetime import date, timedelta
from math import inf
from pathlib import PurePath
from typing import Annotated, Final, Literal, Protocol, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from config.models.hours import Hours
from config.models.values import ChannelId, Conditions, Duration, FrozenModel, KeyedError, Listed, MemberId, Name, Names
from config.models.zones import Zone

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


class _Rule(FrozenModel):
    """What every kind of rule states.

    While an incident of the rule `inhibited_by` is open over the same slice, or over all of it, this rule's incidents
    are recorded and not told.
    """

    name: Name
    label: str = ""
    where: Conditions = ()
    class_: Literal["customer", "data"] = Field(default="customer", alias="class")
    settle: Duration = ZERO
    severity: Annotated[int, Field(ge=1, le=4)]
    route: Name
    runbook: str = ""
    owner: Name
    inhibited_by: Name | None = None
    enabled: bool = True


class _Watch(_Rule):
    """What every rule states that looks at slots, one every `every`, each over the `window` before it.

    `false_alarms_per_year` covers all slices, slots and overlapping windows of the rule.
    """

    by: Names = ()
    window: Duration
    every: Duration
    false_alarms_per_year: Annotated[float, Field(gt=0)]
    for_: Duration = Field(default=ZERO, alias="for")
    consecutive: Annotated[int, Field(ge=1)] = 1
    keep_firing: Duration
    no_data: Literal["keep", "close"] = "keep"

    @model_validator(mode="after")
    def _whole_days(self) -> Self:
        for name in ("window", "every"):
            length: timedelta = getattr(self, name)
            if length < timedelta(days=1) or length % timedelta(days=1):
                message = f"{name} must be whole days; write '7d' or '4w'"
                raise KeyedError(name, message)
        return self

    @property
    def band(self) -> float:
        """How much worse than what was told is news, in the unit of the rule's figure."""
        return 0.0


class _Rate(_Watch):
    """What every rule states that holds a metric against something.

    `floor` is the smallest distance worth anybody's attention, in the metric's unit; `min_n` the rows below which
    nothing is judged, the metric's own where it is left out.
    """

    metric: Name
    floor: Annotated[float, Field(ge=0)]
    min_n: Annotated[int, Field(ge=1)] | None = None
    gate: Literal["exact", "none"] = "exact"

    @property
    def band(self) -> float:
        """The floor: what is less is not worth attention."""
        return self.floor


class ThresholdRule(_Rate):
    """Fires when a metric is beyond its limit, on evidence: the exact tail against the limit is below the rule's alpha.

    `recover` is the value on the safe side of `limit` that must hold for `keep_firing` before the incident resolves.
    """

    kind: Literal["threshold"]
    limit: float
    recover: float

    @property
    def band(self) -> float:
        """What lies between limit and recover is no news."""
        return max(abs(self.recover - self.limit), self.floor)


class _Short(_Rate):
    """A rule on how far a figure falls short of another. `recover` is the shortfall that is small enough again."""

    recover: float

    @model_validator(mode="after")
    def _recovers_before_the_floor(self) -> Self:
        if self.recover > self.floor:
            message = f"recover {self.recover:g} is more than floor {self.floor:g}; a shortfall recovers below it"
            raise KeyedError("recover", message)
        return self


class GoalRule(_Short):
    """Fires when a vertical misses its goal (goals.toml) by `floor` or more, on evidence against the goal itself."""

    kind: Literal["goal"]


class ChangeRule(_Short):
    """Fires when a metric is surely worse than its baseline by more than `floor`.

    `baseline` is the window just before (`previous`), the same weekdays 52 weeks earlier (`last-year`), or all other
    verticals in the same window (`others`). Days under a condition are left out of the first two.
    """

    kind: Literal["change"]
    baseline: Literal["previous", "last-year", "others"]

    @model_validator(mode="after")
    def _others_are_verticals(self) -> Self:
        if self.baseline == "others" and "vertical" not in self.by:
            raise KeyedError("by", "a comparison with all other verticals needs 'vertical' in by; add it")
        return self


class Against(FrozenModel):
    """The figure that a gap is measured from."""

    metric: Name
    where: Conditions = ()


class GapRule(_Short):
    """Fires when a metric is surely worse than another, or than itself for other rows, by more than `floor`.

    The journey against its touchpoints, many channels against one. `strata` are columns within which the two are
    compared, so that a different mix of them makes no gap (Mantel-Haenszel weights).
    """

    kind: Literal["gap"]
    against: Against
    strata: Names = ()


class Baseline(FrozenModel):
    """The days that a chart takes as normal: from `since` to before `until`, or the `first` days of the data."""

    since: date | None = None
    until: date | None = None
    first: Duration | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        dated = self.since is not None and self.until is not None and self.since < self.until
        if (self.first is None) != dated or (self.first is not None and (self.since or self.until)):
            right = "write since and until, the later one last, or first, such as { first = '182d' }"
            message = f"a baseline is a span of days, or the first ones; {right}"
            raise ValueError(message)
        return self


class ChartRule(_Watch):
    """Fires on a signal of a control chart against a frozen baseline; each slot adds one period of length `every`.

    `method` is `p` (one period against exact limits), `ewma` (a moving average that gives the newest period
    `newest_weight`), `cusum` (a lasting shift by `floor`; shares only) or `g` (rare cases: how many rows the last
    `events` of them took; shares only). `window` is how far back the chart looks. `recover` is the part of the signal's
    strength, 0 to 1, below which it is over.
    """

    kind: Literal["chart"]
    metric: Name
    method: Literal["p", "ewma", "cusum", "g"]
    baseline: Baseline
    floor: Annotated[float, Field(ge=0)]
    recover: Annotated[float, Field(gt=0, lt=1)]
    min_n: Annotated[int, Field(ge=1)] | None = None
    newest_weight: Annotated[float, Field(gt=0, le=1)] | None = None
    events: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _has_the_parts_of_its_method(self) -> Self:
        for part, method in (("newest_weight", "ewma"), ("events", "g")):
            if (getattr(self, part) is not None) != (self.method == method):
                verb = "needs" if self.method == method else "has no"
                message = f"method {self.method!r} {verb} {part!r}; {'add it' if verb == 'needs' else 'leave it out'}"
                raise KeyedError(part, message)
        if self.method == "cusum" and not self.floor:
            raise KeyedError("floor", "a cusum looks for a shift of a certain size; write it as floor, above 0")
        return self

    @property
    def band(self) -> float:
        """The floor: what is less is not worth attention."""
        return self.floor


class QuietRule(_Watch):
    """Fires when an expected signal is absent.

    `of` an `account`: no inbound contact and no answer for so long that its own rhythm over `window` makes chance
    unlikely, and for `at_least`; `min_n` gaps must be known. `of` an `instrument`: none of its invitations for
    `at_least` beyond its cadence. `of` a `source`: no row for `at_least`. `of` `coverage`: accounts that answered a
    relationship survey in the window make up less than `limit` of the revenue; it is over at `recover`.
    """

    kind: Literal["quiet"]
    of: Literal["account", "instrument", "source", "coverage"]
    at_least: Duration | None = None
    min_n: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[float, Field(gt=0, le=1)] | None = None
    recover: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _has_the_parts_of_its_signal(self) -> Self:
        needed = {"coverage": {"limit", "recover", "min_n"}, "account": {"at_least", "min_n"}}.get(
            self.of, {"at_least"}
        )
        for part in ("at_least", "min_n", "limit", "recover"):
            if (getattr(self, part) is not None) != (part in needed):
                verb = "needs" if part in needed else "has no"
                message = f"of {self.of!r} {verb} {part!r}; {'add it' if verb == 'needs' else 'leave it out'}"
                raise KeyedError(part, message)
        if self.by and (self.of != "coverage" or self.by != ("vertical",)):
            raise KeyedError("by", "only coverage can be asked by vertical, and by nothing else; leave it out")
        if self.limit and self.recover and self.recover < self.limit:
            wrong = f"recover {self.recover:g} is on the bad side of limit {self.limit:g}"
            raise KeyedError("recover", f"{wrong}; write {self.limit:g} or more")
        return self

    @property
    def band(self) -> float:
        """Silence grows by itself and is told once; coverage is news again at the distance from limit to recover."""
        return self.recover - self.limit if self.recover and self.limit else inf


class EventRule(_Rule):
    """Fires once for each severe case: a row of `table` matching `where`, told apart by its key, for ever.

    `scan_back` is how far behind the newest slot late rows are still looked for.
    """

    kind: Literal["event"]
    table: str
    dated_by: str
    scan_back: Duration = timedelta(days=30)
    resolve_after: Duration = timedelta(days=30)


RateRule = ThresholdRule | GoalRule | ChangeRule | GapRule | ChartRule
"""The rules that read a metric."""

WatchRule = RateRule | QuietRule
"""The rules that look at slots, and keep a state between them."""

Rule = Annotated[WatchRule | EventRule, Field(discriminator="kind")]
RULES: Final[tuple[type[_Rule], ...]] = (
    ThresholdRule, GoalRule, ChangeRule, GapRule, ChartRule, QuietRule, EventRule,
)  # fmt: skip


DATA_FAULT: Final = "data-fault"
"""The rule under which faults of the data are recorded."""

DECEIVES: Final = "The data deceives"
"""What that rule is called."""


class Guard(FrozenModel):
    """Where the data's own faults go, and the breaches that they explain: to the analyst, never further."""

    route: Name
    owner: Name
    severity: Annotated[int, Field(ge=1, le=4)]
    every: Duration
    window: Duration
    runbook: str = ""


class Step(FrozenModel):
    """One step of a ladder: how long after the opening, and who is told: `channel`, `gm` or a person's name."""

    after: Duration = ZERO
    notify: Name = "channel"


class Route(FrozenModel):
    """Where a rule's incidents go: a Slack channel, and a ladder of who is told when.

    Outside its `hours` (in `zone`, on business days that are not its `holidays`) steps of the ladder are held until it
    opens, folded into one there, or dropped; severity 1 goes through. Whoever took an incident on has `ack_timeout`.
    """

    name: Name
    label: str = ""
    channel: ChannelId | None = None
    ladder: Annotated[tuple[Step, ...], Listed, Field(min_length=1)] = (Step(),)
    show: Names = ("accounts",)
    verticals: Names | None = None
    zone: Zone | None = None
    hours: Hours | None = None
    outside: Literal["hold", "digest", "drop"] = "hold"
    holidays: Annotated[tuple[date, ...], Listed] = ()
    ack_timeout: Duration | None = None
    hourly: Annotated[int, Field(ge=1)] = 60
    fallback: Name | None = None


class Person(FrozenModel):
    """Somebody at the company: who they are to Slack and to the sign-in, and what they may see."""

    name: Name
    label: str
    audience: Name
    slack: MemberId | None = None
    email: str | None = None
    verticals: Names | None = None
    touchpoints: Names | None = None
    accounts: Names | None = None
    budget: Annotated[int, Field(ge=0)] | None = None


class Audience(FrozenModel):
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


class Calendar(FrozenModel):
    """How days add up to periods, and which are business days."""

    fiscal_year_start: Annotated[int, Field(ge=1, le=12)] = 1
    pattern: Literal["months", "4-4-5"] = "months"
    weekend: Annotated[tuple[Weekday, ...], Listed, Field(max_length=6)] = (6, 7)
    holidays: Annotated[tuple[date, ...], Listed] = ()


class ReviewSettings(FrozenModel):
    """What the monthly review shows: the metrics compared with goals, in order, and where financials stand."""

    metrics: Names = ("nps", "csat", "promise-kept", "defect-rate")
    max_issues: Annotated[int, Field(ge=1, le=10)] = 5


class SourceInput(FrozenModel):
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


class Source(FrozenModel):
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


class Catalog(FrozenModel):
    """Everything in the config folder, checked against itself."""

    metrics: tuple[Metric, ...]
    goals: tuple[Goal, ...]
    rules: tuple[Rule, ...]
    routes: tuple[Route, ...]
    people: tuple[Person, ...]
    audiences: tuple[Audience, ...]
    calendar: Calendar
    review: ReviewSettings
    guard: Guard

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
        """The goal of a metric for a vertical that is valid on `day`; see `goal_of`."""
        return goal_of(self.goals, metric, vertical, day, where)


def goal_of(goals: tuple[Goal, ...], metric: str, vertical: str, day: date, where: Conditions = ()) -> Goal | None:
    """The newest goal of a metric for a vertical that is valid on `day`; the vertical's own before `*`.

    A goal for part of the cases (`where`) answers only to those who ask for the same part.
    """
    asked = [g for g in goals if (g.metric, g.where) == (metric, where)]
    valid = [g for g in asked if g.vertical in {vertical, "*"} and g.valid_from <= day]
    return max(valid, key=lambda g: (g.vertical != "*", g.valid_from), default=None)


def next_named(items: tuple[NamedT, ...], name: str) -> NamedT:
    """The item of that name. Raises KeyError."""
    for item in items:
        if item.name == name:
            return item
    raise KeyError(name)
