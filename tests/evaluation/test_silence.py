"""An account's silence against its own rhythm: as rare as declared where nothing changed, found where it did."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from math import ceil, isnan, nan
from typing import Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import lomax, poisson

from queries.metrics import Ints
from queries.monitoring.activity import Signals
from triggers.evaluation.kinds import alpha_of, overdue_instruments, stale, unit_silences
from triggers.evaluation.kinds.silence import Floats, Silences, Upper, by_chance

YEAR: Final = 365
START: Final = date(2020, 1, 1).toordinal()
SEEDS: Final = 20
ACCOUNTS: Final = 60
YEARS: Final = 4
DECLARED: Final = 4.0
"""False alarms a year, over all accounts."""

Draw = Callable[[np.random.Generator, int], Ints]


def heard(**days: list[int]) -> Signals:
    """Signals of units by their days."""
    names = [name for name, of in days.items() for _ in of]
    return Signals.of(pa.array(names, pa.string()), np.array([d for of in days.values() for d in of], np.int64), days)


def steady(a_day: float) -> Draw:
    """Contacts without memory."""
    return lambda rng, days: np.flatnonzero(rng.random(days) < a_day)


def bursts(a_day: float, contacts: int, apart: float) -> Draw:
    """Journeys without memory, each of some contacts a few days apart."""

    def draw(rng: np.random.Generator, days: int) -> Ints:
        starts = np.flatnonzero(rng.random(days) < a_day)
        sizes = 1 + rng.poisson(contacts - 1, len(starts))
        each = [s + np.cumsum(rng.exponential(apart, n)) for s, n in zip(starts, sizes, strict=True)]
        found = np.concatenate((np.zeros(0), *each)).astype(np.int64)
        return found[found < days]

    return draw


def company(draw: Draw, seed: int) -> Signals:
    rng = np.random.default_rng(seed)
    days = [draw(rng, YEARS * YEAR) + START for _ in range(ACCOUNTS)]
    names = np.repeat([f"A{i:02}" for i in range(ACCOUNTS)], [len(d) for d in days])
    return Signals.of(pa.array(names.tolist(), pa.string()), np.concatenate(days))


def weekly(first_year: int = 1, until_year: int = YEARS) -> Ints:
    return np.arange(START + first_year * YEAR, START + until_year * YEAR, 7)


def incidents(p: Floats, alpha: float) -> int:
    """Silences that became incidents: slots at or below alpha after one that was not."""
    fired = p <= alpha
    return int((fired[1:] & ~fired[:-1]).sum())


def plain_exponential(found: Silences, signals: Signals) -> Floats:
    """The chance of a silence if all contacts of an account came without memory, at its known mean rate."""
    rate = np.bincount(signals.unit, minlength=len(signals.units)) / (YEARS * YEAR)
    return np.asarray(np.exp(-rate * found.silent))


CUSTOMERS: Final = {
    "every other day": steady(0.5),
    "every week": steady(0.15),
    "every third week": steady(0.05),
    "four contacts a journey, two journeys a week": bursts(0.3, 4, 3),
    "four contacts a journey, three journeys a month": bursts(0.1, 4, 3),
    "four contacts a journey, a journey every seven weeks": bursts(0.02, 4, 3),
    "eight quick contacts a journey, a journey every three weeks": bursts(0.05, 8, 2),
}


@pytest.mark.parametrize("kind", CUSTOMERS)
def test_where_nothing_changed_no_more_is_found_than_declared(kind: str) -> None:
    """Twenty companies over three years; the count may exceed what is declared only as a Poisson count may by luck."""
    found, years = 0, 0.0
    for seed in range(SEEDS):
        signals = company(CUSTOMERS[kind], seed)
        slots = weekly()
        alpha = alpha_of(DECLARED, signals, int(slots[-1]))
        found += incidents(unit_silences(signals, slots, YEAR).p, alpha)
        years += len(slots) * 7 / 365.25
    most = poisson.ppf(0.999, DECLARED * years)
    assert found <= most, f"{found} found in {years:.0f} years, {DECLARED * years:.0f} declared"


def test_taken_as_one_exponential_law_bursts_raise_many_times_the_alarms_declared() -> None:
    """So the test above would notice."""
    signals = company(CUSTOMERS["four contacts a journey, a journey every seven weeks"], 1)
    slots = weekly()
    alpha = alpha_of(DECLARED, signals, int(slots[-1]))
    plain = plain_exponential(unit_silences(signals, slots, YEAR), signals)
    assert incidents(plain, alpha) > 5 * DECLARED * YEARS


@pytest.mark.parametrize(
    ("kind", "gaps", "longest"),
    [
        ("every other day", 2, 42),
        ("every week", 7, 147),
        ("four contacts a journey, two journeys a week", 2, 56),
    ],
)
def test_an_account_that_left_is_found(kind: str, gaps: int, longest: int) -> None:
    signals = company(CUSTOMERS[kind], 5)
    left = START + 3 * YEAR
    gone, slots = signals.before(left), np.arange(left, left + YEAR, 7)
    alpha = alpha_of(DECLARED, signals, left)
    found = unit_silences(gone, slots, YEAR)
    is_found = found.p <= alpha
    assert is_found[-1].mean() > 0.95
    delay = np.median(slots[np.argmax(is_found, axis=0)][is_found[-1]] - left)
    assert delay <= longest, f"found {delay:.0f} days after it left"
    assert np.median(found.expected[0]) <= gaps


def by_hand(days: list[int], slot: int, window: int) -> tuple[int, float, float, float]:
    """What `silences` says of one unit at one slot, written down as in the module's text."""
    known = sorted({day for day in days if day < slot})
    n = sum(day >= slot - window for day in known)
    if not known:
        return n, nan, nan, nan
    recent = [day for day in known if day >= known[-1] - window]
    gaps, x = sorted(b - a for a, b in pairwise(recent)), slot - known[-1]
    if not gaps:
        return n, x, nan, nan
    k = len(gaps)
    ranks = (max(m, 1) for m in (ceil(k / 2), ceil(3 * k / 4), k - ceil(k**0.5)))
    return n, x, gaps[ceil(k / 2) - 1], max(_by_hand(gaps, m, x) for m in ranks)


def _by_hand(gaps: list[int], m: int, x: int) -> float:
    k, r = len(gaps), gaps[m - 1]
    beyond = [gap - r for gap in gaps if gap > r]
    j, total = len(beyond), max(sum(beyond), 1)
    if x <= r:
        return 1.0
    spread = (j * sum(e * e for e in beyond) / total**2 - 1) * (j + 1) / max(j - 1, 1)
    chance: float = (1 + (x - r - 1) / total) ** (-max(j - 1, 1) / max(spread, 1))
    return (k - m + 1) / (k + 1) * (chance if j else (1 + (x - r - 1)) ** -1.0)


DAYS: Final = st.lists(st.integers(START, START + 300), max_size=60)


@given(first=DAYS, second=DAYS, window=st.sampled_from([30, 90, 400]))
@settings(max_examples=60, deadline=None)
def test_equals_the_formula_worked_out_one_by_one(first: list[int], second: list[int], window: int) -> None:
    slots = np.arange(START - 5, START + 500, 17)
    found = unit_silences(heard(a=first, b=second), slots, window)
    for i, slot in enumerate(slots.tolist()):
        for u, days in enumerate((first, second)):
            got = (found.n[i, u], found.silent[i, u], found.expected[i, u], found.p[i, u])
            assert got == pytest.approx(by_hand(days, slot, window), nan_ok=True)


def test_the_excess_follows_the_predictive_law_of_an_exponential() -> None:
    """Nine gaps beyond a threshold of 4 days by 30 days in all, no more scattered than an exponential law."""
    shape = (1, 1, 1)
    of = (np.full(shape, 20), np.full(shape, 4), np.full(shape, 9))
    upper = Upper(*of, np.full(shape, 30.0), np.full(shape, 110.0))
    got = by_chance(np.full((1, 1), 25.0), np.full((1, 1), 29), upper)
    assert got.item() == pytest.approx((29 - 20 + 1) / 30 * lomax.sf(25 - 4 - 1, c=8, scale=30))


@pytest.mark.parametrize("kind", CUSTOMERS)
def test_nothing_looks_ahead(kind: str) -> None:
    signals, slots = company(CUSTOMERS[kind], 2), weekly(1, 2)[::9]
    whole = unit_silences(signals, slots, YEAR)
    for i, slot in enumerate(slots.tolist()):
        cut = unit_silences(signals.before(slot), slots[i : i + 1], YEAR)
        for name in ("n", "silent", "expected", "p"):
            np.testing.assert_array_equal(getattr(cut, name)[0], getattr(whole, name)[i])


def test_the_order_of_rows_and_their_repetition_do_not_matter() -> None:
    signals, slots = company(CUSTOMERS["every week"], 3), weekly()
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(signals.day)), 2))
    names = pa.array([signals.units[u] for u in signals.unit[order].tolist()])
    again = unit_silences(Signals.of(names, signals.day[order]), slots, YEAR)
    np.testing.assert_array_equal(again.p, unit_silences(signals, slots, YEAR).p)
    assert again.units == signals.units


def test_chance_only_falls_while_a_silence_lasts() -> None:
    signals = company(CUSTOMERS["four contacts a journey, three journeys a month"], 4)
    end = int(signals.day.max()) + 1
    p = unit_silences(signals, np.arange(end, end + 600), YEAR).p
    assert (np.diff(p, axis=0) <= 0).all()


def test_without_a_gap_nothing_is_judged() -> None:
    found = unit_silences(heard(never=[], once=[START], twice=[START, START + 9]), np.array([START, START + 20]), YEAR)
    assert found.units == ("never", "once", "twice")
    assert np.isnan(found.silent[0]).all()
    assert np.isnan(found.p[0]).all()
    np.testing.assert_array_equal(found.silent[1], [nan, 20, 11])
    assert np.isnan(found.p[1]).tolist() == [True, True, False]
    assert found.n.tolist() == [[0, 0, 0], [0, 1, 2]]
    assert unit_silences(heard(), np.array([START]), YEAR).p.shape == (1, 0)


def test_alpha_shares_the_declared_number_out_among_the_silences_of_a_year() -> None:
    signals = heard(a=list(range(START, START + 730, 2)), b=list(range(START, START + 730, 10)))
    half, tenth = 365.25 / 2, 365.25 / 10
    assert alpha_of(0.5, signals, START + 730) == pytest.approx(0.5 / (half + tenth), rel=0.01)
    assert alpha_of(0.5, signals, START + 100) == pytest.approx(0.5 / (half + tenth), rel=0.02)  # from 100 days' count
    assert alpha_of(500, signals, START + 730) == 1
    assert alpha_of(0.5, heard(), START) == 0.5


def test_an_instrument_is_overdue_after_its_cadence_and_grace() -> None:
    signals = heard(nps=[START], csat=[START], never=[])
    cadences = {"nps": timedelta(days=92), "never": timedelta(days=31)}
    found = overdue_instruments(signals, cadences, timedelta(days=7), np.array([START, START + 99, START + 100]))
    assert found.units == ("csat", "never", "nps")
    assert isnan(found.allowed[0])  # sent after an event: no cadence
    assert found.allowed[1:].tolist() == [38, 99]
    assert found.late.tolist() == [[False] * 3, [False] * 3, [False, False, True]]
    np.testing.assert_array_equal(found.silent[2], [100, nan, 100])


def test_a_source_is_stale_after_so_many_days() -> None:
    found = stale(heard(crm=[START, START + 5], web=[START]), timedelta(days=3), np.arange(START, START + 10, 3))
    assert found.late.tolist() == [[False, False], [False, False], [False, True], [True, True]]
    np.testing.assert_array_equal(found.silent, [[nan, nan], [3, 3], [1, 6], [4, 9]])
