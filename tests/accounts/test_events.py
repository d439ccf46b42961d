"""The band of conditions, incidents and actions: what lies in it, on which days, and in words."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.accounts.data import event_spans
from dashboard.accounts.events import MOST, describe_events, events
from dashboard.charts import ATTENTION, in_full
from queries.monitoring import Overlap
from tests.accounts.test_accounts_page import incident
from tests.accounts.test_opportunities import CATALOG, action

SPAN: Final = (date(2025, 6, 1), date(2026, 11, 21))
ZONE: Final = ZoneInfo("Europe/Berlin")
LABELS: Final = {rule.name: rule.label for rule in CATALOG.rules}
STRIKE: Final = Overlap("Carrier strike", "external", datetime(2026, 1, 2, 23, 30, tzinfo=UTC), None)
OPEN: Final = incident("A05")
OVER: Final = replace(OPEN, id="over", state="resolved", resolved_at=datetime(2026, 7, 9, 22, 30, tzinfo=UTC))


def test_each_lasts_from_its_first_to_its_last_day_in_the_reporting_zone() -> None:
    done = replace(action("b"), done_at=datetime(2026, 5, 1, 12))  # noqa: DTZ001
    found = event_spans([STRIKE], [OPEN, OVER], [action(), done], LABELS, SPAN, ZONE)
    assert {(one.kind, one.since, one.until, one.is_open) for one in found} == {
        ("Condition", date(2026, 1, 3), SPAN[1], False),
        ("Incident", date(2026, 6, 29), SPAN[1], True),
        ("Incident", date(2026, 6, 29), date(2026, 7, 10), False),
        ("Action", date(2026, 4, 1), SPAN[1], True),
        ("Action", date(2026, 4, 1), date(2026, 5, 1), False),
    }
    assert [one.kind for one in found] == ["Condition", "Incident", "Incident", "Action", "Action"]
    assert "incident: A key account has gone quiet, open, since 29 June 2026" in describe_events(found)


def test_what_was_over_before_and_what_comes_after_is_left_out() -> None:
    early = replace(OVER, opened_at=datetime(2025, 1, 1, tzinfo=UTC), resolved_at=datetime(2025, 5, 31, tzinfo=UTC))
    ahead = replace(action(), started_on=date(2026, 11, 22))
    assert event_spans([], [early], [ahead], LABELS, SPAN, ZONE) == ()
    assert events((), SPAN) is None


def test_of_too_many_those_that_are_open_are_drawn() -> None:
    many = [replace(OVER, id=f"over-{number}") for number in range(3 * MOST)]
    found = event_spans([STRIKE], [*many, OPEN], [], LABELS, SPAN, ZONE)
    assert len(found) == MOST
    assert sum(one.is_open for one in found) == 1


def test_the_chart_has_a_row_for_each_and_colours_what_is_open() -> None:
    found = event_spans([STRIKE], [OPEN, OVER], [action()], LABELS, SPAN, ZONE)
    spec = events(found, SPAN)
    assert spec is not None
    (rows,) = {str(of): of for of in in_full(spec)["datasets"].values()}.values()
    assert [row["row"] for row in rows] == ["00|Condition", "01|Incident", "02|", "03|Action"]
    assert [row["said"] for row in rows if row["color"] == ATTENTION] == ["A key account has gone quiet, open"]
    assert all(SPAN[0].isoformat() <= row["day"] < row["until"] for row in rows)
