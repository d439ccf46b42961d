"""What a press means, as tables of cases: who may do what, what is too late, and how Slack's payloads are read."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from config.models import Person
from queries.review import Timetable
from queries.state import ActionError, HistoryEntry, Incident
from tests.slack.test_card import incident as an_incident
from triggers.incidents import may_read
from triggers.slack.blocks import form
from triggers.slack.interactions import (
    FORMS,
    PLAIN,
    Do,
    Interaction,
    InteractionContext,
    Open,
    Tell,
    decide,
    effect,
    form_errors,
    from_text,
    is_acknowledging,
    key,
    read_interaction,
)

NOW: Final = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)  # a Friday, 16:30 in Berlin
TABLE: Final = Timetable(ZoneInfo("Europe/Berlin"))
ANA: Final = Person(name="ana", label="Ana Ruiz", audience="specialist", slack="U000000100")
BEN: Final = Person(name="ben", label="Ben Okafor", audience="gm", slack="U000000101", verticals=("Lending",))
ID: Final = "0b8f8e3e"
OPENED: Final = HistoryEntry(ID, 1, NOW - timedelta(days=1), "opened", "beyond the limit")


def press(action: str = "acknowledge", **changes: Any) -> Interaction:
    return replace(Interaction("button", "U000000100", action, ID, "C1", "1.0", trigger="t"), **changes)


def incident(**changes: Any) -> Incident:
    return an_incident(**changes)


def seen(**changes: Any) -> InteractionContext:
    made = InteractionContext(ANA, incident(), (OPENED,), frozenset({"C1"}), TABLE, (ANA, BEN), NOW, NOW)
    return replace(made, **changes)


TAKEN: Final = {"acknowledged_at": NOW - timedelta(hours=2), "acknowledged_by": "ben", "assigned_to": "ben"}
OVER: Final = {"state": "resolved", "resolved_at": NOW - timedelta(hours=1)}
RECOVERED: Final = HistoryEntry(ID, 2, NOW - timedelta(hours=1), "resolved", "12%")
CLOSED: Final = HistoryEntry(ID, 2, NOW - timedelta(hours=1), "closed", "part replaced", "ben")


@pytest.mark.parametrize(
    ("done", "by", "decision"),
    [
        (press(), seen(), Do("acknowledge")),
        (press(kind="reaction"), seen(), Do("acknowledge")),
        (
            press("snooze", choice="1h"),
            seen(),
            Do("snooze", NOW + timedelta(hours=1), words="until 20 November 2026, 17:30 CET"),
        ),
        (
            press("snooze", choice="tomorrow"),
            seen(),
            Do("snooze", datetime(2026, 11, 21, 8, tzinfo=UTC), words="until 21 November 2026, 09:00 CET"),
        ),
        (
            press("snooze", choice="business"),  # over the weekend
            seen(),
            Do("snooze", datetime(2026, 11, 23, 8, tzinfo=UTC), words="until 23 November 2026, 09:00 CET"),
        ),
        (press("resolve"), seen(), Open("resolve")),
        (press("snooze"), seen(), Open("snooze")),
        (
            press("snooze", kind="form", fields={"until": "1h"}),
            seen(),
            Do("snooze", NOW + timedelta(hours=1), words="until 20 November 2026, 17:30 CET"),
        ),
        (press("reassign"), seen(), Open("reassign")),
        (press("action"), seen(), Open("action")),
        (press("action"), seen(incident=incident(**OVER)), Open("action")),  # also afterwards
        (press("useful"), seen(), Do("useful")),
        (press("noise"), seen(incident=incident(**OVER)), Do("noise")),
        (press("resolve", kind="form", fields={"note": "part replaced"}), seen(), Do("resolve", words="part replaced")),
        (press("reassign", kind="form", fields={"to": "ana"}), seen(), Do("reassign", to="ana", words="to Ana Ruiz")),
        (press("action", kind="form", fields={"what": "x"}), seen(), Do("action")),
    ],
)
def test_what_changes(done: Interaction, by: InteractionContext, decision: object) -> None:
    assert decide(done, by) == decision


@pytest.mark.parametrize("action", sorted(PLAIN))
@pytest.mark.parametrize("kind", ["button", "form", "reaction"])
@pytest.mark.parametrize("channel", ["C1", "C2"])
def test_whoever_may_not_read_it_hears_nothing_of_it(action: str, kind: Any, channel: str) -> None:
    """Whatever they press or send, forged or left open from when they could, and whatever has become of it."""
    secret: dict[str, Any] = {"touchpoint": "repair", "slice": "vertical=Retail|touchpoint=repair"}
    for state in ({}, TAKEN, OVER):
        done = press(action, kind=kind, channel=channel, choice="1h", fields={"to": "ana", "note": "x", "what": "x"})
        about = seen(person=BEN, incident=replace(incident(**state), **secret), entries=(OPENED, CLOSED))
        assert decide(done, about) == Tell("This incident is outside what you may see, so nothing was changed.")


@pytest.mark.parametrize(
    ("done", "by", "told"),
    [
        (
            press(user="U000000199"),
            seen(person=None),
            "does not know you, so nothing was changed. Your member id is U000",
        ),
        (press("useful"), seen(person=None), "does not know you"),
        (press(), seen(incident=None), "does not know this incident any more"),
        (press(), seen(person=BEN), "outside what you may see"),  # Retail, and he has Lending
        (press("noise"), seen(person=BEN), "outside what you may see"),
        (press(), seen(channels=frozenset({"C2"})), "not the incident's own message"),  # a copy elsewhere
        (press("reassign", kind="form", fields={"to": "ben"}), seen(), "Ben Okafor may not see this incident"),
        (press("reassign", kind="form", fields={"to": "carl"}), seen(), "does not know that person any more"),
        (
            press("reassign", kind="form", fields={"to": "ana"}),
            seen(incident=incident(assigned_to="ana")),
            "waits for Ana",
        ),
        (press("snooze", choice="never"), seen(), "does not know that time"),
        # What came too late says what happened since.
        (
            press(),
            seen(incident=incident(**TAKEN)),
            "Nothing was changed: Ben Okafor acknowledged it, 20 November 2026, 14:30 CET.",
        ),
        (
            press(),
            seen(incident=incident(**{**TAKEN, "acknowledged_by": "ana"})),
            "Nothing was changed: you acknowledged it",
        ),
        (
            press(),
            seen(incident=incident(**OVER), entries=(OPENED, RECOVERED)),
            "it recovered, 20 November 2026, 15:30 CET.",
        ),
        (
            press("snooze", choice="1h"),
            seen(incident=incident(**{**OVER, "state": "closed"}), entries=(OPENED, CLOSED)),
            "Nothing was changed: Ben Okafor closed it, 20 November 2026, 15:30 CET: part replaced.",
        ),
        (
            press("snooze", choice="1h"),  # twice
            seen(incident=incident(snoozed_until=NOW + timedelta(hours=1), assigned_to="ana")),
            "Nothing was changed: Ana Ruiz snoozed it until 20 November 2026, 17:30 CET.",
        ),
        (press("resolve"), seen(arrived_at=NOW - timedelta(minutes=5)), "That took too long; press the button again."),
        (press("resolve", kind="form"), seen(incident=incident(**OVER), entries=(OPENED, RECOVERED)), "it recovered"),
    ],
)
def test_what_changes_nothing_is_explained(done: Interaction, by: InteractionContext, told: str) -> None:
    decision = decide(done, by)
    assert isinstance(decision, Tell)
    assert told in decision.said


@pytest.mark.parametrize(
    ("limits", "about", "may"),
    [
        ({}, {}, True),
        ({"verticals": ("Retail",)}, {}, True),
        ({"verticals": ("Lending",)}, {}, False),
        ({"verticals": ("Retail",)}, {"vertical": None}, False),  # the whole company is more than Retail
        ({"touchpoints": ("visit",)}, {"touchpoint": "visit"}, True),
        ({"touchpoints": ("visit",)}, {"touchpoint": "call"}, False),
        ({"accounts": ("A1",)}, {"account_id": "A1"}, True),
        ({"accounts": ("A1",)}, {"account_id": "A2"}, False),
    ],
)
def test_who_may_see_what(limits: dict[str, Any], about: dict[str, Any], *, may: bool) -> None:
    assert may_read(ANA.model_copy(update=limits), incident(**about)) is may


def block_actions(action: dict[str, Any]) -> dict[str, Any]:
    """As Slack sends it, with what must not be kept."""
    return {
        "type": "block_actions",
        "token": "verification",
        "trigger_id": "12.34.abc",
        "user": {"id": "U000000100", "name": "ana"},
        "container": {"type": "message", "message_ts": "1.0", "channel_id": "C1"},
        "channel": {"id": "C1", "name": "service-quality"},
        "message": {"text": "Ashgrove Bank"},
        "response_url": "https://hooks.slack.com/actions/secret",
        "actions": [action],
    }


def submission(callback: str, values: dict[str, Any]) -> dict[str, Any]:
    about = json.dumps({"incident": ID, "channel": "C1", "ts": "1.0"})
    state = {"values": {name: {name: value} for name, value in values.items()}}
    view = {"id": "V1", "callback_id": callback, "private_metadata": about, "state": state}
    return {"type": "view_submission", "user": {"id": "U000000100"}, "view": view, "trigger_id": "9"}


def test_a_button_is_read_without_what_need_not_be_kept() -> None:
    found = read_interaction(
        "interactive", block_actions({"action_id": "acknowledge", "block_id": f"do|{ID}", "type": "button"})
    )
    assert found == press(trigger="12.34.abc")
    assert found is not None
    assert not {"Ashgrove", "verification", "hooks.slack.com"} & set(found.text().split('"'))
    assert from_text(found.text()) == found


def test_a_list_and_a_form_are_read() -> None:
    option = {"selected_option": {"value": "tomorrow"}, "action_id": "snooze", "block_id": f"do|{ID}"}
    chosen = read_interaction("interactive", block_actions(option))
    assert chosen is not None
    assert (chosen.action, chosen.choice) == ("snooze", "tomorrow")
    values = {
        "what": {"value": " train them "},
        "who": {"selected_option": {"value": "ben"}},
        "due": {"selected_date": "2026-12-24"},
        "effect": {"value": None},
    }
    sent = read_interaction("interactive", submission("action", values))
    assert sent is not None
    assert (sent.kind, sent.incident, sent.channel) == ("form", ID, "C1")
    assert sent.fields == {"what": "train them", "who": "ben", "due": "2026-12-24", "effect": ""}


@pytest.mark.parametrize(
    ("type_", "payload"),
    [
        ("interactive", block_actions({"action_id": "open", "block_id": f"say|{ID}"})),  # the link
        ("interactive", block_actions({"action_id": "acknowledge", "block_id": "other|x"})),  # another app's idea
        ("interactive", submission("unknown", {})),
        ("interactive", {"type": "view_closed"}),
        ("interactive", {}),
        ("slash_commands", {"command": "/earshot"}),
        ("events_api", {"event": {"type": "message", "text": "hello"}}),
        ("events_api", {"event": {"type": "reaction_added", "reaction": "tada", "item": {"type": "message"}}}),
        ("events_api", {"event": {"type": "reaction_removed", "reaction": "eyes", "item": {"type": "message"}}}),
        ("events_api", {"event": {"type": "reaction_added", "reaction": "eyes", "item": {"type": "file"}}}),
    ],
)
def test_what_is_nobodys_business(type_: str, payload: dict[str, Any]) -> None:
    assert read_interaction(type_, payload) is None


def test_a_reaction_knows_its_message_only() -> None:
    item = {"type": "message", "channel": "C1", "ts": "1.0"}
    event = {"type": "reaction_added", "reaction": "eyes", "user": "U000000100", "item": item}
    assert read_interaction("events_api", {"event": event}) == Interaction(
        "reaction", "U000000100", "acknowledge", "", "C1", "1.0"
    )


@pytest.mark.parametrize(
    ("name", "is_taking"),
    [("eyes", True), ("white_check_mark", True), ("eyes::skin-tone-2", True), ("tada", False), ("x", False)],
)
def test_which_reactions_take_on(name: str, *, is_taking: bool) -> None:
    assert is_acknowledging(name) is is_taking


@pytest.mark.parametrize(
    ("type_", "envelope", "payload", "known"),
    [
        ("interactive", "e1", {"type": "block_actions", "trigger_id": "12.3"}, "interactive|12.3"),
        ("interactive", "e2", {"type": "block_actions", "trigger_id": "12.3"}, "interactive|12.3"),  # sent twice
        ("interactive", "e3", submission("resolve", {}), "view|V1"),  # one form is sent once
        ("events_api", "e4", {"event_id": "Ev1"}, "events_api|Ev1"),  # Slack sends events again
        ("events_api", "e5", {}, "events_api|e5"),
    ],
)
def test_what_stays_the_same_when_it_comes_again(
    type_: str, envelope: str, payload: dict[str, Any], known: str
) -> None:
    assert key(type_, envelope, payload) == known


@pytest.mark.parametrize(
    ("action", "fields", "wrong"),
    [
        ("resolve", {"note": "replaced"}, {}),
        ("resolve", {"note": ""}, {"note"}),
        ("reassign", {"to": ""}, {"to"}),
        ("snooze", {"until": ""}, {"until"}),
        ("action", {"what": "train them", "due": "", "effect": ""}, {}),
        ("action", {"what": "", "due": "2026-11-19", "effect": "a lot"}, {"what", "due", "effect"}),
        ("action", {"what": "x", "due": "2026-11-20", "effect": "-5%"}, {}),
    ],
)
def test_what_is_wrong_in_a_form(action: str, fields: dict[str, str], wrong: set[str]) -> None:
    assert set(form_errors(press(action, kind="form", fields=fields), date(2026, 11, 20))) == set(wrong)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-5%", -0.05),
        ("\N{MINUS SIGN}0,05", -0.05),
        ("3", 3.0),
        ("+2.5 %", 0.025),
        ("", None),
    ],
)
def test_an_expected_effect(text: str, value: float | None) -> None:
    assert effect(press(fields={"effect": text})) == (pytest.approx(value) if value is not None else None)


@pytest.mark.parametrize("text", ["a lot", "inf", "nan%"])
def test_what_is_no_number_is_no_effect(text: str) -> None:
    """The form says so; what came past it is not recorded as if nothing had been written."""
    with pytest.raises(ActionError):
        effect(press(fields={"effect": text}))


@pytest.mark.parametrize("name", sorted(FORMS))
def test_forms_stay_inside_slacks_limits_and_offer_who_may_see_it(name: str) -> None:
    crowd = [ANA.model_copy(update={"name": f"p{i}", "label": f"Person & <{i}> " + "x" * 90}) for i in range(150)]
    view = form(name, press(), incident(), (ANA, BEN, *crowd))
    assert len(view["title"]["text"]) <= 24
    assert view["callback_id"] == name
    assert json.loads(view["private_metadata"]) == {"incident": ID, "channel": "C1", "ts": "1.0"}
    assert len(view["private_metadata"]) <= 3000
    for block in view["blocks"]:
        options = block["element"].get("options", ())
        assert len(options) <= 100
        assert all(len(option["text"]["text"]) <= 75 for option in options)
        assert "ben" not in [option["value"] for option in options]
        assert block["block_id"] == block["element"]["action_id"]


def test_the_presser_is_offered_first_as_who_sees_to_it() -> None:
    who = next(b for b in form("action", press(), incident(), (BEN, ANA))["blocks"] if b["block_id"] == "who")
    assert who["element"]["initial_option"]["value"] == "ana"
