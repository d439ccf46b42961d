"""What became of escalated incidents, beside what a person counts from their histories."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from config.models import Catalog, Route
from queries.review import by_route, read_escalated
from queries.review.outcomes import EscalatedIncident, EscalationOutcome, outcome_of
from queries.state import HistoryEntry, Incident, TickRecord, incident_id, outbox, write
from queries.statistics.survival import median_time
from queries.warehouse import EVERYTHING, Scope
from tests.support.company import catalog
from tests.support.states import NewState

NOW: Final = datetime(2026, 4, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AUCKLAND: Final = Route(name="far", label="Auckland's", zone="Pacific/Auckland", solve_within=(10 * DAY,) * 4)
DELIVERY: Final = Route(name="delivery", label="Delivery", solve_within=(10 * DAY,) * 4)
FREE: Final = Route(name="free", label="Free")


@pytest.fixture
def conn(new_state: NewState) -> Any:
    with new_state().begin() as conn:
        yield conn


def rules() -> Catalog:
    return catalog().model_copy(update={"routes": (AUCKLAND, DELIVERY, FREE)})


def escalate(conn: Connection, at: datetime, *kinds: tuple[str, timedelta], sent: str = "sent", **more: Any) -> None:
    """An incident with a history: `resolved` is a recovery, `closed by Ana` a person's doing, `ran out` nobody's."""
    body: dict[str, Any] = {
        "rule": "defects", "rule_hash": "h", "slice": f"vertical={at}", "class_": "customer", "severity": 2,
        "route": "delivery", "ladder": "[]", "vertical": "North", "touchpoint": None, "account_id": None,
        "state": "open", "episode": 1, "opened_at": at, "slot": at.date(), "resolved_at": None, "acknowledged_at": None,
        "acknowledged_by": None, "next_step": 1, "next_step_at": None, "value": 0.4, "n": 10, "origin": "live",
        "version": 1,
    }  # fmt: skip
    body |= more
    made = Incident(id=incident_id(body["rule"], body["slice"], at.date()), **body)
    entries = [HistoryEntry(made.id, 1, at, "opened", "", None, 1, {"value": 0.4})]
    for number, (kind, after) in enumerate(kinds, start=2):
        written = {"closed by Ana": "closed", "ran out": "closed"}.get(kind, kind)
        sample = {"value": 0.1} if kind == "resolved" else None
        author = "ana" if kind in {"closed by Ana", "acknowledged"} else None
        entries.append(HistoryEntry(made.id, number, at + after, written, "", author, 1, sample))
    write(conn, TickRecord(opened=(made,), entries=tuple(entries)))
    row = {"id": made.id, "incident_id": made.id, "episode": 1, "kind": "root", "step": 0, "target": made.route,
           "state": sent, "version": 1, "attempts": 1, "due_at": at.replace(tzinfo=None),
           "created_at": at.replace(tzinfo=None), "sent_at": at.replace(tzinfo=None), "channel": "C1",
           "ts": "1.1"}  # fmt: skip
    conn.execute(insert(outbox).values(row))


def read(conn: Connection, scope: Scope = EVERYTHING) -> dict[tuple[date, str], EscalationOutcome]:
    found = read_escalated(conn, rules(), scope, date(2026, 1, 1), date(2026, 5, 1), ZoneInfo("UTC"), NOW)
    return dict(by_route(found))


def test_a_month_by_hand(conn: Connection) -> None:
    march = datetime(2026, 3, 2, 9, tzinfo=UTC)
    escalate(conn, march, ("acknowledged", 2 * HOUR), ("resolved", 5 * DAY))
    escalate(conn, march + HOUR, ("acknowledged", 4 * HOUR), ("resolved", 12 * DAY))  # too late
    escalate(conn, march + 2 * HOUR, ("closed by Ana", 3 * DAY), ("reopened", 9 * DAY))  # back
    escalate(conn, march + 3 * HOUR, ("ran out", 7 * DAY))  # its time is up: not solved in time either
    escalate(conn, march + 4 * HOUR, ("closed", 1 * DAY))  # the rule was removed
    escalate(conn, NOW - 2 * DAY)  # nothing yet, and time left
    escalate(conn, NOW - 3 * DAY, sent="pending")  # Slack does not have it
    escalate(conn, NOW - 4 * DAY, origin="backfill")
    escalate(conn, NOW - 5 * DAY, class_="data")
    (became,) = read(conn).values()
    assert (became.escalated, became.solved, became.due, became.in_time, became.came_back) == (6, 3, 5, 2, 1)
    assert became.taken_on is None  # 2 of 6 were acknowledged
    # Four were at risk when the first was solved and three at the second: 3/4 x 2/3 is one half.
    assert became.lasted == 5
    assert became.words == "6 escalated, 3 solved, 2 of 5 in time, 1 came back; half were solved within 5 days."


def test_the_month_is_that_of_the_specialists(conn: Connection) -> None:
    night = datetime(2026, 2, 28, 22, tzinfo=UTC)  # 1 March in Auckland
    escalate(conn, night, route="far")
    escalate(conn, night + HOUR)
    assert set(read(conn)) == {(date(2026, 3, 1), "far"), (date(2026, 2, 1), "delivery")}


@pytest.mark.parametrize(("days", "back"), [(60, True), (61, False)])
def test_another_incident_of_the_same_slice_is_a_return(conn: Connection, days: int, back: bool) -> None:  # noqa: FBT001
    first = datetime(2026, 1, 3, 9, tzinfo=UTC)
    solved: dict[str, Any] = {"state": "resolved", "resolved_at": first + DAY}
    escalate(conn, first, ("resolved", DAY), slice="vertical=North", **solved)
    escalate(conn, first + (1 + days) * DAY, slice="vertical=North", rule="defects")
    escalate(conn, first + 9 * DAY, slice="vertical=South")  # another slice
    assert read(conn)[date(2026, 1, 1), "delivery"].came_back == int(back)


def test_no_promise_no_verdict_and_no_scope_no_incident(conn: Connection) -> None:
    escalate(conn, NOW - 20 * DAY, ("resolved", DAY), route="free")
    assert [(one.due, one.solved) for one in read(conn).values()] == [(0, 1)]
    assert read(conn, replace(EVERYTHING, verticals=frozenset({"South"}))) == {}


def product_limit(ended: Sequence[float], waiting: Sequence[float]) -> float | None:
    """Kaplan and Meier's estimate as their paper has it, step by step."""
    times = sorted(set(ended))
    steps = (1 - ended.count(at) / sum(time >= at for time in (*ended, *waiting)) for at in times)
    left = accumulate(steps, lambda before, factor: before * factor)
    return next((at for at, share in zip(times, left, strict=True) if share <= 0.5 + 1e-9), None)


WAITS: Final = st.lists(st.integers(1, 30).map(float), max_size=12)


@given(WAITS, WAITS)
def test_medians_are_kaplan_and_meiers(ended: list[float], waiting: list[float]) -> None:
    assert median_time(ended, waiting) == product_limit(ended, waiting)


def test_what_still_waits_is_not_left_out() -> None:
    assert median_time([1, 2, 3], []) == 2
    assert median_time([1, 2, 3], [9, 9, 9]) == 3
    assert median_time([1, 2, 3], [9, 9, 9, 9]) is None
    assert median_time([], [1]) is None


@pytest.mark.parametrize(
    ("hours", "words"), [(0.4, "24 minutes"), (1, "1 hour"), (2.2, "3 hours"), (47, "47 hours"), (48, "2 days")]
)
def test_a_time_in_words(hours: float, words: str) -> None:
    one = EscalatedIncident("promises", "delivery", date(2026, 3, 1), hours, None, hours, None, came_back=False)
    assert outcome_of([one]).taken_on_words == words


def test_nothing_was_escalated() -> None:
    assert outcome_of([]).words == "No incident was escalated to Slack."
