"""Survey invitations and answers: about journeys, about touchpoints, and about the relationship."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from queries.sample.columns import Columns, ids, instants, labels, smalls, texts
from queries.sample.company import opted_out
from queries.sample.contacts import Contacts
from queries.sample.draws import DAY, HOUR, Floats, Ints, bent, levels, pick, pick_rows, stream
from queries.sample.journeys import Journeys, Lag, World, is_broken, person_of, product_of, segment
from queries.sample.names import (
    COMMENTS,
    COMMENTS_PER_MOOD,
    EXPECTATIONS,
    INSTRUMENTS,
    KINDS,
    RELATIONSHIP_NPS,
    SCALE_NAMES,
    SERVICE_CES,
    STATUSES,
    SURVEYS,
    TOUCHPOINT_CSAT,
    TOUCHPOINTS,
)
from queries.sample.planted_changes import (
    ANSWERS,
    NEAR_RISK,
    NULL,
    QUIET,
    SCRIPT_MONTH,
    disappointed,
    failing,
    narrowed,
    struck,
)

NPS, CSAT, CES = range(3)
_LAG: Final = Lag(0.30, 2.0)
_LOW: Final = np.array([0, 1, 1])
_CONTENT: Final = np.array([6, 3, 4])  # the highest score that is not a good one
_UNHAPPY: Final = np.array([6, 2, 3])  # the highest score that is a bad one
_BY_KIND: Final = np.array([0.42, 0.30, 0.30, 0.25])  # ended journeys that are surveyed
_BY_CONTACT: Final = 0.072
_BY_CONTACT_FAILING: Final = 0.26
_BY_DESK: Final = 0.14
_BOUNCED: Final = 0.04
_ANSWERED: Final = 0.62
_ROLE: Final = np.array([-0.45, 0.0, 0.20])  # who answers matters: decision-makers are harder to please
_KEY_CARE: Final = 1.1  # decision-makers of key accounts are looked after
_INVITED: Final = np.array([[1.0, 1.0, 1.0], [0.05, 0.5, 1.45]])  # before and after the change in who is invited
_PANEL: Final = np.array([[0.25, 0.35, 0.40], [0.02, 0.18, 0.80]])
_CLOSING: Final = TOUCHPOINTS.index("closing")
_STRUCK: Final = tuple(TOUCHPOINTS.index(name) for name in ("delivery", "contract"))


@dataclass(frozen=True, slots=True)
class Invitations:
    """Some invitations, one array element each; -1 where there is no journey, touchpoint or score yet."""

    number: Ints
    account: Ints
    person: Ints
    journey: Ints
    touchpoint: Ints
    instrument: Ints
    scale: Ints
    shift: Floats  # of the latent satisfaction
    topic: Ints  # journey type whose faults a comment may be about, -1: none
    even: Floats
    vertical: Ints
    product: Ints
    earliest: Ints  # not in the source before

    def __len__(self) -> int:
        return len(self.number)

    def at(self, rows: Any) -> "Invitations":
        return Invitations(*(getattr(self, name)[rows] for name in Invitations.__slots__))


def _nature(world: World, account: Ints, role: Ints, weight: float) -> Floats:
    customers = world.customers
    cared = (role == 0) & (customers.tier[account] == 0)
    shift: Floats = weight * customers.mood[account] + _ROLE[role] + _KEY_CARE * cared
    return shift


def _asked(world: World, rng: Generator, rate: Floats, vertical: Ints, role: Ints, at: Ints) -> Ints:
    changed = narrowed(world.span, vertical, at).astype(np.int64)
    return np.flatnonzero(rng.random(len(rate)) < rate * _INVITED[changed, role])


def about_journeys(world: World, chunk: int, some: Journeys) -> Invitations:
    """After the end of a journey: one question about all of it (csat, no touchpoint)."""
    rng = stream(world.seed, "survey", chunk)
    rows = _asked(world, rng, _BY_KIND[some.kind], some.vertical, some.role, some.ended)
    some, size = some.at(rows), len(rows)
    wait = (0.1 + 0.5 * rng.standard_exponential(size)) * DAY
    none = np.full(size, -1)
    shift = 0.34 + _nature(world, some.account, some.role, 0.22)
    shift -= 0.45 * some.defective + 0.8 * (some.outcome > 0) + 0.40 * (some.multi & (some.vertical != NULL))
    shift -= 0.55 * failing(some.vertical, some.kind) + 0.5 * struck(world.span, some.vertical, some.start)
    return Invitations(
        number=some.number * 100,
        account=some.account,
        person=some.person,
        journey=some.number,
        touchpoint=none,
        instrument=some.kind,
        scale=np.full(size, CSAT),
        shift=shift - 0.9 * is_broken(world.span, some),
        topic=np.where(some.defective | failing(some.vertical, some.kind), some.kind, -1),
        even=some.finish + wait,
        vertical=some.vertical,
        product=some.product,
        earliest=some.known,
    )


def about_contacts(world: World, chunk: int, some: Contacts) -> Invitations:
    """After a contact: csat about its touchpoint, or ces where a repair was closed or the service desk was asked."""
    rng = stream(world.seed, "survey", chunk + 1_000_000 * ord(some.prefix))
    kind = np.minimum(some.touchpoint // 8, len(KINDS) - 1)
    weak = (some.journey >= 0) & failing(some.vertical, kind)
    rate = np.where(weak, _BY_CONTACT_FAILING, np.where(some.journey >= 0, _BY_CONTACT, _BY_DESK))
    rows = _asked(world, rng, rate, some.vertical, some.role, some.occurred)
    some, kind, weak = some.at(rows), kind[rows], weak[rows]
    ease = (some.touchpoint == _CLOSING) | (some.journey < 0)
    strike = struck(world.span, some.vertical, some.occurred) & np.isin(some.touchpoint, _STRUCK)
    shift = _nature(world, some.account, some.role, 0.22) + np.where(weak, 1.15, 0.0)
    return Invitations(
        # Beside the journey's own invitation, which has the number without a contact.
        number=some.journey * 100 + 1 + some.number % 10 if some.prefix == "C" else some.number,
        account=some.account,
        person=some.person,
        journey=some.journey,
        touchpoint=some.touchpoint,
        instrument=np.where(ease, SERVICE_CES, TOUCHPOINT_CSAT),
        scale=np.where(ease, CES, CSAT),
        shift=shift + 0.06 - 0.6 * (some.after & ~weak) - 0.9 * some.broken - 0.9 * strike,
        topic=np.where(some.after & ~weak, kind, -1),
        even=some.even + (0.1 + 0.4 * rng.standard_exponential(len(rows))) * DAY,
        vertical=some.vertical,
        product=some.product,
        earliest=some.recorded,
    )


def about_relationship(world: World, chunk: int, numbers: Ints) -> Invitations:
    """The relationship survey (nps), which goes to people whether or not anything happened."""
    rng, customers = stream(world.seed, "relationship", chunk), world.customers
    number = world.share(numbers, world.panel)
    even = world.begin(number, world.journeys * world.panel, rng)
    account = pick(customers.panel, rng.random(len(number)))
    vertical, at = customers.vertical[account], bent(even)
    role = pick_rows(_PANEL, narrowed(world.span, vertical, at).astype(np.int64), rng.random(len(number)))
    none = np.full(len(number), -1)
    drawn = Invitations(
        number=number,
        account=account,
        person=person_of(customers, account, role, rng.random(len(number))),
        journey=none,
        touchpoint=none,
        instrument=np.full(len(number), RELATIONSHIP_NPS),
        scale=np.full(len(number), NPS),
        shift=0.06 + _nature(world, account, role, 0.30),
        topic=none,
        even=even,
        vertical=vertical,
        product=product_of(vertical, number),
        earliest=at,
    )
    scripted = np.isin(account, [customers.top(QUIET), customers.top(NEAR_RISK)])
    scripted &= at >= world.span.month(SCRIPT_MONTH)
    return drawn.at(np.flatnonzero((at >= world.span.first) & ~scripted))


def response_columns(world: World, chunk: int, prefix: str, some: Invitations) -> Columns:
    """Rows of the response table: what the source knows of the invitations at the end of the span."""
    rng, stop = stream(world.seed, "survey", chunk + 1_000_000_000 + ord(prefix)), world.span.stop
    invited = bent(some.even)
    recorded = np.maximum(_LAG.after(rng, invited), some.earliest)
    status = pick((1 - _BOUNCED - _ANSWERED, _BOUNCED, _ANSWERED), rng.random(len(some)))
    wait = np.minimum(np.exp(rng.standard_normal(len(some))) * 1.5, 12) * DAY
    responded = np.maximum(bent(some.even + wait), invited + HOUR)
    score = np.zeros(len(some), dtype=np.int64)
    for scale, name in enumerate(SCALE_NAMES):
        rows = np.flatnonzero(some.scale == scale)
        score[rows] = levels(rng, name, some.shift[rows]) + _LOW[scale]
    expected = levels(rng, "expectation", 1.2 * some.shift)
    expected = np.where(disappointed(world.seed, some.vertical, some.number), 0, expected)
    comment = _comments(rng, some, score)
    pending = (status != 2) | (_LAG.after(rng, responded) >= stop)
    status = np.where((status == 2) & pending, 0, status)
    published = (recorded < stop) & (invited < stop) & ~opted_out(world.customers, some.person)
    keep = np.flatnonzero(published & (invited >= world.span.first))
    some, pending = some.at(keep), pending[keep]
    silent = pending | (some.touchpoint >= 0)
    return {
        "id": ids(prefix, some.number, 12),
        "account_id": ids("A", some.account, 4),
        "person_id": ids("P", some.person, 5),
        "journey_id": ids("J", some.journey, absent=some.journey < 0),
        "touchpoint": labels(some.touchpoint, TOUCHPOINTS),
        "instrument": labels(some.instrument, INSTRUMENTS),
        "instrument_version": labels(np.zeros(len(some)), ("1",)),
        "kind": labels(some.instrument == RELATIONSHIP_NPS, SURVEYS),
        "status": labels(status[keep], STATUSES),
        "scale": labels(some.scale, SCALE_NAMES),
        "score": smalls(score[keep], pending),
        "expectation": labels(np.where(silent, -1, expected[keep]), EXPECTATIONS),
        "comment": labels(np.where(pending, -1, comment[keep]), COMMENTS),
        "invited_at": instants(invited[keep]),
        "responded_at": instants(responded[keep], pending),
        **segment(some.vertical, some.product, some.account),
        "recorded_at": instants(recorded[keep]),
    }


def _comments(rng: Generator, some: Invitations, score: Ints) -> Ints:
    """Which sentence an answer carries, -1: none. Bad answers say more, and after a defect they are about the fault."""
    bad, good = score <= _UNHAPPY[some.scale], score > _CONTENT[some.scale]
    mood = np.where(good, 0, np.where(bad, 2, 1))
    mood = np.where(~good & (some.topic >= 0), 3 + some.topic, mood)
    said = rng.random(len(some)) < np.where(good, 0.12, 0.35)
    return np.where(said, mood * COMMENTS_PER_MOOD + (rng.random(len(some)) * COMMENTS_PER_MOOD).astype(np.int64), -1)


def planted_columns(world: World) -> Columns:
    """The answers that are planted one by one."""
    account = np.array([world.customers.top(answer.vertical) for answer in ANSWERS])
    invited = np.array([world.span.month(answer.month, answer.day) for answer in ANSWERS]) + 9 * HOUR
    vertical, size = world.customers.vertical[account], len(ANSWERS)
    none = np.full(size, -1)
    return {
        "id": ids("Q", np.arange(size), 12),
        "account_id": ids("A", account, 4),
        "person_id": ids("P", world.customers.first[account, 0] + np.arange(size) % 3, 5),
        "journey_id": ids("J", none, absent=none < 0),
        "touchpoint": labels(none, TOUCHPOINTS),
        "instrument": labels(np.full(size, RELATIONSHIP_NPS), INSTRUMENTS),
        "instrument_version": labels(np.zeros(size), ("1",)),
        "kind": labels(np.ones(size), SURVEYS),
        "status": labels(np.full(size, 2), STATUSES),
        "scale": labels(np.full(size, NPS), SCALE_NAMES),
        "score": smalls(np.array([answer.score for answer in ANSWERS])),
        "expectation": labels([EXPECTATIONS.index(answer.expectation) for answer in ANSWERS], EXPECTATIONS),
        "comment": texts([answer.comment for answer in ANSWERS]).dictionary_encode(),
        "invited_at": instants(invited),
        "responded_at": instants(invited + 26 * HOUR),
        **segment(vertical, product_of(vertical, np.arange(size)), account),
        "recorded_at": instants(invited + HOUR),
    }
