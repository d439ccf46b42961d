"""Business hours, as tables of cases: each instant is written with the offset that clocks there had."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.models import Calendar, Route, parse_duration
from config.models.values import parse_hours
from queries.review import Timetable, local, timetable
from tests.support.company import catalog

BERLIN, KOLKATA, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Kathmandu")
LORD_HOWE, APIA = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")
NINE_TO_FIVE: Final = (time(9), time(17))
NIGHT: Final = (time(22), time(6))
CHRISTMAS: Final = frozenset({date(2026, 12, 25), date(2027, 1, 1)})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def week(zone: ZoneInfo = BERLIN, hours: tuple[time, time] | None = NINE_TO_FIVE, **more: Any) -> Timetable:
    return Timetable(zone, hours, frozenset({6, 7}), **more)


@pytest.mark.parametrize(
    ("table", "now", "opens"),
    [
        (week(), "2026-11-20T10:00+01:00", "2026-11-20T10:00+01:00"),  # Friday, at work
        (week(), "2026-11-20T09:00+01:00", "2026-11-20T09:00+01:00"),  # the first moment is within
        (week(), "2026-11-20T17:00+01:00", "2026-11-23T09:00+01:00"),  # the last is not: over the weekend
        (week(), "2026-11-20T08:59:59+01:00", "2026-11-20T09:00+01:00"),
        (week(), "2026-11-21T12:00+01:00", "2026-11-23T09:00+01:00"),  # Saturday
        (week(), "2026-11-22T23:59+01:00", "2026-11-23T09:00+01:00"),  # Sunday night
        (week(), "2026-11-19T23:30-05:00", "2026-11-20T09:00+01:00"),  # Friday morning there, Thursday night here
        (week(holidays=CHRISTMAS), "2026-12-24T18:00+01:00", "2026-12-28T09:00+01:00"),  # holiday, then the weekend
        (week(holidays=CHRISTMAS), "2026-12-31T18:00+01:00", "2027-01-04T09:00+01:00"),  # the year's end
        (week(), "2026-03-27T18:00+01:00", "2026-03-30T09:00+02:00"),  # over the night that has 23 hours
        (week(), "2026-10-23T18:00+02:00", "2026-10-26T09:00+01:00"),  # over the one that has 25
        (week(KOLKATA), "2026-11-20T03:29+00:00", "2026-11-20T03:30+00:00"),  # half an hour
        (week(KATHMANDU), "2026-11-20T03:14+00:00", "2026-11-20T03:15+00:00"),  # three quarters
        (week(hours=None), "2026-11-21T03:00+01:00", "2026-11-21T03:00+01:00"),  # round the clock
        (week(hours=NIGHT), "2026-11-21T05:00+01:00", "2026-11-21T05:00+01:00"),  # Friday's shift, on Saturday
        (week(hours=NIGHT), "2026-11-21T06:00+01:00", "2026-11-23T22:00+01:00"),
        (week(hours=NIGHT), "2026-11-23T05:00+01:00", "2026-11-23T22:00+01:00"),  # Sunday has no shift
    ],
)
def test_when_a_route_is_at_work_next(table: Timetable, now: str, opens: str) -> None:
    assert table.next_opening(at(now)) == at(opens)
    assert table.is_open(at(now)) == (now == opens)


@pytest.mark.parametrize(
    ("zone", "day", "wall", "first", "last"),
    [
        (BERLIN, date(2026, 3, 29), time(1, 59), "2026-03-29T01:59+01:00", "2026-03-29T01:59+01:00"),
        (BERLIN, date(2026, 3, 29), time(2), "2026-03-29T03:00+02:00", "2026-03-29T03:00+02:00"),  # skipped
        (BERLIN, date(2026, 3, 29), time(2, 30), "2026-03-29T03:00+02:00", "2026-03-29T03:00+02:00"),
        (BERLIN, date(2026, 3, 29), time(3), "2026-03-29T03:00+02:00", "2026-03-29T03:00+02:00"),
        (BERLIN, date(2026, 10, 25), time(2, 30), "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),  # twice
        (LORD_HOWE, date(2026, 10, 4), time(2, 15), "2026-10-04T02:30+11:00", "2026-10-04T02:30+11:00"),  # half an hour
        (LORD_HOWE, date(2026, 4, 5), time(1, 45), "2026-04-05T01:45+11:00", "2026-04-05T01:45+10:30"),
        (APIA, date(2011, 12, 30), time(9), "2011-12-31T00:00+14:00", "2011-12-31T00:00+14:00"),  # a day that never was
    ],
)
def test_what_instant_a_clock_shows(zone: ZoneInfo, day: date, wall: time, first: str, last: str) -> None:
    assert local(zone, day, wall) == at(first)
    assert local(zone, day, wall, is_last=True) == at(last)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        # Berlin, 25 October 2026: the hour from 2:00 comes twice. A Sunday, so that day counts as a business day here.
        ((time(2, 30), time(8)), ("02:30+02:00", "02:45+02:00", "02:15+01:00", "07:59+01:00"), ("02:15+02:00",)),
        ((time(0), time(2, 30)), ("02:15+02:00", "02:45+02:00", "02:15+01:00"), ("02:30+01:00", "02:45+01:00")),
    ],
)
def test_the_hour_that_comes_twice(hours: tuple[time, time], inside: tuple[str, ...], outside: tuple[str, ...]) -> None:
    table = Timetable(BERLIN, hours, frozenset())
    assert all(table.is_open(at(f"2026-10-25T{clock}")) for clock in inside)
    assert not any(table.is_open(at(f"2026-10-25T{clock}")) for clock in outside)


@pytest.mark.parametrize(
    ("table", "now", "tomorrow", "business"),
    [
        (week(), "2026-11-18T16:00+01:00", "2026-11-19T09:00+01:00", "2026-11-19T09:00+01:00"),
        (week(), "2026-11-20T16:00+01:00", "2026-11-21T09:00+01:00", "2026-11-23T09:00+01:00"),  # over a weekend
        (week(), "2026-11-20T00:10+01:00", "2026-11-21T09:00+01:00", "2026-11-23T09:00+01:00"),  # after midnight
        (week(hours=None), "2026-11-20T16:00+01:00", "2026-11-21T09:00+01:00", "2026-11-23T09:00+01:00"),
        (week(hours=(time(7), time(15))), "2026-11-20T08:00+01:00", "2026-11-21T09:00+01:00", "2026-11-23T07:00+01:00"),
        (week(), "2026-03-28T16:00+01:00", "2026-03-29T09:00+02:00", "2026-03-30T09:00+02:00"),
        (week(holidays=CHRISTMAS), "2026-12-31T12:00+01:00", "2027-01-01T09:00+01:00", "2027-01-04T09:00+01:00"),
        (week(KOLKATA), "2026-11-19T19:00+00:00", "2026-11-21T03:30+00:00", "2026-11-23T03:30+00:00"),  # Friday there
    ],
)
def test_what_a_snooze_means(table: Timetable, now: str, tomorrow: str, business: str) -> None:
    assert table.tomorrow_morning(at(now)) == at(tomorrow)
    assert table.next_business_morning(at(now)) == at(business)


def test_a_clock_set_back_by_an_hour_changes_no_answer() -> None:
    """The answers follow from the instant asked for and nothing else."""
    now = at("2026-11-20T17:30+01:00")
    assert week().next_opening(now - timedelta(hours=2)) == now - timedelta(hours=2)
    assert week().next_opening(now) == week().next_opening(now + timedelta(hours=1))


@given(
    st.integers(0, 15 * 365 * 86_400).map(
        lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    ),
    st.sampled_from([BERLIN, KOLKATA, KATHMANDU, LORD_HOWE, APIA]),
    st.tuples(st.times(), st.times()).filter(lambda hours: hours[0] != hours[1]),
    st.frozensets(st.dates(date(2020, 1, 1), date(2035, 12, 31)), max_size=5),
    st.frozensets(st.integers(1, 7), max_size=6),
)
def test_an_opening_is_the_first(
    now: datetime, zone: ZoneInfo, hours: tuple[time, time], holidays: frozenset[date], weekend: frozenset[int]
) -> None:
    """It is within the hours, not before now, and the moment before it is not within (unless it is now)."""
    plain = (hours[0].replace(microsecond=0), hours[1].replace(microsecond=0))
    if plain[0] == plain[1]:
        return
    table = Timetable(zone, plain, weekend, holidays)
    opening = table.next_opening(now)
    assert opening >= now
    assert table.is_open(opening) or opening == table.next_opening(opening)
    if opening > now:
        assert not table.is_open(opening - timedelta(microseconds=1))


PAUSING: Final = Timetable(BERLIN, NINE_TO_FIVE, holidays=CHRISTMAS, pauses=True)


@pytest.mark.parametrize(
    ("table", "now", "length", "gone", "due"),
    [
        (PAUSING, "2026-11-20T10:00+01:00", "4h", "0h", "2026-11-20T14:00+01:00"),
        (PAUSING, "2026-11-20T16:00+01:00", "4h", "0h", "2026-11-23T12:00+01:00"),  # over a weekend
        (PAUSING, "2026-11-20T16:00+01:00", "4h", "3h", "2026-11-23T09:00+01:00"),  # nobody is told as work ends
        (PAUSING, "2026-11-20T16:00+01:00", "4h", "4h", "2026-11-20T16:00+01:00"),
        (PAUSING, "2026-11-20T16:00+01:00", "1d", "4h", "2026-11-23T12:00+01:00"),  # a day has eight hours
        (PAUSING, "2026-11-21T03:00+01:00", "1d", "0h", "2026-11-24T09:00+01:00"),  # from Monday morning on
        (PAUSING, "2026-12-24T16:00+01:00", "2d", "0h", "2026-12-29T16:00+01:00"),  # a holiday and a weekend
        (PAUSING, "2026-03-27T16:00+01:00", "1d", "0h", "2026-03-30T16:00+02:00"),  # over the night that has 23 hours
        (PAUSING, "2026-10-23T16:00+02:00", "2d", "0h", "2026-10-27T16:00+01:00"),  # over the one that has 25
        (PAUSING, "2026-11-19T22:00-05:00", "30m", "0h", "2026-11-20T09:30+01:00"),
        (Timetable(BERLIN, NIGHT, pauses=True), "2026-11-21T05:00+01:00", "2h", "0h", "2026-11-23T23:00+01:00"),
        (Timetable(BERLIN, None, pauses=True), "2026-11-21T05:00+01:00", "1d", "4h", "2026-11-22T01:00+01:00"),
        (week(), "2026-11-20T16:00+01:00", "4h", "0h", "2026-11-20T20:00+01:00"),
    ],
)
def test_when_working_time_is_over(table: Timetable, now: str, length: str, gone: str, due: str) -> None:
    assert table.after(at(now), parse_duration(length), parse_duration(gone)) == at(due)


@given(
    st.integers(0, 40 * 86_400).map(lambda seconds: datetime(2026, 12, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
    st.integers(1, 2000).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_minute_by_minute_it_is_the_same(now: datetime, length: timedelta) -> None:
    """Counted as a person counts: as long as somebody is at work, the time goes by. A day of it has eight hours."""
    left = length // timedelta(days=1) * timedelta(hours=8) + length % timedelta(days=1)
    due = PAUSING.after(now, length)
    assert PAUSING.is_open(due)
    days = (local(BERLIN, now.astimezone(BERLIN).date() + timedelta(days=n), time(9)) for n in range(30))
    spans = ((max(day, now), day + timedelta(hours=8)) for day in days if PAUSING.is_open(day))
    assert sum((max(min(end, due) - start, timedelta(0)) for start, end in spans), timedelta(0)) == left


@pytest.mark.parametrize(
    ("table", "length", "words"),
    [
        (PAUSING, "4h", "4 business hours"),
        (PAUSING, "1d", "1 business day"),
        (PAUSING, "90m", "1.5 business hours"),
        (week(), "24h", "24 hours"),
        (Timetable(BERLIN, pauses=True), "1h", "1 hour"),
    ],
)
def test_how_long_it_is_in_words(table: Timetable, length: str, words: str) -> None:
    assert table.length_words(parse_duration(length)) == words


def test_a_route_has_its_own_zone_and_holidays_besides_the_companys() -> None:
    config = catalog().model_copy(update={"calendar": Calendar(weekend=(5, 6), holidays=(date(2026, 12, 25),))})
    route = Route(name="gulf", zone="Asia/Dubai", hours=NINE_TO_FIVE, holidays=(date(2026, 12, 2),))
    made = timetable(config, route, BERLIN)
    assert (made.zone.key, made.weekend) == ("Asia/Dubai", frozenset({5, 6}))
    assert made.holidays == {date(2026, 12, 25), date(2026, 12, 2)}
    assert timetable(config, Route(name="plain"), BERLIN) == Timetable(
        BERLIN, None, frozenset({5, 6}), made.holidays - {date(2026, 12, 2)}
    )


@pytest.mark.parametrize("text", ["9-17", "09:00-09:00", "25:00-26:00", "09:00", "09:00 to 17:00", 9])
def test_what_are_no_hours(text: object) -> None:
    with pytest.raises(ValueError, match="is not a range of business hours; write one, such as"):
        parse_hours(text)
