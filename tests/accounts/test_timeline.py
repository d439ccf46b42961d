"""What one account lived through: every contact and wait, by hand; and what is left out for whom."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from config.models import Privacy
from queries.accounts import PROMISED, AccountStory, read_story
from queries.accounts.timeline import MOST_MOMENTS
from queries.warehouse import EVERYTHING, Scope
from tests.support import handmade

AS_OF: Final = datetime(2026, 7, 20, tzinfo=UTC)
NAMED: Final = "relationship-nps"
ACCOUNT: Final = "A1"


def at(day: str, hour: int = 9) -> datetime:
    return datetime.fromisoformat(f"2026-{day}").replace(hour=hour)


def contact(number: int, day: str, direction: str, hour: int = 9, **more: Any) -> handmade.Row:
    fixed = {"account_id": ACCOUNT, "vertical": "Energy", "touchpoint": "call", "channel": "phone", "emotion": 1}
    return {**fixed, "id": f"C{number}", "direction": direction, "occurred_at": at(day, hour), **more}


def answer(number: int, day: str, score: int, instrument: str, **more: Any) -> handmade.Row:
    fixed = {"account_id": ACCOUNT, "vertical": "Energy", "status": "answered", "scale": "nps", "kind": "relationship"}
    when = {"invited_at": at(day, 8), "responded_at": at(day)}
    return {**fixed, **when, "id": f"R{number}", "score": score, "instrument": instrument, **more}


def rows() -> handmade.Rows:
    journey = {"account_id": ACCOUNT, "vertical": "Energy", "journey_type": "repair", "started_at": at("06-01", 8)}
    months = [date(2025, month, 1) for month in range(1, 13)] + [date(2026, month, 1) for month in range(1, 7)]
    return {
        "account": [{"account_id": ACCOUNT, "name": "Pellworth", "since": date(2013, 6, 19)}],
        "account_history": [
            {"account_id": ACCOUNT, "vertical": "Energy", "tier": "key", "valid_from": date(2013, 6, 19)},
        ],
        "person": [{"person_id": "P1", "account_id": ACCOUNT, "role": "decision-maker"}],
        "revenue": [
            {"account_id": ACCOUNT, "month": month, "amount": 100.0 + place, "currency": "EUR", "share_of_wallet": 0.5}
            for place, month in enumerate(months)
        ],
        "journey": [{**journey, "id": "J1"}, {**journey, "id": "J2"}],
        "contact": [
            # Replied to after four days, by the next contact from us in its journey.
            contact(1, "06-01", "in", journey_id="J1", emotion=-2),
            contact(2, "06-05", "out", 10, journey_id="J1"),
            # Replied to at once; another journey's contact is no reply.
            contact(3, "06-10", "in", journey_id="J1", answered_at=at("06-10", 11)),
            # Nobody has replied.
            contact(4, "06-12", "in", journey_id="J2", touchpoint="mail"),
            contact(5, "06-30", "out", journey_id="J1"),
            # Of no journey and without an answer on record: nobody knows whether it was replied to.
            contact(6, "07-01", "in", journey_id=None),
            # Too young to have waited.
            contact(7, "07-19", "in", journey_id="J2"),
        ],
        "response": [
            answer(1, "06-02", 9, NAMED, person_id="P1"),
            answer(2, "06-20", 3, NAMED, person_id="P1", comment="Nobody calls back."),
            answer(3, "06-21", 1, "repair-csat", scale="csat", kind="transaction", touchpoint="call"),
        ],
    }


def story(tmp_path: Path, made: handmade.Rows, scope: Scope = EVERYTHING, **may: bool) -> AccountStory | None:
    engine = handmade.warehouse(tmp_path / "w.duckdb", made, "UTC")
    allowed = {"has_rows": True, "has_verbatims": True, **may}
    try:
        with engine.connect() as conn:
            return read_story(conn, ACCOUNT, scope, AS_OF, "EUR", **allowed)
    finally:
        engine.dispose()


def test_a_story_is_what_happened(tmp_path: Path) -> None:
    known = story(tmp_path, rows())
    assert known is not None
    assert (known.name, known.vertical, known.tier, known.since) == ("Pellworth", "Energy", "key", date(2013, 6, 19))
    assert [(one.revenue, one.share) for one in known.months[-2:]] == [(116.0, 0.5), (117.0, 0.5)]
    assert (known.contacts, known.touched_on, known.answered_on) == (7, date(2026, 7, 19), date(2026, 6, 21))
    assert [(one.words, one.height, one.role) for one in known.answers] == [
        ("9 of 10", 0.9, "decision-maker"), ("3 of 10", 0.3, "decision-maker"), ("1 of 5", 0.0, "")
    ]  # fmt: skip


def test_only_a_wait_that_broke_the_promise_is_shown_and_it_ends_with_the_reply(tmp_path: Path) -> None:
    known = story(tmp_path, rows())
    assert known is not None
    waited = {one.at: (one.until, one.is_waiting) for one in known.moments if one.until}
    aware = {day: at(day).replace(tzinfo=UTC) for day in ("06-01", "06-12")}
    assert waited == {
        aware["06-01"]: (at("06-05", 10).replace(tzinfo=UTC), False),
        aware["06-12"]: (AS_OF, True),
    }
    assert known.unanswered == 1
    assert timedelta(days=4) > PROMISED


def test_whoever_may_not_see_single_cases_sees_named_surveys_and_no_emotion(tmp_path: Path) -> None:
    floored = Scope("gm", privacy=Privacy(people=5, exempt=(NAMED,)))
    known = story(tmp_path, rows(), floored, has_rows=False, has_verbatims=False)
    assert known is not None
    assert {one.instrument for one in known.answers} == {NAMED}
    assert {one.emotion for one in known.moments} == {None}
    assert {one.comment for one in known.answers} == {""}


@pytest.mark.parametrize(
    "scope", [Scope("gm", frozenset({"Retail"})), Scope("account-team", accounts=frozenset({"A2"}))]
)
def test_an_account_outside_the_scope_does_not_exist(tmp_path: Path, scope: Scope) -> None:
    assert story(tmp_path, rows(), scope) is None


def test_nothing_that_came_later_is_known(tmp_path: Path) -> None:
    made = rows()
    made["contact"].append(contact(8, "07-21", "out", journey_id="J2"))
    made["response"].append(answer(4, "07-22", 10, NAMED))
    known = story(tmp_path, made)
    assert known is not None
    assert (known.contacts, len(known.answers)) == (7, 3)


def test_many_contacts_are_counted_and_none_is_lost(tmp_path: Path) -> None:
    made = rows()
    touchpoints = ("call", "mail", "visit", "portal", "chat", "contract", "repair")
    made["contact"] = [
        contact(number, "01-01", ("in", "out")[number % 2], journey_id=None, touchpoint=touchpoints[number % 7])
        | {"occurred_at": at("01-01") + timedelta(minutes=55 * number), "emotion": -2 if number == 77 else 1}
        for number in range(2 * MOST_MOMENTS + 1)
    ]
    known = story(tmp_path, made)
    assert known is not None
    assert known.is_counted
    assert known.contacts == 2 * MOST_MOMENTS + 1 == sum(one.count for one in known.moments)
    assert len(known.moments) <= MOST_MOMENTS
    assert sum(one.emotion == -2 for one in known.moments) == 1
