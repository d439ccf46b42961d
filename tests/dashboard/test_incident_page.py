"""The incident page says how an incident stands, and what happened, in the words and on the clocks that Slack uses."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from markupsafe import escape

import triggers
from config.models import DATA_FAULT, Person
from dashboard.incident.markup import Terms, history_section, incident_title, incident_where, state, what_to_do
from queries.review.incident_page import IncidentPage
from queries.state import HistoryEntry
from tests.slack.test_card import incident
from tests.support.company import catalog, rule
from triggers.messages.card import NEWS

TERMS: Final = Terms((Person(name="ana", label="Ana Ruiz", audience="specialist"),), ZoneInfo("Europe/Berlin"))
LATE: Final = datetime(2026, 7, 31, 22, 30, tzinfo=UTC)
"""Half past midnight on the first of August in Berlin."""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "open, nobody has it"),
        ({"assigned_to": "ana"}, "open, waits for Ana Ruiz"),
        ({"acknowledged_at": LATE, "acknowledged_by": "ana", "assigned_to": "ana"}, "open, taken on by Ana Ruiz"),
        ({"acknowledged_at": LATE, "acknowledged_by": "ben"}, "open, taken on by ben"),  # somebody of long ago
        ({"snoozed_until": LATE, "assigned_to": "ana"}, "open, put off by Ana Ruiz until 1 August 2026, 00:30 CEST"),
        (
            {"snoozed_until": LATE, "assigned_to": "ana", "acknowledged_at": LATE, "acknowledged_by": "ben"},
            "open, put off by Ana Ruiz until 1 August 2026, 00:30 CEST",
        ),
        ({"state": "resolved", "resolved_at": LATE}, "resolved on 1 August 2026"),
        ({"state": "closed", "resolved_at": LATE}, "closed on 1 August 2026"),
    ],
)
def test_how_an_incident_stands(changes: dict[str, Any], words: str) -> None:
    assert state(incident(**changes), TERMS) == words


@pytest.mark.parametrize(
    ("changes", "what", "place"),
    [
        ({}, "Journeys with a defect", "Retail"),
        (
            {"rule": DATA_FAULT, "slice": "sampling-change|response|vertical=Retail|2026-06-29", "vertical": "Retail"},
            "The data deceives: sampling change",
            "Retail",
        ),
        (
            {"rule": DATA_FAULT, "slice": "duplicated-rows|contact||2026-06-29", "vertical": None},
            "The data deceives: duplicated rows",
            "All verticals",
        ),
        (
            {"slice": "response=s/N1", "vertical": "Retail", "touchpoint": "visit"},
            "Journeys with a defect",
            "Retail, visit",
        ),
    ],
)
def test_what_it_is_about_and_where(changes: dict[str, Any], what: str, place: str) -> None:
    """A case, and a fault of the data, have a key that nobody wants to read."""
    case: dict[str, Any] = {"n": 1, "value": None, "class_": "data"} if changes else {}
    found = incident(**case, **changes)
    known = None if found.rule == DATA_FAULT else rule()
    assert (incident_title(found, known), incident_where(found, None)) == (what, place)


@pytest.mark.parametrize(
    ("changes", "has_rule", "is_fault"),
    [
        ({"rule": DATA_FAULT, "class_": "data"}, False, True),
        ({"class_": "data"}, True, True),  # a breach that the data explains
        ({}, True, False),
    ],
)
def test_a_fault_says_what_was_seen_and_what_to_do(changes: dict[str, Any], has_rule: bool, is_fault: bool) -> None:  # noqa: FBT001
    entry = HistoryEntry("i", 1, LATE, "opened", "rows came twice", None)
    guard, own = catalog().guard, rule() if has_rule else None
    said = what_to_do(IncidentPage(incident(**changes), own, None, (entry,), ()), guard)
    assert ("What was seen" in said, "Rows came twice." in said) == (is_fault, is_fault)
    assert (guard.runbook in said, rule().runbook in said) == (is_fault, not is_fault)


def test_what_happened_is_called_as_in_slack() -> None:
    page = history_section(
        [HistoryEntry("i", n, LATE, kind, "as it was put", "ana") for n, kind in enumerate(NEWS, 1)], TERMS
    )
    for word in NEWS.values():
        assert f"</span> {escape(word)}: as it was put <span class=e-muted>(Ana Ruiz)</span>" in page
    assert "1 August 2026, 00:30 CEST" in page


def test_every_kind_of_entry_has_a_word() -> None:
    """The kinds as the code writes them."""
    folder = Path(triggers.__path__[0])
    code = "\n".join(
        (folder / name).read_text("utf-8")
        for name in ("incidents/ledger.py", "incidents/escalation.py", "incidents/actions.py")
    )
    written = set(re.findall(r'(?:_change\(\w+(?:\.\w+)?, (?:\w+, )?|EscalationStep\(|kind=)"([a-z]+)"', code))
    assert {"snoozed", "woken", "lapsed", "reassigned", "digested", "skipped", "closed"} <= written
    assert written <= set(NEWS)
