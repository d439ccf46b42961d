"""Messages and forms as Slack's Block Kit. Pure.

Everything that comes from data goes into plain-text elements, where Slack reads no markup, with & < > escaped: a
vertical called `*bold* <!channel>` is shown as just that.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from config.models import Person
from queries.state import Incident
from triggers.incidents import may_read
from triggers.messages import Control, Ids, Link, Menu, Message
from triggers.slack.interactions import MENU, SNOOZES, Interaction

EVENT_TYPE: Final = "earshot"
HEADER, SECTION, FIELD, FALLBACK, BUTTON = 150, 1500, 2000, 3000, 75
"""The longest texts, within Slack's limits for each element and for a whole message (12,000)."""
SHORT, FIELDS = 60, 10
"""A fact this short stands beside others, as many as Slack puts into one section."""
ALT: Final = 2000
"""The longest description of a picture."""
TITLE, LABEL, HINT, OPTION, LISTED = 24, 2000, 150, 75, 100
"""Of a form: Slack's longest texts, and its longest list."""
NOTE: Final = 500
"""The longest text that somebody may write into a form."""
CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
MARKUP: Final = re.compile(r"([*_~`])")
ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """What Slack gets: the text of the notification, and the blocks that are shown in its place."""

    text: str
    blocks: tuple[Block, ...]


def render(message: Message, *, is_bare: bool = False) -> SlackMessage:
    """A message in Slack's form; bare, it is the notification's text alone."""
    notice = " ".join(fallback(sentence) for sentence in message.notice)
    text = f"{_mentions(message.mentions)} {notice}".strip()
    return SlackMessage(text, () if is_bare else tuple(_blocks(message)))


def _blocks(message: Message) -> Iterator[Block]:
    if message.title:
        yield {"type": "header", "text": plain(message.title, HEADER)}
    yield from (_section(sentence) for sentence in message.sentences)
    if message.picture:
        # Under a name that the message did not have before: Slack would keep what it showed there.
        shown = {"type": "image", "block_id": f"picture|{message.picture.id}", "slack_file": {"id": message.picture.id}}
        yield {**shown, "alt_text": escaped(message.picture.alt, ALT)}
    yield from _facts(message)
    if message.news:
        yield _section(message.news)
    if mentions := _mentions(message.mentions):
        # Slack reads it as markup: it holds member ids from the configuration and nothing else.
        yield {"type": "section", "text": {"type": "mrkdwn", "text": mentions}}
    if message.footnote:
        yield {"type": "context", "elements": [plain(message.footnote, FIELD)]}
    # A press comes back with the block's id and nothing else of ours, so the id says which incident it is about.
    if message.actions:
        about = {"block_id": f"do|{message.incident}"} if message.incident else {}
        yield {"type": "actions", **about, "elements": [_element(control) for control in message.actions]}
    if message.note:
        yield _section(message.note)


def _facts(message: Message) -> Iterator[Block]:
    """What is known, what is asked for, and what else belongs to it."""
    # Short facts stand beside each other, a long one by itself; all in their order.
    for is_short, facts in groupby(message.facts, lambda fact: len(fact.text) <= SHORT):
        lines = [f"{fact.label}\n{fact.text}" for fact in facts]
        if is_short:
            rows = (lines[i : i + FIELDS] for i in range(0, len(lines), FIELDS))
            yield from ({"type": "section", "fields": [plain(line, FIELD) for line in row]} for row in rows)
        else:
            yield from map(_section, lines)
    yield from (_section(f"{fact.label}\n{fact.text}") for fact in message.asks)
    if message.others:
        # Links need markup: the addresses are our own, and what names them is escaped like a notification.
        links = ", ".join(f"<{link.url}|{fallback(link.label)}>" for link in message.others)
        yield {"type": "section", "text": {"type": "mrkdwn", "text": f"Also open at this account: {links}"}}


def _section(text: str) -> Block:
    return {"type": "section", "text": plain(text, SECTION)}


def _mentions(people: Sequence[Person]) -> str:
    return " ".join(f"<@{person.slack}>" for person in people if person.slack)


def _element(control: Control) -> Block:
    if isinstance(control, Menu):
        return {"type": "overflow", "action_id": MENU, "options": _options(control.options)}
    label = plain(control.label, BUTTON)
    if isinstance(control, Link):
        return {"type": "button", "text": label, "action_id": "open", "url": control.url}
    style = {"style": "primary"} if control.is_primary else {}
    return {"type": "button", "text": label, "action_id": control.action, **style}


def metadata(ids: Ids) -> dict[str, Any]:
    """What Slack keeps with a message, so that it can be found again. Ids only: the workspace can read it."""
    return {"event_type": EVENT_TYPE, "event_payload": {"outbox": ids.outbox, "incident": ids.incident}}


def plain(text: str, most: int) -> dict[str, Any]:
    """A plain-text element: no markup, no mentions, no emoji names."""
    # Slack refuses an element without text.
    return {"type": "plain_text", "text": escaped(text, most) or " ", "emoji": False}


def fallback(text: str) -> str:
    """Text for the notification. It may be read as markup, so what would format gets a mark that parts it."""
    return MARKUP.sub("\\1\N{WORD JOINER}", escaped(text, FALLBACK))


def escaped(text: str, most: int) -> str:
    """Text with & < > as Slack wants them, at most that long once escaped, without control characters."""
    done, length = list[str](), 0
    for letter in CONTROL.sub(" ", text):
        # Letter by letter: a cut through the whole text could leave half of an escape.
        safe = ESCAPES.get(letter, letter)
        length += len(safe)
        if length > most - 1:
            return "".join(done) + "\N{HORIZONTAL ELLIPSIS}"
        done.append(safe)
    return "".join(done)


def form(name: str, press: Interaction, incident: Incident, people: Sequence[Person]) -> dict[str, Any]:
    """The form that opens at a press. `people` are offered as far as they may see the incident.

    Args:
        name: resolve, reassign, snooze or action.
        press: what opens it.
        incident: what it is about.
        people: everybody.
    """
    offered = [person for person in people if may_read(person, incident)][:LISTED]
    effect = {"type": "plain_text_input", "action_id": "effect", "placeholder": plain("-5%", HINT)}
    title, send, blocks = {
        "resolve": ("Close", "Close", [_text("note", "What was found or done?")]),
        "reassign": ("Reassign", "Reassign", [_choice("to", "New owner", _people(offered), None)]),
        "snooze": ("Snooze", "Snooze", [_choice("until", "For how long?", SNOOZES, None)]),
        "action": (
            "Record an action",
            "Record",
            [
                _text("what", "What will be done?"),
                _choice(
                    "who", "Owner", _people(offered), next((p.name for p in offered if p.slack == press.user), None)
                ),
                _input("due", "By when?", {"type": "datepicker", "action_id": "due"}, optional=True),
                _input("effect", "Expected change of the figure", effect, optional=True),
            ],
        ),
    }[name]
    about = {"incident": incident.id, "channel": press.channel, "ts": press.ts}
    return {
        "type": "modal",
        "callback_id": name,
        "private_metadata": json.dumps(about),
        "title": plain(title, TITLE),
        "submit": plain(send, TITLE),
        "close": plain("Cancel", TITLE),
        "blocks": blocks,
    }


def _text(name: str, label: str) -> Block:
    return _input(name, label, {"type": "plain_text_input", "action_id": name, "multiline": True, "max_length": NOTE})


def _people(offered: Sequence[Person]) -> dict[str, str]:
    return {person.name: person.label for person in offered}


def _choice(name: str, label: str, labels: Mapping[str, str], chosen: str | None) -> Block:
    options = _options(labels)
    first = next((option for option in options if option["value"] == chosen), None)
    element: dict[str, Any] = {"type": "static_select", "action_id": name, "options": options}
    return _input(name, label, element | ({"initial_option": first} if first else {}))


def _options(labels: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"text": plain(label, OPTION), "value": value} for value, label in labels.items()]


def _input(name: str, label: str, element: Block, *, optional: bool = False) -> Block:
    return {"type": "input", "block_id": name, "label": plain(label, LABEL), "element": element, "optional": optional}
