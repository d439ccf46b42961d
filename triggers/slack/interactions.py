"""What it means that somebody pressed a button, sent a form or left a reaction in Slack. Pure.

Whoever is not among the configured people, or may not see the incident, changes nothing and is told so. What was
pressed twice or too late changes nothing either: it is answered with what happened since.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from config.models import Person, called
from queries.metrics import moment_words
from queries.review import Timetable
from queries.state import ActionError, HistoryEntry, Incident, parse_effect
from triggers.incidents import may_read

ACKNOWLEDGING: Final = frozenset({"eyes", "white_check_mark", "heavy_check_mark", "ballot_box_with_check"})
"""The reactions by which an incident is taken on, by Slack's names without a skin tone."""

FORMS: Final = frozenset({"resolve", "reassign", "snooze", "action"})
VOTES: Final = frozenset({"useful", "noise"})
PLAIN: Final = frozenset({"acknowledge", *FORMS, *VOTES})
MENU: Final = "more"
"""The overflow menu: what was chosen in it means what a button of that name does."""
SNOOZES: Final = {"1h": "For an hour", "tomorrow": "Until tomorrow 9:00", "business": "Until the next business day"}
OPENABLE: Final = timedelta(seconds=2.5)
"""How long after a press Slack lets a form be opened: 3 seconds, less the way there."""

THANKS: Final = {
    "acknowledge": "Acknowledged: it is yours, and escalation stops. The message above will be updated.",
    "snooze": "Snoozed {words}. If it is still open then, it must be acknowledged again.",
    "reassign": "Reassigned {words}. The message above will be updated.",
    "resolve": "Closed. The message above will be updated.",
    "useful": "Thank you. Marked as useful.",
    "noise": "Thank you. Marked as noise; the rule's owner sees how often that happens.",
    "action": "Recorded. The message above will show it, and so will the monthly review.",
}

Kind = Literal["button", "form", "reaction"]


@dataclass(frozen=True, slots=True)
class Interaction:
    """What somebody did.

    Args:
        user: their Slack member id.
        action: acknowledge, snooze, resolve, reassign, action, useful or noise.
        incident: its id; empty for a reaction, which only knows the message's place.
        channel: of the message that it was done to, as is `ts`.
        choice: what was chosen of a list beside the buttons, as older messages have one.
        fields: what was written into a form.
        trigger: by which Slack lets a form be opened.
    """

    kind: Kind
    user: str
    action: str
    incident: str
    channel: str
    ts: str
    choice: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    trigger: str = ""

    def text(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self), sort_keys=True)


def from_text(text: str) -> Interaction:
    """As it was stored. Raises ValueError or TypeError where another version wrote it."""
    return Interaction(**json.loads(text))


def read_interaction(type_: str, payload: Mapping[str, Any]) -> Interaction | None:
    """What a Socket Mode request says; None for what is nobody's business here, such as the button that is a link."""
    if type_ == "events_api":
        event = payload.get("event") or {}
        item = event.get("item") or {}
        is_about_message = event.get("type") == "reaction_added" and item.get("type") == "message"
        if not is_about_message or not is_acknowledging(event.get("reaction")):
            return None
        return Interaction("reaction", str(event["user"]), "acknowledge", "", str(item["channel"]), str(item["ts"]))
    if type_ == "interactive" and payload.get("type") == "block_actions":
        return _button(payload)
    if type_ == "interactive" and payload.get("type") == "view_submission":
        return _form(payload)
    return None


def key(type_: str, envelope: str, payload: Mapping[str, Any]) -> str:
    """What stays the same when Slack sends the same thing again."""
    view = payload.get("view") or {}
    if payload.get("type") == "view_submission" and view.get("id"):
        return f"view|{view['id']}"
    return f"{type_}|{payload.get('event_id') or payload.get('trigger_id') or envelope}"


def _button(payload: Mapping[str, Any]) -> Interaction | None:
    action: Mapping[str, Any] = next(iter(payload.get("actions") or ()), {})
    mark, _, incident = str(action.get("block_id") or "").partition("|")
    choice = str((action.get("selected_option") or {}).get("value") or "")
    name = str(action.get("action_id"))
    if name == MENU:
        name, choice = choice, ""
    # Messages of before had a second row of buttons, with a mark of its own; they still stand in channels.
    if mark not in ("do", "say") or not incident or name not in PLAIN:
        return None
    place = payload.get("container") or {}
    channel = str(place.get("channel_id") or (payload.get("channel") or {}).get("id") or "")
    user, trigger = str(payload["user"]["id"]), str(payload.get("trigger_id") or "")
    return Interaction("button", user, name, incident, channel, str(place.get("message_ts") or ""), choice, {}, trigger)


def _form(payload: Mapping[str, Any]) -> Interaction | None:
    view = payload.get("view") or {}
    if view.get("callback_id") not in FORMS:
        return None
    about = json.loads(view.get("private_metadata") or "{}")
    values = (view.get("state") or {}).get("values") or {}
    fields = dict[str, str]()
    for name, inputs in values.items():
        element: Mapping[str, Any] = next(iter(inputs.values()), {})
        chosen = (element.get("selected_option") or {}).get("value")
        fields[name] = str(element.get("value") or chosen or element.get("selected_date") or "").strip()
    place = (str(about.get("incident", "")), str(about.get("channel", "")), str(about.get("ts", "")))
    return Interaction("form", str(payload["user"]["id"]), str(view["callback_id"]), *place, fields=fields)


def is_acknowledging(reaction: Any) -> bool:
    """Whether a reaction of that name takes an incident on, in any skin tone."""
    return str(reaction).partition("::")[0] in ACKNOWLEDGING


@dataclass(frozen=True, slots=True)
class InteractionContext:
    """What a press is judged by.

    Args:
        person: who the presser is; None for somebody whom the configuration does not know.
        incident: what was pressed at; None where there is none.
        entries: its history.
        channels: where its messages stand.
        table: its route's business time.
        people: everybody.
        arrived_at: when Slack sent it.
        now: aware UTC.
    """

    person: Person | None
    incident: Incident | None
    entries: Sequence[HistoryEntry]
    channels: frozenset[str]
    table: Timetable
    people: Sequence[Person]
    arrived_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Do:
    """Something changes.

    Args:
        what: as `Press.action`.
        until: of a snooze.
        to: the name of the person whom it is handed to.
        words: the reason that the history gives.
    """

    what: str
    until: datetime | None = None
    to: str = ""
    words: str = ""

    @property
    def said(self) -> str:
        """What the presser is told, at once: the incident's message follows with the next round of deliveries."""
        return THANKS[self.what].format(words=self.words)

    @property
    def outcome(self) -> str:
        """As it is kept: ids and counts only."""
        return f"done: {self.what}"


@dataclass(frozen=True, slots=True)
class Open:
    """A form is opened, and speaks for itself."""

    form: str
    said = ""

    @property
    def outcome(self) -> str:
        """As it is kept."""
        return f"opened: {self.form}"


@dataclass(frozen=True, slots=True)
class Tell:
    """Nothing changes; the presser is told why."""

    said: str
    outcome = "refused"


Decision = Do | Open | Tell


def decide(press: Interaction, seen: InteractionContext) -> Decision:
    """What a press does."""
    if seen.person is None:
        return Tell(
            f"Earshot does not know you, so nothing was changed. Your member id is {press.user}: whoever keeps"
            " config/routing.toml can add it."
        )
    if seen.incident is None:
        return Tell("Earshot does not know this incident any more; nothing was changed.")
    if not may_read(seen.person, seen.incident):
        return Tell("This incident is outside what you may see, so nothing was changed.")
    if press.channel not in seen.channels:
        return Tell("This is not the incident's own message; nothing was changed. Press the one in its channel.")
    return _allowed(press, seen, seen.person, seen.incident)


def _allowed(press: Interaction, seen: InteractionContext, person: Person, incident: Incident) -> Decision:
    if press.action not in ("action", *VOTES) and not incident.is_open:
        return Tell(f"Nothing was changed: {status_sentence(incident, seen)}")
    if press.kind == "button" and press.action in FORMS and not press.choice:
        is_late = seen.now - seen.arrived_at > OPENABLE
        return Tell("That took too long; press the button again.") if is_late else Open(press.action)
    if press.action == "snooze":
        return _snooze(press, seen, person, incident)
    if press.action == "reassign":
        return _reassign(press, seen, incident)
    if press.action == "acknowledge" and incident.acknowledged_at:
        return Tell(f"Nothing was changed: {status_sentence(incident, seen)}")
    return Do(press.action, words=press.fields.get("note", ""))


def _snooze(press: Interaction, seen: InteractionContext, person: Person, incident: Incident) -> Decision:
    until = snoozed_until(press.choice or press.fields.get("until", ""), seen.table, seen.now)
    if until is None:
        return Tell("Earshot does not know that time; nothing was changed.")
    if incident.snoozed_until == until and incident.assigned_to == person.name:
        return Tell(f"Nothing was changed: {status_sentence(incident, seen)}")
    return Do("snooze", until=until, words=f"until {local_time(until, seen)}")


def _reassign(press: Interaction, seen: InteractionContext, incident: Incident) -> Decision:
    to = next((person for person in seen.people if person.name == press.fields.get("to")), None)
    if to is None:
        return Tell("Earshot does not know that person any more; nothing was changed.")
    if not may_read(to, incident):
        return Tell(f"Nothing was changed: {called(to.name, seen.people)} may not see this incident.")
    if incident.assigned_to == to.name and not incident.acknowledged_at:
        return Tell(f"Nothing was changed: it waits for {called(to.name, seen.people)} already.")
    return Do("reassign", to=to.name, words=f"to {called(to.name, seen.people)}")


def snoozed_until(choice: str, table: Timetable, now: datetime) -> datetime | None:
    """When a snooze ends: in an hour, tomorrow at 9:00 in the route's zone, or when its next business day begins."""
    if choice == "1h":
        return (now + timedelta(hours=1)).replace(microsecond=0)
    if choice == "tomorrow":
        return table.tomorrow_morning(now)
    return table.next_business_morning(now) if choice == "business" else None


def status_sentence(incident: Incident, seen: InteractionContext) -> str:
    """How things stand with an incident, in one sentence."""
    if incident.acknowledged_at and incident.is_open:
        who = "you" if seen.person and incident.acknowledged_by == seen.person.name else None
        name = who or called(incident.acknowledged_by, seen.people)
        return f"{name} acknowledged it, {local_time(incident.acknowledged_at, seen)}."
    if incident.snoozed_until and incident.is_open:
        by = called(incident.assigned_to, seen.people)
        return f"{by} snoozed it until {local_time(incident.snoozed_until, seen)}."
    last = next((entry for entry in reversed(seen.entries) if entry.kind in ("resolved", "closed")), None)
    if incident.is_open or last is None:
        return "it is open and unassigned."
    if last.kind == "resolved":
        return f"it recovered, {local_time(last.at, seen)}."
    by = f"{called(last.author, seen.people)} closed it" if last.author else "it was closed"
    return f"{by}, {local_time(last.at, seen)}: {last.reason}."


def local_time(at: datetime, seen: InteractionContext) -> str:
    """An instant on the route's clocks."""
    return moment_words(at, seen.table.zone)


def presser(people: Sequence[Person], member: str) -> Person | None:
    """Who has a Slack member id."""
    return next((person for person in people if person.slack == member), None)


def form_errors(press: Interaction, today: date) -> dict[str, str]:
    """What is wrong in a form, by field; Slack shows it there and keeps the form open."""
    if press.kind != "form" or press.action != "action":
        return {name: "Required." for name in ("note", "to", "until") if press.fields.get(name) == ""}
    errors = {} if press.fields.get("what") else {"what": "Say what will be done."}
    due = due_on(press)
    if due is not None and due < today:
        errors["due"] = "Choose today or a later day."
    try:
        effect(press)
    except ActionError:
        errors["effect"] = "Write a number such as -0.05 or -5%."
    return errors


def due_on(press: Interaction) -> date | None:
    """By when, of a form that records an action."""
    return date.fromisoformat(press.fields["due"]) if press.fields.get("due") else None


def effect(press: Interaction) -> float | None:
    """The expected change in the metric's unit, of a form that records an action: `-5%` is -0.05."""
    return parse_effect(press.fields.get("effect", ""))
