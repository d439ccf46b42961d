"""What is planted in the sample, and where. Months count from the month of the end: -1 is the last full one."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from queries.sample.comments import INVOICES, NO_THEME, SIGN_IN
from queries.sample.draws import QUARTER, Bools, Floats, Ints, Timeline, hashed, hashed_normal, month
from queries.sample.names import (
    CAPITAL,
    COMMERCIAL,
    CREWS,
    FAULTS,
    INSTALLATION,
    INSURANCE,
    KINDS,
    LENDING,
    ONBOARDING,
    PAYMENTS,
    PUBLIC,
    REPAIR,
    RETAIL,
    TOUCHPOINTS,
    VERTICALS,
    WEALTH,
)

NULL: Final = PUBLIC
"""The vertical where nothing happens."""

DEFECTS: Final = np.array([0.09, 0.09, 0.085, 0.09, 0.08, 0.09, 0.085, 0.09])[:, None] * np.ones(len(KINDS))
DEFECTS[PAYMENTS, REPAIR] = 0.40
FALLING: Final = (RETAIL, INSURANCE)
"""The verticals whose defects fall in the last year, from a level above the others' that no rule minds."""
for _vertical in FALLING:
    DEFECTS[_vertical, INSTALLATION + 1 :] = 0.15
"""Share of journeys with a defect, by vertical and journey type."""

FALL_MONTH: Final = -12
FALL_FACTOR: Final = 0.84
BREAK_MONTH: Final = -3
BREAK_DEFECTS: Final = 0.34
BREAK_BLAMED: Final = 0.6
"""Share of the break's defective installations that are one crew's, with one fault: four in five of those in excess."""
BREAK_SPARED: Final = 0.6
"""Share of that crew's good installations which others make meanwhile, so that it makes as many as before."""
ACTION_MONTH: Final = -6
ACTION_FACTOR: Final = 0.84
TRAP_MONTH: Final = -7
TRAP_DEFECTS: Final = 0.60
CONDITION_MONTH: Final = -10
CONDITION_DAYS: Final = (3, 24)
INVITE_MONTH: Final = -4
WANE_MONTH: Final = -8
SEASONAL: Final = WEALTH
"""The vertical whose largest account buys little in two months of each year."""
LOW_MONTHS: Final = (8, 9)
"""Which: months from the end, of twelve; -4 and -3 are the last of them."""
LOW_SEASON: Final = 0.55
SILENT_MONTH: Final = -5
DISAPPOINTED: Final = 0.25
"""Share of answers in the vertical with the expectation gap that call it worse than expected, whatever the score."""
UNSEEN: Final = 0.35
"""Share of contacts in the vertical where staff see too little that are taken unprepared, though they would not be."""
LOOPED: Final = 0.3
"""Share of long onboardings, where nothing else is planted in them, whose contract has to be signed again."""
SCRIPT_MONTH: Final = -13
"""Since when the accounts with planted answers give no others."""
GROWING: Final = 0.3
"""Share of the content accounts, large or standard, that buy less than their size allows, and always did."""
GROWING_LEVEL: Final = 0.6
UNHEARD: Final = 2
"""Accounts that are invited and never answer."""
OVERDONE_LOSS: Final = 0.18
"""How much rarer a goal is reached once a journey has had too many contacts."""
STAGE_SHARE: Final = 0.49
"""The part of what scatters at a touchpoint with a weight that an account's experience there explains."""
STAGE_WEIGHTS: Final = {"repair": 0.55, "fault report": 0.3}
"""How much an account's experience at a touchpoint counts for its relationship; at any other, not at all."""
CHOSEN_SHIFT: Final = 0.6
"""How much more content those are whom a team invites that chooses whom to ask."""
INVOICES_SHARE: Final = 0.12
SIGN_IN_MONTH: Final = -4
SIGN_IN_SHARE: Final = 0.10
"""Share of comments with the rising theme in its first month; it rises by as much in each month after."""


@dataclass(frozen=True, slots=True)
class PlantedAction:
    """An action as the state store records it, and when it was done. `expected` is the relative change hoped for.

    `function` is who in the company is responsible.
    """

    vertical: str
    touchpoint: str
    journey_type: str
    metric: str
    start: date
    owner: str
    due: date
    done: date
    expected: float
    function: str = "Field Service"


@dataclass(frozen=True, slots=True)
class PlantedAnswer:
    """One answer to the relationship survey by a decision-maker of a vertical's largest account."""

    vertical: int
    month: int
    day: int
    score: int
    expectation: str
    comment: str | None = None


def planted_actions(end: date) -> tuple[PlantedAction, ...]:
    """The two actions that the sample's managers took, six full months before `end`."""
    start, due = month(end, ACTION_MONTH), month(end, 0)
    done = due - timedelta(days=7)
    return (
        PlantedAction(VERTICALS[PAYMENTS], "repair", "repair", "defect-rate", start, "repair-lead", due, done, -0.16),
        PlantedAction(VERTICALS[LENDING], "repair", "repair", "defect-rate", start, "repair-lead", due, done, -0.25),
    )


QUIET: Final = CAPITAL
NEAR_RISK: Final = INSURANCE
DETRACTOR: Final = RETAIL
"""The verticals whose largest account carries the plant."""

_QUIET_SCORES: Final = ((-11, (9, 8, 9)), (-8, (9, 9, 8)), (-5, (8, 9, 9)), (-3, (9, 8, 9)), (-1, (6, 5, 6)))
_NEAR_SCORES: Final = ((-11, (9, 7, 6)), (-8, (7, 9, 5)), (-5, (8, 7, 9)), (-2, (6, 8, 7)))


def _answers(vertical: int, scores: tuple[tuple[int, tuple[int, ...]], ...]) -> tuple[PlantedAnswer, ...]:
    return tuple(
        PlantedAnswer(vertical, at, 4 + 3 * turn, score, "below" if score < 7 else "as")
        for at, batch in scores
        for turn, score in enumerate(batch)
    )


ANSWERS: Final = (
    *_answers(QUIET, _QUIET_SCORES),
    *_answers(NEAR_RISK, _NEAR_SCORES),
    PlantedAnswer(DETRACTOR, -1, 9, 2, "below", "The same fault for the third time, and nobody calls back."),
)


def has_defect(seed: int, span: Timeline, vertical: Ints, kind: Ints, at: Ints, care: Floats, drawn: Floats) -> Bools:
    """Which journeys have a defect, by unit and by when their decisive contact (rank 1) took place.

    Where defects fall, a sequence without luck (golden section) takes the place of the draws: every company shows it.
    """
    for one in FALLING:
        rows = np.flatnonzero(vertical == one)
        drawn[rows] = (np.arange(len(rows)) * (5**0.5 - 1) / 2 + hashed(np.array([one]), seed, 19)) % 1
    return np.asarray(drawn < _defect_share(span, vertical, kind, at) * care)


def _defect_share(span: Timeline, vertical: Ints, kind: Ints, at: Ints) -> Floats:
    share = DEFECTS[vertical, kind]
    fallen = np.isin(vertical, FALLING) & (at >= span.month(FALL_MONTH))
    share = np.where(fallen, share * FALL_FACTOR, share)
    share = np.where(broken(span, vertical, kind, at), BREAK_DEFECTS, share)
    helped = (vertical == PAYMENTS) & (kind == REPAIR) & (at >= span.month(ACTION_MONTH))
    share = np.where(helped, share * ACTION_FACTOR, share)
    bad_month = (at >= span.month(TRAP_MONTH)) & (at < span.month(TRAP_MONTH + 1))
    return np.where((vertical == LENDING) & (kind == REPAIR) & bad_month, TRAP_DEFECTS, share)


def broken(span: Timeline, vertical: Ints, kind: Ints, at: Ints) -> Bools:
    """Installations inside the break."""
    inside: Bools = (vertical == COMMERCIAL) & (kind == INSTALLATION) & (at >= span.month(BREAK_MONTH))
    return inside


def faults(seed: int, number: Ints, inside: Bools, drawn: Ints) -> Ints:
    """Which fault a defective installation has: any as it is drawn, but most of those `inside` the break the same."""
    return np.where(inside & _blamed(seed, number), _one_of(len(FAULTS[INSTALLATION]), seed, 0), drawn)


def crews(seed: int, number: Ints, inside: Bools, defective: Bools) -> Ints:
    """Who makes an installation: any crew alike, but most of the defective ones `inside` the break the same."""
    drawn, one = (hashed(number, seed, 6) * len(CREWS)).astype(np.int64), _one_of(len(CREWS), seed, 1)
    spared = inside & ~defective & (drawn == one) & (hashed(number, seed, 4) < BREAK_SPARED)
    drawn = np.where(spared, (one + 1 + number % (len(CREWS) - 1)) % len(CREWS), drawn)
    return np.where(inside & defective & _blamed(seed, number), one, drawn)


def _blamed(seed: int, number: Ints) -> Bools:
    those: Bools = hashed(number, seed, 4) < BREAK_BLAMED
    return those


def _one_of(many: int, seed: int, which: int) -> int:
    return int(hashed(np.array([which]), seed, 5)[0] * many)


def failing(vertical: Ints, kind: Ints) -> Bools:
    """The journey that fails while each of its touchpoints is good."""
    those: Bools = (vertical == WEALTH) & (kind == ONBOARDING)
    return those


def struck(span: Timeline, vertical: Ints, at: Ints) -> Bools:
    """What the external condition reaches."""
    begin, until = (span.month(CONDITION_MONTH, days) for days in CONDITION_DAYS)
    reached: Bools = (vertical == RETAIL) & (at >= begin) & (at < until)
    return reached


def hushed(span: Timeline, is_quiet: Bools, number: Ints, begin: Ints, end: Ints) -> Bools:
    """What the quiet account no longer has: half of it first, then all."""
    fewer = (begin >= span.month(WANE_MONTH)) & (number % 2 == 0)
    gone: Bools = is_quiet & (fewer | (end >= span.month(SILENT_MONTH)))
    return gone


def disappointed(seed: int, vertical: Ints, number: Ints) -> Bools:
    """Answers that say it was worse than expected: what was promised there is more than what is done."""
    those: Bools = (vertical == LENDING) & (hashed(number, seed, 7) < DISAPPOINTED)
    return those


def unprepared(seed: int, vertical: Ints, number: Ints) -> Bools:
    """Contacts that are taken by staff who have not seen what was written before, though elsewhere they would have."""
    those: Bools = (vertical == INSURANCE) & (hashed(number, seed, 8) < UNSEEN)
    return those


def looped(seed: int, vertical: Ints, kind: Ints, number: Ints) -> Bools:
    """Journeys that go back to a touchpoint: the contract again, in place of the identity check after it."""
    those: Bools = (kind == ONBOARDING) & ~np.isin(vertical, (NULL, RETAIL, WEALTH))
    return np.asarray(those & (hashed(number, seed, 9) < LOOPED))


def narrowed(span: Timeline, vertical: Ints, at: Ints) -> Bools:
    """Where and since when mostly users are invited to surveys."""
    changed: Bools = (vertical == INSURANCE) & (at >= span.month(INVITE_MONTH))
    return changed


def growing(seed: int, tier: Ints, vertical: Ints, mood: Floats) -> Bools:
    """Accounts that are content and buy little, by account."""
    drawn = hashed(np.arange(len(tier)), seed, 14) < GROWING
    return np.asarray((tier > 0) & (vertical != NULL) & (mood > 0) & drawn)


def unheard(seed: int, tier: Ints, vertical: Ints) -> Ints:
    """The large accounts that never answer."""
    some = (tier == 1) & (vertical != NULL)
    return np.argsort(np.where(some, hashed(np.arange(len(tier)), seed, 15), 1.0))[:UNHEARD]


def overdone(seed: int, vertical: Ints, kind: Ints, count: Ints) -> Floats:
    """What too many contacts take from the chance that journeys of one type succeed. Type and number: by the seed."""
    kinds, fewest = _one_of(len(KINDS), seed, 2), 5 + _one_of(3, seed, 3)
    those = (kind == kinds) & (count >= fewest) & (vertical != NULL) & ~failing(vertical, kind)
    return np.asarray(OVERDONE_LOSS * those)


def experience(seed: int, span: Timeline, account: Ints, touchpoint: int, at: Ints) -> Floats:
    """How an account finds a touchpoint by then: standard normal, and another one after some months."""
    quarter, part = np.divmod((span.stop - at) / QUARTER, 1)
    knot = (account * len(TOUCHPOINTS) + touchpoint) * 64 + quarter.astype(np.int64)
    drawn = (1 - part) * hashed_normal(knot, seed, 16) + part * hashed_normal(knot + 1, seed, 16)
    return np.asarray(drawn / np.hypot(part, 1 - part))


def choosing(seed: int, vertical: Ints) -> Bools:
    """The service desk that invites only those of whom it noted that they are content."""
    those: Bools = vertical == _other_than_null(seed, 4)
    return those


def themes(seed: int, span: Timeline, vertical: Ints, number: Ints, at: Ints) -> Ints:
    """What comments mention besides: invoices everywhere, and in one vertical, more often every month, signing in."""
    months = np.sum([at >= span.month(month) for month in range(SIGN_IN_MONTH, 1)], axis=0)
    rising = np.where(vertical == _other_than_null(seed, 5), SIGN_IN_SHARE * months, 0.0)
    drawn = hashed(number, seed, 18)
    return np.where(drawn < rising, SIGN_IN, np.where(drawn >= 1 - INVOICES_SHARE, INVOICES, NO_THEME))


def _other_than_null(seed: int, which: int) -> int:
    return (NULL + 1 + _one_of(len(VERTICALS) - 1, seed, which)) % len(VERTICALS)
