"""The sheet that is shared with a customer: what they told us, what we do about it, by when and who. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import mean
from typing import Final

from queries.accounts.timeline import AccountAnswer, AccountStory
from queries.state import Action

RECENT: Final = timedelta(days=365)
"""What was answered longer ago is not told any more."""

MOST_WORDS: Final = 5
MOST_PLACES: Final = 3

UNSHARED: Final = timedelta(days=30)
"""So long after it was recorded, an action should have been shared with its customer."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an account's people answered about the relationship, or at one touchpoint (`place`), in twelve months.

    Args:
        place: the touchpoint; empty is the relationship.
        answers: how many.
        unhappy: how many of them were unhappy.
        mean: of the relationship their mean, 0 to 10.
    """

    place: str
    answers: int
    unhappy: int
    mean: float | None = None


@dataclass(frozen=True, slots=True)
class AccountSheet:
    """What one customer is shown; nothing of anybody else is in it."""

    account_id: str
    relationship: Told | None
    places: tuple[Told, ...]
    words: tuple[AccountAnswer, ...]
    actions: tuple[Action, ...]


def is_unhappy(answer: AccountAnswer) -> bool:
    """Whether an answer is a bad one: 0 to 6 of 10, else in the lower half of its scale."""
    return answer.score <= 6 if answer.scale == "nps" else answer.height < 0.5


def sheet_of(story: AccountStory, actions: Sequence[Action], as_of: datetime) -> AccountSheet:
    """The sheet of an account.

    Args:
        story: what it lived through, as far as its reader may see it.
        actions: those at this account.
        as_of: the answers of the twelve months before are counted; aware UTC.
    """
    recent = [answer for answer in story.answers if answer.at >= as_of - RECENT]
    of_relationship = [answer for answer in recent if answer.kind == "relationship" and answer.scale == "nps"]
    places: dict[str, list[AccountAnswer]] = {}
    for answer in recent:
        if answer.touchpoint:
            places.setdefault(answer.touchpoint, []).append(answer)
    told = [Told(place, len(of), sum(map(is_unhappy, of))) for place, of in places.items()]
    worst = sorted((one for one in told if one.unhappy), key=lambda one: (-one.unhappy, one.answers, one.place))
    said = [answer for answer in reversed(recent) if answer.comment]
    relationship = None
    if of_relationship:
        scores = [answer.score for answer in of_relationship]
        relationship = Told("", len(scores), sum(map(is_unhappy, of_relationship)), mean(scores))
    order = sorted(actions, key=lambda action: (action.done_at is not None, action.due_on or date.max, action.id))
    return AccountSheet(story.id, relationship, tuple(worst[:MOST_PLACES]), tuple(said[:MOST_WORDS]), tuple(order))


def is_unshared(action: Action, now: datetime) -> bool:
    """Whether the customer should have been told of an action by now; `now` is aware UTC."""
    return action.shared_at is None and now.replace(tzinfo=None) - action.recorded_at > UNSHARED
