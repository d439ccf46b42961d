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
from config.models import DATA_FAULT, Against, ChartRule, GapRule, Person, QuietRule
from config.reading import read_catalog
from dashboard.charts import ATTENTION, finished
from dashboard.incident.charts import Bought, bought, describe_bought
from dashboard.incident.markup import (
    Terms,
    history_section,
    incident_table,
    incident_title,
    incident_where,
    origin_section,
    state,
    what_to_do,
)
from queries.messages import PostedMessage, outbox, refresh_measured
from queries.monitoring.asked_rows import Question, newest_bad_rows
from queries.monitoring.drivers import DIMENSIONS, Cell, Dimension, Drivers, dimensions_of, read_drivers
from queries.review import (
    IncidentPage,
    newest_sample,
    queue_summary,
    read_evidence,
    read_incident_page,
    read_window,
    reading_words,
    readings_of,
)
from queries.state import HistoryEntry, NewAction, TickRecord, frozen_days, read_actions, read_incidents, write
from queries.warehouse import COLUMNS, EVERYTHING, Scope, tables
from tests.evaluation.test_kinds import ANY_RULE, WRITTEN
from tests.slack.test_card import card, incident
from tests.support.company import CONFIG, METRIC, Week, catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.states import NewState
from triggers.incidents import complete_action, take_action
from triggers.incidents.tick import tick
from triggers.messages import CardReader
from triggers.messages.card import headline
from triggers.messages.message import NEWS

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
        ({"state": "resolved", "resolved_at": LATE}, "recovered on 1 August 2026"),
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


def test_where_a_breach_comes_from(tmp_path: Path) -> None:
    """Codes, teams and products of the bad cases alone, against the weeks before, as far as the reader may see."""
    weeks = [
        Week(date(2025, 11, 3), 60, 6),
        Week(date(2026, 1, 5), 24, 16),
        Week(date(2026, 1, 5), 5, 5, vertical="Energy"),
    ]
    rows = {**rows_of(weeks, accounts=12)}
    journeys = {journey["id"]: journey for journey in rows[tables.journey]}
    for number, journey in enumerate(journeys.values()):
        journey["product"] = "cards" if number % 3 else None
    contacts = list[dict[str, Any]]()
    for number, defect in enumerate(rows[tables.defect]):
        # Most of what is new has one code and is one team's; what the other team did at another touchpoint is not its.
        is_new = defect["day"].year == 2026
        defect |= {"code": "seal" if is_new and number % 8 else "late", "touchpoint": "visit"}
        journey = journeys[defect["journey_id"]]
        names = ("source", "account_id", "vertical", "first_loaded_at", "loaded_at", "day")
        shared = {name: journey[name] for name in names} | {"journey_id": journey["id"], "direction": "out"}
        for part, (team, place, hours) in enumerate(
            [
                ("East", "visit", 2),
                ("North" if is_new and number % 8 else "South", "visit", 1),
                ("West", "visit", -1),
                ("East", "elsewhere", 0),
            ]
        ):
            at = defect["occurred_at"] - timedelta(hours=hours)
            contacts.append({**shared, "id": f"{number}-{part}", "team": team, "touchpoint": place, "occurred_at": at})
    rows[tables.contact] = contacts
    days = (date(2026, 1, 1), date(2026, 2, 1))
    with warehouse(tmp_path, catalog(rule()), rows) as made, made.pin() as pin:
        asked = Question(METRIC, *days, by=(("vertical", "Retail"),), earlier=(date(2025, 10, 1), date(2026, 1, 1)))
        found = read_drivers(pin.conn, asked, EVERYTHING, LATE)
        assert found is not None
        assert (found.n, found.bad, found.earlier) == (24, 16, asked.earlier)
        assert found.change == pytest.approx(16 / 24 - 6 / 60)
        by_name = {one.name: one for one in found.dimensions}
        assert {"East", "West"}.isdisjoint(cell.value for cell in by_name["team"].cells)
        firsts = [by_name[name].cells[0] for name in ("code", "team")]
        assert [(cell.value, cell.n, cell.stands_out) for cell in firsts] == [("seal", 14, True), ("North", 14, True)]
        for one in found.dimensions:
            assert sum(cell.part for cell in one.cells) == pytest.approx(found.change)
        assert found.words({}) == "Mostly defect code “seal” (14 of 16 bad cases) and team “North” (14 of 16)"
        # Without an earlier window it is the distance to the limit, and what only bad rows have cannot be weighed.
        late = read_drivers(
            pin.conn, replace(asked, earlier=(date(2024, 1, 1), date(2024, 2, 1)), held=0.25), EVERYTHING, LATE
        )
        assert late is not None
        assert late.earlier is None
        assert late.change == pytest.approx(16 / 24 - 0.25)
        assert not {"code", "team"} & {one.name for one in late.dimensions if one.is_weighed}
        nobody = Scope(role="gm", verticals=frozenset({"Energy"}))
        assert read_drivers(pin.conn, asked, nobody, LATE) is None
        before_it = datetime(2026, 1, 1, tzinfo=UTC)
        assert read_drivers(pin.conn, asked, EVERYTHING, before_it) is None
        newest = newest_bad_rows(pin.conn, asked, EVERYTHING, LATE, 10)
        assert len(newest) == 10
        assert newest_bad_rows(pin.conn, asked, nobody, LATE, 10) == ()


def test_what_a_runbook_sends_people_to_the_page_for_is_there() -> None:
    """Every dimension that a default rule's runbook names is one that its own breach is split by."""
    default, named = read_catalog(CONFIG, COLUMNS), 0
    for one in default.rules:
        if not one.metric_names or "page" not in one.runbook:
            continue
        metric, fixed = default.metric(one.metric_names[0]), {*one.slice_columns, *(c.column for c in one.where)}
        words = {"code": "codes?", **{name: f"{label}s?" for name, (label, _) in DIMENSIONS.items() if name != "code"}}
        for name, pattern in words.items():
            if re.search(rf"\b{pattern}\b", one.runbook):
                named += 1
                assert name in dimensions_of(metric) | fixed | {"account_id"}, (one.name, name)
    assert named >= 6


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
        ((0.40, 0.43), 0.31, "31%", "40% when found, 43% at its worst"),
        ((0.43, 0.41), 0.31, "31%", "43% when found, its worst"),
        ((0.40, 0.43), None, "43%", "40% when found"),
        ((0.40,), 0.40, "40%", ""),
        ((0.40, 0.43), 0.47, "47%", "40% when found"),
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
    share = METRIC.model_copy(update={"good": "up"})
    turned = readings_of(history(*(reading(1 - one, one) for one in samples)), reading(1 - (present or samples[-1]), 0))
    assert turned is not None
    assert bool(turned.before(share)) == bool(before)
    assert ("worst" in turned.before(share)) == ("worst" in before)


def test_what_stands_side_by_side_is_equally_precise() -> None:
    """The present figure is of few cases; what it was when it was found is said no finer."""
    mood = METRIC.model_copy(update={"shape": "mean", "unit": "points", "good": "up", "label": "Mood"})

    def sample(value: float, half: float) -> dict[str, Any]:
        return {**reading(value, -value), "low": value - half, "high": value + half}

    known = readings_of(history(sample(0.32, 0.05), sample(0.214, 0.05)), sample(0.26, 0.2))
    assert known is not None
    assert (reading_words(mood, known.now), known.before(mood)) == ("0.3 points", "0.2 points at its worst")


def test_the_list_says_what_a_figure_is_of_and_what_it_is_held_against() -> None:
    then = {**reading(0.4, 0.1), "tally": [212.0]}
    for of, words in (
        (rule(), "n = 212, limit 25%, 19 January to 15 February 2026"),
        (
            rule().model_copy(update={"label": "Too many defects"}),
            "Journeys with a defect, n = 212, limit 25%, 19 January",
        ),
    ):
        shown = incident_table([(incident(), of, METRIC, "Retail", None, readings_of(history(then)))], TERMS)
        assert f'40%<span class="e-before">{words}' in shown
    before = ANY_RULE.validate_python({**WRITTEN["change"], "kind": "change", "baseline": "previous"})
    row = (incident(), before, METRIC, "Retail", None, readings_of(history({**then, "held": 0.2})))
    assert "n = 212, against 20% (the window before), 19 January" in incident_table([row], TERMS)


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


@pytest.mark.parametrize("kind", ["decline", "quiet"])
def test_what_is_about_one_account_says_whose_it_is(tmp_path: Path, kind: str) -> None:
    """As in Slack: the page of a fall or a silence has no rows that made its figure, and it has an account."""
    config = catalog(rule())
    body = {**WRITTEN[kind], "kind": kind, **({"of": "account", "min_n": 5} if kind == "quiet" else {})}
    whose = incident("account_id=Retail-0", account_id="Retail-0")
    with warehouse(tmp_path, config, rows_of(weeks(date(2025, 9, 1), (2,) * 8))) as made, made.pin() as pin:
        page = IncidentPage(whose, ANY_RULE.validate_python(body), None, tuple(history(None)), ())
        found = read_evidence(pin.conn, page, EVERYTHING, datetime(2027, 1, 1, tzinfo=UTC))
    assert found is not None
    assert ([one.name for one in found.contributors], found.case) == (["Retail-0 plc"], None)


@pytest.mark.parametrize(
    ("kept", "told", "words"),
    [
        (
            ({}, {}, {"next_step": 0}, {"acknowledged_at": LATE}, {"assigned_to": "ana"}),
            {"0": "notified", "1": "pending", "3": "pending", "4": "refused"},
            (
                "5 open: 1 notified, 2 waiting to be sent (one message can tell of several), 1 covered by another "
                "incident and 1 that nobody was notified of; 3 without an owner."
            ),
        ),
        (({"assigned_to": "ana"}, {"state": "closed"}), {"0": "notified"}, "1 open: 1 notified; each has an owner."),
    ],
)
def test_the_parts_of_what_is_open_add_up(kept: tuple[dict[str, Any], ...], told: dict[str, str], words: str) -> None:
    found = [incident(id=str(number), **changes) for number, changes in enumerate(kept)]
    assert queue_summary(found, told) == words


def test_a_case_that_counts_more_than_once_is_said_to() -> None:
    """A journey with two defects stands under both codes; of two products each has its own."""

    def cell(value: str, bad: int) -> Cell:
        return Cell(value, bad, bad, 0.0, 0.0, 0.0, 0.0, stands_out=False)

    codes = Dimension("code", (cell("late", 9), cell("seal", 4)), is_weighed=True)
    products = Dimension("product", (cell("cards", 7), cell("loans", 3)), is_weighed=True)
    drivers = Drivers(0.1, 40, 10, None, (codes, products))
    said = str(origin_section(drivers, "", IncidentPage(incident(), rule(), METRIC, (), ())))
    assert "late 9, seal 4; a case can count more than once</li>" in said
    assert "cards 7, loans 3</li>" in said
    assert "Worse by 10.0 points than the limit of 25%, in 40 cases." in said
    gap = ANY_RULE.validate_python({**WRITTEN["change"], "kind": "change", "baseline": "previous"})
    found = HistoryEntry("i", 1, LATE, "opened", "r", None, 1, {**reading(0.4, 0.1), "held": 0.3})
    said = str(origin_section(drivers, "", IncidentPage(incident(), gap, METRIC, (found,), ())))
    assert "Worse by 10 points than 30% (the window before), in 40 cases." in said


def test_the_list_says_how_an_account_stands() -> None:
    fall = {"months": ["2026-02-01", "2026-10-01"], "amounts": [663_249.5, 370_000.0], "currency": "EUR", "value": 0.4}
    cases: tuple[tuple[str, dict[str, Any], tuple[str, str]], ...] = (
        ("decline", {**fall, "shares": [0.64, 0.32]}, ("32% of its wallet in October 2026", "64% of its wallet in")),
        ("decline", {**fall, "shares": [None, None]}, ("370,000 EUR in October 2026", "663,000 EUR in February 2026")),
        ("quiet", {"value": 4.0, "held": 3.0, "until": "2026-11-14"}, ("17 days", "")),
    )
    for kind, sample, words in cases:
        of = ANY_RULE.validate_python({**WRITTEN[kind], "kind": kind})
        row = (incident("account_id=A1"), of, None, "A1", None, readings_of(history(sample)))
        shown = incident_table([row], Terms(today=date(2026, 11, 27)))
        assert all(word in shown for word in words), (kind, words)


def test_messages_follow_what_is_undertaken(tmp_path: Path, new_state: NewState) -> None:
    """Each action once when it is recorded and once when it is done; what answers no incident changes no message."""
    states, found = new_state(tmp_path), incident(version=3, state="resolved", resolved_at=LATE)
    new = NewAction(what="Train the fitters", owner="ana", started_on=date(2026, 3, 3), incident_id=found.id)
    with states.begin() as conn:
        write(conn, TickRecord(opened=(found,)))
        outbox.record_root(conn, PostedMessage(found.id, "delivery", "C1", "17.5", 3, 3))
        made = [take_action(conn, one, "ana", LATE) for one in (new, new, replace(new, incident_id=None))]
        assert [(one.kind, one.incident_id) for one in outbox.unsent(conn)] == [("update", found.id)]
        for _ in range(2):
            complete_action(conn, made[0], LATE)
        complete_action(conn, made[2], LATE)
        assert [one.kind for one in outbox.unsent(conn)] == ["update"] * 2
        assert [one.done_at for one in read_actions(conn, EVERYTHING, about=found.id)] == [LATE.replace(tzinfo=None)]


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


@pytest.mark.parametrize("weeks_later", [12, 20])
def test_a_breach_of_a_chart_comes_from_what_changed_since_its_baseline(
    tmp_path: Path, new_state: NewState, weeks_later: int
) -> None:
    """Not since the weeks before, which were worse already; however long it stands, on the page and in Slack."""
    first = date(2025, 1, 6)
    story = (2,) * 20 + (5,) * 12 + (20,) * weeks_later
    body = {**WRITTEN["chart"], "kind": "chart", "name": "defects", "metric": METRIC.name, "by": ["vertical"]}
    body |= {"window": "7d", "every": "7d", "false_alarms_per_year": 0.1, "severity": 2, "route": "delivery"}
    config = catalog(ChartRule.model_validate(body))
    now = noon(first + timedelta(weeks=len(story) + 1))
    states = new_state(tmp_path)
    with warehouse(tmp_path, config, rows_of(weeks(first, story))) as store, store.pin() as pin:
        tick(states, pin, config, now)
        with states.connect() as conn:
            (found,) = (one for one in read_incidents(conn, EVERYTHING) if one.rule == "defects")
            card = CardReader(pin, config, "http://earshot.example", now, "EUR").card(conn, found.id, config.routes[0])
            page = read_incident_page(conn, config, found.id, EVERYTHING)
        on_page = read_evidence(pin.conn, page, EVERYTHING, now)
    days = (date(2025, 1, 8), date(2025, 5, 28))  # from the first day of the data on
    assert page.frozen == days
    for evidence in (card.evidence, on_page):
        assert evidence is not None
        assert evidence.drivers is not None
        assert evidence.drivers.earlier == days
        assert evidence.drivers.change == pytest.approx(0.40 - 0.04)
    assert on_page is not None
    assert on_page.drivers is not None
    said = origin_section(on_page.drivers, "", page)
    assert "against 8 January to 27 May 2025, its baseline, in 50 cases" in said
    other = replace(found, rule_hash="another version")
    with states.connect() as conn:
        assert frozen_days(conn, other.rule_hash, other.slice) is None


def test_a_decline_is_drawn_by_month_beside_the_year_before() -> None:
    """What is not known is left out; the months compared are marked, and the words say what is drawn."""
    months = tuple((date(2025 + (5 + n) // 12, (5 + n) % 12 + 1, 1), float(n) * 1e5, None) for n in range(12))
    known = replace(_BOUGHT, months=((date(2025, 5, 1), None, 1e5), *months, (date(2026, 6, 1), 3e5, 7e5)))
    spec = finished(bought(known))
    rows = max((table.to_pylist() for table in spec["datasets"].values()), key=len)
    assert [row["period"] for row in rows if row["color"] == ATTENTION] == ["2025-08-01", "2026-06-01"]
    assert [row["label"] for row in rows if row["label"]] == ["Aug: 200 k EUR", "Jun: 300 k EUR"]
    assert len(rows) == 13
    assert len(spec["layer"]) == 5
    assert describe_bought(known, "Acme") == (
        "Revenue of Acme by month: between 0 EUR and 1.10 M EUR, last 300 k EUR. Compared: 200 k EUR in August 2025"
        " and 300 k EUR in June 2026. A year before: between 100 k EUR and 700 k EUR."
    )
    share = Bought("Share of wallet", "", ((date(2026, 5, 1), 0.64, None), (date(2026, 6, 1), 0.48, None)), ())
    assert len(finished(bought(share))["layer"]) == 2
    assert describe_bought(share, "Acme") == "Share of wallet of Acme by month: between 48% and 64%, last 48%."


_BOUGHT: Final = Bought("Revenue", "EUR", (), (date(2025, 8, 1), date(2026, 6, 1)))
