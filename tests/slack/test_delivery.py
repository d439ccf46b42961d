"""From a breach to Slack and back: what arrives is read from an independent Slack; nothing is lost or said twice."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select, update

from config.models import Catalog, Route, Step
from queries.engine import journal
from queries.messages import QueuedMessage, last_restore, mark_restored, outbox
from queries.state import open_state, read_incidents, tables
from queries.warehouse import EVERYTHING, EmbeddedWarehouse
from tests.counterparts import proxy as faults
from tests.counterparts.limits import refusal
from tests.counterparts.proxy import Fault, FaultProxy
from tests.counterparts.slack import CHANNELS, READ_ONLY_TOKEN, TOKEN, Slack
from tests.slack.faults import ground
from tests.support.clocks import BY_SLACKS_CLOCK, Now
from tests.support.company import ROUTE, catalog, noon, publish, rows_of, rule, warehouse, weeks
from tests.support.installation import configure
from tests.support.states import NewState
from triggers.__main__ import main
from triggers.incidents import acknowledge, resolve
from triggers.incidents.tick import tick
from triggers.messages import CardReader, DeliveryWorker, DuplicateRemover, Sent
from triggers.slack import client

GOLDEN: Final = Path(__file__).parent / "golden"
CHANNEL: Final = CHANNELS["service-quality"]
FIRST: Final = date(2025, 9, 1)
NEVER: Final = datetime.min.replace(tzinfo=UTC)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
OPENS, WORSENS, RECOVERS = date(2025, 12, 22), date(2026, 1, 12), date(2026, 2, 16)


@dataclass
class Watch:
    """A company that is watched, with a clock that the test turns."""

    warehouse: EmbeddedWarehouse
    states: Engine
    catalog: Catalog
    base_url: str
    token: str = TOKEN
    now: datetime = NEVER
    sent: list[Sent] = field(default_factory=list)
    settle: Callable[[], None] = lambda: None
    is_muted: Callable[[str], bool] | None = None

    def tick(self, day: date) -> None:
        self.now = noon(day)
        with self.warehouse.pin() as pin:
            tick(self.states, pin, self.catalog, self.now)

    def deliver(self, later: timedelta = timedelta(0)) -> Sent:
        self.now += later
        with self.warehouse.pin() as pin:
            cards = CardReader(pin, self.catalog, "https://earshot.example", self.now, "EUR")
            slack = client.Slack(self.token, self.base_url, 1)
            place = (self.states, slack, cards, self.catalog, 1.0, lambda: self.now, self._wait)
            done = DeliveryWorker(*place, is_muted=self.is_muted).deliver()
        self.sent.append(done)
        return done

    def _wait(self, pause: timedelta) -> None:
        """Time goes by as fast as the test likes; what is on its way arrives before."""
        self.settle()
        self.now += pause

    def until_quiet(self, rounds: int = 12) -> None:
        """Deliver, hours apart, until nothing is owed."""
        for _ in range(rounds):
            self.settle()
            self.deliver(timedelta(hours=1))
            if not self.owed():
                return

    def owed(self) -> tuple[QueuedMessage, ...]:
        with self.states.connect() as conn:
            return outbox.unsent(conn)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedWarehouse]:
    """The story's company. Nothing here writes to it."""
    with warehouse(tmp_path_factory.mktemp("company"), catalog(rule()), rows_of(weeks(FIRST, STORY))) as made:
        yield made


@pytest.fixture
def watch(tmp_path: Path, slack: Slack, company: EmbeddedWarehouse) -> Iterator[Watch]:
    """The company, watched from before the breach."""
    watched = Watch(company, open_state(tmp_path), catalog(rule()), slack.base_url)
    watched.tick(OPENS - timedelta(weeks=1))
    yield watched
    watched.states.dispose()


def golden(name: str, found: Any) -> None:
    """Compare with the file; GOLDEN=write writes it."""
    file = GOLDEN / name
    text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def seen(slack: Slack, channel: str = CHANNEL) -> list[dict[str, Any]]:
    """A channel as its members see it: root messages with their threads, without what differs from run to run."""
    return [
        {**_shown(m), "thread": [_shown(r) for r in slack.replies(channel, m["ts"])]} for m in slack.history(channel)
    ]


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    return {name: message[name] for name in ("text", "blocks", "metadata") if name in message}


def test_one_breach_is_one_message_that_follows_it(watch: Watch, slack: Slack, tmp_path: Path) -> None:
    """Opened: one root. Worse: the root says so, and a reply tells. Recovered: the same."""
    rows = rows_of(weeks(FIRST, STORY))
    with warehouse(tmp_path / "fresh", watch.catalog, rows) as watch.warehouse:
        for day, name in ((OPENS, "opened"), (WORSENS, "worsened"), (RECOVERS, "recovered")):
            # Each morning's load is what the messages of that day are made from.
            publish(watch.warehouse, watch.catalog, rows, now=datetime.combine(day, time(6)))
            watch.tick(day)
            watch.deliver()
            golden(f"{name}.json", seen(slack))
    assert watch.owed() == ()


def test_every_week_between_says_only_what_is_new(watch: Watch, slack: Slack) -> None:
    for week in range(12):
        watch.tick(OPENS + timedelta(weeks=week))
        watch.deliver()
    (root,) = (m for m in seen(slack) if "Data fault" not in m["text"])  # the company's data end before
    assert root["text"].startswith("\N{LARGE GREEN CIRCLE} Recovered")
    assert [reply["text"].split(":")[0] for reply in root["thread"]] == ["Worse", "Worse", "Recovered"]


def test_after_an_outage_only_where_it_ended_is_told(watch: Watch, slack: Slack) -> None:
    watch.tick(OPENS)
    watch.deliver()
    watch.tick(WORSENS + timedelta(weeks=1))  # three slots at once
    watch.deliver()
    (root,) = seen(slack)
    assert len(root["thread"]) == 1


def test_what_came_and_went_during_an_outage_is_recorded_and_not_told(watch: Watch, slack: Slack) -> None:
    watch.tick(RECOVERS)
    watch.deliver()
    with watch.states.connect() as conn:
        (found,) = read_incidents(conn, EVERYTHING)
    assert (found.state, found.origin) == ("resolved", "live")
    assert seen(slack) == []


def test_the_first_run_is_silent_about_the_past_and_tells_what_fires_now(tmp_path: Path, slack: Slack) -> None:
    config = catalog(rule())
    twice = rows_of(weeks(FIRST, (*STORY, *STORY)))
    with warehouse(tmp_path, config, twice) as made:
        watched = Watch(made, open_state(tmp_path), config, slack.base_url)
        watched.tick(WORSENS + timedelta(weeks=len(STORY)))
        watched.deliver()
        with watched.states.connect() as conn:
            found = read_incidents(conn, EVERYTHING)
        watched.states.dispose()
    assert [(i.state, i.origin) for i in found] == [("open", "backfill"), ("resolved", "backfill")]
    assert len(seen(slack)) == 1


def test_two_ticks_and_two_rounds_say_nothing_new(watch: Watch, slack: Slack) -> None:
    watch.tick(OPENS)
    watch.deliver()
    before = seen(slack)
    watch.tick(OPENS)
    watch.deliver()
    assert seen(slack) == before


def test_taking_on_and_closing_show_in_the_root(watch: Watch, slack: Slack) -> None:
    watch.tick(OPENS)
    watch.deliver()
    with watch.states.begin() as conn:
        (found,) = read_incidents(conn, EVERYTHING)
        acknowledge(conn, found.id, "ana", EVERYTHING, watch.now)
        assert acknowledge(conn, found.id, "ben", EVERYTHING, watch.now).acknowledged_by == "ana"
    watch.deliver()
    assert r"Acknowledged by\nana" in json.dumps(seen(slack)[0]["blocks"])
    with watch.states.begin() as conn:
        resolve(conn, found.id, "ana", "spare part replaced", EVERYTHING, watch.now)
    watch.deliver()
    (root,) = seen(slack)
    assert root["text"].startswith("\N{MEDIUM WHITE CIRCLE} Closed")
    assert root["thread"][-1]["text"].startswith("Closed by ana: spare part replaced")


def test_what_was_closed_by_hand_stays_closed_until_it_recovered(watch: Watch, slack: Slack) -> None:
    watch.tick(OPENS)
    watch.deliver()
    with watch.states.begin() as conn:
        (found,) = read_incidents(conn, EVERYTHING)
        resolve(conn, found.id, "ana", "", EVERYTHING, watch.now)
    for week in range(1, 9):
        watch.tick(OPENS + timedelta(weeks=week))
        watch.deliver()
    with watch.states.connect() as conn:
        assert [i.state for i in read_incidents(conn, EVERYTHING)] == ["closed"]
    assert len(seen(slack)) == 1


def test_nobody_took_it_on_so_the_next_step_names_a_person(tmp_path: Path, slack: Slack) -> None:
    config = catalog(
        rule(),
        routes=(ROUTE.model_copy(update={"ladder": (Step(), Step(after=(timedelta(hours=4),) * 4, notify="ana"))}),),
    )
    person = config.people[0].model_copy(update={"name": "ana", "slack": slack.users["ana"]})
    config = config.model_copy(update={"people": (person,)})
    with warehouse(tmp_path, config, rows_of(weeks(FIRST, STORY))) as made:
        watched = Watch(made, open_state(tmp_path), config, slack.base_url)
        watched.tick(OPENS)
        watched.deliver()
        with made.pin() as pin:
            for hours in (3, 4, 5, 100):
                tick(watched.states, pin, config, noon(OPENS) + timedelta(hours=hours))
                watched.deliver(timedelta(hours=hours))
        watched.states.dispose()
    (root,) = seen(slack)
    (step,) = root["thread"]
    assert step["text"].startswith(f"<@{slack.users['ana']}> Escalated to the customer experience analyst: nobody")


# What can go wrong on the way.

STORED: Final = {
    "the answer is dropped": faults.dropped(),
    "reset after it was stored": faults.reset(stored=True),
    "half an answer": faults.truncated(),
    "a page in place of an answer": faults.html(stored=True),
    "500 after it was stored": faults.server_error(500, stored=True),
    "internal_error after it was stored": faults.slack_error("internal_error", stored=True),
    "no answer within the time-out": faults.hang(2.0, stored=True),
    "stored late": faults.late(0.3),
}
NOT_STORED: Final = {
    "reset before it was stored": faults.reset(stored=False),
    "a page, and nothing stored": faults.html(stored=False),
    "500, and nothing stored": faults.server_error(500, stored=False),
    "too many requests": faults.rate_limited(2),
    "fatal_error": faults.slack_error("fatal_error", stored=False),
}
EVERY: Final = STORED | NOT_STORED


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", ["root", "reply", "update"])
def test_a_fault_loses_nothing_and_doubles_nothing(
    watch: Watch, slack_proxy: FaultProxy, slack: Slack, name: str, kind: str
) -> None:
    watch.tick(OPENS)
    if kind != "root":
        watch.deliver()
        watch.tick(WORSENS)
    watch.base_url = slack_proxy.base_url
    slack_proxy.plan("chat.update" if kind == "update" else "chat.postMessage", EVERY[name])
    watch.deliver()
    slack_proxy.settle()
    assert watch.owed() != ()
    watch.until_quiet()
    (root,) = seen(slack)
    assert len(root["thread"]) == (kind != "root")
    assert watch.owed() == ()


def test_nobody_posts_before_the_quiet_period_is_over(watch: Watch, slack_proxy: FaultProxy) -> None:
    """What was sent may still be on its way: looking at once would not see it."""
    watch.base_url = slack_proxy.base_url
    slack_proxy.plan("chat.postMessage", faults.late(0.3))
    watch.tick(OPENS)
    watch.deliver()
    watch.deliver(timedelta(seconds=1))
    assert slack_proxy.count("chat.postMessage") == 1
    assert slack_proxy.count("conversations.history") == 0


def test_nobody_home(watch: Watch, slack_proxy: FaultProxy, slack: Slack) -> None:
    watch.base_url = slack_proxy.base_url
    watch.tick(OPENS)
    with slack_proxy.refusing():
        assert watch.deliver() == Sent(later=1)
    assert watch.owed()[0].state == "pending"
    watch.until_quiet()
    assert len(seen(slack)) == 1


def test_slack_says_when_to_come_back(watch: Watch, slack_proxy: FaultProxy) -> None:
    watch.base_url = slack_proxy.base_url
    slack_proxy.plan("chat.postMessage", faults.rate_limited(90))
    watch.tick(OPENS)
    watch.deliver()
    assert watch.deliver(timedelta(seconds=89)) == Sent()
    assert watch.deliver(timedelta(seconds=2)) == Sent(sent=1)


@pytest.mark.parametrize("fault", EVERY.values(), ids=EVERY)
def test_faults_of_the_search_itself(watch: Watch, slack_proxy: FaultProxy, slack: Slack, fault: Fault) -> None:
    """While nobody can look whether it is there, nobody posts it again."""
    watch.base_url = slack_proxy.base_url
    slack_proxy.plan("chat.postMessage", faults.dropped())
    slack_proxy.plan("conversations.history", fault, faults.slack_error("missing_scope", stored=False))
    watch.tick(OPENS)
    watch.until_quiet()
    assert len(seen(slack)) == 1
    assert slack_proxy.count("chat.postMessage") == 1


@pytest.mark.parametrize(
    ("channel", "token", "error"),
    [
        (CHANNELS["private"], TOKEN, "not_in_channel"),
        (CHANNELS["archived"], TOKEN, "is_archived"),
        ("C0NOWHERE0", TOKEN, "channel_not_found"),
        (CHANNEL, READ_ONLY_TOKEN, "missing_scope"),
        (CHANNEL, "xoxb-wrong", "invalid_auth"),
    ],
)
def test_what_slack_will_never_take_is_set_aside(watch: Watch, channel: str, token: str, error: str) -> None:
    watch.catalog = watch.catalog.model_copy(update={"routes": (ROUTE.model_copy(update={"channel": channel}),)})
    watch.token = token
    watch.tick(OPENS)
    assert watch.deliver() == Sent(dead=1)
    with watch.states.connect() as conn:
        (dead,) = outbox.dead(conn)
    assert dead.error == error


def test_blocks_that_slack_refuses_go_as_text(watch: Watch, slack_proxy: FaultProxy, slack: Slack) -> None:
    watch.base_url = slack_proxy.base_url
    slack_proxy.plan("chat.postMessage", faults.slack_error("invalid_blocks", stored=False))
    watch.tick(OPENS)
    watch.deliver()
    (root,) = seen(slack)
    assert "Serious: Journeys with a defect, Retail" in root["text"]
    assert not root.get("blocks")


def test_without_a_channel_messages_wait_for_one(watch: Watch, slack: Slack) -> None:
    homeless = watch.catalog.model_copy(update={"routes": (Route(name="delivery"),)})
    watch.catalog, found = homeless, watch.catalog
    watch.tick(OPENS)
    assert watch.deliver() == Sent()
    assert len(watch.owed()) == 1
    watch.catalog = found
    watch.deliver()
    assert len(seen(slack)) == 1


def test_messages_of_one_incident_keep_their_order(watch: Watch, slack_proxy: FaultProxy, slack: Slack) -> None:
    """A root that is late holds back what belongs in its thread; what it shows by then is not told again."""
    watch.base_url = slack_proxy.base_url
    slack_proxy.plan("chat.postMessage", faults.rate_limited(60), None)
    watch.tick(OPENS)
    watch.deliver()
    watch.now -= timedelta(days=1)
    with watch.warehouse.pin() as pin:
        tick(watch.states, pin, watch.catalog, noon(WORSENS))
    watch.now = noon(WORSENS)
    watch.deliver()
    (root,) = seen(slack)
    assert "56%" in root["text"]
    assert root["thread"] == []
    assert watch.owed() == ()


# A process that dies.


class Killed(BaseException):
    """The process is gone: nothing of it catches this."""


POINTS: Final = ("record_outcome", "record_root", "record_shown")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", ["root", "reply"])
def test_dead_between_sending_and_recording(
    watch: Watch, slack: Slack, monkeypatch: pytest.MonkeyPatch, point: str, kind: str
) -> None:
    watch.tick(OPENS)
    if kind == "reply":
        watch.deliver()
        watch.tick(WORSENS)
    monkeypatch.setattr(outbox, point, _dies)
    with suppress(Killed):
        watch.deliver()
    monkeypatch.undo()
    watch.until_quiet()
    (root,) = seen(slack)
    assert len(root["thread"]) == (kind == "reply")


def test_dead_between_claiming_and_sending(watch: Watch, slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.tick(OPENS)
    monkeypatch.setattr(client.Slack, "send", _dies)
    with pytest.raises(Killed):
        watch.deliver()
    monkeypatch.undo()
    assert watch.deliver() == Sent()  # it may still be on its way
    assert watch.deliver(timedelta(seconds=2)) == Sent(sent=1)
    assert len(seen(slack)) == 1


def _dies(*_: Any, **__: Any) -> None:
    raise Killed


def test_a_claim_that_was_taken_over_records_nothing(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.tick(OPENS)
    with watch.states.begin() as conn:
        (one,) = outbox.due_messages(conn, watch.now, {"delivery": CHANNEL})
        message = one.message
        mine = outbox.claim(conn, message, CHANNEL, watch.now, watch.now)
        assert mine is not None
        assert outbox.claim(conn, message, CHANNEL, watch.now, watch.now) is None  # a second worker
        theirs = outbox.claim(conn, mine, CHANNEL, watch.now, watch.now)  # after the quiet period
        assert theirs is not None
        assert not outbox.record_outcome(conn, mine, "sent", watch.now, ts="1.0")
        assert outbox.record_outcome(conn, theirs, "sent", watch.now, ts="2.0")
        assert conn.execute(select(tables.outbox.c.ts)).scalar() == "2.0"


@pytest.mark.parametrize("kind", ["root", "reply"])
def test_news_goes_before_what_changes_a_message(new_state: NewState, kind: str) -> None:
    """However bad and however old what stands in Slack: a channel takes one call a second."""
    states = new_state()
    (told, _, news), change, now = ground.fill(states, 3), str(uuid4()), datetime(2126, 1, 1, tzinfo=UTC)
    with states.begin() as conn:
        standing = conn.execute(select(tables.outbox.c.incident_id).where(tables.outbox.c.id == told)).scalar_one()
        conn.execute(update(tables.outbox).where(tables.outbox.c.id == told).values(state="sent"))
        conn.execute(update(tables.outbox).where(tables.outbox.c.id == news).values(kind=kind))
        conn.execute(update(tables.incident).where(tables.incident.c.id == standing).values(severity=1))
        before = now - timedelta(hours=1)
        owed = (standing, 1, "update", 0, "delivery", CHANNEL, "pending", 2, 0, before, before, None)
        assert outbox.queue(conn, QueuedMessage(change, *owed))
        for id_ in (news, change):
            (due,) = outbox.due_messages(conn, now, {"delivery": CHANNEL})
            assert due.message.id == id_
            conn.execute(update(tables.outbox).where(tables.outbox.c.id == id_).values(state="sent"))


def test_everything_stays_inside_slacks_limits(tmp_path: Path, slack_proxy: FaultProxy, slack: Slack) -> None:
    """Hostile names arrive as text: no mention, no markup, and nothing too long."""
    names = ("*bold* <!channel> & co", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "W" * 300, "a\nb\\|c=d")
    company = [week for name in names for week in weeks(FIRST, STORY, vertical=name)]
    config = catalog(rule())
    with warehouse(tmp_path, config, rows_of(company)) as made:
        watched = Watch(made, open_state(tmp_path), config, slack_proxy.base_url)
        for day in (OPENS - timedelta(weeks=1), OPENS, WORSENS, RECOVERS):
            watched.tick(day)
            watched.deliver()
        watched.states.dispose()
    roots = seen(slack)
    assert len(roots) == len(names)
    posts = [call for call in slack_proxy.calls if call.method.startswith("chat.")]
    assert all(refusal(call.method, call.body) is None for call in posts)
    shown = json.dumps(roots, ensure_ascii=False)
    assert "<!channel>" not in shown
    assert "<script>" not in shown
    assert "*bold* &lt;!channel&gt; &amp; co" in shown
    assert '"mrkdwn"' not in shown  # everything that holds data is plain text
    assert not any("*bold*" in root["text"] for root in roots)


def test_many_incidents_each_once(tmp_path: Path, slack_proxy: FaultProxy, slack: Slack) -> None:
    """Faults on every second call, two workers in turn: each incident has one message."""
    company = [week for i in range(12) for week in weeks(FIRST, STORY, vertical=f"V{i}")]
    config = catalog(rule(false_alarms_per_year=6))
    turns: Iterator[int] = iter(range(10_000))
    choices = [f for f in EVERY.values() if f.seconds < 1]
    slack_proxy.choose = _every_second(turns, choices)
    with warehouse(tmp_path, config, rows_of(company)) as made:
        watched = Watch(made, open_state(tmp_path), config, slack_proxy.base_url, settle=slack_proxy.settle)
        for day in (OPENS - timedelta(weeks=1), OPENS, WORSENS, RECOVERS):
            watched.tick(day)
            watched.until_quiet(60)
        assert watched.owed() == ()
        watched.states.dispose()
    slack_proxy.choose = lambda _: None
    roots = seen(slack)
    assert len(roots) == 12
    assert {len(root["thread"]) for root in roots} == {2}


def _every_second(turns: Iterator[int], choices: list[Fault]) -> Callable[[Any], Fault | None]:
    def choose(_: Any) -> Fault | None:
        turn = next(turns)
        return choices[turn // 2 % len(choices)] if turn % 2 else None

    return choose


# More than the channel takes.


@pytest.fixture
def flood(tmp_path: Path, slack: Slack) -> Iterator[Watch]:
    """Twelve verticals that breach on one day, and a channel with room for three messages an hour."""
    company = [week for i in range(12) for week in weeks(FIRST, STORY, vertical=f"V{i}")]
    steps = (Step(), Step(after=(timedelta(hours=4),) * 4, notify="ana"))
    narrow = ROUTE.model_copy(update={"hourly": 3, "ladder": steps})
    config = catalog(rule(false_alarms_per_year=6), routes=(narrow,))
    person = config.people[0].model_copy(update={"name": "ana", "slack": slack.users["ana"]})
    config = config.model_copy(update={"people": (person,)})
    with warehouse(tmp_path, config, rows_of(company)) as made:
        watched = Watch(made, open_state(tmp_path), config, slack.base_url)
        watched.tick(OPENS - timedelta(weeks=1))
        yield watched
        watched.states.dispose()


def test_what_the_channel_has_no_room_for_is_one_message(flood: Watch, slack: Slack) -> None:
    flood.tick(OPENS)
    done = flood.deliver()
    assert (done.sent, done.folded) == (4, 9)
    told, digests = _told(slack)
    assert (len(told), len(digests)) == (3, 1)
    golden("digest.json", [_shown(digests[0]) | {"metadata": "ids that differ from run to run"}])
    assert flood.owed() == ()


def test_a_digest_is_kept_up_to_date_and_told_nowhere_else(flood: Watch, slack: Slack) -> None:
    for day in (OPENS, WORSENS, RECOVERS):
        flood.tick(day)
        flood.until_quiet()
    told, digests = _told(slack)
    assert (len(told), len(digests)) == (3, 2)  # the second one told that nobody took the first one's on
    assert all("None still open, 9 ended. 9 were escalated." in digest["text"] for digest in digests)
    assert all(root["text"].startswith("\N{LARGE GREEN CIRCLE} Recovered") for root in told)
    assert flood.owed() == ()


def test_a_step_of_the_ladder_names_its_person_in_the_digests_thread(flood: Watch, slack: Slack) -> None:
    flood.tick(OPENS)
    flood.deliver()
    roomy = flood.catalog.routes[0].model_copy(update={"hourly": 60})
    flood.catalog = flood.catalog.model_copy(update={"routes": (roomy,)})
    flood.now += timedelta(hours=5)
    with flood.warehouse.pin() as pin:
        tick(flood.states, pin, flood.catalog, flood.now)
    flood.until_quiet()
    _, (digest,) = _told(slack)
    replies = slack.replies(CHANNEL, digest["ts"])
    assert len(replies) == 9
    assert all(f"<@{slack.users['ana']}> Escalated" in reply["text"] for reply in replies)
    assert len({reply["text"] for reply in replies}) == 9  # each says whose it is


def test_the_most_severe_goes_through_when_the_budget_is_used_up(flood: Watch, slack: Slack) -> None:
    flood.catalog = flood.catalog.model_copy(update={"rules": (rule(false_alarms_per_year=6, severity=1),)})
    flood.tick(OPENS)
    flood.deliver()
    told, digests = _told(slack)
    assert (len(told), len(digests)) == (6, 1)


@BY_SLACKS_CLOCK
def test_ten_thousand_at_once_keep_the_pace(tmp_path: Path, slack_proxy: FaultProxy, slack: Slack, now: Now) -> None:
    """One message a second and channel on the workers' clock; the digests come first; nobody is left out."""
    arrived: list[tuple[datetime, str]] = []
    clock = [now()]

    def note(call: faults.Call) -> None:
        arrived.append((clock[0], str(call.body.get("channel"))))

    def wait(pause: timedelta) -> None:
        clock[0] += pause

    slack_proxy.choose = note
    states = open_state(tmp_path)
    messages = ground.fill(states, 10_000)
    began = clock[0] = now()
    sender = client.Slack(TOKEN, slack_proxy.base_url, 1)
    done = DeliveryWorker(states, sender, ground.FixedCards(), ground.config(5), 1.0, lambda: clock[0], wait).deliver()
    assert (done.sent, done.folded) == (12, 9_990)
    assert ground.count(slack, states, messages) == ground.Count(10_000, 0, 0)
    for channel in ground.ROUTES.values():
        mine = [at for at, where in arrived if where == channel]
        assert all(after - before >= timedelta(seconds=1) for before, after in pairwise(mine))
        assert mine[0] - began < timedelta(seconds=1)
        assert "4,995 more incidents this hour" in slack.history(channel)[0]["text"]
    states.dispose()


def _told(slack: Slack) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The incidents' own messages, and the digests."""
    there = slack.history(CHANNEL)
    return [m for m in there if not _is_digest(m)], [m for m in there if _is_digest(m)]


def _is_digest(message: dict[str, Any]) -> bool:
    ids = message["metadata"]["event_payload"]
    return bool(ids["outbox"] == ids["incident"])


# Channels that refuse, people who delete, and a state from yesterday.

FALLBACK: Final = Route(name="analysts", label="Analysts", channel=CHANNELS["fallback"])


def test_what_a_channel_refuses_goes_to_the_fallback_with_its_news(watch: Watch, slack: Slack) -> None:
    archived = ROUTE.model_copy(update={"channel": CHANNELS["archived"], "fallback": "analysts"})
    watch.catalog = watch.catalog.model_copy(update={"routes": (archived, FALLBACK)})
    for day in (OPENS, WORSENS, RECOVERS):
        watch.tick(day)
        watch.until_quiet()
    (root,) = seen(slack, CHANNELS["fallback"])
    assert "Slack refused it in the original channel: is_archived" in root["text"].replace("\N{WORD JOINER}", "")
    assert root["text"].startswith("\N{LARGE GREEN CIRCLE} Recovered")
    assert [reply["text"].split(":")[0] for reply in root["thread"]] == ["Worse", "Recovered"]
    with watch.states.connect() as conn:
        assert [dead.error for dead in outbox.dead(conn)] == ["is_archived"]  # for the banner


def test_a_fallback_that_refuses_too_is_the_end_of_it(watch: Watch) -> None:
    routes = (
        ROUTE.model_copy(update={"channel": CHANNELS["archived"], "fallback": "analysts"}),
        FALLBACK.model_copy(update={"channel": CHANNELS["private"], "fallback": "delivery"}),
    )
    watch.catalog = watch.catalog.model_copy(update={"routes": routes})
    watch.tick(OPENS)
    watch.until_quiet()
    with watch.states.connect() as conn:
        assert sorted(str(dead.error) for dead in outbox.dead(conn)) == ["is_archived", "not_in_channel"]


def test_what_was_refused_is_sent_once_it_is_put_right(watch: Watch, slack: Slack) -> None:
    watch.token = "xoxb-wrong"
    watch.tick(OPENS)
    assert watch.deliver() == Sent(dead=1)
    watch.token = TOKEN
    with watch.states.begin() as conn:
        assert outbox.retry_dead(conn, watch.now) == 1
    watch.deliver()
    assert len(seen(slack)) == 1


def test_a_message_that_somebody_deleted_is_posted_again(watch: Watch, slack: Slack) -> None:
    watch.tick(OPENS)
    watch.deliver()
    (message,) = slack.history(CHANNEL)
    slack.client().chat_delete(channel=CHANNEL, ts=message["ts"])
    watch.tick(WORSENS)
    watch.until_quiet()
    (root,) = seen(slack)
    assert "56%" in root["text"]


def test_what_is_muted_waits_and_is_told_afterwards(watch: Watch, slack: Slack) -> None:
    watch.is_muted = lambda _: True
    watch.tick(OPENS)
    watch.until_quiet()
    assert seen(slack) == []
    assert len(watch.owed()) == 1
    watch.is_muted = None
    watch.until_quiet()
    assert len(seen(slack)) == 1


def test_after_a_restore_nothing_is_said_again(watch: Watch, slack: Slack, tmp_path: Path) -> None:
    """The backup is older than the message: the next tick finds the same breach again, and its message in Slack."""
    backup = tmp_path / "backup.db"
    _copy(watch.states, backup)
    watch.tick(OPENS)
    watch.deliver()
    watch.tick(WORSENS)
    watch.deliver()
    before = seen(slack)
    watch.states.dispose()
    watch.states = journal(backup)
    with watch.states.begin() as conn:
        mark_restored(conn, watch.now)
    watch.tick(WORSENS)
    watch.until_quiet()
    assert [len(root["thread"]) for root in seen(slack)] == [len(root["thread"]) for root in before] == [1]
    with watch.states.connect() as conn:
        assert conn.execute(select(tables.slack_root.c.ts)).scalar() == slack.history(CHANNEL)[0]["ts"]


def test_after_a_restore_the_message_shows_what_the_state_knows(watch: Watch, slack: Slack, tmp_path: Path) -> None:
    """Somebody took it on after the backup: nobody knows any more, and the message must not say so."""
    watch.tick(OPENS)
    watch.deliver()
    _copy(watch.states, tmp_path / "backup.db")
    with watch.states.begin() as conn:
        (found,) = read_incidents(conn, EVERYTHING)
        acknowledge(conn, found.id, "ana", EVERYTHING, watch.now)
    watch.deliver()
    assert "ana" in json.dumps(seen(slack))
    watch.states.dispose()
    watch.states = journal(tmp_path / "backup.db")
    with watch.states.begin() as conn:
        mark_restored(conn, watch.now)
    watch.until_quiet()
    (root,) = seen(slack)
    assert "ana" not in json.dumps(root)


def _copy(states: Engine, file: Path) -> None:
    with states.connect().execution_options(reading=True) as conn:
        target = sqlite3.connect(file)
        native: Any = conn.connection.driver_connection
        native.backup(target)
        target.close()


# What a frozen process said a second time.


@BY_SLACKS_CLOCK
@pytest.mark.parametrize("kind", ["root", "reply"])
def test_the_newer_of_two_messages_is_taken_back(watch: Watch, slack: Slack, kind: str, now: Now) -> None:
    watch.tick(OPENS)
    watch.deliver()
    (root,) = slack.history(CHANNEL)
    if kind == "reply":
        watch.tick(WORSENS)
        watch.deliver()
    (said,) = slack.replies(CHANNEL, root["ts"]) if kind == "reply" else [root]
    thread = {"thread_ts": root["ts"]} if kind == "reply" else {}
    slack.client().chat_postMessage(channel=CHANNEL, text="again", metadata=said["metadata"], **thread)
    other = {"event_type": "earshot", "event_payload": {"outbox": "another installation's", "incident": "x"}}
    slack.client().chat_postMessage(channel=CHANNEL, text="not ours", metadata=other)
    with watch.states.begin() as conn:
        conn.execute(update(tables.outbox).values(attempts=3, sent_at=now().replace(tzinfo=None)))
    sweep = DuplicateRemover(watch.states, client.Slack(TOKEN, slack.base_url, 1), now)
    assert sweep.remove() == 1
    assert sweep.remove() == 0
    left = slack.replies(CHANNEL, root["ts"]) if kind == "reply" else slack.history(CHANNEL)
    assert [m["text"] for m in left] == [said["text"], *(["not ours"] if kind == "root" else [])]


# By hand.


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command on the watch's state and returns what it said."""
    for name, value in configure(tmp_path).items():
        monkeypatch.setenv(name, value)

    def run_(*words: str) -> str:
        assert main(list(words)) == 0
        return capsys.readouterr().out

    return run_


@BY_SLACKS_CLOCK
def test_dead_letters_are_revived_by_command(watch: Watch, slack: Slack, run: Callable[..., str], now: Now) -> None:
    watch.token = "xoxb-wrong"
    watch.tick(OPENS)
    watch.deliver()
    assert "0 pending, 1 rejected by Slack" in run("outbox")
    said = run("outbox", "--revive")
    assert "1 rejected messages will be resent" in said
    assert "1 pending, 0 rejected by Slack" in said
    watch.token, watch.now = TOKEN, now()  # commands are given now
    watch.deliver()
    assert len(seen(slack)) == 1
    assert "0 rejected messages will be resent" in run("outbox", "--revive")


@BY_SLACKS_CLOCK
def test_a_state_put_back_by_other_means_is_said_to_be(
    watch: Watch, slack: Slack, run: Callable[..., str], now: Now
) -> None:
    """Its disk was put back to before the message was recorded: the message is found, and not said again."""
    folder = Path(os.environ["EARSHOT_DATA"])
    watch.tick(OPENS)
    backup = watch.now - timedelta(minutes=1)
    _copy(watch.states, folder / "backup.db")
    watch.deliver()
    watch.states.dispose()
    for name in ("state.db-wal", "state.db-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.copy(folder / "backup.db", folder / "state.db")
    assert "1 messages will be looked up in Slack" in run("restored", "--since", backup.isoformat())
    watch.states = open_state(folder)
    with watch.states.connect() as conn:
        found = last_restore(conn)
    assert found is not None
    assert found.since == backup
    watch.now = now()  # commands are given now
    watch.until_quiet()
    assert sum(round_.found for round_ in watch.sent) == 1
    assert len(seen(slack)) == 1


def test_a_backup_cannot_be_of_tomorrow(watch: Watch, run: Callable[..., str], capsys: Any) -> None:
    del watch, run
    assert main(["restored", "--since", "2199-01-01T00:00+00:00"]) == 1
    assert "must be in the past" in capsys.readouterr().err
