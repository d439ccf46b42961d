"""Where incidents go and who sees what: routes, people and audiences."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import Field

from config.models.values import (
    ZERO,
    ChannelId,
    Duration,
    FrozenModel,
    Hours,
    Listed,
    MemberId,
    Name,
    Names,
    Times,
    Zone,
)

Grain = Literal["day", "week", "month", "quarter"]
Page = Literal["review", "strategy", "journeys", "incidents", "accounts", "explorer", "lab", "quality"]


class Step(FrozenModel):
    """One step of a ladder: how long after the opening, and who is told: `channel`, `gm` or a person's name."""

    after: Times = (ZERO,) * 4
    notify: Name = "channel"


PARTICLES: Final = frozenset(
    {
        "al",
        "bin",
        "da",
        "de",
        "del",
        "della",
        "den",
        "der",
        "di",
        "do",
        "dos",
        "du",
        "el",
        "la",
        "le",
        "ter",
        "van",
        "von",
    }
)
"""What stands before a family name and is not written large."""


class Route(FrozenModel):
    """Where a rule's incidents go: a Slack channel, and a ladder of who is told when.

    Outside its `hours` (in `zone`, on business days that are not its `holidays`) steps of the ladder are held until it
    opens, folded into one there, or dropped; severity 1 goes through. Or the clock pauses: only
    business time counts, whatever is due. Whoever took an incident on has `ack_timeout`.
    What it escalates should be solved `solve_within` of its opening.
    """

    name: Name
    label: str = ""
    channel: ChannelId | None = None
    ladder: Annotated[tuple[Step, ...], Listed, Field(min_length=1)] = (Step(),)
    show: Names = ("accounts",)
    verticals: Names | None = None
    zone: Zone | None = None
    hours: Hours | None = None
    outside: Literal["hold", "digest", "drop", "pause"] = "hold"
    holidays: Annotated[tuple[date, ...], Listed] = ()
    ack_timeout: Duration | None = None
    solve_within: Times | None = None
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


def label_of(name: str | None, people: Iterable[Person]) -> str:
    """How people read somebody's name: the label of whom the configuration knows, else as it is written."""
    return next((person.label for person in people if person.name == name), "somebody" if name is None else name)


def called(name: str | None, people: Iterable[Person]) -> str:
    """How a sentence says somebody's name: the label of a role with its article, `the head of billing`."""
    label = next((person.label for person in people if person.name == name), "")
    # Only a role has words that are no proper nouns after its first, but for what stands before a family name.
    if not any(word[0].islower() and word not in PARTICLES for word in label.split()[1:]):
        return label or label_of(name, ())
    return f"the {label if label[1].isupper() else label[0].lower() + label[1:]}"


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
    guess_first: bool = False


class ReviewSettings(FrozenModel):
    """What the monthly review shows: the metrics compared with goals, in order, and on which business day of the next
    month it should have been held.
    """

    metrics: Names = ("nps", "csat", "promise-kept", "defect-rate")
    max_issues: Annotated[int, Field(ge=1, le=10)] = 5
    held_by: Annotated[int, Field(ge=1, le=20)] = 10


class Privacy(FrozenModel):
    """How many people a figure about people must come from to be shown to anybody."""

    people: Annotated[int, Field(ge=1)] = 5
    comments: Annotated[int, Field(ge=1)] = 8
    exempt: Names = ()
