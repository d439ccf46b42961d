"""The customers: companies of very different size, the people in them, what they buy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from queries.sample.columns import Columns, dates_of, flags, ids, instants, labels, numbers, texts
from queries.sample.draws import BOOKED, DAY, HOUR, MONTHS, Bools, Floats, Ints, Timeline, stream
from queries.sample.names import (
    ACCOUNTS,
    COMMERCIAL,
    INSTRUMENTS,
    LENDING,
    PAYMENTS,
    RETAIL,
    ROLES,
    STEMS,
    SUFFIXES,
    TIERS,
    VERTICALS,
)
from queries.sample.planted_changes import (
    CONDITION_DAYS,
    CONDITION_MONTH,
    DETRACTOR,
    GROWING_LEVEL,
    LOW_MONTHS,
    LOW_SEASON,
    NEAR_RISK,
    NULL,
    QUIET,
    SEASONAL,
    WANE_MONTH,
    growing,
    unheard,
)

CURRENCY: Final = "EUR"
_KEY_ACCOUNTS: Final = 40
_LARGE_ACCOUNTS: Final = 120
_STAFF: Final = np.array([[3, 4, 7], [2, 3, 5], [1, 2, 3]])  # people by tier and role
_TRAFFIC: Final = np.array([0.12, 0.15, 0.10, 0.10, 0.30, 0.09, 0.06, 0.08])  # share of journeys by vertical
_MOVERS: Final = 6  # accounts that came from Commercial to Retail Banking
_MOVE_MONTH: Final = -13
_SPANNING: Final = range(20, 36)  # accounts of Commercial Banking that also buy in Payments
_HANDOVERS: Final = 30  # accounts of Lending that changed their owner
_HANDOVER_MONTH: Final = -9
_RIVALS: Final = 1.6  # four in five accounts buy more elsewhere than here


@dataclass(frozen=True, slots=True)
class Company:
    """All customers. Accounts are numbered through the verticals, largest first; a line is an account in a vertical."""

    vertical: Ints
    revenue: Floats  # EUR a year
    level: Floats  # what it buys, as a part of what an account of its size does
    tier: Ints
    mood: Floats  # how content an account is by nature: mean 0 in each vertical, weighted by traffic
    care: Floats  # factor on its chance of defects: mean 1 in each vertical
    first: Ints  # [account, role]: its first person
    staff: Ints  # [account, role]: how many
    line_account: Ints
    line_vertical: Ints
    line_before: Ints  # its vertical before the move
    traffic: Floats  # a line's share of journeys
    panel: Floats  # an account's share of relationship surveys
    unheard: Ints  # accounts that never answer

    def top(self, vertical: int) -> int:
        """The largest account of a vertical."""
        return sum(ACCOUNTS[:vertical])


def company(seed: int) -> Company:
    rng = stream(seed, "company")
    vertical = np.repeat(np.arange(len(VERTICALS)), ACCOUNTS)
    revenue = _revenue(rng.standard_normal(len(vertical)), vertical)
    # The null vertical has no key accounts: they are looked after, and that would be an effect.
    rank = np.argsort(np.argsort(-np.where(vertical == NULL, 0, revenue)))
    tier = np.where(rank < _KEY_ACCOUNTS, 0, np.where(rank < _LARGE_ACCOUNTS, 1, 2))
    weight = revenue**0.4
    staff = _STAFF[tier]
    people = np.cumsum(staff.ravel()).reshape(staff.shape) - staff
    account, where, before, traffic = _lines(vertical, weight)
    mood = _centred(rng.standard_normal(len(vertical)), vertical, weight)
    level = np.where(growing(seed, tier, vertical, mood), GROWING_LEVEL, 1.0)
    return Company(
        vertical,
        np.round(revenue * level, -3),
        level,
        tier,
        mood,
        np.exp(0.10 * _centred(rng.standard_normal(len(vertical)), vertical, weight)),
        people,
        staff,
        account,
        where,
        before,
        traffic,
        revenue**0.25,
        unheard(seed, tier, vertical),
    )


def _revenue(draws: Floats, vertical: Ints) -> Floats:
    """Lognormal with a long tail; the accounts of the plants are among the largest, the null vertical's are small."""
    amount = 150_000 * np.exp(1.3 * draws)
    amount = np.where(vertical == NULL, np.minimum(amount * 0.5, 600_000), amount)
    amount = amount[np.lexsort((-amount, vertical))]
    for planted, size in ((DETRACTOR, 1.15), (QUIET, 0.85), (NEAR_RISK, 0.72)):
        amount[np.flatnonzero(vertical == planted)[0]] = amount.max() * size
    return np.round(amount, -3)


def _centred(draws: Floats, vertical: Ints, weight: Floats) -> Floats:
    mean = np.bincount(vertical, draws * weight) / np.bincount(vertical, weight)
    return draws - mean[vertical]


def _lines(vertical: Ints, weight: Floats) -> tuple[Ints, Ints, Ints, Floats]:
    spanning = np.flatnonzero(vertical == COMMERCIAL)[list(_SPANNING)]
    account = np.concatenate((np.arange(len(vertical)), spanning))
    where = np.concatenate((vertical, np.full(len(spanning), PAYMENTS)))
    size = np.concatenate((weight, 0.3 * weight[spanning]))
    share = size / np.bincount(where, size)[where] * _TRAFFIC[where]
    before = where.copy()
    before[_movers(vertical)] = COMMERCIAL
    return account, where, before, share


def _movers(vertical: Ints) -> Ints:
    return np.flatnonzero(vertical == RETAIL)[-_MOVERS:]


def moved(span: Timeline) -> int:
    """The instant at which the moving accounts changed their vertical."""
    return span.month(_MOVE_MONTH)


def company_tables(span: Timeline, customers: Company, seed: int) -> Iterator[tuple[str, Columns]]:
    """The tables that do not grow with the number of contacts."""
    yield "account", _account(span, customers)
    yield "account_history", _history(span, customers)
    yield "person", _person(span, customers)
    yield "revenue", _revenues(span, customers, seed)
    yield "fx_rate", _rates(span)
    yield "condition", _conditions(span)
    yield "instrument", _instruments(span)


def _unknown(size: int) -> object:
    return instants(np.zeros(size, dtype=np.int64), np.ones(size, dtype=bool))


def _since(span: Timeline, account: Ints) -> Ints:
    return span.stop - (1500 + account * 7919 % 5000) * DAY


def _account(span: Timeline, customers: Company) -> Columns:
    account = np.arange(len(customers.vertical))
    names = [
        f"{STEMS[(place * 7 + vertical * 5) % len(STEMS)]} {SUFFIXES[vertical][place // len(STEMS)]}"
        for vertical, count in enumerate(ACCOUNTS)
        for place in range(count)
    ]
    return {
        "account_id": ids("A", account, 4),
        "name": texts(names),
        "since": dates_of(_since(span, account)),
        "recorded_at": _unknown(len(account)),
    }


def _history(span: Timeline, customers: Company) -> Columns:
    """One row an account, and a second one for those that moved or got another owner."""
    account = np.arange(len(customers.vertical))
    change = np.zeros(len(account), dtype=np.int64)
    change[_movers(customers.vertical)] = moved(span)
    change[np.flatnonzero(customers.vertical == LENDING)[:_HANDOVERS]] = span.month(_HANDOVER_MONTH)
    later = np.flatnonzero(change)
    row, second = np.concatenate((account, later)), np.arange(len(account) + len(later)) >= len(account)
    vertical = customers.vertical[row]
    vertical[np.isin(row, _movers(customers.vertical)) & ~second] = COMMERCIAL
    return {
        "account_id": ids("A", row, 4),
        "valid_from": dates_of(np.where(second, change[row], _since(span, row))),
        "valid_to": dates_of(change[row], second | (change[row] == 0)),
        "vertical": labels(vertical, VERTICALS),
        "tier": labels(customers.tier[row], TIERS),
        "owner": ids("AM", (row + second) % 24, 2),
        "annual_revenue": numbers(customers.revenue[row]),
        "currency": labels(np.zeros(len(row)), (CURRENCY,)),
        "recorded_at": _unknown(len(row)),
    }


def _person(span: Timeline, customers: Company) -> Columns:
    """Everybody at the customers; one in ten accounts also has somebody who left before the records begin."""
    per_role = customers.staff.ravel()
    cell = np.repeat(np.arange(len(per_role)), per_role)
    here = len(cell)
    cell = np.concatenate((cell, np.arange(0, len(per_role), 10 * len(ROLES)) + 2))
    gone = np.arange(len(cell)) >= here
    account = cell // len(ROLES)
    return {
        "person_id": ids("P", np.arange(len(cell)), 5),
        "account_id": ids("A", account, 4),
        "role": labels(cell % len(ROLES), ROLES),
        "active_from": dates_of(_since(span, account)),
        "active_to": dates_of(np.full(len(cell), span.first - 30 * DAY), ~gone),
        "opted_out": flags(opted_out(customers, np.arange(len(cell))) | gone),
        "recorded_at": _unknown(len(cell)),
    }


def opted_out(customers: Company, person: Ints) -> Bools:
    """Who wants no surveys: the last user of every fourth account."""
    last = (customers.first + customers.staff)[::4, ROLES.index("user")] - 1
    return np.isin(person, last)


def _revenues(span: Timeline, customers: Company, seed: int) -> Columns:
    """What accounts bought by month. The books of the time before were taken over in the first month: known since."""
    rng = stream(seed, "company", 1)
    of_wallet = rng.beta(4, 4, len(customers.vertical))
    parts = (
        _booked(span, customers, of_wallet, range(-MONTHS, 0), rng),
        _booked(span, customers, of_wallet, range(-BOOKED, -MONTHS), stream(seed, "company", 2)),
    )
    account, month, booked, amount, share = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    booked, known = np.maximum(booked, span.first), np.flatnonzero(booked < span.stop)
    return {
        "account_id": ids("A", account[known], 4),
        "month": dates_of(month[known]),
        "amount": numbers(np.round(amount[known], 2)),
        "currency": labels(np.zeros(len(known)), (CURRENCY,)),
        "share_of_wallet": numbers(np.round(share[known], 4), account[known] % 7 == 6),
        "recorded_at": instants(booked[known]),
    }


def _booked(
    span: Timeline, customers: Company, of_wallet: Floats, months: range, rng: Generator
) -> tuple[Ints, Ints, Ints, Floats, Floats]:
    """Account, month, when it was booked, amount and share of wallet of all accounts in some months."""
    count = len(customers.vertical)
    account = np.repeat(np.arange(count), len(months))
    month = np.tile(np.array([span.month(at) for at in months]), count)
    booked = np.tile(np.array([span.month(at + 1) for at in months]), count) + 4 * DAY + 9 * HOUR
    wallet, level = _wallets(span, customers, of_wallet, account, month)
    season = np.where(np.isin(np.array(months) % 12, LOW_MONTHS), LOW_SEASON, 1.0)
    level = level * np.where(account == customers.top(SEASONAL), np.tile(season, count), 1.0)
    amount = customers.revenue[account] / 12 * level * np.exp(0.05 * rng.standard_normal(len(account)))
    share = np.clip(wallet * np.exp(0.02 * rng.standard_normal(len(account))), 0.02, 0.98)
    return account, month, booked, amount, share


def _wallets(span: Timeline, customers: Company, share: Floats, account: Ints, month: Ints) -> tuple[Floats, Floats]:
    """Share of wallet and revenue level by account and month: flat, but for the account that leaves by halves."""
    share = share**_RIVALS * customers.level
    share[[customers.top(QUIET), customers.top(NEAR_RISK), customers.top(DETRACTOR)]] = (0.64, 0.70, 0.60)
    falling = [span.month(WANE_MONTH + step) for step in range(4)]
    level = 1 - 0.125 * np.searchsorted(falling, month, side="right").astype(np.float64)
    level = np.where(account == customers.top(QUIET), level, 1.0)
    wallet: Floats = share[account] * level
    return wallet, level


def _rates(span: Timeline) -> Columns:
    month = np.array([span.month(at) for at in range(-BOOKED, 1)])
    return {
        "currency": labels(np.zeros(len(month)), (CURRENCY,)),
        "month": dates_of(month),
        "rate": numbers(np.ones(len(month))),
        "recorded_at": _unknown(len(month)),
    }


def _conditions(span: Timeline) -> Columns:
    """A strike that reaches customers, and a change of our own that does not."""
    starts = np.array([span.month(CONDITION_MONTH, CONDITION_DAYS[0]), span.month(-15)])
    ends = np.array([span.month(CONDITION_MONTH, CONDITION_DAYS[1]), span.month(-15, 10)])
    return {
        "id": texts(("K1", "K2")),
        "name": texts(("Carrier strike", "New case system")),
        "kind": texts(("external", "internal")),
        "starts_at": instants(starts),
        "ends_at": instants(ends),
        "verticals": texts((VERTICALS[RETAIL], ",".join(VERTICALS[:2]))),
        "touchpoints": texts(("delivery", None)),
        "recorded_at": instants(starts + 6 * HOUR),
    }


def _instruments(span: Timeline) -> Columns:
    """Every survey. The wording of the onboarding survey has not changed for more than three years."""
    age = np.array([400, 420, 1300, 500, 300, 650, 350])
    patterns = ("past", "past", "past", "potential", "past", "past", "present")
    owners = ("installation-lead", "repair-lead", "onboarding-lead", "sales-lead", "service-lead", "service-lead", "cx")
    cadences = ("after installation", "after repair", "after onboarding", "after renewal", "after contact")
    return {
        "instrument": texts(INSTRUMENTS),
        "version": texts(["1"] * len(INSTRUMENTS)),
        "pattern": texts(patterns),
        "owner": texts(owners),
        "cadence": texts((*cadences, "after contact", "quarterly")),
        "wording_changed_at": dates_of(span.stop - age * DAY),
        "recorded_at": _unknown(len(INSTRUMENTS)),
    }
