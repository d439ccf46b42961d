"""The calendar of reviews: when each is due, and the one message that reminds of it whoever has not held it."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from config.models import Calendar, Catalog, Person
from config.settings import read_settings
from queries.messages import queue_direct_message
from queries.review import newest_review, review_dates
from queries.state import ClosedReview, open_state, record_closed_review
from queries.warehouse import EmbeddedWarehouse
from tests.counterparts.slack import CHANNELS, USERS, Slack
from tests.support.company import catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.installation import configure
from triggers.messages.direct_messages import DirectMessageWriter, due_direct_messages
from triggers.processes.run import Runner

OCTOBER: Final = date(2026, 10, 1)
UTC_ZONE: Final = ZoneInfo("UTC")
ANA: Final = USERS["ana"].ljust(9, "0")


def config(**changes: Any) -> Catalog:
    """One general manager of two verticals, and others who hold no review."""
    gm = Person(name="gm", label="GM North", audience="gm", slack=ANA, verticals=("North", "South"))
    others = (
        gm.model_copy(update={"name": "of-nothing", "verticals": None}),
        gm.model_copy(update={"name": "specialist", "audience": "specialist"}),
        gm.model_copy(update={"name": "unreachable", "slack": None}),
    )
    return catalog(rule()).model_copy(update={"people": (gm.model_copy(update=changes), *others)})


@pytest.fixture
def states(tmp_path: Path) -> Iterator[Engine]:
    made = open_state(tmp_path)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedWarehouse]:
    story = weeks(date(2026, 8, 3), (4,) * 12, vertical="North")
    with warehouse(tmp_path_factory.mktemp("company"), config(), rows_of(story)) as made:
        yield made


def hold(states: Engine, *verticals: str, month: date = OCTOBER) -> None:
    at = datetime(2026, 11, 9, 15)  # noqa: DTZ001 - stored naive
    with states.begin() as conn:
        for vertical in verticals:
            record_closed_review(conn, ClosedReview(month, vertical, "[]", at, "gm", "Ana", 1, "{}"))


@pytest.mark.parametrize(
    ("calendar", "held_by", "remind_on", "due_on"),
    [
        (Calendar(), 10, date(2026, 11, 10), date(2026, 11, 13)),
        (Calendar(holidays=(date(2026, 11, 11),)), 10, date(2026, 11, 10), date(2026, 11, 16)),
        (Calendar(weekend=(5, 6)), 10, date(2026, 11, 9), date(2026, 11, 12)),
        (Calendar(), 1, date(2026, 11, 2), date(2026, 11, 2)),
        (Calendar(), 20, date(2026, 11, 24), date(2026, 11, 27)),
    ],
)
def test_a_review_is_due_in_business_days(calendar: Calendar, held_by: int, remind_on: date, due_on: date) -> None:
    dates = review_dates(calendar, OCTOBER, held_by)
    assert (dates.until, dates.remind_on, dates.due_on) == (date(2026, 11, 1), remind_on, due_on)


@pytest.mark.parametrize("pattern", ["months", "4-4-5"])
def test_the_newest_review_is_of_the_month_that_has_ended(pattern: Any) -> None:
    """Whatever the day: it is the month before the one that is running."""
    calendar = Calendar(pattern=pattern)
    for day in (date(2026, 1, 1), date(2026, 2, 28), date(2026, 12, 31), date(2027, 1, 3), date(2028, 2, 29)):
        dates = newest_review(calendar, day, 10)
        assert dates.month < dates.until <= day < review_dates(calendar, dates.until, 10).until


@pytest.mark.parametrize(
    ("at", "held", "number"),
    [
        ("2026-11-09T12:00+00:00", (), 0),
        ("2026-11-10T07:59+00:00", (), 0),
        ("2026-11-10T08:00+00:00", (), 1),
        ("2026-11-20T08:00+00:00", (), 1),
        ("2026-11-10T08:00+00:00", ("North",), 1),
        ("2026-11-10T08:00+00:00", ("North", "South"), 0),
        ("2026-12-01T08:00+00:00", (), 0),
    ],
)
def test_who_has_not_held_it_is_reminded(states: Engine, at: str, held: tuple[str, ...], number: int) -> None:
    hold(states, *held)
    with states.connect() as conn:
        found = due_direct_messages(conn, config(), UTC_ZONE, datetime.fromisoformat(at))
    assert [(one.kind, one.person, one.about) for one in found] == [("review", "gm", "2026-10-01")] * number


def test_the_reminder_arrives_once(tmp_path: Path, states: Engine, company: EmbeddedWarehouse, slack: Slack) -> None:
    """Whatever runs again, and on whatever day: the review of the next month is another one."""
    environ = configure(tmp_path / "settings", CHANNELS["service-quality"])
    environ |= {"EARSHOT_SLACK__TOKEN": slack.token, "EARSHOT_SLACK__BASE_URL": slack.base_url}
    settings = read_settings(environ, None)
    hold(states, "South")
    for at in (noon(date(2026, 11, 10)), noon(date(2026, 11, 10)), noon(date(2026, 11, 12))):
        Runner(settings, config(), company, states, lambda at=at: at).once()  # type: ignore[misc]
    (message,) = direct(slack)
    assert message["text"].startswith("The review of October 2026 is due by 13 November 2026. Not closed yet: North.")
    assert "/?month=2026-10&vertical=North" in json.dumps(message["blocks"])


def direct(slack: Slack) -> list[dict[str, Any]]:
    """What Ana was told alone."""
    client: Any = slack.client()
    channel = client.conversations_open(users=ANA)["channel"]["id"]
    found: list[dict[str, Any]] = client.conversations_history(channel=channel)["messages"]
    return found


def test_what_was_held_meanwhile_is_said_so(states: Engine, company: EmbeddedWarehouse) -> None:
    """Between the queue and Slack, where nothing was set up."""
    with states.begin() as conn, company.pin() as pin:
        (letter,) = due_direct_messages(conn, config(), UTC_ZONE, datetime(2026, 11, 10, 9, tzinfo=UTC))
        queue_direct_message(conn, letter)
        late = DirectMessageWriter(pin, config(), "EUR", "https://earshot.example", noon(date(2026, 11, 16)))
        asked = late.words(conn, letter.id)
    assert asked is not None
    assert asked.title == "The review of October 2026 was due by 13 November 2026"
    assert asked.sentences[0] == "Not closed yet: North and South."
    hold(states, "North", "South")
    with states.connect() as conn, company.pin() as pin:
        done = DirectMessageWriter(pin, config(), "EUR", "https://earshot.example", noon(date(2026, 11, 16)))
        said = done.words(conn, letter.id)
    assert said is not None
    assert said.title == "The review of October 2026 has been held"
