"""Journeys and their defects, drawn in chunks of numbers that count forward in time, each from its own streams."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.random import Generator

from queries.sample.columns import Columns, ids, instants, labels, smalls
from queries.sample.company import Company, company, moved
from queries.sample.draws import (
    DAY,
    HORIZON,
    HOUR,
    SECOND,
    Bools,
    Floats,
    Ints,
    Timeline,
    bent,
    hashed,
    pick,
    pick_rows,
    stream,
)
from queries.sample.names import (
    FAULT_NAMES,
    GOALS,
    KINDS,
    OUTCOMES,
    PATHS,
    PRODUCT_NAMES,
    REGIONS,
    REPAIR,
    TOUCHPOINTS,
    VERTICALS,
)
from queries.sample.planted_changes import NULL, QUIET, broken, failing, faults, has_defect, hushed, overdone, struck

CHUNK: Final = 1 << 17
"""Journeys drawn at a time: about 640,000 contacts and half a gigabyte."""
DAYS: Final = 746
"""Days in the covered time, about: what turns a number of contacts into a daily rate."""

_MIX: Final = np.array(
    [
        [0.25, 0.35, 0.20, 0.20],
        [0.45, 0.25, 0.15, 0.15],
        [0.15, 0.20, 0.45, 0.20],
        [0.20, 0.30, 0.25, 0.25],
        [0.11, 0.76, 0.06, 0.07],
        [0.15, 0.50, 0.15, 0.20],
        [0.25, 0.30, 0.20, 0.25],
        [0.30, 0.30, 0.20, 0.20],
    ]
)  # journey types by vertical
_LENGTH: Final = (0.20, 0.26, 0.22, 0.16, 0.10, 0.06)  # journeys of 3, 4, ... 8 contacts
SHORTEST: Final = 3
LONGEST: Final = 8
CONTACTS_PER_JOURNEY: Final = 4.88
_MEDIAN: Final = np.array([9.0, 4.0, 42.0, 21.0])
_SPREAD: Final = np.array([0.50, 0.50, 0.35, 0.40])
_CAP: Final = np.array([45.0, 16.0, 110.0, 80.0])
_PROMISE: Final = _MEDIAN * np.exp(1.405 * _SPREAD)  # days that 92% of the journeys stay under
_STRIKE_STRETCH: Final = 1.4
_ROLES: Final = (0.15, 0.25, 0.60)
_PRIMARY: Final = (0.36, 0.26, 0.18, 0.10, 0.10)
_MULTI: Final = 0.45
_REPEAT: Final = 0.08
_REPEAT_DAYS: Final = 20
_DESK: Final = 0.055  # share of contacts outside any journey
_SECOND_DEFECT: Final = 0.20
_SEVERITY: Final = (0.22, 0.33, 0.28, 0.13, 0.04)
_STUCK: Final = 0.03
_PANEL: Final = 0.054  # relationship invitations, as a share of contacts

# The path table: which touchpoint is the j-th of a journey of k contacts.
_STEPS: Final = np.zeros((len(KINDS), LONGEST + 1, LONGEST), dtype=np.int64)
KEY: Final = np.zeros((len(KINDS), LONGEST + 1), dtype=np.int64)
"""The place of the decisive contact (rank 1) in a journey of so many contacts."""
for _kind, _path in enumerate(PATHS):
    for _count in range(SHORTEST, LONGEST + 1):
        _kept = [place for place, (_, rank, _) in enumerate(_path) if rank < _count]
        _STEPS[_kind, _count, :_count] = np.array(_kept) + _kind * LONGEST
        KEY[_kind, _count] = next(at for at, place in enumerate(_kept) if _path[place][1] == 1)


@dataclass(frozen=True, slots=True)
class World:
    """What every chunk needs to know."""

    span: Timeline
    seed: int
    contacts: int
    customers: Company

    @property
    def journeys(self) -> int:
        """Journeys over the whole horizon."""
        return round(self.contacts / DAYS * HORIZON * (1 - _DESK) / CONTACTS_PER_JOURNEY)

    @property
    def desk(self) -> float:
        """Contacts outside journeys for each journey."""
        return _DESK * CONTACTS_PER_JOURNEY / (1 - _DESK)

    @property
    def panel(self) -> float:
        """Relationship invitations for each journey."""
        return _PANEL * CONTACTS_PER_JOURNEY / (1 - _DESK)

    @property
    def issues(self) -> int:
        """Issue codes: so many that one comes back by chance only after a month."""
        return max(500, round(self.contacts / 100))

    def chunks(self) -> Iterator[tuple[int, Ints]]:
        for chunk, low in enumerate(range(0, self.journeys, CHUNK)):
            yield chunk, np.arange(low, min(low + CHUNK, self.journeys))

    def share(self, numbers: Ints, per_journey: float) -> Ints:
        """The numbers of another stream that belong to a chunk's time."""
        return np.arange(int(numbers[0] * per_journey), int((numbers[-1] + 1) * per_journey))

    def begin(self, numbers: Ints, total: float, rng: Generator) -> Floats:
        """Even time of the events of a stream of `total` over the horizon; the last number is the latest."""
        return self.span.even((total - numbers - rng.random(len(numbers))) / total * HORIZON)


def world(span: Timeline, seed: int, contacts: int) -> World:
    return World(span, seed, contacts, company(seed))


@dataclass(frozen=True, slots=True)
class Lag:
    """How late a source learns of an event: most within hours, some after days, all within 14 days."""

    slow: float
    days: float

    def after(self, rng: Generator, event: Ints) -> Ints:
        size = len(event)
        slow = rng.random(size) < self.slow
        late = rng.standard_exponential(size) * np.where(slow, self.days * DAY, 0.7 * HOUR)
        return event + np.minimum(late, 13.5 * DAY).astype(np.int64) // SECOND * SECOND


_STARTED: Final = Lag(0.0, 0.0)
_ENDED: Final = Lag(0.25, 2.5)
_FOUND: Final = Lag(0.65, 3.5)


@dataclass(frozen=True, slots=True)
class Journeys:
    """Some journeys, one array element each; instants in microseconds, even times beside their bent ones."""

    number: Ints
    account: Ints
    vertical: Ints
    kind: Ints
    role: Ints
    person: Ints
    product: Ints
    count: Ints
    steps: Floats  # [journey, contact]: even time of each contact, those past `count` at the last one
    start: Ints
    ended: Ints
    finish: Floats  # even time of the end
    promised: Ints
    key: Ints  # instant of the decisive contact
    primary: Ints
    multi: Bools
    defective: Bools
    outcome: Ints
    issue: Ints  # -1: none
    recorded: Ints
    known: Ints  # when the source learnt of the end

    def __len__(self) -> int:
        return len(self.number)

    def at(self, rows: Any) -> Self:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


def journey_lines(world: World, numbers: Ints) -> tuple[Ints, Ints]:
    """The line (account in a vertical) and the type of journeys, by number alone."""
    line = pick(world.customers.traffic, hashed(numbers, world.seed, 1))
    kind = pick_rows(_MIX, world.customers.line_vertical[line], hashed(numbers, world.seed, 2))
    return line, kind


def _repeats(world: World, numbers: Ints, line: Ints, kind: Ints) -> tuple[Ints, Ints, Ints]:
    """Some repairs come back: account and issue of a repair about 20 days before. None in the null vertical."""
    origin = numbers - round(world.journeys * _REPEAT_DAYS / HORIZON)
    earlier, what = journey_lines(world, origin)
    again = (hashed(numbers, world.seed, 3) < _REPEAT) & (hashed(origin, world.seed, 3) >= _REPEAT)
    again &= (what == REPAIR) & (world.customers.line_vertical[earlier] != NULL) & (origin >= 0)
    line, kind = np.where(again, earlier, line), np.where(again, REPAIR, kind)
    issue = np.where(again, origin, numbers) % world.issues
    return line, kind, np.where(kind == REPAIR, issue, -1)


def person_of(customers: Company, account: Ints, role: Ints, uniform: Floats) -> Ints:
    return customers.first[account, role] + (uniform * customers.staff[account, role]).astype(np.int64)


def product_of(vertical: Ints, number: Ints) -> Ints:
    return vertical * 2 + (number % 5 < 2)


def draw_journeys(world: World, chunk: int, numbers: Ints) -> Journeys:
    """The journeys of a chunk that the source knows at the end of the span and that reach into it."""
    rng, span, customers = stream(world.seed, "journey", chunk), world.span, world.customers
    line, kind, issue = _repeats(world, numbers, *journey_lines(world, numbers))
    size, account = len(numbers), customers.line_account[line]
    begin = world.begin(numbers, world.journeys, rng)
    start = bent(begin)
    vertical = np.where(start < moved(span), customers.line_before[line], customers.line_vertical[line])
    stretch = np.where(struck(span, vertical, start), _STRIKE_STRETCH, 1.0)
    length = _MEDIAN[kind] * np.exp(_SPREAD[kind] * rng.standard_normal(size))
    length = np.minimum(length * stretch, _CAP[kind]) * DAY
    count = pick(_LENGTH, rng.random(size)) + SHORTEST
    steps = begin[:, None] + _gaps(rng, count) * (0.98 * length)[:, None]
    key = bent(steps[np.arange(size), KEY[kind, count]])
    role = pick(_ROLES, rng.random(size))
    multi = rng.random(size) < _MULTI
    defective = has_defect(world.seed, span, vertical, kind, key, customers.care[account], rng.random(size))
    recorded, ended = _STARTED.after(rng, start), bent(begin + length)
    drawn = Journeys(
        number=numbers,
        account=account,
        vertical=vertical,
        kind=kind,
        role=role,
        person=person_of(customers, account, role, rng.random(size)),
        product=product_of(vertical, numbers),
        count=count,
        steps=steps,
        start=start,
        ended=ended,
        finish=begin + length,
        promised=bent(begin + _PROMISE[kind] * DAY),
        key=key,
        primary=pick(_PRIMARY, rng.random(size)),
        multi=multi,
        defective=defective,
        outcome=_outcomes(rng, vertical, kind, multi, defective, overdone(world.seed, vertical, kind, count)),
        issue=issue,
        recorded=recorded,
        known=np.maximum(_ENDED.after(rng, ended), recorded),
    )
    # Dropped after they were drawn: the draws of every other journey stay what they are without the plant.
    gone = hushed(span, account == customers.top(QUIET), numbers, start, ended)
    return drawn.at(np.flatnonzero((ended >= span.first) & (recorded < span.stop) & ~gone))


def _gaps(rng: Generator, count: Ints) -> Floats:
    """Where in its journey each contact lies: [journey, contact] from 0 (the first) to 1 (the last)."""
    waits = rng.standard_exponential((len(count), LONGEST))
    waits[:, 0] = 0
    waits[np.arange(LONGEST) >= count[:, None]] = 0
    place = np.cumsum(waits, axis=1)
    result: Floats = place / place[:, -1:]
    return result


def _outcomes(rng: Generator, vertical: Ints, kind: Ints, multi: Bools, defective: Bools, lost: Floats) -> Ints:
    reached = np.where(failing(vertical, kind), 0.68, 0.93) - 0.10 * defective - lost
    reached -= 0.11 * (multi & (vertical != NULL))
    draw = rng.random(len(kind))
    outcome: Ints = (draw >= reached).astype(np.int64) + (draw >= reached + (1 - reached) * 0.67)
    return outcome


def step_of(kind: Ints, count: Ints, place: Ints) -> Ints:
    """The touchpoint of a journey's contact."""
    step: Ints = _STEPS[kind, count, place]
    return step


def is_broken(span: Timeline, some: Journeys) -> Bools:
    return broken(span, some.vertical, some.kind, some.key)


def journey_columns(world: World, some: Journeys) -> Columns:
    running = some.known >= world.span.stop
    return {
        "id": ids("J", some.number),
        "account_id": ids("A", some.account, 4),
        "journey_type": labels(some.kind, KINDS),
        "goal": labels(some.kind, GOALS),
        "started_at": instants(some.start),
        "promised_at": instants(some.promised),
        "ended_at": instants(some.ended, running),
        "outcome": labels(np.where(running, OUTCOMES.index("open"), some.outcome), OUTCOMES),
        **segment(some.vertical, some.product, some.account),
        "recorded_at": instants(some.recorded),
    }


def defect_columns(world: World, chunk: int, some: Journeys) -> Columns:
    """One defect at the decisive contact of each defective journey, and of some a second one at its last contact."""
    rng, stop = stream(world.seed, "defect", chunk), world.span.stop
    twice = rng.random(len(some)) < _SECOND_DEFECT
    row = np.concatenate((np.flatnonzero(some.defective), np.flatnonzero(some.defective & twice)))
    second = np.arange(len(row)) >= some.defective.sum()
    last = some.count[row] - 1
    place = np.where(second, last, KEY[some.kind[row], last + 1])
    some = some.at(row)
    even = some.steps[np.arange(len(row)), place]
    occurred = bent(even)
    recorded = np.maximum(_FOUND.after(rng, occurred), some.recorded)
    wait = np.exp(0.8 * rng.standard_normal(len(row))) * 2 * DAY
    resolved = np.maximum(bent(even + wait), occurred + HOUR)
    stuck = (rng.random(len(row)) < _STUCK) | (resolved >= stop)
    fault = pick((0.4, 0.3, 0.2, 0.1), rng.random(len(row)))
    code = some.kind * 4 + faults(world.seed, some.number, is_broken(world.span, some) & ~second, fault)
    severity = pick(_SEVERITY, rng.random(len(row))) + 1
    keep = np.flatnonzero(recorded < stop)
    return {
        "id": ids("D", (some.number * 10 + second)[keep], 11),
        "account_id": ids("A", some.account[keep], 4),
        "journey_id": ids("J", some.number[keep]),
        "touchpoint": labels(step_of(some.kind, some.count, place)[keep], TOUCHPOINTS),
        "code": labels(code[keep], FAULT_NAMES),
        "severity": smalls(severity[keep]),
        "occurred_at": instants(occurred[keep]),
        "resolved_at": instants(resolved[keep], stuck[keep]),
        **segment(some.vertical[keep], some.product[keep], some.account[keep]),
        "recorded_at": instants(recorded[keep]),
    }


def segment(vertical: Ints, product: Ints, account: Ints) -> Columns:
    return {
        "vertical": labels(vertical, VERTICALS),
        "product": labels(product, PRODUCT_NAMES),
        "region": labels(account % len(REGIONS), REGIONS),
    }
