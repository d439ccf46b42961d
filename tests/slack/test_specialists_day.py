"""A specialist's day and the weeks after it, as one story: what Slack shows, the state and the dashboard agree.

Slack is one with people in it. After each step everything that it shows is read back as a person reads it; all of it
stands in golden/specialists_day.txt, which is meant to be pleasant to read. GOLDEN=write writes it.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select

from config.models import Catalog
from config.reading import read_catalog
from config.settings import Settings, read_settings
from queries.messages import outbox
from queries.state import Incident, read_actions, read_incidents, tables
from queries.stores import open_states, open_warehouse
from queries.warehouse import COLUMNS, EVERYTHING, Warehouse
from tests.counterparts import human
from tests.counterparts.human import CHANNEL, MEMBERS, TOKEN, Workspace, until
from tests.support.clocks import BY_SLACKS_CLOCK
from tests.support.company import publish, rows_of, weeks
from tests.support.screens import Screens, configured, connected, lines, state_in
from triggers.processes.run import Runner
from triggers.slack.client import Slack
from triggers.slack.interaction_handler import InteractionHandler
from triggers.slack.socket_mode import SocketListener

GOLDEN: Final = Path(__file__).parent / "golden" / "specialists_day.txt"
BERLIN: Final = ZoneInfo("Europe/Berlin")
FIRST: Final = date(2025, 3, 3)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
ROUTES: Final = f"""
[[route]]
name = "service"
label = "Service quality"
channel = "{CHANNEL}"
zone = "Europe/Berlin"
hours = "09:00-17:00"
solve_within = "20d"
ladder = [{{ after = "0m", notify = "channel" }}, {{ after = "4h", notify = "gm" }}]

[[person]]
name = "ana"
label = "Ana Ruiz"
audience = "analyst"
slack = "{MEMBERS["ana"]}"

[[person]]
name = "ben"
label = "Ben Okafor"
audience = "gm"
slack = "{MEMBERS["ben"]}"
verticals = ["Lending"]
"""
GM: Final = """
[[audience]]
name = "gm"
label = "General manager"
pages = ["review", "incidents"]
issues = 5
figures = 40
charts = 6
grains = ["month"]
"""


def berlin(text: str) -> datetime:
    """An instant of the story, as its people's clocks show it."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@dataclass
class Story:
    """The company, its people at their screens, and what Slack has shown so far."""

    workspace: Workspace
    settings: Settings
    catalog: Catalog
    warehouse: Warehouse
    states: Engine
    screens: Screens
    now: datetime
    told: list[str] = field(default_factory=list)
    presses: int = 0

    def load(self, number: int, at: str) -> None:
        """So many weeks of two verticals arrive."""
        self.now = berlin(at)
        company = [week for vertical in ("Retail", "Lending") for week in weeks(FIRST, STORY[:number], 50, vertical)]
        published = self.now.astimezone(UTC).replace(tzinfo=None)
        publish(self.warehouse, self.catalog, rows_of(company), "Europe/Berlin", published)

    def at(self, text: str) -> None:
        """Time goes by; whatever is due then is done, and all that is owed is sent."""
        self.now = berlin(text)
        runner = Runner(self.settings, self.catalog, self.warehouse, self.states, lambda: self.now)
        until(lambda: runner.once() and not self._owed(), 60)

    def _owed(self) -> bool:
        with self.states.connect() as conn:
            return bool(outbox.unsent(conn))

    def done(self, at: str) -> None:
        """What was pressed last is done, and the messages show it."""
        self.presses += 1
        until(lambda: self._pressed() >= self.presses, 30)
        self.at(at)

    def _pressed(self) -> int:
        with self.states.connect() as conn:
            return len(conn.execute(select(tables.inbound.c.id).where(tables.inbound.c.state == "done")).all())

    def incident(self, vertical: str) -> Incident:
        with self.states.connect() as conn:
            return next(one for one in read_incidents(conn, EVERYTHING) if one.vertical == vertical)

    def root(self, vertical: str) -> Mapping[str, Any]:
        """An incident's own message, as it stands."""
        there = (m for m in self.workspace.messages() if not m.get("thread_ts") and not m.get("ephemeral_to"))
        return next(m for m in there if f", {vertical}" in m["blocks"][0]["text"]["text"])

    def thread(self, vertical: str) -> list[str]:
        ts = self.root(vertical)["ts"]
        return [m["text"] for m in self.workspace.messages() if m.get("thread_ts") == ts and m["ts"] != ts]

    def tell(self, title: str, **standing: str) -> None:
        """Note what Slack shows; see that state, Slack and dashboard say the same of each incident.

        `standing` is how each vertical's incident stands, in the dashboard's words.
        """
        self.told += ["", "=" * 100, f"{self.now:%A %d %B %Y, %H:%M}  {title}", "=" * 100]
        for vertical, words in standing.items():
            assert state_in(self.screens.agree(self.incident(vertical).id, self.root(vertical))) == words
            self.told += ["", *lines(self.root(vertical)), *(f"    > {text}" for text in self.thread(vertical))]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    if why := human.missing():
        pytest.skip(why)
    with human.running(tmp_path_factory.mktemp("workspace")) as running:
        yield running


@pytest.fixture
def story(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """Friday has not begun; somebody listens."""
    for name, value in (configured(tmp_path, ROUTES, GM) | connected(workspace)).items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    catalog = read_catalog(settings.config, COLUMNS)
    warehouse, states = open_warehouse(settings), open_states(settings)
    screens = Screens(states, {person.name: person.label for person in catalog.people}, BERLIN)
    made = Story(workspace, settings, catalog, warehouse, states, screens, berlin("2025-06-19T12:00"))
    slack = Slack(TOKEN, workspace.base_url, 3)
    answering = InteractionHandler(states, slack, catalog, BERLIN, lambda: made.now)
    listener = SocketListener(settings.slack, states, answering, lambda _: None)
    thread = threading.Thread(target=listener.listen)
    thread.start()
    until(lambda: any("hello" in one["summary"] for one in workspace.traffic()), 60)
    yield made
    listener.end()
    thread.join(30)
    warehouse.close()
    states.dispose()
    screens.shut()


NOBODYS: Final = "Open, unassigned"
ANAS: Final = "Open, acknowledged by Ana Ruiz"
BENS: Final = "Open, acknowledged by Ben Okafor"


@BY_SLACKS_CLOCK
def test_a_specialists_day(story: Story) -> None:
    story.load(len(STORY) - 8, "2025-06-19T06:00")
    story.at("2025-06-19T12:00")  # the first run is silent about the past
    assert story.workspace.messages() == []
    for chapter in (_breach, _friday, _escalation, _weekend, _monday, _recovery):
        chapter(story)
    _golden("\n".join(story.told).lstrip("\n") + "\n")


def _breach(story: Story) -> None:
    story.at("2025-06-27T09:00")
    story.tell("Two verticals go over the limit", Retail=NOBODYS, Lending=NOBODYS)


def _friday(story: Story) -> None:
    story.now = berlin("2025-06-27T09:05")
    story.workspace.press("ana", "acknowledge", message=story.root("Retail"))
    story.done("2025-06-27T09:05")
    story.tell("Ana acknowledges Retail", Retail=ANAS)
    story.now = berlin("2025-06-27T11:00")
    story.workspace.press("ana", "snooze", message=story.root("Retail"))
    until(story.workspace.forms, 30)
    story.workspace.submit("ana", {"until": {"type": "static_select", "selected_option": {"value": "business"}}})
    story.presses += 1
    story.done("2025-06-27T11:00")
    assert story.incident("Retail").snoozed_until == berlin("2025-06-30T09:00")
    snoozed = "Open, snoozed by Ana Ruiz until 30 June 2025, 09:00 CEST"
    story.tell("Ana puts it off over the weekend: the new fitters come on Monday", Retail=snoozed)


def _escalation(story: Story) -> None:
    before = story.thread("Retail")
    story.at("2025-06-27T13:01")
    assert story.thread("Lending")[-1].startswith(f"<@{MEMBERS['ben']}> Escalated to the general manager, Ben Okafor: ")
    assert story.thread("Retail") == before
    story.tell("Nobody has acknowledged Lending: its general manager is told", Lending=NOBODYS)
    story.now = berlin("2025-06-27T13:10")
    story.workspace.react("ben", "eyes", story.root("Lending")["ts"])
    story.done("2025-06-27T13:10")
    story.tell("Ben looks at it", Lending=BENS)


def _weekend(story: Story) -> None:
    before = story.workspace.messages()
    story.at("2025-06-28T15:00")
    story.at("2025-06-29T23:00")
    assert story.workspace.messages() == before
    story.at("2025-06-30T09:00")
    assert story.thread("Retail")[-1].startswith(f"<@{MEMBERS['ana']}> Snooze ended")
    story.tell("Monday: Retail is back", Retail="Open, waiting for Ana Ruiz")


def _monday(story: Story) -> None:
    story.now = berlin("2025-06-30T09:20")
    story.workspace.press("ana", "acknowledge", message=story.root("Retail"))
    story.done("2025-06-30T09:20")
    story.now = berlin("2025-06-30T10:00")
    story.workspace.press("ana", "action", message=story.root("Retail"))
    until(lambda: len(story.workspace.forms()) == 2, 30)
    story.workspace.submit("ana", _action(date(2099, 1, 5)))
    story.presses += 1
    story.done("2025-06-30T10:00")
    with story.states.connect() as conn:
        (found,) = read_actions(conn, EVERYTHING)
    assert (found.what, found.owner, found.vertical) == ("train the new fitters", "ana", "Retail")
    assert "train the new fitters" in story.screens.page_of(story.incident("Retail").id)
    story.tell("Ana records what is done about it", Retail=ANAS)


def _recovery(story: Story) -> None:
    story.load(len(STORY) - 5, "2025-07-14T06:00")
    story.at("2025-07-14T12:00")
    assert story.thread("Lending")[-1].startswith("Worse: ")
    story.tell("Worse before it gets better", Retail=ANAS, Lending=BENS)
    story.load(len(STORY), "2025-08-18T06:00")
    story.at("2025-08-18T12:00")
    over = "Recovered on 4 August 2025"
    story.tell("Both have recovered", Retail=over, Lending=over)
    story.workspace.press("ana", "useful", message=story.root("Retail"))
    story.done("2025-08-18T12:30")
    with story.states.connect() as conn:
        votes = [(row.incident_id, row.author, row.useful) for row in conn.execute(select(tables.vote))]
    assert votes == [(story.incident("Retail").id, "ana", 1)]
    story.tell("Ana marks the message as useful", Retail=over)
    story.told += ["", "Only Ana sees:", *(f"    {text}" for text in story.workspace.whispers("ana"))]


def _action(due: date) -> dict[str, dict[str, Any]]:
    return {
        "what": {"type": "plain_text_input", "value": "train the new fitters"},
        "who": {"type": "static_select", "selected_option": {"value": "ana"}},
        "due": {"type": "datepicker", "selected_date": due.isoformat()},
        "effect": {"type": "plain_text_input", "value": "-20%"},
    }


def _golden(found: str) -> None:
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")
