"""Nothing that comes from data or configuration is read as markup by Slack, whatever is said and to whomever."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk import WebClient

from config.models import Person
from queries.messages import Digest, Worst
from queries.messages.digests import Group
from queries.state import slice_key
from tests.counterparts.limits import refusal
from tests.slack.test_card import SAMPLE, card, evidence
from tests.slack.test_interactions import ANA, CLOSED, NOW, OPENED, OVER, TAKEN, incident, press, seen
from tests.support.company import METRIC, catalog, rule
from triggers.messages import Ids, Link, Message, Posted
from triggers.messages.card import incident_message, news_message
from triggers.messages.digest import digest_message, digest_reply
from triggers.messages.message import Button, Fact, Menu
from triggers.slack.blocks import form
from triggers.slack.client import Slack
from triggers.slack.interactions import FORMS, PLAIN, Tell, decide

ROOT: Final = Path(__file__).parents[2]
HOSTILE: Final = "<!channel> <https://evil.example|Click> <@U0000000100> *b* _i_ `c` & Co"
TEXT: Final = st.text(max_size=80) | st.sampled_from(
    [HOSTILE, "<!here>", "<#C000000104>", "&lt;!channel&gt;", "&" * 40]
)
RAW: Final = re.compile(r"[<>]|&(?!amp;|lt;|gt;)")
MENTION: Final = re.compile(r"<@[UW][A-Z0-9]+>")
SAYS: Final = re.compile(r"chat\.(?!delete)|views\.|dialog\.|bookmarks\.|conversations\.set")
"""Slack's calls that show a text to somebody."""


class Heard:
    """A Slack that notes what it is asked to show."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bodies = list[tuple[str, dict[str, Any]]]()
        monkeypatch.setattr(WebClient, "api_call", self._call)
        self.slack = Slack("xoxb-nothing", "http://127.0.0.1:1/api/", 1)

    def _call(self, method: str, *, json: Mapping[str, Any] | None = None, **_: Any) -> SimpleNamespace:
        self.bodies.append((method, dict(json or {})))
        return SimpleNamespace(data={"ok": True, "channel": "C1", "ts": "1.0"}, headers={})


def shown(part: Any, *, is_markup: bool = False) -> Iterator[tuple[str, bool]]:
    """Every text that a call shows, and whether Slack reads markup in it. Ids, links and values are not shown."""
    if isinstance(part, Mapping):
        is_markup = part.get("type") == "mrkdwn"
        for key, value in part.items():
            if key == "text" and isinstance(value, str):
                yield value, is_markup or "type" not in part
            else:
                yield from shown(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            yield from shown(value)


def assert_harmless(body: Mapping[str, Any]) -> None:
    texts = list(shown(body))
    assert texts
    for text, is_markup in texts:
        # Members are told by their ids, which only the configuration gives and whose form it checks.
        assert not RAW.search(MENTION.sub("", text) if is_markup else text), text
        assert not (is_markup and re.search(r"[*_~`](?!\N{WORD JOINER})", text)), text


@given(st.builds(
    Message,
    notice=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    title=TEXT,
    sentences=st.lists(TEXT, max_size=3).map(tuple),
    facts=st.lists(st.builds(Fact, TEXT, TEXT), max_size=3).map(tuple),
    news=TEXT,
    mentions=st.lists(st.builds(Person, name=st.just("ana"), label=TEXT, audience=st.just("gm"),
                                slack=st.none() | st.just("U000000100")), max_size=2).map(tuple),
    footnote=TEXT,
    actions=st.just((Button(HOSTILE, "acknowledge"), Link(HOSTILE, "https://earshot.example"), Menu({"a": HOSTILE}))),
    note=TEXT,
    incident=st.just("0b8f8e3e"),
))  # fmt: skip
def test_no_part_of_a_message_is_read_as_markup(message: Message) -> None:
    """Whatever composes it: this is the only form in which anything is said."""
    with pytest.MonkeyPatch.context() as patch:
        heard = Heard(patch)
        for is_bare in (False, True):
            heard.slack.send("C1", message, Ids("a", "b"), is_bare=is_bare)
            heard.slack.change(Posted("C1", "1.0"), message, Ids("a", "b"), is_bare=is_bare)
        heard.slack.whisper("C1", "U000000100", message)
    assert [method for method, _ in heard.bodies] == [*("chat.postMessage", "chat.update") * 2, "chat.postEphemeral"]
    for _, body in heard.bodies:
        assert_harmless(body)
        assert body["parse"] == "none"


def test_every_composer_with_hostile_names(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(monkeypatch)
    person = ANA.model_copy(update={"label": HOSTILE})
    hostile = card(
        incident=incident(
            vertical=HOSTILE, assigned_to="ana", **{k: v for k, v in TAKEN.items() if k != "assigned_to"}
        ),
        entries=(OPENED, replace(OPENED, seq=2, kind="escalated", reason=HOSTILE, author="ana")),
        rule=rule(label=HOSTILE, runbook=HOSTILE),
        metric=METRIC.model_copy(update={"label": HOSTILE}),
        evidence=evidence(HOSTILE, HOSTILE),
        people=(person,),
    )
    worst = Worst("i", "defects", 2, HOSTILE, "open", slice_key(("vertical",), (HOSTILE,)), None, SAMPLE)
    counted = Digest("d", 1, NOW, 2, 1, 0, 1, (Group("defects", 2, 2, 1),), (worst,))
    composed = [
        incident_message(hostile),
        incident_message(replace(hostile, withheld=True)),
        news_message(hostile, hostile.entries[-1], (person,)),
        digest_reply(hostile, hostile.entries[-1], (person,)),
        digest_message(counted, catalog(rule(label=HOSTILE)), "https://earshot.example"),
    ]
    for message in composed:
        heard.slack.send("C1", message, Ids("a", "b"))
    for _, body in heard.bodies:
        assert_harmless(body)
        assert "evil.example" in json.dumps(body), "nothing hostile got here, so this would prove nothing"
        assert refusal("chat.postMessage", body) is None


@pytest.mark.parametrize("name", sorted(FORMS))
def test_a_form_offers_hostile_names_as_they_are_written(name: str) -> None:
    people = (ANA.model_copy(update={"label": HOSTILE}),)
    assert_harmless(form(name, press(name), incident(), people))


def test_every_answer_to_a_press(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(monkeypatch)
    ana, ben = (p.model_copy(update={"label": HOSTILE, "name": name}) for p, name in ((ANA, "ana"), (ANA, "ben")))
    states: tuple[dict[str, Any], ...] = (
        {}, TAKEN, {**OVER, "state": "closed"}, {"snoozed_until": NOW + timedelta(hours=1), "assigned_to": "ben"},
        {"assigned_to": "ben"},
    )  # fmt: skip
    told = set[str]()
    for state in states:
        for action in PLAIN:
            for kind in ("button", "form", "reaction"):
                for person in (ana, None):
                    done = press(
                        action, kind=kind, user=HOSTILE, fields={"to": "ben", "note": HOSTILE, "what": HOSTILE}
                    )
                    about = seen(
                        person=person,
                        people=(ana, ben),
                        incident=incident(**state),
                        entries=(OPENED, replace(CLOSED, reason=HOSTILE)),
                    )
                    decision = decide(done, about)
                    if isinstance(decision, Tell):
                        told.add(decision.said)
    assert sum("evil.example" in text for text in told) >= 4
    for text in told:
        heard.slack.whisper("C1", "U000000100", Message((text,), sentences=(text,)))
    for _, body in heard.bodies:
        assert_harmless(body)


def test_only_the_client_calls_what_shows_a_text() -> None:
    """Whatever is said goes through the client's own ways of saying it, which escape."""
    calls = set[str]()
    for path in (ROOT / "triggers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SAYS.match(node.value):
                calls.add(f"{path.relative_to(ROOT).as_posix()}: {node.value}")
    assert {call.partition(":")[0] for call in calls} == {"triggers/slack/client.py"}, calls
    assert len(calls) == 4
