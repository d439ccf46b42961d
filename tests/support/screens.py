"""What people have before them: an incident's message in Slack, and its page in the dashboard, as a person reads them.

The page is the dashboard's own over the stores that the `EARSHOT_` variables name; nothing of it is replaced.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from config.settings import CHECKOUT
from dashboard import stores
from queries.metrics import moment_words
from queries.review import happened_on
from queries.state import HistoryEntry, Incident, entries, read_incident
from queries.warehouse import EVERYTHING
from tests.counterparts.human import APP_TOKEN, TOKEN, Workspace
from tests.support.small_company import AUDIENCES, GOALS, METRICS
from triggers.messages import news
from triggers.messages.message import SEVERITIES

RULES: Final = """
[guard]
every = "7d"
window = "56d"
severity = 3
route = "service"
owner = "ana"

[[rule]]
name = "defects"
label = "Installations with a defect"
kind = "threshold"
metric = "installation-defects"
by = ["vertical"]
limit = 0.25
recover = 0.20
floor = 0
keep_firing = "0d"
window = "28d"
every = "7d"
false_alarms_per_year = 2
severity = 2
route = "service"
owner = "ana"
runbook = "Call the engineer who was there."
"""
METRIC: Final = """
[[metric]]
name = "installation-defects"
label = "Installations with a defect"
shape = "share"
table = "journey"
dated_by = "ended_at"
good = "down"
unit = "%"
count = { defective = true }
matures = "14d"
"""


def configured(folder: Path, routing: str, audiences: str = "") -> dict[str, str]:
    """Write a company of one rule into FOLDER/config. Returns the variables of it and of stores in the folder."""
    config = folder / "config"
    config.mkdir()
    files = {"metrics": METRICS + METRIC, "goals": GOALS, "triggers": RULES, "routing": routing}
    files |= {"audiences": AUDIENCES + audiences, "calendar": "[calendar]\n", "settings": ""}
    for name, text in files.items():
        (config / f"{name}.toml").write_text(text, encoding="utf-8")
    return {"EARSHOT_CONFIG": str(config), "EARSHOT_DATA": str(folder)}


def connected(workspace: Workspace) -> dict[str, str]:
    """The variables that say where Slack is."""
    tokens = {"EARSHOT_SLACK__TOKEN": TOKEN, "EARSHOT_SLACK__APP_TOKEN": APP_TOKEN, "EARSHOT_SLACK__TIMEOUT_S": "3"}
    return tokens | {"EARSHOT_SLACK__BASE_URL": workspace.base_url}


@dataclass(frozen=True, slots=True)
class Said:
    """The last that happened: what it is called, by whom, when on the reporting zone's clocks, and why."""

    news: str
    author: str
    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How an incident stands, as one of the state, the message and the page says it.

    Args:
        state: open, resolved or closed.
        whose: while it is open and not snoozed: `acknowledged by ...`, `waiting for ...` or `unassigned`.
        until: the end of its snooze, on the reporting zone's clocks.
        takes: whether there is a button by which it is taken on.
        last: what happened last, where that is not its opening.
    """

    state: str
    whose: str
    until: str
    takes: bool
    last: Said | None


def dashboard() -> AppTest:
    """The dashboard, before its first page. It follows the `EARSHOT_` variables: one serves many tests."""
    return AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=60)


TAKE: Final = "Acknowledge"


@dataclass
class Screens:
    """One person's screens. `labels` are what people are called, by their names; `zone` is the reporting zone."""

    states: Engine
    labels: Mapping[str, str]
    zone: ZoneInfo
    page: AppTest = field(default_factory=dashboard)

    def agree(self, id_: str, message: Mapping[str, Any]) -> str:
        """See that state, message and page say the same of an incident. Returns the page."""
        with self.states.connect() as conn:
            found, history = read_incident(conn, id_, EVERYTHING), entries(conn, id_)
        html = self.page_of(id_)
        stored = self._stored(found, history)
        # Who acknowledged it, and when, has a field of its own in the message.
        is_said = stored.last and stored.last.news != news("acknowledged")
        assert in_message(message) == replace(stored, last=stored.last if is_said else None)
        assert in_page(html, takes=self.takes()) == stored
        assert _told(html) == [(news(entry.kind), entry.reason) for entry in reversed(history)]
        assert _calls(html) == (stored.state == "open" and stored.takes and not stored.until)
        return html

    def page_of(self, id_: str) -> str:
        """The incident's page, as the dashboard writes it."""
        if not self.page.get("html"):  # the pages are known once one was shown
            self.page.run()
            self.page.switch_page("views/incident.py")
        self.page.query_params["id"] = id_
        self._run()
        return "\n".join(element.proto.body for element in self.page.get("html"))

    def shut(self) -> None:
        """Close the stores that the pages opened."""
        stores.close()

    def takes(self) -> bool:
        """Whether the page that is shown has the button by which an incident is taken on."""
        return any(button.label == TAKE for button in self.page.button)

    def take(self, id_: str) -> None:
        """Press that button."""
        self.page_of(id_)
        next(button for button in self.page.button if button.label == TAKE).click()
        self._run()

    def close(self, id_: str, reason: str) -> None:
        """Close the incident on its page."""
        self.page_of(id_)
        self.page.session_state["close"] = True
        self._run()
        self.page.text_input[0].set_value(reason)
        next(button for button in self.page.button if button.label == "Close the incident").click()
        self._run()

    def _run(self) -> None:
        self.page.run()
        assert not self.page.exception, self.page.exception[0].stack_trace
        assert not self.page.error, self.page.error[0].value

    def _stored(self, found: Incident, history: Sequence[HistoryEntry]) -> Standing:
        snoozed = found.snoozed_until if found.is_open else None
        whose = "unassigned"
        if found.acknowledged_by:
            whose = f"acknowledged by {self._called(found.acknowledged_by)}"
        elif found.assigned_to:
            whose = f"waiting for {self._called(found.assigned_to)}"
        takes, last = found.is_open and found.acknowledged_at is None, history[-1]
        said = Said(
            news(last.kind),
            self._called(last.author),
            moment_words(happened_on(last, self.zone), self.zone),
            last.reason,
        )
        return Standing(
            found.state,
            whose if found.is_open and not snoozed else "",
            moment_words(snoozed, self.zone) if snoozed else "",
            takes,
            None if last.kind == "opened" else said,
        )

    def _called(self, name: str | None) -> str:
        return self.labels.get(name or "", name or "")


# The message.

STATES: Final = {
    **{colour: "open" for colour, _ in SEVERITIES.values()},
    "\N{LARGE GREEN CIRCLE}": "resolved",
    "\N{MEDIUM WHITE CIRCLE}": "closed",
}
LAST: Final = re.compile(
    r"(.+?)(?: by (.+?))? on (\d+ \w+ \d{4}(?:, \d\d:\d\d [^\s:,]+)?)[:,] (.*?)(?: \(\S+ then, \S+ now\))?\.", re.DOTALL
)


def in_message(message: Mapping[str, Any]) -> Standing:
    """How an incident stands by its message in Slack."""
    shown = [unescape(line) for line in lines(message)]
    state, buttons = STATES[shown[0][0]], " ".join(line for line in shown if line.startswith("["))
    assert ("Close" in buttons) == ("Snooze" in buttons) == (state == "open")
    until, taken = _fact(shown, "Snoozed until"), _fact(shown, "Acknowledged by").rsplit(", ", 2)[0]
    waits = _fact(shown, "Waiting for")
    whose = f"acknowledged by {taken}" if taken else f"waiting for {waits}" if waits else "unassigned"
    parts = [part for line in shown[1:] if (part := LAST.fullmatch(line))]
    last = Said(*(text or "" for text in parts[-1].groups())) if parts else None
    return Standing(state, whose if state == "open" and not until else "", until, "[Acknowledge]" in buttons, last)


def _fact(shown: Sequence[str], label: str) -> str:
    return next((line.removeprefix(f"{label}: ") for line in shown if line.startswith(f"{label}: ")), "")


def lines(message: Mapping[str, Any]) -> list[str]:
    """A message as a person reads it."""
    return [line for block in message["blocks"] for line in _LINES[block["type"]](block)]


_LINES: Final[Mapping[str, Callable[[Mapping[str, Any]], list[str]]]] = {
    "header": lambda block: [block["text"]["text"]],
    "image": lambda _block: [],  # the words stand beside it
    "section": lambda block: [
        ": ".join(part["text"].split("\n", 1)) for part in (block.get("fields") or [block["text"]])
    ],
    "context": lambda block: [_steady(element["text"]) for element in block["elements"]],
    "actions": lambda block: [" ".join(f"[{_label(element)}]" for element in block["elements"])],
}


def _label(element: Mapping[str, Any]) -> str:
    if element["type"] == "overflow":
        return "\N{MIDLINE HORIZONTAL ELLIPSIS} " + " | ".join(option["text"]["text"] for option in element["options"])
    return str(element["text"]["text"])


def _steady(text: str) -> str:
    """Without the hash of the rule's version."""
    return re.sub(r"version [0-9a-f]+", "version ...", text)


# The page.

STATE: Final = re.compile(r'<p class="e-state( e-attention)?">(.*?)</p>')
EVENT: Final = re.compile(
    r"<li><span class='e-muted'>([^<]*)</span> ([^<:]*): ([^<]*)(?: <span class=e-muted>\((.*?)\)</span>)?</li>"
)


def in_page(html: str, *, takes: bool) -> Standing:
    """How an incident stands by its page; `takes` is whether the button by which it is taken on is there."""
    words = state_in(html)
    state, _, whose = words.partition(", ") if words.startswith("Open, ") else (words.split(" on ")[0], "", "")
    put_off, _, until = whose.partition(" until ") if whose.startswith("snoozed by") else ("", "", "")
    at, what, reason, author = EVENT.findall(html)[0]
    last = Said(unescape(what), unescape(author), at, unescape(reason))
    told = None if what == "Opened" else last
    state = {"Recovered": "resolved"}.get(state, state.lower())
    return Standing(state, "" if put_off else unescape(whose), until, takes, told)


def state_in(html: str) -> str:
    """How it stands, in the page's words."""
    (found,) = STATE.findall(html)
    return unescape(str(found[1]))


def _calls(html: str) -> bool:
    return bool(STATE.findall(html)[0][0])


def _told(html: str) -> list[tuple[str, str]]:
    """The history as the page lists it, the newest first."""
    return [(unescape(what), unescape(reason)) for _, what, reason, _ in EVENT.findall(html)]
