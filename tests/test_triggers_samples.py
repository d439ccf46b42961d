"""When slots are due, what their windows hold, and how sure a rule must be."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from config.values import Condition
from queries.cubes import Cube
from queries.statistics import tail
from tests.company import METRIC, rule
from triggers.evaluate import Instance
from triggers.replay import Finding, Subject, replay, slice_key, slice_values
from triggers.samples import Slice, Window, alpha, history, is_plain, judge
from triggers.slots import Cadence, midnight
from triggers.versions import read_version, version

BERLIN: Final = ZoneInfo("Europe/Berlin")
SAO_PAULO: Final = ZoneInfo("America/Sao_Paulo")
MONDAY: Final = date(2026, 3, 2)


def cadence(settle: int = 0, zone: ZoneInfo = BERLIN, window: int = 28, every: int = 7) -> Cadence:
    return Cadence(timedelta(days=window), timedelta(days=every), timedelta(days=settle), zone)


@pytest.mark.parametrize(
    ("now", "settle", "newest"),
    [
        ("2026-03-02T00:00+01:00", 0, date(2026, 3, 2)),  # a Monday's slot is due as the Monday begins
        ("2026-03-01T23:59+01:00", 0, date(2026, 2, 23)),
        ("2026-03-01T23:30+00:00", 0, date(2026, 3, 2)),  # it begins earlier in Berlin than in Greenwich
        ("2026-03-02T00:00+01:00", 14, date(2026, 2, 16)),  # and not before its window has settled
        ("2026-04-13T00:00+02:00", 14, date(2026, 3, 30)),  # over the change to summer time
        ("2026-04-12T23:59+02:00", 14, date(2026, 3, 23)),
    ],
)
def test_the_newest_slot_that_is_due(now: str, settle: int, newest: date) -> None:
    assert cadence(settle).newest(datetime.fromisoformat(now)) == newest


def test_slots_begin_with_the_first_whole_window_and_go_on_where_they_stopped() -> None:
    now = datetime(2026, 3, 10, tzinfo=UTC)
    due = cadence().due(None, date(2026, 1, 15), now)
    assert due == (date(2026, 2, 16), date(2026, 2, 23), date(2026, 3, 2), date(2026, 3, 9))
    assert cadence().due(due[1], date(2026, 1, 15), now) == due[2:]
    assert cadence().due(due[-1], date(2026, 1, 15), now) == ()


def test_where_a_clock_skips_midnight_the_day_begins_at_the_skip() -> None:
    assert midnight(date(2017, 10, 15), SAO_PAULO) == datetime(2017, 10, 15, 3, tzinfo=UTC)


@given(st.dates(date(2015, 1, 1), date(2030, 1, 1)), st.integers(0, 40), st.integers(1, 30), st.integers(0, 400))
def test_no_slot_is_read_before_its_time_and_none_is_left_out(first: date, settle: int, every: int, days: int) -> None:
    rhythm = cadence(settle, every=every)
    now = midnight(first, BERLIN) + timedelta(days=days, hours=5)
    due = rhythm.due(None, first, now)
    assert all(rhythm.as_of(slot) <= now for slot in due)
    assert all(b - a == timedelta(days=every) for a, b in pairwise(due))
    assert all(slot - rhythm.window >= first for slot in due)
    if due:
        assert rhythm.as_of(due[-1] + rhythm.every) > now


def cube(rows: list[tuple[date, str, str, int, int]]) -> Cube:
    """Rows of (day, vertical, touchpoint, n, plus)."""
    days = np.array([row[0].toordinal() for row in rows], dtype=np.int64)
    dims = {name: np.array([row[i] for row in rows], dtype=object) for i, name in ((1, "vertical"), (2, "touchpoint"))}
    tally = np.array([[row[3], row[4], 0, 0, 0] for row in rows], dtype=np.float64).reshape(-1, 5)
    return Cube(days, dims, {"defect-rate": tally})


DAY: Final = timedelta(days=1)
ROWS: Final = [
    (MONDAY, "Retail", "visit", 10, 1),
    (MONDAY, "Retail", "call", 5, 5),
    (MONDAY + DAY, "Retail", "visit", 10, 2),
    (MONDAY + 9 * DAY, "Energy", "visit", 7, 7),
]


def test_windows_add_up_days_and_dimensions() -> None:
    found = history(cube(ROWS), "defect-rate", ("vertical",))
    assert found.slices == (("Energy",), ("Retail",))
    assert found.window(MONDAY, MONDAY + 7 * DAY)[:, :2].tolist() == [[0, 0], [25, 8]]
    assert found.window(MONDAY + DAY, MONDAY + 10 * DAY)[:, :2].tolist() == [[7, 7], [10, 2]]
    assert found.window(MONDAY - 99 * DAY, MONDAY)[:, :2].tolist() == [[0, 0], [0, 0]]


def test_a_filter_on_a_dimension_chooses_cells() -> None:
    only = (Condition(column="touchpoint", any_of=("visit",)),)
    found = history(cube(ROWS), "defect-rate", (), only)
    assert found.window(MONDAY, MONDAY + 99 * DAY)[:, :2].tolist() == [[27, 10]]


def test_a_known_slice_has_a_place_without_rows() -> None:
    found = history(cube([]), "defect-rate", ("vertical",), known=(("Retail",),))
    assert found.window(MONDAY, MONDAY + DAY).tolist() == [[0.0] * 5]


@pytest.mark.parametrize(
    ("condition", "plain"),
    [
        (Condition(column="vertical", any_of=("a", "b")), True),
        (Condition(column="kept", any_of=(True,)), False),  # a truth is no text of a cube
        (Condition(column="severity", at_least=3), False),
        (Condition(column="vertical", any_of=("a",), known=True), False),
    ],
)
def test_which_filters_choose_cells(condition: Condition, plain: bool) -> None:  # noqa: FBT001
    assert is_plain(condition) is plain


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_a_slices_text_can_be_read_back(values: list[str]) -> None:
    by = tuple(f"column_{i}" for i in range(len(values)))
    assert slice_values(slice_key(by, tuple(values))) == dict(zip(by, values, strict=True))


# The gate.


def judged(n: float, plus: float, deff: float = 1.0, **changes: Any) -> tuple[str, float]:
    window = Window(MONDAY, (("Retail",),), np.array([[n, plus, 0, 0, 0]], dtype=np.float64), np.array([deff]), 0.01)
    (reading,) = judge(rule(**changes), METRIC, window)
    return reading.verdict, reading.p


@pytest.mark.parametrize(
    ("n", "plus", "changes", "verdict"),
    [
        (200, 80, {}, "breach"),
        (200, 60, {}, "between"),  # 30% against 25%: not sure enough (p = 0.06)
        (200, 60, {"gate": "none"}, "breach"),  # a plain comparison is
        (29, 29, {}, "no_data"),  # under the metric's minimum n, however bad
        (29, 29, {"min_n": 20}, "breach"),
        (0, 0, {}, "no_data"),
        (200, 48, {}, "between"),  # 24%: neither beyond the limit nor past recover
        (200, 40, {}, "safe"),
        (5000, 1400, {"floor": 0.05}, "between"),  # 28%: certain, and not worth anybody's attention
        (5000, 1500, {"floor": 0.05}, "breach"),
    ],
)
def test_the_gate(n: int, plus: int, changes: dict[str, Any], verdict: str) -> None:
    assert judged(n, plus, **changes)[0] == verdict


def test_answers_of_one_account_count_less() -> None:
    alone, alike = judged(200, 72)[1], judged(200, 72, deff=4.0)[1]
    assert alone == pytest.approx(binom.sf(71, 200, 0.25))
    assert alike == pytest.approx(binom.sf(17, 50, 0.25))
    assert alone < 0.01 < alike


def test_alpha_shares_the_declared_false_alarms_among_slots_and_slices() -> None:
    assert alpha(rule(false_alarms_per_year=0.5), cadence().a_year, 10) == pytest.approx(0.5 / (365.25 / 7) / 10)


def test_without_change_breaches_stay_below_what_the_rule_declares() -> None:
    """Thirty years of ten slices at the limit itself, the worst of no change: at most the declared breaches."""
    dice = np.random.default_rng(2026)
    declared, slices, slots = 2.0, 10, 30 * 52
    gate = alpha(rule(false_alarms_per_year=declared), 52, slices)
    bad = dice.binomial(120, 0.25, size=slices * slots)
    counts = np.array([[120, plus, 0, 0, 0] for plus in bad], dtype=np.float64)
    keys = tuple((str(i),) for i in range(len(counts)))
    found = judge(rule(), METRIC, Window(MONDAY, keys, counts, np.ones(len(counts)), gate))
    breaches = sum(reading.verdict == "breach" for reading in found)
    assert 0 < breaches <= declared * 30 + 3 * (declared * 30) ** 0.5


# A rule over its slots.


def subject(**changes: Any) -> Subject:
    of = version(rule(**changes), METRIC)
    return Subject(rule(**changes), METRIC, METRIC, cadence(), of)


def weekly(vertical: str, defects: list[int]) -> list[tuple[date, str, str, int, int]]:
    return [(MONDAY + i * 7 * DAY, vertical, "visit", 50, bad) for i, bad in enumerate(defects)]


COUNTS: Final = st.lists(st.integers(0, 50), min_size=6, max_size=30)


@given(st.dictionaries(st.sampled_from("ABCDE"), COUNTS, min_size=2), st.randoms())
def test_the_order_of_slices_does_not_matter(defects: dict[str, list[int]], dice: Any) -> None:
    rows = [row for vertical, weeks in defects.items() for row in weekly(vertical, weeks)]
    shuffled = dice.sample(rows, len(rows))
    of = subject()
    slots = of.cadence.due(None, MONDAY, midnight(MONDAY + 40 * 7 * DAY, BERLIN))
    results = [
        replay(of, history(cube(given_), "defect-rate", ("vertical",)), slots, {}, lambda _: {}, of.cadence.as_of)
        for given_ in (rows, shuffled)
    ]
    assert results[0] == results[1]


@given(COUNTS, st.integers(1, 10))
def test_slots_at_once_and_one_by_one_come_to_the_same(defects: list[int], step: int) -> None:
    of, counts = subject(consecutive=2), history(cube(weekly("A", defects)), "defect-rate", ("vertical",))
    slots = of.cadence.due(None, MONDAY, midnight(MONDAY + 40 * 7 * DAY, BERLIN))
    whole, findings = replay(of, counts, slots, {}, lambda _: {}, of.cadence.as_of)
    parts: dict[Slice, Instance] = {}
    found: list[Finding] = []
    for start in range(0, len(slots), step):
        parts, some = replay(of, counts, slots[start : start + step], parts, lambda _: {}, of.cadence.as_of)
        found += some
    assert (parts, tuple(found)) == (whole, findings)


def test_the_gate_says_what_scipy_says() -> None:
    window = Window(MONDAY, (("A",),), np.array([[311.0, 99.0, 0, 0, 0]]), np.array([1.0]), 0.01)
    (reading,) = judge(rule(), METRIC, window)
    assert reading.p == pytest.approx(binom.sf(98, 311, 0.25))
    assert reading.p == tail(METRIC, reading.tally, 0.25)


def test_a_version_can_be_read_back() -> None:
    of = version(rule(**{"for": "7d"}, where={"journey_type": "installation", "defects": {"at_least": 2}}), METRIC)
    again = read_version(of.body)
    assert (again.rule, again.metric, again.hash) == (of.rule, of.metric, of.hash)
