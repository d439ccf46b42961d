"""What rules of several kinds state, and answer in the same way; the tables within a rule."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from config.models.values import ZERO, Conditions, Duration, FrozenModel, KeyedError, Name, Names, Words


class RuleFields(FrozenModel):
    """What every kind of rule states.

    `function` is who in the company is responsible for what it watches, such as `Field Service`. While an incident of
    the rule `inhibited_by` is open over the same slice, or over all of it, this rule's incidents are recorded and not
    told.
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
    function: Words | None = None
    inhibited_by: Name | None = None
    enabled: bool = True

    is_case: ClassVar[bool] = False
    """Whether it waits for severe cases, each of which is told once, and looks at no slots."""

    has_goals: ClassVar[bool] = False
    """Whether it is evaluated with the goals of its metric."""

    reads_revenue: ClassVar[bool] = False
    """Whether it is about what an account buys."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics that it reads: its own, and what a gap is measured from."""
        return ()

    @property
    def slice_columns(self) -> tuple[str, ...]:
        """The columns that tell its slices apart; for what is quiet the thing that is listened to."""
        return ()

    @property
    def case_table(self) -> str | None:
        """The table with the rows of what it found, where these belong to one case and to no figure."""
        return None

    @property
    def hears_signals(self) -> bool:
        """Whether it listens to the days of single signals, and not to all revenue at once."""
        return False

    @property
    def limits(self) -> Mapping[str, float]:
        """Limit and recover, where its author wrote them in the unit of a metric."""
        return {}

    @property
    def period(self) -> timedelta:
        """How long the days are that its newest figure is about; a case has none."""
        return ZERO

    @property
    def reach(self) -> timedelta:
        """How far back it looks each time."""
        return ZERO

    @property
    def lasts(self) -> timedelta:
        """How long what it found is open, where no later figure says that it is over."""
        return ZERO

    @property
    def gathers(self) -> timedelta | None:
        """How often at most its incidents are told, all that came since in one message; None where each is told."""
        return None

    @property
    def is_weighed(self) -> bool:
        """Whether it asks how unlikely chance makes what it found, instead of comparing plain values."""
        return False

    @property
    def is_level(self) -> bool:
        """Whether its figure is held against something else than its own past, and so may always have been beyond."""
        return False


class WatchFields(RuleFields):
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

    keeps_baseline: ClassVar[bool] = False
    """Whether it freezes what it takes as normal when it is first evaluated."""

    @property
    def slice_columns(self) -> tuple[str, ...]:
        """What it is sliced by."""
        return self.by

    @property
    def period(self) -> timedelta:
        """How long the days are that its newest figure is about."""
        return self.window

    @property
    def reach(self) -> timedelta:
        """Its window."""
        return self.window

    @property
    def band(self) -> float:
        """How much worse than what was told is news, in the unit of the rule's figure."""
        return 0.0

    @property
    def calm(self) -> float:
        """The power of alpha above which a figure that must be weighed to be safe is so."""
        return 1.0

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        raise NotImplementedError

    @property
    def recovery(self) -> str:
        """What its recovery is, in words."""
        return "back within the recovery limit"


class MeasureFields(WatchFields):
    """What every rule states that reads a metric.

    `floor` is the smallest distance worth anybody's attention, in the metric's unit; `min_n` the rows below which
    nothing is judged, the metric's own where it is left out.
    """

    metric: Name
    floor: Annotated[float, Field(ge=0)]
    min_n: Annotated[int, Field(ge=1)] | None = None

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Its own metric."""
        return (self.metric,)

    @property
    def count_columns(self) -> tuple[str, ...]:
        """What its counts are sliced by."""
        return self.by

    @property
    def wheres(self) -> tuple[Conditions, ...]:
        """The rows that each of its metrics is made of."""
        return (self.where,)

    @property
    def is_weighed(self) -> bool:
        """A metric's figure is weighed against chance."""
        return True

    @property
    def band(self) -> float:
        """The floor: what is less is not worth attention."""
        return self.floor


class RateFields(MeasureFields):
    """What every rule states that holds a metric's window against something."""

    gate: Literal["exact", "none"] = "exact"

    @property
    def is_weighed(self) -> bool:
        """As its author says."""
        return self.gate == "exact"

    @property
    def is_level(self) -> bool:
        """Against a number, or against another figure."""
        return True


class ShortWindowFields(RateFields):
    """A rule on how far a figure falls short of another. `recover` is the shortfall that is small enough again."""

    recover: float

    @model_validator(mode="after")
    def _recovers_before_the_floor(self) -> Self:
        if self.recover > self.floor:
            message = f"recover {self.recover:g} is more than floor {self.floor:g}; a shortfall recovers below it"
            raise KeyedError("recover", message)
        return self


class Against(FrozenModel):
    """The figure that a gap is measured from."""

    metric: Name
    where: Conditions = ()


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
            message = f"a baseline is a period, or the first days of the data; {right}"
            raise ValueError(message)
        return self


class AccountFields(WatchFields):
    """What a rule states that holds every account against its own past."""

    reads_revenue: ClassVar[bool] = True

    @property
    def slice_columns(self) -> tuple[str, ...]:
        """Each account."""
        return ("account_id",)

    @property
    def case_table(self) -> str:
        """The contacts of the account."""
        return "contact"

    @property
    def is_weighed(self) -> bool:
        """Against the account's own past."""
        return True


class CaseFields(RuleFields):
    """What a rule has that waits for single severe rows of a table."""

    table: str
    dated_by: str
    is_case: ClassVar[bool] = True
    scan_back: Duration = timedelta(days=30)
    resolve_after: Duration = timedelta(days=30)
    digest: Duration | None = None

    @property
    def gathers(self) -> timedelta | None:
        """As long as a digest gathers."""
        return self.digest

    @property
    def lasts(self) -> timedelta:
        """Until it closes by itself."""
        return self.resolve_after

    @property
    def case_table(self) -> str:
        """The table of the severe cases."""
        return self.table

    @property
    def reach(self) -> timedelta:
        """As far as late rows are looked for."""
        return self.scan_back


class Guard(FrozenModel):
    """Where the data's own faults go, and the breaches that they explain: to the analyst, never further."""

    route: Name
    owner: Name
    function: Words | None = None
    severity: Annotated[int, Field(ge=1, le=4)]
    every: Duration
    window: Duration
    runbook: str = ""
