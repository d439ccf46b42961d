"""Survey invitations and answers: about journeys, about touchpoints, and about the relationship."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from queries.sample.columns import Columns, ids, instants, labels, smalls, texts
from queries.sample.comments import BAD, FAULT, GOOD, MIDDLING, comments
from queries.sample.company import opted_out
from queries.sample.contacts import Contacts, moods
from queries.sample.draws import DAY, HOUR, Bools, Floats, Ints, bent, levels, pick, pick_rows, stream
from queries.sample.journeys import Journeys, Lag, World, is_broken, person_of, product_of, segment
from queries.sample.names import (
    EXPECTATIONS,
    INSTRUMENTS,
    KINDS,
    RELATIONSHIP_NPS,
    ROLES,
    SCALE_NAMES,
    SERVICE_CES,
    STATUSES,
    SURVEYS,
    TOUCHPOINT_CSAT,
    TOUCHPOINTS,
)
from queries.sample.planted_changes import (
    ANSWERS,
    CHOSEN_SHIFT,
    NEAR_RISK,
    NULL,
    QUIET,
    SCRIPT_MONTH,
    STAGE_SHARE,
    STAGE_WEIGHTS,
    choosing,
    disappointed,
    experience,
    failing,
    narrowed,
    struck,
    themes,
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
_BY_CONTENT: Final = 0.55  # by a desk that chooses whom to ask, which so asks as many as others
_ROTA: Final = 8  # one relationship survey in so many goes to the next account in turn, and is always answered
_STRIDE: Final = (
    299  # to the next one in turn, so that the verticals mix; no factor in common with the number of accounts
)
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
    spread: Floats  # what is left of its scatter
    sure: Bools  # always answered
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
        spread=np.ones(size),
        sure=np.zeros(size, dtype=bool),
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
    chosen = (some.journey < 0) & choosing(world.seed, some.vertical)
    emotion, noted = moods(world, chunk, some)
    rate = np.where(chosen, _BY_CONTENT * (noted & (emotion > 0)), rate)
    rows = _asked(world, rng, rate, some.vertical, some.role, some.occurred)
    some, kind, weak, chosen = some.at(rows), kind[rows], weak[rows], chosen[rows]
    ease = (some.touchpoint == _CLOSING) | (some.journey < 0)
    strike = struck(world.span, some.vertical, some.occurred) & np.isin(some.touchpoint, _STRUCK)
    shift = _nature(world, some.account, some.role, 0.22) + np.where(weak, 1.15, 0.0) + CHOSEN_SHIFT * chosen
    weights = {touchpoint: np.sqrt(STAGE_SHARE) for touchpoint in STAGE_WEIGHTS}
    alike, spread = _experiences(world, some.vertical, some.account, some.occurred, weights, some.touchpoint)
    return Invitations(
        # Beside the journey's own invitation, which has the number without a contact.
        number=some.journey * 100 + 1 + some.number % 10 if some.prefix == "C" else some.number,
        account=some.account,
        person=some.person,
        journey=some.journey,
        touchpoint=some.touchpoint,
        instrument=np.where(ease, SERVICE_CES, TOUCHPOINT_CSAT),
        scale=np.where(ease, CES, CSAT),
        shift=shift + alike + 0.06 - 0.6 * (some.after & ~weak) - 0.9 * some.broken - 0.9 * strike,
        spread=spread,
        sure=np.zeros(len(rows), dtype=bool),
        topic=np.where(some.after & ~weak, kind, -1),
        even=some.even + (0.1 + 0.4 * rng.standard_exponential(len(rows))) * DAY,
        vertical=some.vertical,
        product=some.product,
        earliest=some.recorded,
    )


def _experiences(
    world: World, vertical: Ints, account: Ints, at: Ints, weights: Mapping[str, float], where: Ints | None = None
) -> tuple[Floats, Floats]:
    """What an account's experience at the touchpoints with a weight adds to its satisfaction, and what scatter is left.

    Where a touchpoint is asked about, it is that one's alone.
    """
    added, part = np.zeros(len(account)), np.zeros(len(account))
    for name, weight in weights.items():
        touchpoint = TOUCHPOINTS.index(name)
        rows = np.flatnonzero((vertical != NULL) & (True if where is None else where == touchpoint))
        added[rows] += weight * experience(world.seed, world.span, account[rows], touchpoint, at[rows])
        part[rows] += weight**2
    return added, np.sqrt(1 - part)


def about_relationship(world: World, chunk: int, numbers: Ints) -> Invitations:
    """The relationship survey (nps), which goes to people whether or not anything happened."""
    rng, customers = stream(world.seed, "relationship", chunk), world.customers
    number = world.share(numbers, world.panel)
    even = world.begin(number, world.journeys * world.panel, rng)
    rota = number % _ROTA == 0
    account = np.where(
        rota, number // _ROTA * _STRIDE % len(customers.vertical), pick(customers.panel, rng.random(len(number)))
    )
    vertical, at = customers.vertical[account], bent(even)
    role = pick_rows(_PANEL, narrowed(world.span, vertical, at).astype(np.int64), rng.random(len(number)))
    role = np.where(rota, ROLES.index("influencer"), role)
    alike, spread = _experiences(world, vertical, account, at, STAGE_WEIGHTS)
    none = np.full(len(number), -1)
    drawn = Invitations(
        number=number,
        account=account,
        person=person_of(customers, account, role, rng.random(len(number))),
        journey=none,
        touchpoint=none,
        instrument=np.full(len(number), RELATIONSHIP_NPS),
        scale=np.full(len(number), NPS),
        shift=0.06 + _nature(world, account, role, 0.30) + alike,
        spread=spread,
        sure=rota,
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
    status = np.where(some.sure, 2, status)
    status = np.where(np.isin(some.account, world.customers.unheard), 0, status)
    wait = np.minimum(np.exp(rng.standard_normal(len(some))) * 1.5, 12) * DAY
    responded = np.maximum(bent(some.even + wait), invited + HOUR)
    score = np.zeros(len(some), dtype=np.int64)
    for scale, name in enumerate(SCALE_NAMES):
        rows = np.flatnonzero(some.scale == scale)
        score[rows] = levels(rng, name, some.shift[rows], some.spread[rows]) + _LOW[scale]
    expected = levels(rng, "expectation", 1.2 * some.shift)
    expected = np.where(disappointed(world.seed, some.vertical, some.number), 0, expected)
    mood, said = _moods(rng, some, score)
    pending = (status != 2) | (_LAG.after(rng, responded) >= stop)
    status = np.where((status == 2) & pending, 0, status)
    published = (recorded < stop) & (invited < stop) & ~opted_out(world.customers, some.person)
    keep = np.flatnonzero(published & (invited >= world.span.first))
    some, pending = some.at(keep), pending[keep]
    silent = pending | (some.touchpoint >= 0)
    rows = np.flatnonzero(said[keep] & ~pending)
    about = themes(world.seed, world.span, some.vertical[rows], some.number[rows], responded[keep][rows])
    written = comments(world.seed, some.number[rows], some.account[rows], mood[keep][rows], about)
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
        "comment": _at(rows, written, len(some)),
        "invited_at": instants(invited[keep]),
        "responded_at": instants(responded[keep], pending),
        **segment(some.vertical, some.product, some.account),
        "recorded_at": instants(recorded[keep]),
    }


def _moods(rng: Generator, some: Invitations, score: Ints) -> tuple[Ints, Bools]:
    """The mood of an answer, and whether it says more. Bad ones do so oftener, after a defect about the fault."""
    bad, good = score <= _UNHAPPY[some.scale], score > _CONTENT[some.scale]
    mood = np.where(good, GOOD, np.where(bad, BAD, MIDDLING))
    mood = np.where(~good & (some.topic >= 0), FAULT + some.topic, mood)
    return mood, rng.random(len(some)) < np.where(good, 0.12, 0.35)


def _at(rows: Ints, texts: Any, size: int) -> Any:
    """A column with these texts in some of its rows."""
    few = texts.dictionary_encode()
    codes = np.full(size, -1)
    codes[rows] = few.indices
    return labels(codes, few.dictionary.to_pylist())


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
