"""The forms that Slack opens at a press: how it was resolved, whom it is handed to, what is undertaken. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from config.models import Person
from queries.state import Incident
from triggers.incidents.access import may_read
from triggers.slack.blocks import plain
from triggers.slack.interactions import Interaction

TITLE, LABEL, HINT, CHOICE, LISTED = 24, 2000, 150, 75, 100
"""Slack's longest texts, and its longest list."""
NOTE: Final = 500

Block = Mapping[str, Any]


def form(name: str, press: Interaction, incident: Incident, people: Sequence[Person]) -> dict[str, Any]:
    """A form about the incident that was pressed at. `people` are offered as far as they may see it."""
    offered = [person for person in people if may_read(person, incident)][:LISTED]
    title, send, blocks = {
        "resolve": ("Resolve", "Resolve", [_text("note", "What was found or done?", NOTE)]),
        "reassign": ("Reassign", "Reassign", [_choice("to", "Who takes it on?", offered, None)]),
        "action": ("Record an action", "Record", _action(press, offered)),
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


def _action(press: Interaction, offered: Sequence[Person]) -> list[Block]:
    effect = {"type": "plain_text_input", "action_id": "effect", "placeholder": plain("-5%", HINT)}
    return [
        _text("what", "What is done?", NOTE),
        _choice("who", "Who sees to it?", offered, press.user),
        _input("due", "By when?", {"type": "datepicker", "action_id": "due"}, optional=True),
        _input("effect", "Expected change of the figure", effect, optional=True),
    ]


def _text(name: str, label: str, most: int) -> Block:
    return _input(name, label, {"type": "plain_text_input", "action_id": name, "multiline": True, "max_length": most})


def _choice(name: str, label: str, offered: Sequence[Person], chosen: str | None) -> Block:
    options = [{"text": plain(person.label, CHOICE), "value": person.name} for person in offered]
    first = next((o for o, p in zip(options, offered, strict=True) if p.slack and p.slack == chosen), None)
    element: dict[str, Any] = {"type": "static_select", "action_id": name, "options": options}
    return _input(name, label, element | ({"initial_option": first} if first else {}))


def _input(name: str, label: str, element: Block, *, optional: bool = False) -> Block:
    return {"type": "input", "block_id": name, "label": plain(label, LABEL), "element": element, "optional": optional}
