"""An instant has a day in a zone only: nothing of the product takes the day in Greenwich for the reader's."""

import ast
from collections.abc import Iterator
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from queries.engine import day_of, day_start
from queries.metrics.formatting import day_words, moment_words
from queries.review import happened_on
from queries.state import HistoryEntry
from tests.project.figures import modules

WORDED = ("dashboard", "queries/review", "queries/monitoring", "triggers/messages", "triggers/evaluation")
"""What people read is written here, and its days by `day_words` and `moment_words` alone."""


def bare_days(tree: ast.AST) -> Iterator[int]:
    """Where `.date()` is asked of anything but an instant that was just brought into a zone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not node.args and isinstance(node.func, ast.Attribute):
            of = node.func.value
            local = isinstance(of, ast.Call) and isinstance(of.func, ast.Attribute) and of.func.attr == "astimezone"
            if node.func.attr == "date" and not (local and isinstance(of, ast.Call) and of.args):
                yield node.lineno


def own_styles(tree: ast.AST) -> Iterator[int]:
    """Where a day is written in a style of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None and "%d" in ast.unparse(node):
            yield node.lineno


def test_no_module_takes_a_bare_day_of_an_instant() -> None:
    assert [f"{m.name}:{line}" for m in modules() for line in bare_days(m.tree)] == []


def test_pages_and_messages_write_days_in_one_style() -> None:
    written = (m for m in modules() if m.name.startswith(WORDED))
    assert [f"{m.name}:{line}" for m in written for line in own_styles(m.tree)] == []


@pytest.mark.parametrize(
    ("code", "is_bare"),
    [
        ("incident.opened_at.date()", True),
        ("now.date()", True),
        ("at.replace(tzinfo=UTC).date()", True),
        ("at.astimezone().date()", True),  # the machine's own zone is nobody's
        ("at.astimezone(zone).date()", False),
        ("day_of(at, zone)", False),
    ],
)
def test_what_is_a_bare_day(code: str, is_bare: bool) -> None:  # noqa: FBT001
    assert bool([*bare_days(ast.parse(code))]) is is_bare


LATE = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "moment"),
    [
        ("UTC", "31 October 2026", "31 October 2026, 23:30 UTC"),
        ("Pacific/Auckland", "1 November 2026", "1 November 2026, 12:30 NZDT"),
        ("America/Los_Angeles", "31 October 2026", "31 October 2026, 16:30 PDT"),
    ],
)
def test_a_day_is_the_readers(zone: str, day: str, moment: str) -> None:
    for at in (LATE, LATE.replace(tzinfo=None), LATE.astimezone(ZoneInfo("Asia/Tokyo"))):
        assert (day_words(at, ZoneInfo(zone)), moment_words(at, ZoneInfo(zone))) == (day, moment)
    assert day_of(day_start(day_of(LATE, ZoneInfo(zone)), ZoneInfo(zone)), ZoneInfo(zone)) == day_of(
        LATE, ZoneInfo(zone)
    )


def test_a_moment_that_happens_to_be_midnight_has_a_clock_and_a_day_has_none() -> None:
    """Told apart by what they are, also where a history is read: what a slot showed is of a day."""
    midnight, berlin = datetime(2026, 10, 31, 23, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    assert moment_words(midnight, berlin) == "1 November 2026, 00:00 CET"
    assert moment_words(date(2026, 11, 1), berlin) == "1 November 2026"
    slot = {"as_of": midnight.isoformat()}
    for at, sample, words in (
        (midnight, slot, "1 November 2026"),
        (midnight, None, "1 November 2026, 00:00 CET"),  # somebody was up late
        (LATE, slot, "1 November 2026, 00:30 CET"),  # noted with a slot's figures, at another time
    ):
        entry = HistoryEntry("i", 1, at, "opened", "r", None, 1, sample)
        assert moment_words(happened_on(entry, berlin), berlin) == words


def test_an_instant_without_a_zone_is_no_day() -> None:
    with pytest.raises(TypeError, match="whose day"):
        day_words(LATE)
