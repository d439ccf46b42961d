"""What people do about an incident, what time does to it meanwhile, and who is told outside business hours."""

import json
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from slack_sdk import WebClient
from sqlalchemy import Connection, Engine, select

from config import EarshotError
from config.models import Catalog, Person, Route, Step
from queries.messages import Matchers, PostedMessage, inbox, silences
from queries.messages.inbox import Arrived, Done
from queries.messages.outbox import record_root
from queries.messages.silences import SilenceError
from queries.review import Timetable
from queries.state import (
    HistoryEntry,
    Incident,
    TickRecord,
    Verdict,
    entries,
    open_incidents,
    open_state,
    read_incident,
    vote,
    votes_by_rule,
    write,
)
from queries.state import tables as state_tables
from queries.warehouse import EVERYTHING, tables
from tests.counterparts import proxy as faults
from tests.counterparts.postgres import NewDatabase
from tests.counterparts.proxy import FaultProxy
from tests.counterparts.slack import ADMIN_TOKEN, CHANNELS, USERS, Slack
from tests.slack.test_card import card as a_card
from tests.slack.test_card import incident as an_incident
from tests.support.company import LOADED, catalog, rule, warehouse
from triggers.commands.arguments import parse_end
from triggers.commands.deliveries import route_steps, silence_request
from triggers.incidents.actions import (
    OverError,
    PastError,
    acknowledge,
    reassign,
    resolve,
    snooze,
)
from triggers.incidents.escalation import EscalationStep, addressed, begins, due_step, due_steps, snapshot
from triggers.incidents.outgoing import root_message
from triggers.messages.card import incident_message
from triggers.slack import client
from triggers.slack.blocks import render
from triggers.slack.interaction_handler import acknowledge_reacted

BERLIN: Final = ZoneInfo("Europe/Berlin")
FRIDAY: Final = datetime(2026, 11, 20, 15, tzinfo=UTC)  # 16:00 in Berlin
MONDAY: Final = datetime(2026, 11, 23, 8, tzinfo=UTC)  # 9:00
LADDER: Final = (
    Step(),
    Step(after=(timedelta(hours=4),) * 4, notify="ana"),
    Step(after=(timedelta(hours=24),) * 4, notify="gm"),
)
OFFICE: Final = (time(9), time(17))
ANA: Final = Person(name="ana", label="Ana Ruiz", audience="specialist", slack=USERS["ana"])
BEN: Final = Person(name="ben", label="Ben Okafor", audience="gm", slack=USERS["ben"], verticals=("Retail",))
CHANNEL: Final = CHANNELS["service-quality"]


def route(**changes: Any) -> Route:
    made = Route(name="delivery", channel=CHANNEL, ladder=LADDER, zone="Europe/Berlin", hours=OFFICE)
    return made.model_copy(update=changes)


def company(**changes: Any) -> Catalog:
    return catalog(rule(), routes=(route(**changes),)).model_copy(update={"people": (ANA, BEN)})


def case(**changes: Any) -> Incident:
    return replace(an_incident(ladder=snapshot(route(), 2), opened_at=FRIDAY), **changes)


def move(found: Incident, now: datetime, **changes: Any) -> EscalationStep | None:
    table = Timetable(BERLIN, changes.get("hours", OFFICE))
    return due_step(found, route(**changes), table, now)


HOUR: Final = timedelta(hours=1)
WAITING: Final = case(next_step_at=FRIDAY + 4 * HOUR)  # Friday, 20:00
URGENT: Final = replace(WAITING, severity=1)
TAKEN: Final = case(acknowledged_at=FRIDAY, acknowledged_by="ana", assigned_to="ana")
SNOOZED: Final = case(snoozed_until=MONDAY - 20 * HOUR, next_step_at=FRIDAY, assigned_to="ana")  # to Sunday, 13:00


@pytest.mark.parametrize(
    ("found", "now", "changes", "kind"),
    [
        (WAITING, FRIDAY + 4 * HOUR - timedelta(seconds=1), {"hours": None}, None),
        (WAITING, FRIDAY + 4 * HOUR, {"hours": None}, "escalated"),
        # Outside the hours: held, folded or dropped; severity 1 goes through.
        (WAITING, FRIDAY + 4 * HOUR, {}, None),
        (WAITING, MONDAY - timedelta(seconds=1), {}, None),
        (WAITING, MONDAY, {}, "escalated"),
        (WAITING, FRIDAY + 4 * HOUR, {"outside": "digest"}, None),
        (WAITING, MONDAY, {"outside": "digest"}, "escalated"),
        (WAITING, FRIDAY + 4 * HOUR, {"outside": "drop"}, "skipped"),
        (WAITING, MONDAY, {"outside": "drop"}, "skipped"),  # nobody ran over the weekend
        (URGENT, FRIDAY + 4 * HOUR, {}, "escalated"),
        (URGENT, FRIDAY + 4 * HOUR, {"outside": "drop"}, "escalated"),
        # A clock that is set back by an hour asks again too early: nothing.
        (case(next_step=2, next_step_at=MONDAY + HOUR), MONDAY, {}, None),
        (replace(WAITING, next_step=3, next_step_at=None), MONDAY, {}, None),  # the ladder's end
        (replace(WAITING, state="resolved"), MONDAY, {}, None),
        # Somebody has it: until ack_timeout.
        (TAKEN, FRIDAY + 30 * timedelta(days=1), {}, None),
        (TAKEN, MONDAY, {"ack_timeout": timedelta(days=3)}, None),
        (TAKEN, MONDAY + 7 * HOUR, {"ack_timeout": timedelta(days=3)}, "lapsed"),
        (TAKEN, FRIDAY + 10 * HOUR, {"ack_timeout": 5 * HOUR}, None),  # at night
        (TAKEN, MONDAY, {"ack_timeout": 5 * HOUR}, "lapsed"),
        # A snooze over the weekend: nothing before, and then not on a Sunday.
        (SNOOZED, MONDAY - 21 * HOUR, {"hours": None}, None),
        (SNOOZED, MONDAY - 20 * HOUR, {"hours": None}, "woken"),
        (SNOOZED, MONDAY - 20 * HOUR, {}, None),
        (SNOOZED, MONDAY, {}, "woken"),
        (replace(SNOOZED, severity=1), MONDAY - 20 * HOUR, {}, "woken"),
        (replace(SNOOZED, acknowledged_at=FRIDAY), MONDAY, {}, "woken"),
    ],
)
def test_what_the_time_has_come_for(found: Incident, now: datetime, changes: dict[str, Any], kind: str | None) -> None:
    made = move(found, now, **changes)
    assert (made.kind if made else None) == kind


def test_a_step_that_waited_leaves_the_next_its_time() -> None:
    """Held over the weekend, the specialist has as long as on any other day before the general manager hears."""
    made = move(WAITING, MONDAY)
    assert made is not None
    assert made.changes == {"next_step": 2, "next_step_at": MONDAY + 20 * HOUR}
    assert made.reason == "to ana: nobody acknowledged it within 4 hours; held until business hours"


def test_what_is_nobodys_again_goes_on_where_its_ladder_was() -> None:
    for found in (TAKEN, SNOOZED):
        made = move(found, MONDAY, ack_timeout=HOUR)
        assert made is not None
        nobodys = {"acknowledged_at": None, "acknowledged_by": None, "next_step_at": MONDAY + 4 * HOUR}
        assert nobodys.items() <= made.changes.items()


@pytest.mark.parametrize(
    ("severity", "now", "at"),
    [(2, FRIDAY, FRIDAY), (2, FRIDAY + 2 * HOUR, MONDAY), (1, FRIDAY + 2 * HOUR, FRIDAY + 2 * HOUR)],
)
def test_when_a_ladder_begins(severity: int, now: datetime, at: datetime) -> None:
    assert begins(severity, Timetable(BERLIN, OFFICE), now) == at
    opened = case(severity=severity)
    assert root_message(opened, now, begins(severity, Timetable(BERLIN, OFFICE), now)).due_at == at


def test_what_waited_is_told_in_one_message() -> None:
    """The worst is told and names the others; whose step names other people is told apart."""
    waiting = [replace(WAITING, id=f"i{n}", rule=f"rule-{n}", slice="", severity=2 + n % 2) for n in range(14)]
    others = [replace(WAITING, id="gm", next_step=2), replace(URGENT, id="urgent")]
    found = due_steps((*waiting, *others), company(outside="digest"), BERLIN, MONDAY)
    kinds = {one.id: made.kind for one, made in found}
    assert [kinds.pop(name) for name in ("i0", "gm", "urgent")] == ["escalated"] * 3
    assert set(kinds.values()) == {"digested"}
    told_ = next(made for one, made in found if one.id == "i0")
    assert "together with 13 others: rule-10, rule-12, rule-2, rule-4" in told_.reason
    assert told_.reason.endswith("and 3 more")
    assert len(found) == 16


def test_without_a_digest_each_is_told() -> None:
    found = due_steps([replace(WAITING, id=f"i{n}") for n in range(3)], company(), BERLIN, MONDAY)
    assert [made.kind for _, made in found] == ["escalated"] * 3


def test_whom_an_entry_is_told_to() -> None:
    history = tuple(
        HistoryEntry("i", seq, FRIDAY, kind, "")
        for seq, kind in enumerate(("opened", "escalated", "worsened", "escalated"), 1)
    )
    assert [addressed(case(), history, entry, (ANA, BEN)) for entry in history] == [(), (ANA,), (), (BEN,)]
    woken = HistoryEntry("i", 5, FRIDAY, "woken", "")
    assert addressed(case(assigned_to="ana"), history, woken, (ANA, BEN)) == (ANA,)


# In the state, on both engines.


@pytest.fixture(params=["sqlite", "postgresql"])
def states(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = open_state(tmp_path)
        yield engine
        engine.dispose()
        return
    new_database: NewDatabase = request.getfixturevalue("new_database")
    with new_database() as url:
        engine = open_state(tmp_path, url)
        yield engine
        engine.dispose()


def opened(states: Engine, **changes: Any) -> str:
    """An incident that was told: its root is queued."""
    found = case(id="i1", next_step_at=FRIDAY + 4 * HOUR, **changes)
    entry = HistoryEntry(found.id, 1, FRIDAY, "opened", "beyond the limit")
    with states.begin() as conn:
        write(conn, TickRecord(opened=(found,), entries=(entry,), queued=(root_message(found, FRIDAY, FRIDAY),)))
    return found.id


def now_of(conn: Connection) -> Incident:
    return read_incident(conn, "i1", EVERYTHING)


def kinds(conn: Connection) -> list[str]:
    return [one.kind for one in entries(conn, "i1")]


def owed(conn: Connection) -> list[str]:
    return sorted(conn.execute(select(state_tables.outbox.c.kind)).scalars())


def test_each_thing_is_done_once(states: Engine) -> None:
    id_ = opened(states)
    for _ in range(2):
        with states.begin() as conn:
            snooze(conn, id_, MONDAY, "until Monday", "ana", EVERYTHING, FRIDAY)
    with states.begin() as conn:
        assert (now_of(conn).snoozed_until, now_of(conn).assigned_to) == (MONDAY, "ana")
    for _ in range(2):
        with states.begin() as conn:
            acknowledge(conn, id_, "ana", EVERYTHING, FRIDAY + HOUR)
    with states.begin() as conn:
        assert (now_of(conn).snoozed_until, now_of(conn).acknowledged_by) == (None, "ana")
    for _ in range(2):
        with states.begin() as conn:
            reassign(conn, id_, "ben", "to Ben", "ana", EVERYTHING, FRIDAY + 2 * HOUR, table=Timetable(BERLIN))
    with states.begin() as conn:
        found = now_of(conn)
        assert (found.assigned_to, found.acknowledged_by) == ("ben", None)
        assert found.next_step_at == FRIDAY + 6 * HOUR
        assert kinds(conn) == ["opened", "snoozed", "acknowledged", "reassigned"]
        assert owed(conn) == ["reply", "root", "update", "update", "update"]  # handing on is told


def test_what_is_over_stays_over(states: Engine) -> None:
    id_ = opened(states)
    with states.begin() as conn:
        resolve(conn, id_, "ana", "replaced", EVERYTHING, FRIDAY)
    with states.begin() as conn:
        for again in (
            partial(acknowledge, conn, id_, "ben"),
            partial(snooze, conn, id_, MONDAY, "", "ben"),
            partial(reassign, conn, id_, "ben", "", "ben", table=Timetable(BERLIN)),
            partial(resolve, conn, id_, "ben", ""),
        ):
            with pytest.raises(OverError):
                again(EVERYTHING, FRIDAY)
    with states.connect() as conn:
        assert kinds(conn) == ["opened", "closed"]


def test_nobody_can_snooze_into_the_past(states: Engine) -> None:
    id_ = opened(states)
    with pytest.raises(PastError), states.begin() as conn:
        snooze(conn, id_, FRIDAY, "", "ana", EVERYTHING, FRIDAY)


def test_a_person_has_one_vote_and_the_last_counts(states: Engine) -> None:
    id_ = opened(states)
    with states.begin() as conn:
        assert vote(conn, id_, "ana", FRIDAY, useful=True)
        assert not vote(conn, id_, "ana", FRIDAY, useful=True)
        assert vote(conn, id_, "ana", FRIDAY, useful=False)
        assert vote(conn, id_, "ben", FRIDAY, useful=True)
        assert votes_by_rule(conn) == (Verdict("defects", 1, 1),)
        assert votes_by_rule(conn, FRIDAY + HOUR) == ()


def test_what_arrives_is_kept_once_done_once_and_given_up_at_last(states: Engine) -> None:
    press = Arrived("interactive|1", "button", "{}", FRIDAY)
    with states.begin() as conn:
        assert inbox.store(conn, press)
        assert not inbox.store(conn, press)
        assert inbox.store(conn, replace(press, id="interactive|2", received_at=FRIDAY - HOUR))
        assert [one.id for one in inbox.pending(conn)] == ["interactive|2", "interactive|1"]
        assert inbox.waiting(conn) == (2, FRIDAY - HOUR)
    done = Done("i1", "ana", "done: acknowledge")
    with states.begin() as conn:
        assert inbox.record_handled(conn, press.id, done, FRIDAY)
        assert not inbox.record_handled(conn, press.id, done, FRIDAY)
        assert [inbox.failed(conn, "interactive|2", "ValueError", FRIDAY) for _ in range(5)] == [False] * 4 + [True]
        assert inbox.pending(conn) == ()
        assert set(conn.execute(select(state_tables.inbound.c.body)).scalars()) == {""}


def test_what_is_rolled_back_is_still_to_be_done(states: Engine) -> None:
    with states.begin() as conn:
        inbox.store(conn, Arrived("interactive|1", "button", "{}", FRIDAY))
    with suppress(KeyboardInterrupt), states.begin() as conn:
        inbox.record_handled(conn, "interactive|1", Done("i1", "ana", "done: acknowledge"), FRIDAY)
        raise KeyboardInterrupt
    with states.connect() as conn:
        assert len(inbox.pending(conn)) == 1


def test_a_silence_mutes_what_it_matches_for_its_time(states: Engine) -> None:
    id_ = opened(states)
    with states.begin() as conn:
        elsewhere = Matchers(verticals=("Lending",))
        silences.add_silence(conn, elsewhere, "moving house", "ana", FRIDAY, MONDAY)
        assert silences.muted(conn, FRIDAY) == frozenset()
        matching = Matchers(rule="defects", verticals=("Retail", "Lending"))
        assert silences.preview(conn, matching, EVERYTHING, FRIDAY - HOUR).earlier == 1
        made = silences.add_silence(conn, matching, "moving house", "ana", FRIDAY, MONDAY)
        assert silences.add_silence(conn, matching, "moving house", "ana", FRIDAY, MONDAY) == made
        assert silences.muted(conn, FRIDAY) == {id_}
        assert silences.muted(conn, MONDAY) == frozenset()
        assert len(silences.active_silences(conn, FRIDAY)) == 2
        silences.end_silence(conn, made.id[:8], FRIDAY + HOUR)
        assert silences.muted(conn, FRIDAY + HOUR) == frozenset()
        assert now_of(conn).is_open


@pytest.mark.parametrize(
    ("written", "is_said"),
    [
        ("2026-12-24T18:00", "2026-12-24T18:00+01:00"),
        ("2026-07-24T18:00", "2026-07-24T18:00+02:00"),
        ("2026-12-24T18:00Z", "2026-12-24T18:00+00:00"),
        ("2026-12-24", "2026-12-24T00:00+01:00"),
        ("2d", "2026-11-22T08:00+00:00"),
    ],
)
def test_an_end_is_what_the_clock_on_the_wall_shows(written: str, is_said: str) -> None:
    start = datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert parse_end(written, start, BERLIN) == datetime.fromisoformat(is_said)


@pytest.mark.parametrize(("written", "wrong"), [("999999w", "past the last day"), ("tomorrow", "is not a time")])
def test_what_is_no_end(written: str, wrong: str) -> None:
    with pytest.raises(EarshotError, match=wrong):
        parse_end(written, FRIDAY, BERLIN)


@pytest.mark.parametrize(
    ("matchers", "reason", "hours", "wrong"),
    [
        (Matchers(), "why", 1, "must match something"),
        (Matchers(rule="defects"), " ", 1, "needs a reason"),
        (Matchers(rule="defects"), "why", 0, "ends before it starts"),
        (Matchers(rule="defects"), "why", 9999 * 24 * 7, "lasts more than a year"),
    ],
)
def test_what_is_no_silence(tmp_path: Path, matchers: Matchers, reason: str, hours: int, wrong: str) -> None:
    engine = open_state(tmp_path)
    with pytest.raises(SilenceError, match=wrong), engine.begin() as conn:
        silences.add_silence(conn, matchers, reason, "ana", FRIDAY, FRIDAY + hours * HOUR)
    engine.dispose()


# Reactions, looked for before a step.


@pytest.fixture
def reacted(tmp_path: Path, slack: Slack) -> Iterator[tuple[Engine, str]]:
    """An incident whose message stands in the channel, and its ts."""
    engine = open_state(tmp_path)
    opened(engine)
    ts = str(slack.client().chat_postMessage(channel=CHANNEL, text="breach")["ts"])
    with engine.begin() as conn:
        record_root(conn, PostedMessage("i1", "delivery", CHANNEL, ts, 1, 1))
    yield engine, ts
    engine.dispose()


def look(engine: Engine, base_url: str, config: Catalog, now: datetime = MONDAY) -> int:
    return acknowledge_reacted(engine, client.Slack("xoxb-earshot-tests", base_url, 2), config, BERLIN, now)


def react(slack: Slack, name: str, ts: str) -> None:
    """As the workspace's admin, who is a person too."""
    human: WebClient = slack.client(ADMIN_TOKEN)
    human.reactions_add(channel=CHANNEL, name=name, timestamp=ts)


ADMIN: Final = Person(name="admin", label="Admin", audience="specialist", slack=USERS["admin"])


@pytest.mark.parametrize(
    ("name", "person", "now", "taken"),
    [
        ("eyes", ADMIN, MONDAY, True),
        ("white_check_mark", ADMIN, MONDAY, True),
        ("tada", ADMIN, MONDAY, False),
        ("eyes", ANA, MONDAY, False),  # the admin is a stranger here
        ("eyes", ADMIN.model_copy(update={"verticals": ("Lending",)}), MONDAY, False),
        ("eyes", ADMIN, FRIDAY, False),  # no step is due: nobody looks
    ],
)
def test_a_reaction_is_seen_before_a_step(
    reacted: tuple[Engine, str], slack: Slack, name: str, person: Person, now: datetime, *, taken: bool
) -> None:
    engine, ts = reacted
    react(slack, name, ts)
    config = company().model_copy(update={"people": (person,)})
    assert look(engine, slack.base_url, config, now) == taken
    with engine.connect() as conn:
        (found,) = open_incidents(conn, EVERYTHING)
    assert found.acknowledged_by == ("admin" if taken else None)
    assert (move(found, MONDAY) is None) == taken


def test_where_slack_does_not_answer_the_step_is_taken(reacted: tuple[Engine, str], slack_proxy: FaultProxy) -> None:
    engine, _ = reacted
    slack_proxy.plan("reactions.get", faults.server_error(stored=False))
    assert look(engine, slack_proxy.base_url, company()) == 0
    with engine.connect() as conn:
        assert move(now_of(conn), MONDAY) is not None


# What the message shows and offers meanwhile.


def shown(**changes: Any) -> dict[str, Any]:
    """What differs in a message from one state to the next: the facts, the news and what can be pressed."""
    found = case(id="0b8f8e3e", **changes)
    kind = found.state if not found.is_open else "acknowledged" if found.acknowledged_at else "snoozed"
    entry = HistoryEntry(found.id, 2, FRIDAY, kind, "as it was put", "ana")
    message = render(incident_message(a_card(incident=found, entries=(*a_card().entries, entry), people=(ANA, BEN))))
    fields = [field["text"] for block in message.blocks for field in block.get("fields", ())]
    (row,) = (block["elements"] for block in message.blocks if block["type"] == "actions")
    pressed = [element["action_id"] for element in row[:-1]] + [option["value"] for option in row[-1]["options"]]
    told_ = [b["text"]["text"] for b in message.blocks if b["type"] == "section" and "text" in b]
    return {"text": message.text.partition(".")[0], "facts": fields, "news": told_[-1], "doors": pressed}


@pytest.mark.parametrize(
    ("changes", "fact", "news", "may_take"),
    [
        (
            {"acknowledged_at": FRIDAY, "acknowledged_by": "ana", "assigned_to": "ana"},
            "Acknowledged by\nAna Ruiz, 20 November 2026, 16:00 CET",
            "What to do\nCall the engineer who was there.",
            False,
        ),
        (
            {"snoozed_until": MONDAY, "assigned_to": "ana"},
            "Snoozed until\n23 November 2026, 09:00 CET",
            "Snoozed by Ana Ruiz on 20 November 2026, 16:00 CET, as it was put.",
            True,
        ),
        ({"assigned_to": "ben"}, "Waiting for\nBen Okafor", "", True),
        (
            {"state": "resolved", "resolved_at": MONDAY},
            None,
            "Recovered by Ana Ruiz on 20 November 2026, 16:00 CET: as it was put.",
            None,
        ),
    ],
)
def test_a_message_says_whose_it_is_and_offers_what_can_be_done(
    changes: dict[str, Any], fact: str | None, news: str, *, may_take: bool | None
) -> None:
    seen = shown(**changes)
    assert fact is None or fact in seen["facts"]
    assert news in seen["news"]
    steps = [] if may_take is None else ["snooze", "reassign", "resolve"]
    take = ["acknowledge"] if may_take else []
    assert seen["doors"] == [*take, "action", "open", *steps, "useful", "noise"]


# Before anything happens.


def test_whom_a_rule_would_be_told_to() -> None:
    config = company(ack_timeout=timedelta(days=1))
    assert list(route_steps(config, "defects", "Retail", BERLIN, FRIDAY)) == [
        f"rule defects, severity 2 -> route delivery, {CHANNEL}",
        "business days 09:00-17:00, Europe/Berlin; outside: hold",
        "Fri 2026-11-20 16:00  the channel",
        "Mon 2026-11-23 09:00  Ana Ruiz (held until business hours)",
        "Tue 2026-11-24 09:00  Ben Okafor (held until business hours)",  # 20 hours after hers
        "an acknowledgement lasts 1d; then escalation resumes",
    ]
    assert "nobody: no general manager answers for Lending" in "\n".join(
        route_steps(config, "defects", "Lending", BERLIN, FRIDAY)
    )


def test_a_snapshot_holds_what_a_ladder_was() -> None:
    assert json.loads(snapshot(route(), 2))[1] == {"after": "4h", "notify": "ana"}


def test_a_silence_for_a_condition_mutes_whom_it_concerns_until_it_is_over(tmp_path: Path) -> None:
    lifecycle = {"first_loaded_at": LOADED, "loaded_at": LOADED, "source": "made"}
    when = {"starts_at": datetime(2026, 11, 18, 6), "ends_at": datetime(2026, 11, 21, 20)}  # noqa: DTZ001
    strike = {"id": "C1", "name": "strike", "kind": "external", "verticals": "Retail, Lending", **when, **lifecycle}
    visit = {"id": "K1", "occurred_at": when["starts_at"], "day": when["starts_at"].date(), "account_id": "A1"}
    visit |= {"touchpoint": "visit", "channel": "branch", "direction": "in", **lifecycle}
    words = Namespace(rule=None, route=None, account=None, vertical=[], touchpoint=["visit"], condition="strike")
    rows = {tables.condition: [strike], tables.contact: [visit]}
    with warehouse(tmp_path, company(), rows, "Europe/Berlin") as made, made.pin() as pin:
        found = silence_request(words, company(), pin, None)
        for other, wrong in (
            ({"condition": "flood"}, "no condition 'flood'"),
            ({"vertical": ["Noth"]}, "no vertical 'Noth'"),
            ({"touchpoint": ["visit", "fax"]}, "no touchpoint 'fax'"),
            ({"account": "a1"}, "no account 'a1'"),
            ({"rule": "defect"}, "no rule 'defect'"),
        ):
            with pytest.raises(EarshotError, match=wrong):
                silence_request(Namespace(**{**vars(words), **other}), company(), pin, None)
        assert silence_request(Namespace(**{**vars(words), "account": "A1"}), company(), pin, None).matchers.account
    with pytest.raises(EarshotError, match="no touchpoint 'visit'"):
        silence_request(words, company(), None, None)
    assert found.matchers == Matchers(verticals=("Lending", "Retail"), touchpoints=("visit",))
    assert found.until == datetime(2026, 11, 21, 23, tzinfo=UTC)  # midnight in Berlin
