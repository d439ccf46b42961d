"""The review gives no all-clear where rules were not evaluated, not of late, or could not be."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from queries.review import Facts
from queries.review.compose import review_headline
from queries.review.read import ReviewContext, ReviewPeriod, read_meeting
from queries.state import Evaluated, RuleError, TickRecord, write
from queries.warehouse import EVERYTHING
from tests.dashboard.test_review import series
from tests.support.company import catalog, rule
from tests.support.states import NewState

NOW: Final = datetime(2026, 11, 21, 9, tzinfo=UTC)
MONTH: Final = ReviewPeriod(date(2026, 10, 1), date(2026, 11, 1), (date(2026, 10, 1),))


@pytest.mark.parametrize(
    ("ages", "ill", "doubt"),
    [
        ((), (), "the rules were never evaluated"),
        ((1, 1), (), ""),
        ((1, 20), (), ""),
        ((1, 22), (), "1 rule has not been evaluated since 30 October 2026"),
        ((1,), (), "1 rule was never evaluated"),
        ((1, 1), ("a",), "1 rule could not be evaluated"),
        ((), ("a", "b"), "2 rules could not be evaluated"),
    ],
)
def test_a_doubt_about_the_rules(new_state: NewState, ages: tuple[int, ...], ill: tuple[str, ...], doubt: str) -> None:
    states, config = new_state(), catalog(rule(name="a"), rule(name="b"), rule(name="off", enabled=False))
    moments = {name: NOW - timedelta(days=age) for name, age in zip("ab", ages, strict=False)}
    slots = tuple(Evaluated(name, at.date(), 1, "h", "live", at) for name, at in moments.items())
    with states.begin() as conn:
        write(conn, TickRecord(slots=slots, errors=tuple(RuleError(name, "", "ValueError", NOW) for name in ill)))
    context = ReviewContext(config, MONTH, EVERYTHING, NOW, "EUR", ZoneInfo("UTC"))
    with states.connect() as conn:
        meeting = read_meeting(conn, context)
    assert (meeting.doubt, meeting.evaluated_at) == (doubt, max(moments.values(), default=None))
    headline = review_headline(Facts(1, NOW, UTC, MONTH.first, (series((0.95, 0.95, 0.95, 0.95)),), ()), (), 0, doubt)
    assert headline.startswith("No key issue in") is not bool(doubt)
    assert doubt in headline
