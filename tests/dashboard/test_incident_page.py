"""The incident page says how an incident stands, and what happened, in the words and on the clocks that Slack uses."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from markupsafe import escape
from statsmodels.stats.proportion import confint_proportions_2indep

import triggers
from config.models import DATA_FAULT, Against, GapRule, Person, QuietRule
from dashboard.incident.markup import (
    Terms,
    history_section,
    incident_title,
    incident_where,
    state,
    what_to_do,
)
from queries.messages import PostedMessage, outbox, refresh_measured
from queries.monitoring.evidence import Question, traits
from queries.review import IncidentPage, newest_sample, read_window, reading_words, readings_of
from queries.state import HistoryEntry, TickRecord, write
from queries.warehouse import EVERYTHING, Scope, tables
from tests.evaluation.test_kinds import WRITTEN
from tests.slack.test_card import card, incident
from tests.support.company import METRIC, Week, catalog, rows_of, rule, warehouse
from tests.support.states import NewState
from triggers.messages.card import NEWS, headline

TERMS: Final = Terms((Person(name="ana", label="Ana Ruiz", audience="specialist"),), ZoneInfo("Europe/Berlin"))
LATE: Final = datetime(2026, 7, 31, 22, 30, tzinfo=UTC)
"""Half past midnight on the first of August in Berlin."""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "open, unassigned"),
        ({"assigned_to": "ana"}, "open, waiting for Ana Ruiz"),
        ({"acknowledged_at": LATE, "acknowledged_by": "ana", "assigned_to": "ana"}, "open, acknowledged by Ana Ruiz"),
        ({"acknowledged_at": LATE, "acknowledged_by": "ben"}, "open, acknowledged by ben"),  # somebody of long ago
        ({"snoozed_until": LATE, "assigned_to": "ana"}, "open, snoozed by Ana Ruiz until 1 August 2026, 00:30 CEST"),
        (
            {"snoozed_until": LATE, "assigned_to": "ana", "acknowledged_at": LATE, "acknowledged_by": "ben"},
            "open, snoozed by Ana Ruiz until 1 August 2026, 00:30 CEST",
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
            "Data fault: sampling change",
            "Retail",
        ),
        (
            {"rule": DATA_FAULT, "slice": "duplicated-rows|contact||2026-06-29", "vertical": None},
            "Data fault: duplicated rows",
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


def test_what_the_bad_cases_have_in_common(tmp_path: Path) -> None:
    """Defect codes, teams, products: the commonest first, of the bad ones alone, as far as the reader may see."""
    rows = {**rows_of([Week(date(2026, 1, 5), 12, 8), Week(date(2026, 1, 5), 5, 5, vertical="Energy")])}
    for number, defect in enumerate(rows[tables.defect]):
        defect["code"] = "seal" if number % 4 else "late"
    contacts, journeys = list[dict[str, Any]](), rows[tables.journey]
    for number, journey in enumerate(journeys):
        journey["product"] = "cards" if number < 3 else None
        at = {
            name: journey[name] for name in ("source", "account_id", "vertical", "first_loaded_at", "loaded_at", "day")
        }
        about = {
            "journey_id": journey["id"],
            "touchpoint": "visit",
            "direction": "out",
            "occurred_at": journey["ended_at"],
        }
        # Two contacts of one team count once; the good journeys' team has no part in it.
        team = "North" if number < 8 else "South"
        contacts += [{**at, **about, "id": f"{number}-{part}", "team": team} for part in "ab"]
    rows[tables.contact] = contacts
    with warehouse(tmp_path, catalog(rule()), rows) as made, made.pin() as pin:
        asked = Question(METRIC, date(2026, 1, 1), date(2026, 2, 1), by=(("vertical", "Retail"),))
        found = traits(pin.conn, asked, EVERYTHING, LATE)
        assert tuple(map(str, found)) == (
            "Journey: installation 8",
            "Product: unknown 5, cards 3",
            "Defect code: seal 6, late 2",
            "Team: North 8",
        )
        nobody = Scope(role="gm", verticals=frozenset({"Energy"}))
        assert traits(pin.conn, asked, nobody, LATE) == ()


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


def reading(value: float, bad: float, until: str = "2026-02-16") -> dict[str, Any]:
    return {
        "value": value,
        "low": value - 0.05,
        "high": value + 0.05,
        "bad": bad,
        "until": until,
        "since": "2026-01-19",
    }


def history(*samples: dict[str, Any] | None) -> list[HistoryEntry]:
    return [HistoryEntry("i", n, LATE, "worsened", "r", None, 1, sample) for n, sample in enumerate(samples, 1)]


@pytest.mark.parametrize(
    ("samples", "present", "now", "before"),
    [
        ((0.40,), None, "40%", ""),
        ((0.40, 0.43), 0.31, "31%", "43% at worst, 40% at detection"),
        ((0.43, 0.41), 0.31, "31%", "43% at detection, the worst value"),
        ((0.40, 0.43), None, "43%", "40% at detection"),
        ((0.40,), 0.40, "40%", ""),
    ],
)
def test_the_present_figure_comes_first_then_what_it_was(
    samples: tuple[float, ...], present: float | None, now: str, before: str
) -> None:
    known = readings_of(
        history(*(reading(one, one) for one in samples), None), reading(present, 0) if present else None
    )
    assert known is not None
    assert (reading_words(METRIC, known.now), known.before(METRIC)) == (now, before)


def test_a_difference_stays_as_its_rule_saw_it_with_both_sides() -> None:
    both = {**reading(0.4, 0.2), "against": {"low": 0.1, "high": 0.3}}
    assert newest_sample(history(both), reading(0.3, 0.1)) == both
    anew = {**reading(0.3, 0.1), "held": 0.2, "against": {"low": 0.05, "high": 0.15}}
    labelled = {**both, "against": {**both["against"], "label": "Satisfied with the touchpoint"}}
    shown = newest_sample(history(labelled), anew)
    assert (shown["value"], shown["held"]) == (0.3, 0.2)
    assert shown["against"] == {"low": 0.05, "high": 0.15, "label": "Satisfied with the touchpoint"}


def test_a_gap_is_measured_anew_on_both_sides(tmp_path: Path) -> None:
    """Retail against Energy, each account once, so that the interval is Newcombe's own."""
    gap = {**WRITTEN["gap"], "kind": "gap", "window": "28d", "where": {"vertical": "Retail"}}
    rule_ = GapRule.model_validate({**gap, "against": {"metric": "defect-rate", "where": {"vertical": "Energy"}}})
    monday = date(2026, 1, 5)
    rows = rows_of([Week(monday, 200, 80), Week(monday, 150, 20, vertical="Energy")], accounts=500)
    with warehouse(tmp_path, catalog(rule()), rows) as made, made.pin() as pin:
        asked = (pin.conn, rule_, (METRIC, METRIC), "", monday + timedelta(days=14), EVERYTHING, LATE)
        found = read_window(*asked)
        low, high = confint_proportions_2indep(80, 200, 20, 150, method="newcomb")
        assert found is not None
        assert (found["value"], found["held"], found["tally"], found["since"]) == (0.4, 20 / 150, [200], "2025-12-22")
        assert (found["against"]["low"], found["against"]["high"]) == pytest.approx((low, high), abs=1e-3)
        # Where a side has no figure there is no difference; within strata only the rule itself measures one.
        empty = rule_.model_copy(
            update={"against": Against.model_validate({"metric": "x", "where": {"vertical": "X"}})}
        )
        assert read_window(pin.conn, empty, *asked[2:]) is None
        strata = read_window(pin.conn, rule_.model_copy(update={"strata": ("region",)}), *asked[2:])
        assert strata is not None
        assert "against" not in strata


def test_days_of_silence_are_counted_when_they_are_read() -> None:
    rule_ = QuietRule.model_validate(
        {
            "name": "quiet",
            "kind": "quiet",
            "of": "source",
            "at_least": "3d",
            "window": "7d",
            "every": "1d",
            "false_alarms_per_year": 1,
            "keep_firing": "0d",
            "severity": 2,
            "route": "delivery",
            "owner": "ana",
        }
    )
    opened = {"value": 4.0, "held": 3.0, "until": "2026-11-14"}
    quiet = card(
        rule=rule_, metric=None, entries=tuple(history(opened)), incident=incident("source=crm"), evidence=None
    )
    for today, days in ((date(2026, 11, 14), 4), (date(2026, 11, 27), 17)):
        said = headline(replace(quiet, today=today))
        assert said.startswith(f"No data since 10 November 2026: {days} days by {today.day} November 2026;")
    over = replace(quiet, today=date(2026, 11, 27), incident=incident("source=crm", state="resolved"))
    assert "4 days by 14 November 2026" in headline(over)


def test_messages_follow_each_slot_of_their_rule_once(tmp_path: Path, new_state: NewState) -> None:
    states, standing = new_state(tmp_path), incident(version=3)
    over = incident("vertical=Energy", id="over", state="resolved", resolved_at=LATE, version=2)
    with states.begin() as conn:
        write(conn, TickRecord(opened=(standing, over)))
        for one in (standing, over):
            outbox.record_root(conn, PostedMessage(one.id, "delivery", "C1", "17.5", one.version, one.version))
        for slot in (date(2026, 3, 9), date(2026, 3, 9), date(2026, 3, 16)):
            refresh_measured(conn, {"defects": slot}, LATE)
        waiting = outbox.unsent(conn)
        shown = outbox.posted_message(conn, standing.id, "delivery")
    assert [(one.kind, one.incident_id, one.version) for one in waiting] == [("update", standing.id, 3)] * 2
    assert shown is not None
    assert shown.version < 3  # so that the update is no repetition
