"""From a breach to Slack and back: what arrives is read from an independent Slack; nothing is lost or said twice."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, select

from config.catalog import Catalog, Route, Step
from queries import outbox, state
from queries.generations import EmbeddedWarehouse
from queries.incidents import incidents
from queries.outbox import Owed
from queries.scope import EVERYTHING
from queries.state import open_state
from tests.company import ROUTE, catalog, noon, rows_of, rule, warehouse, weeks
from tests.counterparts import proxy as faults
from tests.counterparts.limits import refusal
from tests.counterparts.proxy import Fault, FaultProxy
from tests.counterparts.slack import CHANNELS, READ_ONLY_TOKEN, TOKEN, Slack
from triggers import slack as client
from triggers.cards import Cards
from triggers.deliver import Courier, Sent
from triggers.taking import acknowledge, resolve
from triggers.tick import tick

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

    def tick(self, day: date) -> None:
        self.now = noon(day)
        with self.warehouse.pin() as pin:
            tick(self.states, pin, self.catalog, self.now)

    def deliver(self, later: timedelta = timedelta(0)) -> Sent:
        self.now += later
        with self.warehouse.pin() as pin:
            cards = Cards(pin, self.catalog, "https://earshot.example", self.now)
            slack = client.Slack(self.token, self.base_url, 1)
            done = Courier(self.states, slack, cards, self.catalog, 1.0, lambda: self.now).deliver()
        self.sent.append(done)
        return done

    def until_quiet(self, rounds: int = 12) -> None:
        """Deliver, hours apart, until nothing is owed."""
        for _ in range(rounds):
            self.deliver(timedelta(hours=1))
            if not self.owed():
                return

    def owed(self) -> tuple[Owed, ...]:
        with self.states.connect() as conn:
            return outbox.owed(conn)


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


def test_one_breach_is_one_message_that_follows_it(watch: Watch, slack: Slack) -> None:
    """Opened: one root. Worse: the root says so, and a reply tells. Recovered: the same."""
    watch.tick(OPENS)
    watch.deliver()
    golden("opened.json", seen(slack))
    watch.tick(WORSENS)
    watch.deliver()
    golden("worsened.json", seen(slack))
    watch.tick(RECOVERS)
    watch.deliver()
    golden("recovered.json", seen(slack))
    assert watch.owed() == ()


def test_every_week_between_says_only_what_is_new(watch: Watch, slack: Slack) -> None:
    for week in range(12):
        watch.tick(OPENS + timedelta(weeks=week))
        watch.deliver()
    (root,) = seen(slack)
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
        (found,) = incidents(conn, EVERYTHING)
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
            found = incidents(conn, EVERYTHING)
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
        (found,) = incidents(conn, EVERYTHING)
        acknowledge(conn, found.id, "ana", EVERYTHING, watch.now)
        assert acknowledge(conn, found.id, "ben", EVERYTHING, watch.now).acknowledged_by == "ana"
    watch.deliver()
    assert "Acknowledged by ana" in json.dumps(seen(slack)[0]["blocks"])
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
        (found,) = incidents(conn, EVERYTHING)
        resolve(conn, found.id, "ana", "", EVERYTHING, watch.now)
    for week in range(1, 9):
        watch.tick(OPENS + timedelta(weeks=week))
        watch.deliver()
    with watch.states.connect() as conn:
        assert [i.state for i in incidents(conn, EVERYTHING)] == ["closed"]
    assert len(seen(slack)) == 1


def test_nobody_took_it_on_so_the_next_step_names_a_person(tmp_path: Path, slack: Slack) -> None:
    config = catalog(
        rule(), routes=(ROUTE.model_copy(update={"ladder": (Step(), Step(after=timedelta(hours=4), notify="ana"))}),)
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
    assert step["text"].startswith(f"<@{slack.users['ana']}> Escalated: ana: not acknowledged within 4h")


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
    assert "Breach: Journeys with a defect, Retail" in root["text"]
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
    assert "65%" in root["text"]
    assert root["thread"] == []
    assert watch.owed() == ()


# A process that dies.


class Killed(BaseException):
    """The process is gone: nothing of it catches this."""


POINTS: Final = ("record", "record_root", "record_shown")


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
    monkeypatch.setattr(client.Slack, "post", _dies)
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
        (message,) = outbox.sendable(conn, watch.now, {"delivery"})
        mine = outbox.claim(conn, message, CHANNEL, watch.now, watch.now)
        assert mine is not None
        assert outbox.claim(conn, message, CHANNEL, watch.now, watch.now) is None  # a second worker
        theirs = outbox.claim(conn, mine, CHANNEL, watch.now, watch.now)  # after the quiet period
        assert theirs is not None
        assert not outbox.record(conn, mine, "sent", watch.now, ts="1.0")
        assert outbox.record(conn, theirs, "sent", watch.now, ts="2.0")
        assert conn.execute(select(state.outbox.c.ts)).scalar() == "2.0"


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
    """Faults on every second call, two couriers in turn: each incident has one message."""
    company = [week for i in range(12) for week in weeks(FIRST, STORY, vertical=f"V{i}")]
    config = catalog(rule(false_alarms_per_year=6))
    turns: Iterator[int] = iter(range(10_000))
    choices = [f for f in EVERY.values() if f.seconds < 1]
    slack_proxy.choose = _every_second(turns, choices)
    with warehouse(tmp_path, config, rows_of(company)) as made:
        watched = Watch(made, open_state(tmp_path), config, slack_proxy.base_url)
        for day in (OPENS - timedelta(weeks=1), OPENS, WORSENS, RECOVERS):
            watched.tick(day)
            watched.until_quiet(60)
            slack_proxy.settle()
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
