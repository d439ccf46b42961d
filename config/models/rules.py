"""Rules: when an absent signal, an account's decline or a severe case opens an incident; and all rules together."""

from datetime import timedelta
from math import inf
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from config.models.rate_rules import RateRule
from config.models.rule_fields import (
    AccountFields,
    CaseFields,
    RuleFields,
    WatchFields,
)
from config.models.values import Duration, KeyedError


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

    @property
    def recovery(self) -> str:
        """What its recovery is, in words."""
        return _BACK[self.of]


_HEARD: Final = {"account": "account_id", "instrument": "instrument", "source": "source"}
_QUIET: Final = {
    "account": "silent for longer than its own rhythm explains",
    "instrument": "no invitation for longer than its cadence",
    "source": "no data from it",
    "coverage": "feedback covers too little of the revenue",
}
_BACK: Final = {
    "account": "in touch again",
    "instrument": "inviting people again",
    "source": "delivering data again",
    "coverage": "feedback covers enough of the revenue again",
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

    @property
    def recovery(self) -> str:
        """What its recovery is, in words."""
        return "back near its own last twelve months"


class EventRule(CaseFields):
    """Fires once for each severe case: a row of `table` matching `where`, told apart by its key, for ever.

    `scan_back` is how far behind the newest slot late rows are still looked for. With `digest` cases are told together,
    in one message at most once in so long, and climb no ladder.
    """

    kind: Literal["event"]


WatchRule = RateRule | QuietRule | DeclineRule
"""The rules that look at slots, and keep a state between them."""

Rule = Annotated[WatchRule | EventRule, Field(discriminator="kind")]
RULES: Final[tuple[type[RuleFields], ...]] = (
    *get_args(RateRule), QuietRule, DeclineRule, EventRule,
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
