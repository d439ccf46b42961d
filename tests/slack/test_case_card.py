"""The card of a severe case: who, what, when, how long, how much, what came before, under its reader's scope."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from config.models import EventRule, Person, Route
from queries.engine import disposing
from queries.monitoring.case_file import CaseFile, read_case
from queries.monitoring.evidence import DataFreshness, Evidence, with_revenue
from queries.review import Timetable
from queries.warehouse import EVERYTHING, Scope
from tests.slack.test_card import card, incident
from tests.support.company import catalog, rule
from tests.support.handmade import warehouse
from triggers.incidents import due_sentence, parse_ladder, snapshot
from triggers.incidents.escalation import after, due_step
from triggers.messages.card import asks, facts, incident_message, sentence, title
from triggers.messages.card_reader import other_incidents
from triggers.messages.digest import cases_message
from triggers.messages.message import Link
from triggers.slack.blocks import render

BERLIN: Final = ZoneInfo("Europe/Berlin")
OFFICE: Final = Timetable(BERLIN, (time(9), time(17)))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str) -> datetime:
    """As the warehouse stores it."""
    return datetime.fromisoformat(text)


NOW: Final = at("2026-02-10T12:00")
ROWS: Final[dict[str, list[dict[str, Any]]]] = {
    "account": [{"account_id": "A1", "name": "Ashgrove Bank"}, {"account_id": "A2", "name": "Birch & Co"}],
    "account_history": [
        {"account_id": name, "valid_from": wall("2025-01-01").date(), "vertical": "Retail", "tier": "key"}
        for name in ("A1", "A2")
    ],
    "person": [
        {"person_id": "P1", "account_id": "A1", "role": "decision-maker"},
        {"person_id": "P2", "account_id": "A1", "role": "user"},
    ],
    "revenue": [
        {"account_id": "A1", "month": wall(f"2025-{month:02}-01").date(), "amount": 100_000.0}
        for month in range(3, 13)
    ],
    "journey": [
        {"id": "J/1", "account_id": "A1", "journey_type": "repair", "started_at": wall("2026-01-05T08:00"),
         "ended_at": wall("2026-01-09T10:00"), "outcome": "reached", "vertical": "Retail"},
        {"id": "J2", "account_id": "A1", "journey_type": "onboarding", "started_at": wall("2026-01-20T08:00"),
         "vertical": "Retail"},
    ],
    "contact": [
        {"id": "C1", "account_id": "A1", "journey_id": "J/1", "touchpoint": "fault report", "channel": "phone",
         "direction": "in", "occurred_at": wall("2026-01-05T08:00"), "issue_code": "F7", "vertical": "Retail"},
        {"id": "C2", "account_id": "A1", "person_id": "P2", "touchpoint": "enquiry", "channel": "mail",
         "direction": "in", "occurred_at": wall("2026-01-13T09:30"), "issue_code": "F7", "emotion": -2,
         "vertical": "Retail"},
        {"id": "C3", "account_id": "A1", "person_id": "P1", "journey_id": "J2", "touchpoint": "contract",
         "channel": "mail", "direction": "in", "occurred_at": wall("2026-02-03T15:00"), "emotion": -1,
         "vertical": "Retail"},
        {"id": "C4", "account_id": "A1", "journey_id": "J2", "touchpoint": "go-live", "direction": "out",
         "occurred_at": wall("2026-02-12T08:00"), "vertical": "Retail"},
    ],
    "defect": [
        {"id": "D1", "account_id": "A1", "journey_id": "J/1", "code": "wrong part",
         "occurred_at": wall("2026-01-07T08:00"), "vertical": "Retail"},
    ],
    "response": [
        {"id": name, "account_id": "A1", "person_id": person, "kind": "relationship", "status": "answered",
         "scale": "nps", "score": score, "invited_at": wall(f"{day}T08:00"), "responded_at": wall(f"{day}T09:00"),
         "vertical": "Retail", "comment": "*Nobody* <called>"}
        for name, person, score, day in (
            ("Q1", "P1", 8, "2025-11-02"), ("Q2", "P2", 10, "2026-01-02"), ("Q3", "P1", 3, "2026-02-02"),
            ("Q4", "P1", 9, "2026-02-20"),
        )
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    engine = warehouse(tmp_path_factory.mktemp("cases") / "w.duckdb", ROWS)
    with disposing(engine), engine.connect() as made:
        yield made


KEYS: Final = {"response": "a/Q3", "issue": "a/J/1/F7", "inbound": "a/C3"}
MOMENTS: Final = {"response": "2026-02-02T09:00", "issue": "2026-01-13T09:30", "inbound": "2026-02-03T15:00"}


def case(conn: Connection, table: str, as_of: datetime = NOW, scope: Scope = EVERYTHING) -> CaseFile:
    found = read_case(conn, table, f"{table}={KEYS[table]}", "A1", at(MOMENTS[table]), scope, as_of)
    assert found is not None
    return found


def shown(conn: Connection, table: str, as_of: datetime = NOW, **changes: Any) -> Any:
    severe = EventRule.model_validate(
        {"name": "severe", "label": "A severe case", "kind": "event", "table": table, "dated_by": "occurred_at",
         "where": {"score": {"at_most": 6}}, "severity": 3, "route": "delivery", "owner": "ana", "runbook": "Call."}
    )  # fmt: skip
    fresh = DataFreshness(1, NOW, None)
    named = card().evidence
    assert named is not None
    evidence = Evidence(
        (replace(named.contributors[0], account_id="A1", n=1, bad=1),), 1, 1, (), fresh, None, ("A1",),
        case(conn, table, as_of),
    )  # fmt: skip
    evidence = with_revenue(conn, evidence, "EUR", EVERYTHING, as_of)
    found = incident(f"{table}={KEYS[table]}", account_id="A1", severity=3, n=1, value=None)
    made = card(rule=severe, metric=None, onset=None, incident=found, evidence=evidence, table=OFFICE, now=as_of)
    return replace(made, **changes)


def said(conn: Connection, table: str, as_of: datetime = NOW) -> dict[str, str]:
    return {fact.label: fact.text for fact in facts(shown(conn, table, as_of))}


def test_a_detractor_says_role_score_day_and_the_score_before(conn: Connection) -> None:
    found = shown(conn, "response")
    assert title(found) == "Notable: A severe case, Ashgrove Bank, Retail"
    assert sentence(found) == (
        "A decision-maker at Ashgrove Bank gave us 3 out of 10 for likelihood to recommend us on 2 February 2026, "
        "down from 8 on 2 November 2025."
    )
    assert (
        said(conn, "response").items()
        >= {
            "Who": "Ashgrove Bank, decision-maker",
            "When": "2 February 2026, 10:00 CET",
            "What": "3 out of 10 (NPS), relationship survey",
            "Since then": "8 days (6 business days) by 10 February 2026",
            "Score before": "8 out of 10 (NPS) on 2 November 2025, by the same person",
        }.items()
    )
    revenue, *_ = asks(found)
    assert (revenue.label, revenue.text) == ("Revenue", "1.00 M EUR in the last twelve months from this account")


def test_what_came_back_says_both_times_with_their_faults(conn: Connection) -> None:
    assert sentence(shown(conn, "issue")) == (
        "A user at Ashgrove Bank reported the same fault (F7) again on 13 January 2026, 4 days after its repair was "
        "finished on 9 January 2026."
    )
    assert (
        said(conn, "issue").items()
        >= {
            "Who": "Ashgrove Bank, user",
            "What": "touchpoint “enquiry”, by mail",
            "First time": "reported 5 January 2026, finished 9 January 2026; fault F7, defects: “wrong part”",
            "Second time": "reported 13 January 2026, 10:30 CET; fault F7",
            "Mood": "very upset",
            "Score before": "10 out of 10 (NPS) on 2 January 2026, by the same person",
        }.items()
    )


def test_who_waits_is_said_to_wait_until_they_are_answered(conn: Connection) -> None:
    """And what came later is not known before: neither the answer nor a score."""
    assert sentence(shown(conn, "inbound")) == (
        "An upset decision-maker at Ashgrove Bank has been waiting for an answer since 3 February 2026: "
        "7 days (5 business days)."
    )
    assert (
        said(conn, "inbound").items()
        >= {
            "What": "touchpoint “contract”, by mail",
            "Waiting": "7 days (5 business days), unanswered by 10 February 2026",
            "Mood": "upset",
            "Journey": "onboarding, since 20 January 2026",
            "Score before": "3 out of 10 (NPS) on 2 February 2026, by the same person",
        }.items()
    )
    later = at("2026-02-25T12:00")
    assert sentence(shown(conn, "inbound", later)) == (
        "An upset decision-maker at Ashgrove Bank wrote on 3 February 2026 and waited 9 days (7 business days) for an "
        "answer, which came on 12 February 2026."
    )
    assert said(conn, "inbound", later)["Waited"] == "9 days (7 business days), answered 12 February 2026, 09:00 CET"
    assert "Waiting" not in said(conn, "inbound", later)
    assert said(conn, "inbound", later)["Score before"] == said(conn, "inbound")["Score before"]


def test_a_digest_says_of_each_case_who_what_how_long_how_much_and_by_when(conn: Connection) -> None:
    """Each with the day of its own: they came on different ones."""
    route = Route.model_validate({"name": "repair", "solve_within": "10d"})
    first = replace(shown(conn, "issue", route=route), table=replace(OFFICE, pauses=True))
    weeks_later = replace(first.incident, opened_at=first.incident.opened_at + timedelta(weeks=2))
    lines = cases_message((first, replace(first, incident=weeks_later)), "").sentences
    for line, by in zip(lines, ("Tuesday 17 March 2026", "Tuesday 31 March 2026"), strict=False):
        assert line.partition(": ")[2] == (
            "A user at Ashgrove Bank reported the same fault (F7) again on 13 January 2026, 4 days after its repair "
            "was finished on 9 January 2026. Since then: 28 days (20 business days) by 10 February 2026. Revenue: 1.00 "
            f"M EUR in the last twelve months from this account. To be solved by {by}."
        )
    assert lines[2] == "What to do: Call."
    over = replace(first, incident=replace(first.incident, state="closed", resolved_at=NOW))
    assert "To be solved" not in cases_message((over,), "").sentences[0]
    assert "To be solved" not in cases_message((replace(first, route=Route(name="repair")),), "").sentences[0]


def test_time_is_counted_no_further_than_the_end_of_the_incident(conn: Connection) -> None:
    ended = {"state": "closed", "resolved_at": at("2026-02-05T12:00"), "n": 1, "value": None, "account_id": "A1"}
    detractor = shown(conn, "response", incident=incident("response=a/Q3", **ended))
    assert {fact.label: fact.text for fact in facts(detractor)}["Since then"].startswith(
        "3 days (3 business days) by 5 "
    )
    waiting = shown(conn, "inbound", incident=incident("inbound=a/C3", **ended))
    assert "been waiting for an answer since 3 February 2026: 45 hours" in sentence(waiting)
    assert sentence(waiting).endswith("Closed on 5 February 2026.")


@pytest.mark.parametrize("table", sorted(KEYS))
def test_a_route_that_names_no_account_names_none_in_a_case(conn: Connection, table: str) -> None:
    body = render(incident_message(shown(conn, table, route=Route(name="delivery", show=()))))
    assert "Ashgrove" not in str(body)
    assert "n account in Retail" in str(body)


@pytest.mark.parametrize("table", sorted(KEYS))
def test_what_customers_wrote_is_not_said_in_a_channel(conn: Connection, table: str) -> None:
    assert "Nobody" not in str(render(incident_message(shown(conn, table))))


@pytest.mark.parametrize("table", sorted(KEYS))
def test_nothing_of_a_case_is_read_outside_a_scope(conn: Connection, table: str) -> None:
    for scope in (Scope("gm", frozenset({"Lending"})), Scope("gm", None, None, frozenset({"A2"}))):
        key, moment = f"{table}={KEYS[table]}", at(MOMENTS[table])
        assert read_case(conn, table, key, "A1", moment, scope, NOW) is None


def test_a_reader_reads_the_moment_on_their_own_clocks(conn: Connection) -> None:
    away = replace(shown(conn, "response"), table=Timetable(ZoneInfo("America/New_York")))
    assert {fact.label: fact.text for fact in facts(away)}["When"] == "2 February 2026, 04:00 EST"


def test_what_else_is_open_at_the_account_is_linked() -> None:
    mine = incident("response=a/Q3", id="mine", account_id="A1")
    same = incident("account_id=A1", id="same", account_id="A1", rule="gone")
    other = incident("account_id=A2", id="other", account_id="A2")
    assert other_incidents(mine, (mine, same, other), catalog(rule()), "https://e.example", BERLIN) == (
        Link("gone (found 3 March 2026)", "https://e.example/incident?id=same"),
    )
    nobodys = incident("vertical=Retail", id="nobodys")
    assert other_incidents(nobodys, (incident("x", id="x"),), catalog(rule()), "", BERLIN) == ()
    block = render(incident_message(card(others=(Link("*a* <b>|c", "https://e.example/i?id=1"),)))).blocks
    (links,) = (one["text"]["text"] for one in block if one.get("text", {}).get("type") == "mrkdwn")
    assert links == (
        "Also open at this account: <https://e.example/i?id=1|*\N{WORD JOINER}a*\N{WORD JOINER} &lt;b&gt;|c>"
    )


ANA: Final = Person(name="ana", label="Head of service", audience="specialist")
LADDER: Final = '[{"after": "0m", "notify": "channel"}, {"after": "4h", "notify": "%s"}]'
SNOOZED: Final = "When the snooze ends, it must be acknowledged again if it is still open."
FRIDAY: Final = at("2026-02-06T13:00")  # 14:00 in Berlin
TODAY: Final = "by 18:00 CET today (Friday 6 February 2026)"


@pytest.mark.parametrize(
    ("notify", "changes", "words"),
    [
        ("ana", {}, "by 09:00 CET on Monday 9 February 2026; after that, the head of service is notified."),  # weekend
        ("ana", {"severity": 1}, f"{TODAY}; after that, the head of service is notified."),
        ("gm", {"severity": 1}, f"{TODAY}; after that, the general manager is notified."),
        ("ana", {"next_step_at": None}, "today (Friday 6 February 2026). It will not be escalated to anyone else."),
        ("ana", {"acknowledged_at": FRIDAY, "acknowledged_by": "ana"}, ""),
        ("ana", {"snoozed_until": FRIDAY + timedelta(days=1)}, SNOOZED),
        ("ana", {"state": "resolved"}, ""),
    ],
)  # fmt: skip
def test_by_when_and_who_hears_then(notify: str, changes: dict[str, Any], words: str) -> None:
    found = incident(**{"ladder": LADDER % notify, "next_step_at": FRIDAY + timedelta(hours=4), **changes})
    assert due_sentence(found, Route(name="r"), OFFICE, (ANA,), FRIDAY).removeprefix("Please acknowledge it ") == words


PAUSING: Final = replace(OFFICE, pauses=True)
BY_SEVERITY: Final = {"1": "4h", "2": "1d"}
PROMISING: Final = Route.model_validate({"name": "r", "solve_within": {"1": "2d", "3": "6d"}})
OPENED: Final = at("2026-02-06T15:00")  # Friday, 16:00 in Berlin


@pytest.mark.parametrize(
    ("changes", "now", "words"),
    [
        ({"severity": 2}, FRIDAY, "It is to be solved by Tuesday 10 February 2026."),
        ({"severity": 4}, FRIDAY, "It is to be solved by Monday 16 February 2026."),
        ({"acknowledged_at": FRIDAY}, FRIDAY + timedelta(days=5), "It was to be solved by Tuesday 10 February 2026."),
        ({"snoozed_until": FRIDAY + timedelta(days=1)}, FRIDAY, "It is to be solved by Tuesday 10 February 2026."),
        ({"state": "closed"}, FRIDAY, ""),
        ({"origin": "backfill", "acknowledged_at": FRIDAY}, FRIDAY, ""),
    ],
)
def test_by_when_it_is_to_be_solved(changes: dict[str, Any], now: datetime, words: str) -> None:
    """Business days, by its severity; also once somebody has it."""
    found = incident(ladder="[]", opened_at=OPENED, **changes)
    said = due_sentence(found, PROMISING, PAUSING, (ANA,), now)
    assert said.endswith(words)
    assert bool(said) == bool(words)
    assert ("acknowledge" in said) == (bool(words) and found.acknowledged_at is None)


@pytest.mark.parametrize(
    ("severity", "hours", "by"),
    [
        (1, True, "12:00 CET on Monday 9 February 2026"),
        (2, True, "16:00 CET on Monday 9 February 2026"),
        (1, False, "20:00 CET today (Friday 6 February 2026)"),
    ],
)
def test_a_ladder_counts_the_specialists_own_hours(*, severity: int, hours: bool, by: str) -> None:
    """What a tick opens on a Friday at 16:00, and who is told when nobody takes it on."""
    ladder = [{"notify": "channel"}, {"after": BY_SEVERITY, "notify": "ana"}]
    route = Route.model_validate({"name": "delivery", "ladder": ladder, "outside": "pause"})
    table = PAUSING if hours else replace(PAUSING, hours=None)
    steps = parse_ladder(snapshot(route, severity))
    found = incident(severity=severity, ladder=snapshot(route, severity), next_step_at=after(steps, 1, OPENED, table))
    assert due_sentence(found, route, table, (ANA,), OPENED) == (
        f"Please acknowledge it by {by}; after that, the head of service is notified."
    )
    due = found.next_step_at
    assert due is not None
    assert due_step(found, route, table, due - timedelta(seconds=1), (ANA,)) is None
    move = due_step(found, route, table, due, (ANA,))
    words = "4 hours" if not hours else "4 business hours" if severity == 1 else "1 business day"
    assert move is not None
    assert move.reason == f"to the head of service: nobody acknowledged it within {words}"


@pytest.mark.parametrize(
    ("since", "until", "worked"),
    [
        ("2026-02-06T13:00", "2026-02-06T15:00", "2 business hours"),
        ("2026-02-06T15:30", "2026-02-09T09:00", "2 business hours"),  # half an hour, a weekend, an hour
        ("2026-02-02T08:00", "2026-02-10T12:00", "6 business days"),
    ],
)
def test_how_much_business_time_went_by(since: str, until: str, worked: str) -> None:
    assert OFFICE.worked(at(since), at(until)) == worked


def test_round_the_clock_a_wait_is_in_days() -> None:
    assert Timetable(BERLIN).worked(at("2026-02-06T13:00"), at("2026-02-09T09:00")) == "1 business day"


def test_a_warehouse_that_lost_the_row_says_what_the_incident_knows(tmp_path: Path) -> None:
    engine = warehouse(tmp_path / "w.duckdb", {})
    with disposing(engine), engine.connect() as empty:
        assert read_case(empty, "response", "response=a/Q3", "A1", NOW, EVERYTHING, NOW) is None
