"""Contacts: those of journeys, those that come back after a repair, and those outside any journey."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from queries.sample.columns import Columns, flags, ids, instants, labels, smalls
from queries.sample.draws import DAY, HOUR, SECOND, Bools, Floats, Ints, bent, levels, pick, stream
from queries.sample.journeys import (
    KEY,
    LONGEST,
    Journeys,
    Lag,
    World,
    is_broken,
    person_of,
    product_of,
    segment,
    step_of,
)
from queries.sample.names import (
    CHANNELS,
    CREWS,
    DIRECTIONS,
    EMPLOYEES,
    ENQUIRY,
    GRIEVANCE,
    INBOUND,
    INSTALLATION,
    KINDS,
    REPAIR,
    TEAM_SIZE,
    TEAMS,
    TOUCHPOINTS,
    VERTICALS,
    WRITTEN,
)
from queries.sample.planted_changes import NULL, QUIET, crews, hushed, looped, unprepared

_LAG: Final = Lag(0.30, 2.5)
_OTHER_CHANNEL: Final = 0.45
_UNANSWERED: Final = 0.05
_CONTRACT: Final = TOUCHPOINTS.index("contract")
_IDENTITY: Final = TOUCHPOINTS.index("identity check")
_SAID: Final = 0.60  # contacts whose emotion was noted
_SEEN: Final = 0.85
_COMEBACK: Final = 0.05
COMEBACKS: Final = "B"
"""How the ids of those begin that come back after a repair."""
_ROLES: Final = (0.15, 0.25, 0.60)
_DESK_MIX: Final = (0.50, 0.15, 0.20, 0.15)
_DESK_ISSUES: Final = 0.20
_SERVICE: Final = len(KINDS)
_CREWS: Final = len(VERTICALS) * (_SERVICE + 1)
"""The teams below it are those of the tasks, in every vertical."""
_INBOUND: Final = np.array(INBOUND)
_GRIEVANCE: Final = np.array(GRIEVANCE)
_WRITTEN: Final = np.array(WRITTEN)


@dataclass(frozen=True, slots=True)
class Contacts:
    """Some contacts, one array element each. `journey` and `issue` are -1 where there is none."""

    prefix: str
    number: Ints
    journey: Ints
    account: Ints
    person: Ints
    role: Ints
    touchpoint: Ints
    team: Ints
    channel: Ints
    even: Floats
    occurred: Ints
    issue: Ints
    vertical: Ints
    product: Ints
    after: Bools  # at or after the decisive contact of a defective journey
    broken: Bools  # at or after the decisive contact of an installation in the break
    seen: Ints  # -1: nothing had been sent before
    recorded: Ints

    def __len__(self) -> int:
        return len(self.number)

    def at(self, rows: Any) -> "Contacts":
        return Contacts(self.prefix, *(getattr(self, name)[rows] for name in Contacts.__slots__[1:]))


def journey_contacts(world: World, chunk: int, some: Journeys) -> Contacts:
    """Every contact of the journeys that the source knows at the end of the span."""
    rng = stream(world.seed, "contact", chunk)
    channels = _channels(rng, some)
    row, place = np.nonzero(np.arange(LONGEST) < some.count[:, None])
    touchpoint = step_of(some.kind[row], some.count[row], place)
    again = looped(world.seed, some.vertical, some.kind, some.number)[row] & (touchpoint == _IDENTITY)
    touchpoint = np.where(again, _CONTRACT, touchpoint)
    even = some.steps[row, place]
    occurred = bent(even)
    key = KEY[some.kind, some.count][row]
    late = place >= key
    visits = (place == key) & (some.kind[row] == INSTALLATION)
    crew = crews(world.seed, some.number, is_broken(world.span, some), some.defective)
    team = np.where(visits, (_CREWS + some.vertical * len(CREWS) + crew)[row], _team(some.vertical, some.kind)[row])
    drawn = Contacts(
        prefix="C",
        number=some.number[row] * 10 + place,
        journey=some.number[row],
        account=some.account[row],
        person=some.person[row],
        role=some.role[row],
        touchpoint=touchpoint,
        team=team,
        channel=channels[row, place],
        even=even,
        occurred=occurred,
        issue=some.issue[row],
        vertical=some.vertical[row],
        product=some.product[row],
        after=some.defective[row] & late,
        broken=is_broken(world.span, some)[row] & late,
        seen=_seen(rng, world.seed, some, channels)[row, place],
        recorded=np.maximum(_LAG.after(rng, occurred), some.recorded[row]),
    )
    return _published(world, drawn)


def _team(vertical: Ints, task: Ints | int) -> Ints:
    return vertical * (_SERVICE + 1) + task


def _published(world: World, drawn: Contacts) -> Contacts:
    return drawn.at(np.flatnonzero(drawn.recorded < world.span.stop))


def _channels(rng: Generator, some: Journeys) -> Ints:
    """[journey, contact]: one channel throughout, or, in a multi-channel journey, at least two."""
    shape = (len(some), LONGEST)
    other = (some.primary[:, None] + 1 + (rng.random(shape) * (len(CHANNELS) - 1)).astype(np.int64)) % len(CHANNELS)
    switch = rng.random(shape) < _OTHER_CHANNEL
    switch[:, 0], switch[:, 1] = False, True
    return np.where(switch & some.multi[:, None], other, some.primary[:, None])


def _seen(rng: Generator, seed: int, some: Journeys, channels: Ints) -> Ints:
    """[journey, contact]: did staff, on the phone or at a visit, see what the customer had written before?"""
    inbound = _INBOUND[step_of(some.kind[:, None], some.count[:, None], np.arange(LONGEST))]
    wrote = inbound & _WRITTEN[channels]
    before = np.cumsum(wrote, axis=1) - wrote > 0
    told = (rng.random(channels.shape) < _SEEN).astype(np.int64)
    told &= ~unprepared(seed, some.vertical[:, None], some.number[:, None] * 10 + np.arange(LONGEST))
    return np.where(before & ~_WRITTEN[channels], told, -1)


def comebacks(world: World, chunk: int, some: Journeys) -> Contacts:
    """Enquiries about an issue whose repair had ended."""
    rng = stream(world.seed, "contact", chunk + 1_000_000)
    back = rng.random(len(some)) < _COMEBACK
    wait = np.minimum(0.3 + rng.standard_exponential(len(some)) * 5, 13) * DAY
    row = np.flatnonzero(back & (some.kind == REPAIR))
    even, these = some.finish[row] + wait[row], some.at(row)
    drawn = _loose(rng, COMEBACKS, these.number, these, even, np.full(len(row), ENQUIRY))
    return _published(world, drawn.at(np.flatnonzero(~_hushed(world, drawn))))


def _loose(rng: Generator, prefix: str, number: Ints, these: Any, even: Floats, touchpoint: Ints) -> Contacts:
    """Contacts without a journey, of the accounts and people of `these`."""
    size, none = len(number), np.zeros(len(number), dtype=bool)
    occurred = bent(even)
    return Contacts(
        prefix=prefix,
        number=number,
        journey=np.full(size, -1),
        account=these.account,
        person=these.person,
        role=these.role,
        touchpoint=touchpoint,
        team=_team(these.vertical, _SERVICE),
        channel=pick((0.45, 0.25, 0.15, 0.15), rng.random(size)),
        even=even,
        occurred=occurred,
        issue=these.issue,
        vertical=these.vertical,
        product=these.product,
        after=none,
        broken=none,
        seen=np.full(size, -1),
        recorded=_LAG.after(rng, occurred),
    )


@dataclass(frozen=True, slots=True)
class _Callers:
    account: Ints
    person: Ints
    role: Ints
    vertical: Ints
    product: Ints
    issue: Ints


def desk_contacts(world: World, chunk: int, numbers: Ints) -> Contacts:
    """Contacts at the service desk, within the span only."""
    rng, customers = stream(world.seed, "desk", chunk), world.customers
    number = world.share(numbers, world.desk)
    even = world.begin(number, world.journeys * world.desk, rng)
    line = pick(customers.traffic, rng.random(len(number)))
    account, vertical = customers.line_account[line], customers.line_vertical[line]
    role = pick(_ROLES, rng.random(len(number)))
    person = person_of(customers, account, role, rng.random(len(number)))
    issue = np.where(rng.random(len(number)) < _DESK_ISSUES, world.issues + number % world.issues, -1)
    callers = _Callers(account, person, role, vertical, product_of(vertical, number), issue)
    touchpoint = ENQUIRY + pick(_DESK_MIX, rng.random(len(number)))
    drawn = _loose(rng, "S", number, callers, even, touchpoint)
    keep = (drawn.occurred >= world.span.first) & ~_hushed(world, drawn)
    return _published(world, drawn.at(np.flatnonzero(keep)))


def _hushed(world: World, drawn: Contacts) -> Bools:
    is_quiet = drawn.account == world.customers.top(QUIET)
    return hushed(world.span, is_quiet, drawn.number, drawn.occurred, drawn.occurred)


def moods(world: World, chunk: int, some: Contacts) -> tuple[Ints, Bools]:
    """The emotion of each contact, and whether it was noted."""
    rng = stream(world.seed, "contact", chunk + 3_000_000 + ord(some.prefix) * 10_000_000)
    shift = 0.15 * world.customers.mood[some.account] - 0.6 * some.after - 0.8 * some.broken
    best = np.where(_GRIEVANCE[some.touchpoint] | (some.prefix == COMEBACKS), 0, 2)
    return np.minimum(levels(rng, "emotion", shift) - 2, best), rng.random(len(some)) < _SAID


def contact_columns(world: World, chunk: int, some: Contacts) -> Columns:
    rng, size = stream(world.seed, "contact", chunk + 2_000_000 + ord(some.prefix) * 10_000_000), len(some)
    inbound = _INBOUND[some.touchpoint]
    answered, silent = _answers(rng, some, inbound)
    emotion, noted = moods(world, chunk, some)
    return {
        "id": ids(some.prefix, some.number, 11),
        "account_id": ids("A", some.account, 4),
        "person_id": ids("P", some.person, 5),
        "journey_id": ids("J", some.journey, absent=some.journey < 0),
        "touchpoint": labels(some.touchpoint, TOUCHPOINTS),
        "channel": labels(some.channel, CHANNELS),
        "direction": labels(inbound, DIRECTIONS),
        "occurred_at": instants(some.occurred),
        "answered_at": instants(answered, silent | (answered >= world.span.stop)),
        "employee": labels(some.team * TEAM_SIZE + (rng.random(size) * TEAM_SIZE).astype(np.int64), EMPLOYEES),
        "team": labels(some.team, TEAMS),
        "issue_code": ids("F", some.issue, 7, absent=some.issue < 0),
        "emotion": smalls(emotion, ~noted),
        "context_seen": flags(some.seen == 1, some.seen < 0),
        **segment(some.vertical, some.product, some.account),
        "recorded_at": instants(some.recorded),
    }


def _answers(rng: Generator, some: Contacts, inbound: Bools) -> tuple[Ints, Bools]:
    """When inbound contacts were answered, and which contacts never were. In the null vertical all are, within 36 h."""
    wait = np.exp(rng.standard_normal(len(some))) * 3 * HOUR
    ignored = rng.random(len(some)) < _UNANSWERED
    calm = some.vertical == NULL
    wait = np.where(calm, np.minimum(wait, 36 * HOUR), np.minimum(wait, 6 * DAY))
    answered = np.maximum(bent(some.even + wait), some.occurred + SECOND)
    return answered, ~inbound | (ignored & ~calm)
