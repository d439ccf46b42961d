"""When slots are due."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.rules import Cadence, midnight

BERLIN: Final = ZoneInfo("Europe/Berlin")
SAO_PAULO: Final = ZoneInfo("America/Sao_Paulo")


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
