"""What people press in Slack, from the click to the incident and back to the message and the page they see.

After each press the state, Slack's message and the dashboard's page say the same, also where the press changed nothing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select, update
from streamlit.testing.v1 import AppTest

from config.models import Catalog
from config.reading import read_catalog
from config.settings import CHECKOUT, Settings, SlackSettings, read_settings
from queries.messages import inbox, outbox
from queries.messages.inbox import Arrived
from queries.state import Incident, entries, open_state, read_actions, read_incidents, tables
from queries.stores import open_states, open_warehouse
from queries.warehouse import COLUMNS, EVERYTHING, Warehouse
from tests.counterparts import human
from tests.counterparts.human import CHANNEL, MEMBERS, TOKEN, Workspace, until
from tests.support.company import catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.screens import Screens, configured, connected, dashboard
from triggers.__main__ import main
from triggers.incidents import resolve
from triggers.incidents.tick import tick
from triggers.processes.run import Runner
from triggers.rules import LiveRules, Rules
from triggers.slack import socket_mode
from triggers.slack.client import Slack
from triggers.slack.interaction_handler import InteractionHandler
from triggers.slack.interactions import THANKS, Interaction
from triggers.slack.socket_mode import NoAppTokenError, Pulse, SocketListener, deaf

FIRST, OPENS = date(2025, 9, 1), date(2025, 12, 22)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
ZONE: Final = ZoneInfo("Europe/Berlin")
GOT_IT: Final = THANKS["acknowledge"]
PERSON: Final = """
[[person]]
name = "{name}"
label = "{label}"
audience = "analyst"
slack = "{member}"
"""
ROUTING: Final = f"""
[[route]]
name = "service"
label = "Service quality"
channel = "{CHANNEL}"
zone = "Europe/Berlin"
""" + "".join(
    PERSON.format(name=name, label=label, member=MEMBERS[name])
    for name, label in (("ana", "Ana Ruiz"), ("ben", "Ben Okafor"))
)
CLEO: Final = PERSON.format(name="cleo", label="Cleo Marsh", member=MEMBERS["stranger"])


@dataclass
class Desk:
    """A company with one open incident in a channel, a process that listens, and people at their screens."""

    workspace: Workspace
    settings: Settings
    warehouse: Warehouse
    states: Engine
    catalog: Catalog
    screens: Screens
    now: datetime
    listeners: list[tuple[SocketListener, threading.Thread]] = field(default_factory=list)

    def listen(self, current: Callable[[], Rules] | None = None) -> SocketListener:
        answering = InteractionHandler(
            self.states, Slack(TOKEN, self.workspace.base_url, 3), self.catalog, ZONE, lambda: self.now
        )
        listener = SocketListener(self.settings.slack, self.states, answering, lambda _: None)
        thread = threading.Thread(target=listener.listen, args=(current,))
        thread.start()
        self.listeners.append((listener, thread))
        self.heard()
        return listener

    def heard(self, seconds: float = 15) -> None:
        """Wait until the workspace has somebody to tell."""
        until(self.hello, seconds)

    def hello(self) -> bool:
        return any("hello" in one["summary"] for one in self.workspace.traffic())

    def stop(self) -> None:
        for listener, thread in self.listeners:
            listener.end()
            thread.join(20)
            assert not thread.is_alive()
        self.listeners.clear()

    def run(self) -> None:
        """Evaluate and send, until nothing is owed."""
        runner = Runner(self.settings, self.catalog, self.warehouse, self.states, lambda: self.now)
        until(lambda: runner.once() and not self.owed(), 20)

    def owed(self) -> bool:
        with self.states.connect() as conn:
            return bool(outbox.unsent(conn))

    @property
    def incident(self) -> Incident:
        with self.states.connect() as conn:
            (found,) = read_incidents(conn, EVERYTHING)
        return found

    def history(self) -> list[tuple[str, str | None, str]]:
        with self.states.connect() as conn:
            return [(one.kind, one.author, one.reason) for one in entries(conn, self.incident.id)]

    def root(self) -> Mapping[str, Any]:
        return next(m for m in self.workspace.messages() if not m.get("thread_ts") and not m.get("ephemeral_to"))

    def agreed(self) -> str:
        """Once everything was sent: the state, the message and the page say the same. Returns the page."""
        self.run()
        return self.screens.agree(self.incident.id, self.root())

    def shown(self) -> str:
        """What the incident's message says, and so does its page."""
        self.agreed()
        return json.dumps(self.root()["blocks"], ensure_ascii=False)

    def save(self, routing: str) -> None:
        """Somebody edits who is there."""
        (self.settings.config / "routing.toml").write_text(routing, encoding="utf-8")

    def reread(self) -> None:
        """What is sent and what is expected follow the files, as every process does."""
        self.catalog = read_catalog(self.settings.config, COLUMNS)
        self.screens.labels = _labels(self.catalog)

    def thread(self) -> list[str]:
        return [m["text"] for m in self.workspace.messages() if m.get("thread_ts")]

    def settled(self, presses: int = 1) -> None:
        """Wait until so many presses were done."""
        until(lambda: self.done() >= presses)

    def told(self, user: str, times: int = 1) -> list[str]:
        """What one person alone was told, once it was so often."""
        until(lambda: len(self.workspace.whispers(user)) >= times)
        return self.workspace.whispers(user)

    def done(self) -> int:
        with self.states.connect() as conn:
            found = conn.execute(select(tables.inbound.c.id).where(tables.inbound.c.state == "done"))
            return len(found.all())


def _labels(of: Catalog) -> dict[str, str]:
    return {person.name: person.label for person in of.people}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company whose incident has opened and of which nothing is sent yet."""
    folder = tmp_path_factory.mktemp("company")
    config = read_catalog(Path(configured(folder, ROUTING)["EARSHOT_CONFIG"]), COLUMNS)
    states = open_state(folder)
    with warehouse(folder, config, rows_of(weeks(FIRST, STORY))) as made:
        for now in (noon(OPENS) - timedelta(weeks=1), noon(OPENS)):
            with made.pin() as pin:
                tick(states, pin, config, now)
    states.dispose()
    return folder


@pytest.fixture(scope="module")
def page() -> AppTest:
    """The dashboard, which every desk of this file shares."""
    return dashboard()


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    if why := human.missing():
        pytest.skip(why)
    with human.running(tmp_path_factory.mktemp("workspace")) as running:
        yield running


@pytest.fixture
def workspace(workspaces: Workspace) -> Workspace:
    workspaces.reset()
    return workspaces


@pytest.fixture
def desk(
    tmp_path: Path, workspace: Workspace, opened: Path, page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """The incident is open and shown; nobody listens yet."""
    folder = shutil.copytree(opened, tmp_path / "company")
    places = {"EARSHOT_CONFIG": str(folder / "config"), "EARSHOT_DATA": str(folder)}
    for name, value in (places | connected(workspace)).items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    config, store, states = read_catalog(settings.config, COLUMNS), open_warehouse(settings), open_states(settings)
    screens = Screens(states, _labels(config), ZoneInfo("UTC"), page)
    made = Desk(workspace, settings, store, states, config, screens, noon(OPENS))
    made.run()
    yield made
    made.stop()
    screens.shut()
    store.close()
    states.dispose()


def test_a_click_takes_the_incident_on_and_the_message_says_so(desk: Desk) -> None:
    desk.listen()
    desk.workspace.press("ana", "acknowledge")
    desk.settled()
    assert (desk.incident.acknowledged_by, desk.incident.acknowledged_at) == ("ana", desk.now)
    shown = desk.shown()
    assert r"Acknowledged by\nAna Ruiz" in shown
    assert '"acknowledge"' not in shown  # the button is gone
    assert desk.told("ana") == [GOT_IT]


def test_a_press_is_answered_while_nobody_sends(desk: Desk) -> None:
    """With `run --once` from cron the message changes only in its next round: whoever pressed knows before."""
    shown = desk.root()
    desk.listen()
    pressed = monotonic()
    desk.workspace.press("ana", "acknowledge")
    assert desk.told("ana") == [GOT_IT]
    assert monotonic() - pressed < 5  # 0.1 s on an idle machine
    assert (desk.incident.acknowledged_by, desk.root()["blocks"]) == ("ana", shown["blocks"])
    desk.workspace.press("ben", "acknowledge")
    assert desk.told("ben")[0].startswith("Nothing was changed: Ana Ruiz acknowledged it")
    assert [kind for kind, _, _ in desk.history()] == ["opened", "acknowledged"]
    # The next rounds show it and take nothing back.
    for _ in range(2):
        assert r"Acknowledged by\nAna Ruiz" in desk.shown()
    assert [kind for kind, _, _ in desk.history()] == ["opened", "acknowledged"]


def test_a_message_of_before_still_takes_presses(desk: Desk) -> None:
    """Two rows of buttons, snooze as a list, votes under a mark of their own: such messages stand in channels."""
    id_, button = desk.incident.id, {"type": "button", "text": {"type": "plain_text", "text": "x"}}
    options = [{"text": {"type": "plain_text", "text": "Snooze for an hour"}, "value": "1h"}]
    first: list[dict[str, Any]] = [{"type": "static_select", "action_id": "snooze", "options": options}]
    first += [{**button, "action_id": name} for name in ("acknowledge", "resolve", "reassign")]
    rows = [(f"do|{id_}", first), (f"say|{id_}", [{**button, "action_id": name} for name in ("action", "useful")])]
    old = {**desk.root(), "blocks": [{"type": "actions", "block_id": mark, "elements": row} for mark, row in rows]}
    desk.listen()
    for presses, (name, choice) in enumerate((("acknowledge", None), ("snooze", "1h"), ("useful", None)), 1):
        desk.workspace.press("ana", name, choice=choice, message=old)
        desk.settled(presses)
    assert [kind for kind, _, _ in desk.history()] == ["opened", "acknowledged", "snoozed"]
    with desk.states.connect() as conn:
        assert [(row.author, row.useful) for row in conn.execute(select(tables.vote))] == [("ana", 1)]
    for forms, name in enumerate(("resolve", "reassign", "action"), 1):
        desk.workspace.press("ana", name, message=old)
        until(lambda forms=forms: len(desk.workspace.forms()) == forms)  # type: ignore[misc]
    desk.agreed()


@pytest.mark.parametrize(
    ("choice", "ends", "words"),
    [
        ("1h", "2025-12-22T14:00+01:00", "22 December 2025, 14:00 CET"),
        ("tomorrow", "2025-12-23T09:00+01:00", "23 December 2025, 09:00 CET"),
        ("business", "2025-12-23T09:00+01:00", "23 December 2025, 09:00 CET"),
    ],
)
def test_a_snooze(desk: Desk, choice: str, ends: str, words: str) -> None:
    desk.listen()
    desk.workspace.press("ana", "snooze")
    until(desk.workspace.forms)
    desk.workspace.submit("ana", {"until": {"type": "static_select", "selected_option": {"value": choice}}})
    desk.settled(2)
    assert desk.told("ana") == [f"Snoozed until {words}. If it is still open then, it must be acknowledged again."]
    assert desk.incident.snoozed_until == datetime.fromisoformat(ends)
    assert f"until {words}" in desk.shown()
    assert desk.incident.is_open
    desk.now = datetime.fromisoformat(ends) + timedelta(minutes=1)
    shown = desk.shown()
    assert "Snoozed until" not in shown
    assert desk.thread()[-1].startswith(f"<@{MEMBERS['ana']}> Snooze ended")


def test_a_form_that_resolves(desk: Desk) -> None:
    desk.listen()
    desk.workspace.press("ana", "resolve")
    until(desk.workspace.forms)
    note = {"type": "plain_text_input", "value": "the spare part was replaced"}
    desk.workspace.submit("ana", {"note": note})
    desk.settled(2)
    assert desk.history()[-1] == ("closed", "ana", "the spare part was replaced")
    assert "Closed by Ana Ruiz" in desk.shown()
    assert desk.thread()[-1].startswith("Closed by Ana Ruiz: the spare part was replaced")


def test_a_form_that_hands_on(desk: Desk) -> None:
    desk.listen()
    desk.workspace.press("ana", "reassign")
    until(desk.workspace.forms)
    desk.workspace.submit("ana", {"to": {"type": "static_select", "selected_option": {"value": "ben"}}})
    desk.settled(2)
    assert (desk.incident.assigned_to, desk.incident.acknowledged_at) == ("ben", None)
    assert "Ben Okafor" in desk.shown()
    assert desk.thread()[-1].startswith(f"<@{MEMBERS['ben']}> Reassigned by Ana Ruiz to Ben Okafor")


def test_a_form_that_records_an_action(desk: Desk) -> None:
    desk.listen()
    desk.workspace.press("ana", "action")
    until(desk.workspace.forms)
    values: dict[str, dict[str, Any]] = {
        "what": {"type": "plain_text_input", "value": "train the fitters"},
        "who": {"type": "static_select", "selected_option": {"value": "ben"}},
        "due": {"type": "datepicker", "selected_date": "2099-01-31"},
        "effect": {"type": "plain_text_input", "value": "-5%"},
    }
    desk.workspace.submit("ana", values)
    desk.settled(2)
    with desk.states.connect() as conn:
        (found,) = read_actions(conn, EVERYTHING)
    assert (found.what, found.owner, found.author, found.due_on) == (
        "train the fitters",
        "ben",
        "ana",
        date(2099, 1, 31),
    )
    assert (found.incident_id, found.vertical, found.metric) == (desk.incident.id, "Retail", "installation-defects")
    assert found.expected_effect == pytest.approx(-0.05)
    assert desk.told("ana") == ["Recorded. The message above will show it, and so will the monthly review."]
    assert "train the fitters" in desk.agreed()


def test_a_form_with_a_mistake_stays_open_and_keeps_nothing(desk: Desk) -> None:
    desk.listen()
    desk.workspace.press("ana", "action")
    until(desk.workspace.forms)
    desk.workspace.submit(
        "ana",
        {"what": {"type": "plain_text_input", "value": "x"}, "effect": {"type": "plain_text_input", "value": "much"}},
    )
    until(lambda: "Write a number" in json.dumps(desk.workspace.traffic()))
    with desk.states.connect() as conn:
        assert read_actions(conn, EVERYTHING) == ()
    assert desk.done() == 1  # the button
    assert "None recorded." in desk.agreed()


def test_a_form_may_be_due_today_where_the_day_is_not_over(desk: Desk) -> None:
    """On the evening of New Year's Eve in California it is next year by UTC."""
    away = [route.model_copy(update={"zone": "America/Los_Angeles"}) for route in desk.catalog.routes]
    desk.catalog = desk.catalog.model_copy(update={"routes": tuple(away)})
    desk.now = datetime(2026, 1, 1, 4, tzinfo=UTC)
    desk.listen()
    desk.workspace.press("ana", "action")
    until(desk.workspace.forms)
    values: dict[str, dict[str, Any]] = {
        "what": {"type": "plain_text_input", "value": "train the fitters"},
        "who": {"type": "static_select", "selected_option": {"value": "ben"}},
        "due": {"type": "datepicker", "selected_date": "2025-12-31"},
    }
    desk.workspace.submit("ana", values)
    desk.settled(2)
    with desk.states.connect() as conn:
        (found,) = read_actions(conn, EVERYTHING)
    assert (found.started_on, found.due_on) == (date(2025, 12, 31), date(2025, 12, 31))


def test_votes_count_once_a_person(desk: Desk) -> None:
    desk.listen()
    votes = (("ana", "useful"), ("ana", "useful"), ("ben", "useful"), ("ben", "noise"))
    for presses, (user, name) in enumerate(votes, 1):
        desk.workspace.press(user, name)
        desk.settled(presses)
        desk.agreed()
    with desk.states.connect() as conn:
        found = {row.author: row.useful for row in conn.execute(select(tables.vote))}
    assert found == {"ana": 1, "ben": 0}
    assert "Marked as noise" in desk.told("ben", 2)[-1]
    assert desk.incident.version == 1


@pytest.mark.parametrize("name", ["eyes", "white_check_mark"])
def test_a_reaction_takes_it_on(desk: Desk, name: str) -> None:
    desk.listen()
    desk.workspace.react("ben", "tada", desk.root()["ts"])
    desk.workspace.react("ben", name, desk.root()["ts"])
    desk.settled()
    assert desk.incident.acknowledged_by == "ben"
    assert r"Acknowledged by\nBen Okafor" in desk.shown()


def test_pressed_twice_is_pressed_once_and_the_second_is_told(desk: Desk) -> None:
    desk.listen()
    shown = desk.root()
    for presses, user in enumerate(("ana", "ana", "ben"), 1):
        desk.workspace.press(user, "acknowledge", message=shown)
        desk.settled(presses)
        desk.agreed()
    assert [kind for kind, _, _ in desk.history()] == ["opened", "acknowledged"]
    assert desk.told("ana") == [GOT_IT, "Nothing was changed: you acknowledged it, 22 December 2025, 13:00 CET."]
    assert desk.told("ben") == ["Nothing was changed: Ana Ruiz acknowledged it, 22 December 2025, 13:00 CET."]


def test_what_is_pressed_too_late_says_what_happened_since(desk: Desk) -> None:
    shown, id_ = desk.root(), desk.incident.id
    with desk.states.begin() as conn:
        resolve(conn, id_, "ben", "no longer needed", EVERYTHING, desk.now)
    desk.listen()
    desk.workspace.press("ana", "snooze", message=shown)
    desk.settled()
    assert desk.told("ana") == [
        "Nothing was changed: Ben Okafor closed it, 22 December 2025, 13:00 CET: no longer needed."
    ]
    assert desk.history()[-1][0] == "closed"
    assert "Closed by Ben Okafor" in desk.shown()


def test_a_stranger_changes_nothing_and_is_told(desk: Desk) -> None:
    desk.listen()
    for name in ("acknowledge", "noise", "resolve"):
        desk.workspace.press("stranger", name)
    desk.workspace.react("stranger", "eyes", desk.root()["ts"])
    desk.settled(4)
    assert desk.incident.version == 1
    assert "does not know you" in desk.told("stranger", 4)[0]
    assert desk.workspace.forms() == []
    with desk.states.connect() as conn:
        assert conn.execute(select(tables.vote)).all() == []
    desk.agreed()


def test_who_may_not_see_it_changes_nothing(desk: Desk) -> None:
    ana, ben = desk.catalog.people
    desk.catalog = desk.catalog.model_copy(update={"people": (ana.model_copy(update={"verticals": ("Lending",)}), ben)})
    desk.listen()
    desk.workspace.press("ana", "acknowledge")
    desk.settled()
    assert desk.incident.version == 1
    assert "outside what you may see" in desk.told("ana")[0]
    desk.agreed()


def test_what_slack_was_not_told_yet_does_not_agree(desk: Desk) -> None:
    """What the other tests rely on: a message that says less than the state and the page is noticed."""
    desk.agreed()
    id_ = desk.incident.id
    with desk.states.begin() as conn:
        resolve(conn, id_, "ben", "no longer needed", EVERYTHING, desk.now)
    with pytest.raises(AssertionError):
        desk.screens.agree(id_, desk.root())
    desk.agreed()


def test_two_that_listen_do_it_once(desk: Desk) -> None:
    desk.listen()
    desk.listen()
    until(lambda: sum("hello" in one["summary"] for one in desk.workspace.traffic()) == 2)
    desk.workspace.press("ana", "acknowledge")
    desk.settled()
    desk.stop()
    assert [kind for kind, _, _ in desk.history()] == ["opened", "acknowledged"]
    assert (desk.done(), desk.workspace.whispers("ana")) == (1, [GOT_IT])
    desk.agreed()


def test_the_server_dies_and_comes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workspace forgets its messages; the same message is put there again, as Slack would still have it."""
    monkeypatch.setattr(socket_mode, "PING_S", 0.3)
    monkeypatch.setattr(socket_mode, "HELLO_S", 2.0)
    monkeypatch.setattr(socket_mode, "BACK_OFF_S", (0.5,))
    desk.listen()
    root = desk.root()
    desk.workspace.kill()
    desk.workspace.start()
    body = {"channel": CHANNEL, "text": root["text"], "blocks": root["blocks"]}
    put = Slack(TOKEN, desk.workspace.base_url, 3).ask("chat.postMessage", **body).data["ts"]
    with desk.states.begin() as conn:
        conn.execute(update(tables.slack_root).values(ts=put))
    desk.agreed()
    desk.heard(60)
    desk.workspace.press("ana", "acknowledge")
    desk.settled()
    assert r"Acknowledged by\nAna Ruiz" in desk.shown()


def test_a_click_that_nobody_hears_can_be_made_again(desk: Desk) -> None:
    """Slack does not send it again; the incident stays as it was, and so does its button."""
    desk.workspace.press("ana", "acknowledge")
    desk.listen()
    assert desk.done() == 0
    assert '"acknowledge"' in desk.shown()
    desk.workspace.press("ana", "acknowledge")
    desk.settled()
    assert r"Acknowledged by\nAna Ruiz" in desk.shown()


def test_taken_on_in_the_dashboard_a_press_in_slack_is_too_late(desk: Desk) -> None:
    shown = desk.root()
    desk.screens.take(desk.incident.id)
    assert r"Acknowledged by\nopen mode" in desk.shown()
    desk.listen()
    desk.workspace.press("ana", "acknowledge", message=shown)
    desk.settled()
    assert desk.told("ana")[0].startswith("Nothing was changed: open mode acknowledged it, ")
    desk.agreed()


def test_closed_in_the_dashboard_slack_says_so(desk: Desk) -> None:
    desk.screens.close(desk.incident.id, "a known fault")
    assert desk.history()[-1] == ("closed", "open mode", "a known fault")
    assert "Closed by open mode" in desk.shown()
    assert desk.thread()[-1].startswith("Closed by open mode: a known fault")


def test_by_the_command_line_slack_and_the_dashboard_say_so(desk: Desk) -> None:
    assert main(["ack", desk.incident.id, "--by", "ben"]) == 0
    assert r"Acknowledged by\nBen Okafor" in desk.shown()
    assert main(["resolve", desk.incident.id, "--by", "ben", "--note", "found and mended"]) == 0
    assert "Closed by Ben Okafor" in desk.shown()
    assert desk.thread()[-1].startswith("Closed by Ben Okafor: found and mended")


def test_what_was_kept_is_done_after_a_crash(desk: Desk) -> None:
    """The process died between keeping and doing."""
    kept = Interaction("button", MEMBERS["ana"], "acknowledge", desk.incident.id, CHANNEL, desk.root()["ts"])
    with desk.states.begin() as conn:
        arrived = Arrived("interactive|1", "button", kept.text(), desk.now)
        assert inbox.store(conn, arrived)
        assert not inbox.store(conn, arrived)
    desk.listen()
    desk.settled()
    assert r"Acknowledged by\nAna Ruiz" in desk.shown()
    with desk.states.connect() as conn:
        (row,) = conn.execute(select(tables.inbound)).all()
    assert (row.body, row.author, row.outcome) == ("", "ana", "done: acknowledge")


def test_what_cannot_be_kept_is_not_confirmed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full: Slack gets no answer, and tells whoever pressed."""
    desk.listen()
    store = inbox.store
    monkeypatch.setattr(inbox, "store", _full)
    desk.workspace.press("ana", "acknowledge")  # returns when the workspace has given up waiting for an answer
    assert [one for one in desk.workspace.traffic() if one["kind"] == "ack"] == []
    monkeypatch.setattr(inbox, "store", store)
    desk.agreed()
    desk.workspace.press("ana", "acknowledge")
    desk.settled()
    assert r"Acknowledged by\nAna Ruiz" in desk.shown()
    assert len([one for one in desk.workspace.traffic() if one["kind"] == "ack"]) == 1


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_cannot_be_done_holds_up_nothing_else(desk: Desk) -> None:
    with desk.states.begin() as conn:
        inbox.store(conn, Arrived("interactive|0", "button", '{"written": "by another version"}', desk.now))
    desk.listen()
    desk.workspace.press("ana", "acknowledge")
    desk.settled()
    assert r"Acknowledged by\nAna Ruiz" in desk.shown()
    until(lambda: _outcomes(desk) == {"interactive|0": "given_up"}, 20)


def _outcomes(desk: Desk) -> dict[str, str]:
    with desk.states.connect() as conn:
        found = conn.execute(
            select(tables.inbound.c.id, tables.inbound.c.state).where(tables.inbound.c.state != "done")
        )
        return {row.id: row.state for row in found}


def test_a_deaf_connection_is_noticed_and_rebuilt(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wire that is up and carries nothing back: the click on it is lost, the next one is heard."""
    monkeypatch.setattr(socket_mode, "PING_S", 0.3)
    monkeypatch.setattr(socket_mode, "HELLO_S", 2.0)
    with human.wire(desk.workspace.port) as wire, human.rerouted(monkeypatch, wire):
        desk.listen()
        until(lambda: wire.connections == 1)
        wire.deaf = wire.connections
        desk.workspace.press("ana", "acknowledge")
        assert desk.done() == 0
        assert '"acknowledge"' in desk.shown()
        until(lambda: wire.connections >= 2, 30)
        until(lambda: desk.listeners[0][0].hears, 60)
        desk.workspace.press("ana", "acknowledge")
        desk.settled()
        desk.stop()
    assert r"Acknowledged by\nAna Ruiz" in desk.shown()


@pytest.mark.parametrize(
    ("pulse", "why"),
    [
        (Pulse(5, None, None, is_connected=True), None),  # it may still say hello
        (Pulse(11, None, None, is_connected=True), "no hello"),
        (Pulse(11, 10, None, is_connected=True), None),
        (Pulse(21, 20, None, is_connected=True), "no pong"),  # never one: slack_sdk takes that for sound
        (Pulse(900, 890, 19, is_connected=True), None),
        (Pulse(900, 890, 21, is_connected=True), "no pong"),
        (Pulse(9000, 3601, 1, is_connected=True), "silent for an hour"),
        (Pulse(1, 1, 1, is_connected=False), "closed"),
    ],
)
def test_when_a_connection_is_deaf(pulse: Pulse, why: str | None) -> None:
    assert deaf(pulse) == why


def test_without_an_app_token_it_says_what_to_do(tmp_path: Path) -> None:
    states = open_state(tmp_path)
    answering = InteractionHandler(
        states, Slack("xoxb-x", "http://127.0.0.1:9/", 1), catalog(rule()), ZONE, lambda: noon(OPENS)
    )
    with pytest.raises(NoAppTokenError, match="EARSHOT_SLACK__APP_TOKEN"):
        SocketListener(SlackSettings(), states, answering, lambda _: None).listen()
    states.dispose()


def test_the_command_listens_follows_the_files_and_ends_when_asked(desk: Desk) -> None:
    """It writes its heartbeat while it hears, knows who was added since it began, and ends with 0 on SIGTERM."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    command, log = [sys.executable, "-m", "triggers", "listen"], desk.settings.data / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            until(lambda: process.poll() is not None or desk.hello(), 90)
            until(lambda: _heartbeat(desk) == "listening", 60)
            desk.workspace.press("stranger", "acknowledge")
            desk.settled()
            desk.save(ROUTING + CLEO)
            until(lambda: "the configuration changed" in log.read_text(), 60)
            desk.workspace.press("stranger", "acknowledge")
            desk.settled(2)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, said.splitlines()) == (0, ["listening; stop with Ctrl-C", "ended"])
    desk.reread()
    assert r"Acknowledged by\nCleo Marsh" in desk.shown()


def test_who_is_added_while_it_listens_can_press_and_a_bad_file_changes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_mode, "TURN_S", 0.1)
    monkeypatch.setattr(socket_mode, "BEAT_S", 0.1)
    book, seen = LiveRules(desk.settings, Rules(desk.catalog), COLUMNS), list[Rules]()

    def current() -> Rules:
        seen.append(book.current())
        return seen[-1]

    desk.listen(current)
    desk.workspace.press("stranger", "acknowledge")
    desk.settled()
    assert "does not know you" in desk.told("stranger")[0]
    desk.agreed()
    desk.save(ROUTING + CLEO)
    until(lambda: [len(rules.catalog.people) for rules in seen[-2:]] == [3, 3])
    desk.save(ROUTING + CLEO.replace('audience = "analyst"', 'audience = "nobody"'))
    until(lambda: "routing.toml" in (_heartbeat(desk) or ""))
    desk.workspace.press("stranger", "acknowledge")
    desk.settled(2)
    assert desk.incident.acknowledged_by == "cleo"
    desk.save(ROUTING + CLEO)
    desk.reread()
    assert r"Acknowledged by\nCleo Marsh" in desk.shown()
    desk.save(ROUTING)  # she has left
    until(lambda: [len(rules.catalog.people) for rules in seen[-2:]] == [2, 2])
    desk.workspace.press("stranger", "snooze")
    desk.settled(3)
    assert "does not know you" in desk.told("stranger", 3)[2]
    assert desk.incident.snoozed_until is None


def _heartbeat(desk: Desk) -> str | None:
    with desk.states.connect() as conn:
        found: str | None = conn.execute(
            select(tables.heartbeat.c.note).where(tables.heartbeat.c.name == "listener")
        ).scalar()
    return found
