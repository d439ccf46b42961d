"""Rules: when a metric, an absent signal or a severe case opens an incident."""

from collections.abc import Mapping
from datetime import timedelta
from math import inf
from typing import Annotated, ClassVar, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from config.models.rule_fields import (
    AccountFields,
    Against,
    Baseline,
    MeasureFields,
    RateFields,
    RuleFields,
    ShortWindowFields,
    WatchFields,
)
from config.models.values import Conditions, Duration, KeyedError, Names


class ThresholdRule(RateFields):
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

    @property
    def limits(self) -> Mapping[str, float]:
        """Both."""
        return {"limit": self.limit, "recover": self.recover}

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "beyond the limit"


class GoalRule(ShortWindowFields):
    """Fires when a vertical misses its goal (goals.toml) by `floor` or more, on evidence against the goal itself."""

    kind: Literal["goal"]
    has_goals: ClassVar[bool] = True

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "short of its goal"


class ChangeRule(ShortWindowFields):
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

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return _WORSE[self.baseline]

    @property
    def is_level(self) -> bool:
        """The other verticals are no past of its own."""
        return self.baseline == "others"


_WORSE: Final = {
    "previous": "worse than in the window before",
    "last-year": "worse than a year before",
    "others": "worse than all other verticals",
}


class GapRule(ShortWindowFields):
    """Fires when a metric is surely worse than another, or than itself for other rows, by more than `floor`.

    The journey against its touchpoints, many channels against one. `strata` are columns within which the two are
    compared, so that a different mix of them makes no gap (Mantel-Haenszel weights).
    """

    kind: Literal["gap"]
    against: Against
    strata: Names = ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Its own metric and the other."""
        return self.metric, self.against.metric

    @property
    def count_columns(self) -> tuple[str, ...]:
        """What its counts are sliced by: each stratum is compared for itself."""
        return *self.by, *self.strata

    @property
    def wheres(self) -> tuple[Conditions, ...]:
        """The rows that each of its metrics is made of."""
        return self.where, self.against.where

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "behind what it is compared with"


class ChartRule(MeasureFields):
    """Fires on a signal of a control chart against a frozen baseline; each slot adds one period of length `every`.

    `method` is `p` (one period against exact limits), `ewma` (a moving average that gives the newest period
    `newest_weight`), `cusum` (a lasting shift by `floor`; shares only) or `g` (rare cases: how many rows the last
    `events` of them took; shares only). `window` is how far back the chart looks. `recover` is the part of the signal's
    strength, 0 to 1, below which it is over, or of the floor (but not of a cusum's: that is the shift it looks for).
    """

    kind: Literal["chart"]
    method: Literal["p", "ewma", "cusum", "g"]
    baseline: Baseline
    recover: Annotated[float, Field(gt=0, lt=1)]
    newest_weight: Annotated[float, Field(gt=0, le=1)] | None = None
    events: Annotated[int, Field(ge=1)] | None = None
    keeps_baseline: ClassVar[bool] = True

    @model_validator(mode="after")
    def _has_the_parts_of_its_method(self) -> Self:
        for part, method in (("newest_weight", "ewma"), ("events", "g")):
            if (getattr(self, part) is not None) != (self.method == method):
                verb = "needs" if self.method == method else "has no"
                message = f"method {self.method!r} {verb} {part!r}; {'add it' if verb == 'needs' else 'leave it out'}"
                raise KeyedError(part, message)
        if self.method == "cusum" and not self.floor:
            raise KeyedError("floor", "a cusum looks for a shift of a certain size; write it as floor, above 0")
        if self.method != "g" and self.window < self.every:
            days = f"{self.every.days}d"
            raise KeyedError("window", f"a chart looks back over whole periods of {days}; write '{days}' or more")
        return self

    @property
    def period(self) -> timedelta:
        """One period of the chart."""
        return self.every

    @property
    def calm(self) -> float:
        """The strength of a signal is a power of alpha, and so is what is left of it."""
        return self.recover

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "out of its usual range"


class QuietRule(WatchFields):
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
            raise KeyedError("by", "only coverage takes 'by', and only by vertical; leave it out")
        if self.limit and self.recover and self.recover < self.limit:
            wrong = f"recover {self.recover:g} is on the bad side of limit {self.limit:g}"
            raise KeyedError("recover", f"{wrong}; write {self.limit:g} or more")
        return self

    @property
    def band(self) -> float:
        """Silence grows by itself and is told once; coverage is news again at the distance from limit to recover."""
        return self.recover - self.limit if self.recover and self.limit else inf

    @property
    def slice_columns(self) -> tuple[str, ...]:
        """The thing that is listened to; coverage has none, and is sliced like any other figure."""
        return self.by if self.of == "coverage" else (_HEARD[self.of],)

    @property
    def case_table(self) -> str | None:
        """The contacts of a silent account."""
        return "contact" if self.of == "account" else None

    @property
    def hears_signals(self) -> bool:
        """All but coverage do, which looks at the whole revenue at once."""
        return self.of in _HEARD

    @property
    def is_weighed(self) -> bool:
        """Only an account has a rhythm of its own."""
        return self.of == "account"

    @property
    def is_level(self) -> bool:
        """Coverage has a limit; everything else falls silent at some time."""
        return self.of == "coverage"

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return _QUIET[self.of]


_HEARD: Final = {"account": "account_id", "instrument": "instrument", "source": "source"}
_QUIET: Final = {
    "account": "silent for longer than its own rhythm explains",
    "instrument": "no invitation for longer than its cadence",
    "source": "no data from it",
    "coverage": "feedback covers too little of the revenue",
}


class DeclineRule(AccountFields):
    """Fires when an account's revenue or share of wallet falls against its own last twelve months.

    Its newest two months must lie `fall` below the middle of the twelve before, of which `min_n` are known; that must
    be worth `floor` of revenue a year. It is over at less than `recover` below the best such level of the last year.
    """

    kind: Literal["decline"]
    window: Duration = timedelta(days=365)
    fall: Annotated[float, Field(gt=0, lt=1)]
    recover: Annotated[float, Field(gt=0, lt=1)]
    floor: Annotated[float, Field(ge=0)]
    min_n: Annotated[int, Field(ge=6, le=12)] = 10

    @model_validator(mode="after")
    def _is_about_accounts(self) -> Self:
        if self.recover > self.fall:
            raise KeyedError("recover", f"recover {self.recover:g} is more than fall {self.fall:g}; write less")
        if self.by:
            raise KeyedError("by", "a decline is one of each account; leave it out")
        if self.window < timedelta(days=365):
            raise KeyedError("window", "a decline is held against twelve months; write '365d' or more")
        for condition in self.where:
            if condition.column != "vertical" and not condition.column.startswith("account."):
                raise KeyedError("where", f"{condition.column} chooses no accounts; use vertical or account.tier")
        return self

    @property
    def band(self) -> float:
        """A fall that is deeper by as much again is news."""
        return self.fall

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "below its own last twelve months"


class EventRule(RuleFields):
    """Fires once for each severe case: a row of `table` matching `where`, told apart by its key, for ever.

    `scan_back` is how far behind the newest slot late rows are still looked for. With `digest` cases are told together,
    in one message at most once in so long, and climb no ladder.
    """

    kind: Literal["event"]
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
        """Until it resolves by itself."""
        return self.resolve_after

    @property
    def case_table(self) -> str:
        """The table of the severe cases."""
        return self.table

    @property
    def reach(self) -> timedelta:
        """As far as late rows are looked for."""
        return self.scan_back


RateRule = ThresholdRule | GoalRule | ChangeRule | GapRule | ChartRule
"""The rules that read a metric."""

WatchRule = RateRule | QuietRule | DeclineRule
"""The rules that look at slots, and keep a state between them."""

Rule = Annotated[WatchRule | EventRule, Field(discriminator="kind")]
RULES: Final[tuple[type[RuleFields], ...]] = (
    ThresholdRule, GoalRule, ChangeRule, GapRule, ChartRule, QuietRule, DeclineRule, EventRule,
)  # fmt: skip
BY_KIND: Final = {get_args(model.model_fields["kind"].annotation)[0]: model for model in RULES}
"""The rules by the word that they write as their kind."""


DATA_FAULT: Final = "data-fault"
"""The rule under which faults of the data are recorded."""

DECEIVES: Final = "Data fault"
"""What that rule is called."""


def program_rule(name: str, label: str, **fields: object) -> EventRule:
    """The rule of what the program itself found, which no file holds: its incidents are recorded and shown by it."""
    fixed = {"kind": "event", "table": "response", "dated_by": "invited_at", "class": "data"}
    return EventRule.model_validate({"name": name, "label": label, **fixed, **fields})
