"""One event is one message: incidents of one place and time, and the cases of a rule that has them told together."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from config.models import Catalog, ChartRule, DeclineRule, EventRule, QuietRule, Route, Rule
from queries.engine import disposing
from queries.messages import CaseDigest, QueuedMessage, newest_case_digest, outbox, unsent
from queries.state import COMPANY, Incident, NewAction, RacedError, TickRecord, entries, passing_state, tables, write
from tests.support.company import catalog, rule
from triggers.incidents import take_action
from triggers.incidents.notification_load import notification_loads, notifications
from triggers.incidents.outgoing import case_digests, root_message
from triggers.incidents.speakers import speaker_of, speaks_alone

AT: Final = datetime(2026, 3, 2, 6, tzinfo=UTC)
UTC_ZONE: Final = ZoneInfo("UTC")
ROUTES: Final = tuple(Route(name=name) for name in ("installation", "delivery", "analysts"))
SHIFT: Final = ChartRule.model_validate(
    {
        "name": "shift", "kind": "chart", "metric": "defect-rate", "method": "cusum",
        "by": ["vertical", "journey_type"],
        "baseline": {"first": "182d"}, "floor": 0.06, "recover": 0.25, "window": "182d", "every": "7d",
        "false_alarms_per_year": 0.2, "keep_firing": "14d", "severity": 3, "route": "analysts", "owner": "cx-analyst",
    }
)  # fmt: skip
INSTALLATIONS: Final = rule(name="installations", where={"journey_type": "installation"}, severity=1)
REPAIRS: Final = EventRule.model_validate(
    {
        "name": "repairs", "label": "Came back", "kind": "event", "table": "issue", "dated_by": "next_in_at",
        "where": {"journey_type": "repair", "account.tier": "key"}, "scan_back": "30d", "digest": "7d", "severity": 3,
        "route": "delivery", "owner": "delivery-lead",
    }
)  # fmt: skip


def company(*rules: Rule) -> Catalog:
    found = catalog(*(rules or (INSTALLATIONS, SHIFT, rule(), REPAIRS)), routes=ROUTES)
    return found.model_copy(update={"guard": found.guard.model_copy(update={"route": "analysts"})})


def incident(rule_: str = "shift", **changes: Any) -> Incident:
    place = {"slice": "vertical=Retail|journey_type=installation", "vertical": "Retail", "severity": 3}
    body: dict[str, Any] = {
        "id": rule_, "rule": rule_, "rule_hash": "h", "class_": "customer", "route": "analysts",
        "ladder": '[{"after": "0m", "notify": "channel"}]', "touchpoint": None, "account_id": None, "state": "open",
        "episode": 1, "opened_at": AT, "slot": date(2026, 3, 2), "resolved_at": None, "acknowledged_at": None,
        "acknowledged_by": None, "next_step": 1, "next_step_at": None, "value": 0.4, "n": 200, "origin": "live",
        "version": 1,
    }  # fmt: skip
    return Incident(**(body | place | changes))


SPEAKER: Final = incident("installations", slice="vertical=Retail", severity=1, route="installation")


@pytest.mark.parametrize(
    ("changes", "is_left"),
    [
        ({}, True),
        ({"slot": date(2026, 4, 6), "opened_at": AT + timedelta(weeks=5)}, True),  # later, while the other one is open
        ({"slot": date(2026, 9, 7), "opened_at": AT + timedelta(weeks=27)}, False),  # looks at none of those days
        ({"route": "delivery"}, False),  # another specialist hears of it
        ({"route": "installation"}, True),
        ({"severity": 1, "route": "installation"}, False),
        ({"class_": "data"}, False),
        ({"vertical": "Energy", "slice": "vertical=Energy|journey_type=installation"}, False),
        ({"slice": "vertical=Retail|journey_type=repair"}, False),  # the same vertical, and other rows of it
        ({"account_id": "A1"}, False),
    ],
)
def test_the_worst_of_one_place_and_time_speaks_for_the_others(changes: dict[str, Any], *, is_left: bool) -> None:
    other = incident(**changes)
    assert speaker_of(other, company(), (SPEAKER, other)) == (SPEAKER if is_left else None)
    assert speaker_of(SPEAKER, company(), (SPEAKER, other)) is None


ACCOUNT: Final = {"vertical": "Retail", "account_id": "A1", "severity": 1, "route": "delivery"}
_OF_KEY: Final = {"where": {"account.tier": "key"}, "severity": 1, "route": "delivery", "owner": "delivery-lead"}
_WATCHED: Final = {**_OF_KEY, "every": "7d", "false_alarms_per_year": 1, "keep_firing": "7d"}
DECLINE: Final = DeclineRule.model_validate(
    {"name": "decline", "kind": "decline", "fall": 0.1, "recover": 0.05, "floor": 0, **_WATCHED}
)
QUIET: Final = QuietRule.model_validate(
    {"name": "quiet", "kind": "quiet", "of": "account", "at_least": "21d", "min_n": 12, "window": "365d", **_WATCHED}
)
DETRACTOR: Final = EventRule.model_validate(
    {"name": "detractor", "kind": "event", "table": "response", "dated_by": "responded_at", **_OF_KEY}
)
LATER: Final = {"slot": date(2026, 8, 31), "opened_at": AT + timedelta(weeks=26)}


@pytest.mark.parametrize(
    ("changes", "is_left"),
    [
        ({}, True),
        ({"rule": "quiet", "slice": "account_id=A1"}, True),
        ({"account_id": "A2"}, False),
        ({"route": "installation"}, False),  # another specialist hears of it
        ({"vertical": "Energy"}, False),  # who hears of the one may not hear of the other
        ({"slot": date(2027, 3, 8)}, False),  # longer ago than either of them looks back
        ({"class_": "data"}, False),
    ],
)
def test_what_one_account_says_buys_and_leaves_unsaid_is_one_thread(changes: dict[str, Any], *, is_left: bool) -> None:
    """However severe: the first of them speaks for those that follow while it is open."""
    rules, first = company(DECLINE, QUIET, DETRACTOR), incident("decline", **{**ACCOUNT, "slice": "account_id=A1"})
    other = incident("detractor", **{**ACCOUNT, "slice": "crm|7", **LATER, **changes})
    assert speaker_of(other, rules, (first, other)) == (first if is_left else None)
    assert speaker_of(first, rules, (first, other)) is None
    third = replace(other, id="third", opened_at=AT + timedelta(weeks=27))
    assert not is_left or speaker_of(third, rules, (first, other, third)) == first


def test_who_is_spoken_for_speaks_for_nobody() -> None:
    """What stands in no message cannot have others in its thread."""
    middle = incident("defects", slice="vertical=Retail", severity=2, route="installation", id="middle")
    apart = incident(slice="vertical=Retail|journey_type=repair", id="apart")
    assert speaker_of(middle, company(), (SPEAKER, middle, apart)) == SPEAKER
    assert speaker_of(apart, company(), (SPEAKER, middle, apart)) is None
    assert speaker_of(apart, company(), (middle, apart)) == middle


def test_a_backtest_tells_one_event_once_and_the_rest_when_it_is_over() -> None:
    over = AT + timedelta(days=20)
    speaker = replace(SPEAKER, resolved_at=over)
    told = notifications((speaker, incident()), company(), UTC_ZONE, AT + timedelta(days=60))
    assert [(one.incident, one.at) for one in told] == [("installations", AT), ("shift", over)]


def test_only_a_rule_that_names_a_tier_is_about_key_accounts() -> None:
    about: dict[str, Any] = {"account_id": "A1", "severity": 3}
    assert speaks_alone(incident(**about), REPAIRS)
    assert not speaks_alone(incident(**about), SHIFT)
    assert not speaks_alone(incident(), REPAIRS)
    assert speaks_alone(SPEAKER, INSTALLATIONS)


# Cases that are told together.


def case(number: int, day: int) -> Incident:
    at = AT + timedelta(days=day)
    what = {"id": f"case{number}", "slice": f"issue=s/{number}", "account_id": f"A{number}", "value": None, "n": 1}
    return incident("repairs", route="delivery", opened_at=at, slot=at.date(), **what)


@pytest.mark.parametrize(
    ("newest", "due"),
    [
        (None, AT),
        (CaseDigest("before", AT - timedelta(days=2), waits=False), AT + timedelta(days=5)),
        (CaseDigest("before", AT - timedelta(days=9), waits=False), AT),
        (CaseDigest("before", AT + timedelta(days=3), waits=True), None),  # there is room in what waits
    ],
)
def test_cases_come_at_once_and_then_once_a_week(newest: CaseDigest | None, due: datetime | None) -> None:
    known = {"repairs": newest} if newest else {}
    queued, parts = case_digests((case(1, 0), case(2, 0)), company(), known, AT, UTC_ZONE)
    assert [one.due_at for one in queued if one.kind == "digest"] == ([due] if due else [])
    assert {part.incident_id for part in parts} == {"case1", "case2"}
    assert {one.state for one in queued if one.kind == "root"} == {"superseded"}


def test_what_is_added_to_a_digest_that_is_being_sent_is_not_lost() -> None:
    """Who composed it before must compose it again; once it is sent the tick is."""
    with disposing(passing_state()) as states:
        queued, parts = case_digests((case(1, 0),), company(), {}, AT, UTC_ZONE)
        with states.begin() as conn:
            write(conn, TickRecord(opened=(case(1, 0),), queued=queued, parts=parts))
            (composed,) = unsent(conn)
            waiting = newest_case_digest(conn, "repairs")
        assert waiting == CaseDigest(queued[0].id, AT, waits=True)
        more = case_digests((case(2, 1),), company(), {"repairs": waiting}, AT, UTC_ZONE)
        with states.begin() as conn:
            write(conn, TickRecord(opened=(case(2, 1),), queued=more[0], parts=more[1]))
            assert outbox.claim(conn, composed, "C1", AT, AT) is None
            (fresh,) = unsent(conn)
            assert isinstance(outbox.claim(conn, fresh, "C1", AT, AT), QueuedMessage)
        last = case_digests((case(3, 2),), company(), {"repairs": waiting}, AT, UTC_ZONE)
        with pytest.raises(RacedError), states.begin() as conn:
            write(conn, TickRecord(opened=(case(3, 2),), queued=last[0], parts=last[1]))
        with states.begin() as conn:
            conn.execute(update(tables.outbox).where(tables.outbox.c.kind == "digest").values(state="sent"))
            assert conn.execute(select(tables.digest_part.c.incident_id)).scalars().all() == ["case1", "case2"]


def test_a_backtest_counts_a_digest_once() -> None:
    cases = [case(number, day) for number, day in enumerate((0, 1, 3, 6, 20))]
    told = notifications(cases, company(), UTC_ZONE, AT + timedelta(days=60))
    assert [(one.at - AT).days for one in told] == [0, 7, 7, 7, 20]
    (load,) = notification_loads(told, AT.date(), AT.date() + timedelta(weeks=4))
    assert (load.told, load.busiest) == (3, 1)


@pytest.mark.parametrize("is_told", [False, True], ids=["spoken for", "told by itself"])
def test_what_is_decided_on_an_incident_is_told_in_the_thread_of_who_speaks_for_it(*, is_told: bool) -> None:
    """It says what it is about; in the history of both it stands once."""
    other, states = incident(), passing_state()
    told = (SPEAKER, other) if is_told else (SPEAKER,)
    with disposing(states), states.begin() as conn:
        write(conn, TickRecord(opened=(SPEAKER, other), queued=tuple(root_message(one, AT, AT) for one in told)))
        new = NewAction("Call them", "Ana", AT.date(), incident_id=other.id, vertical="Retail", month=date(2026, 2, 1))
        new = replace(new, review=COMPANY, issue="shift|Retail")
        for _ in range(2):
            take_action(conn, new, "ana", AT, catalog=company(), zone=UTC_ZONE)
        said = {one.id: [(e.kind, e.reason) for e in entries(conn, one.id)] for one in (SPEAKER, other)}
        replies = [message.incident_id for message in unsent(conn) if message.kind == "reply"]
    words = "in the review for February 2026: “Call them” (Ana)"
    assert said[other.id] == [("decided", words)]
    about = "shift (Retail, installation, found 2 March 2026)"
    assert said[SPEAKER.id] == ([] if is_told else [("decided", f"{words}, on {about}")])
    assert replies == [other.id if is_told else SPEAKER.id]
