"""What an incident was found by tells of no fewer people than the floor: its page, messages, command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import Engine

from config.models import Catalog, ChangeRule, EventRule, Metric, Privacy
from dashboard.incident.markup import case_section, origin_section
from queries.accounts.timeline import read_story
from queries.monitoring import Evidence
from queries.review import IncidentPage, read_bad_rows, read_evidence, read_incident_page, read_trend
from queries.state import Incident, read_incidents
from queries.warehouse import EVERYTHING, Pin, Scope, tables
from tests.support.company import LOADED, ROUTE, Rows, catalog, noon, rule, warehouse
from tests.support.states import NewState
from triggers.commands.incidents import explain
from triggers.evaluation.few_people import FewPeople
from triggers.incidents.tick import tick
from triggers.messages import CardReader
from triggers.messages.card import Card, facts, incident_message
from triggers.rules import Moment, subject_of, version_of
from triggers.slack.blocks import render

FIRST: Final = date(2025, 9, 1)
GOOD, BAD = 14, 3
NOW: Final = noon(FIRST + timedelta(weeks=GOOD + BAD, days=3))
SATISFIED: Final = Metric.model_validate(
    {
        "name": "satisfied",
        "label": "Satisfied",
        "shape": "share",
        "table": "response",
        "dated_by": "responded_at",
        "good": "up",
        "unit": "%",
        "where": {"scale": "csat", "score": {"known": True}},
        "count": {"score": {"at_least": 4}},
    }
)
UNHAPPY: Final[dict[str, Any]] = {
    "name": "unhappy",
    "label": "Customers are unhappy",
    "metric": "satisfied",
    "limit": 0.8,
    "recover": 0.9,
}
SEVERE: Final = EventRule.model_validate(
    {
        "name": "severe",
        "kind": "event",
        "table": "response",
        "dated_by": "responded_at",
        "where": {"scale": "nps", "score": {"at_most": 6}},
        "severity": 1,
        "route": ROUTE.name,
        "owner": "delivery-lead",
    }
)
READER: Final = Scope(privacy=Privacy())

Group = tuple[str, int, int, str, int]
"""An account, how many people answer there, how often a week each, about what, and with which score when it is bad."""
PEOPLE: Final[tuple[Group, ...]] = (
    ("Small", 3, 6, "call", 1),
    ("Large", 8, 1, "mail", 2),
    *((f"Account-{i}", 2, 1, "visit", 5) for i in range(10)),
)


def config(*rules: Any, **privacy: Any) -> Catalog:
    made = catalog(*rules)
    return made.model_copy(update={"metrics": (*made.metrics, SATISFIED), "privacy": Privacy(**privacy)})


def answers(groups: tuple[Group, ...], instrument: str = "survey") -> Rows:
    """Everybody is content for weeks, and then some are not."""
    found: dict[Any, list[dict[str, Any]]] = {tables.account: [], tables.response: []}
    life = {"source": "made", "first_loaded_at": LOADED, "loaded_at": LOADED}
    for account, people, often, touchpoint, bad in groups:
        found[tables.account].append({"account_id": account, "name": f"{account} plc", **life})
        for week, person, time_ in ((w, p, t) for w in range(GOOD + BAD) for p in range(people) for t in range(often)):
            at = datetime.combine(FIRST + timedelta(weeks=week, days=time_ % 5), time(9 + person, 7 * time_))
            found[tables.response].append(
                {
                    **life,
                    "id": f"{account}-{week}-{person}-{time_}",
                    "account_id": account,
                    "person_id": f"{account}-person-{person}",
                    "vertical": "Retail",
                    "touchpoint": touchpoint,
                    "instrument": instrument,
                    "kind": "transaction",
                    "status": "answered",
                    "scale": "csat",
                    "score": bad if week >= GOOD else 5,
                    "invited_at": at,
                    "responded_at": at,
                    "day": at.date(),
                    "invited_day": at.date(),
                    "responded_day": at.date(),
                }
            )
    return {table: [{name: row.get(name) for name in table.c.keys()} for row in rows] for table, rows in found.items()}  # noqa: SIM118 - columns


@contextmanager
def found(folder: Path, state: Engine, of: Catalog, rows: Rows) -> Iterator[tuple[Pin, tuple[Incident, ...]]]:
    with warehouse(folder, of, rows) as store, store.pin() as pin:
        tick(state, pin, of, NOW, scans=False)
        with state.connect() as conn:
            incidents = tuple(read_incidents(conn, EVERYTHING))
        yield pin, incidents


def card(state: Engine, pin: Pin, of: Catalog, id_: str) -> Card:
    with state.connect() as conn:
        return CardReader(pin, of, "http://earshot.example", NOW, "EUR").card(conn, id_, of.routes[0])


def on_page(state: Engine, pin: Pin, of: Catalog, id_: str) -> tuple[IncidentPage, Evidence]:
    with state.connect() as conn:
        page = read_incident_page(conn, of, id_, EVERYTHING)
    evidence = read_evidence(pin.conn, page, Scope(privacy=of.privacy), NOW)
    assert evidence is not None
    return page, evidence


def test_the_parts_of_a_breach_that_few_people_made_are_told_nowhere(tmp_path: Path, new_state: NewState) -> None:
    """Three people made it: neither they nor what they spoke of is told, and a total less the rest tells neither."""
    of, state = config(rule(**UNHAPPY)), new_state(tmp_path)
    with found(tmp_path, state, of, answers(PEOPLE)) as (pin, (incident,)):
        page, evidence = on_page(state, pin, of, incident.id)
        told = card(state, pin, of, incident.id)
        for one in (evidence, told.evidence):
            assert one is not None
            assert one.drivers is not None
            assert [(d.name, [c.value for c in d.cells]) for d in one.drivers.dimensions] == [
                ("touchpoint", ["visit"]),
                ("account_id", ["Large"]),
            ]
            assert [c.account_id for c in one.contributors] == ["Large"]
            assert (one.accounts, len(one.affected), one.revenue) == (12, 2, "")
        assert evidence.drivers is not None
        origin = str(origin_section(evidence.drivers, evidence.drivers.words({}), page))
        said = [origin, str(render(incident_message(told)))]
        for text in said:
            assert "Small" not in text
            assert "call" not in text
        assert "withheld for privacy" in said[0]
        lines = {fact.label: fact.text for fact in facts(told)}
        named = "Large plc (24 of 32 cases) and 1 more; 2 of 12 accounts had a bad case"
        assert lines["Accounts most affected"] == named
        assert read_bad_rows(pin.conn, page, Scope(privacy=of.privacy), NOW) == ()
        # Nobody looks: everything is there.
        exact = read_evidence(pin.conn, page, EVERYTHING, NOW)
        assert exact is not None
        assert exact.drivers is not None
        every = next(one for one in exact.drivers.dimensions if one.name == "touchpoint")
        assert {(cell.value, cell.bad) for cell in every.cells} == {("call", 54), ("mail", 24), ("visit", 0)}
        assert len(read_bad_rows(pin.conn, page, EVERYTHING, NOW)) == 10


def test_what_is_said_in_an_accounts_name_is_told(tmp_path: Path, new_state: NewState) -> None:
    of, state = config(rule(**UNHAPPY), exempt=("survey",)), new_state(tmp_path)
    with found(tmp_path, state, of, answers(PEOPLE)) as (pin, (incident,)):
        page, evidence = on_page(state, pin, of, incident.id)
        assert [c.account_id for c in evidence.contributors][:2] == ["Small", "Large"]
        rows = read_bad_rows(pin.conn, page, Scope(privacy=of.privacy), NOW)
        assert [row.account_id for row in rows] == ["Small"] * 10


def test_the_figures_of_a_message_about_people_are_of_months(tmp_path: Path, new_state: NewState) -> None:
    of, state = config(rule(**UNHAPPY)), new_state(tmp_path)
    with found(tmp_path, state, of, answers(PEOPLE)) as (pin, (incident,)):
        grains = [read_trend(pin.conn, of.rules[0], SATISFIED, incident, scope, NOW) for scope in (READER, EVERYTHING)]
        assert [trend.grain for trend in grains if trend] == ["month", "week"]
        reader = CardReader(pin, of, "http://earshot.example", NOW, "EUR")
        with state.connect() as conn:
            picture = reader.picture(conn, incident.id, of.routes[0])
        assert picture is not None
        assert "by month" in picture.alt


@pytest.mark.parametrize(
    ("people", "privacy", "opened"),
    [(4, {}, 0), (5, {}, 1), (4, {"people": 4}, 1), (4, {"exempt": ("survey",)}, 1)],
)
def test_a_window_of_few_people_opens_nothing(
    tmp_path: Path, new_state: NewState, people: int, privacy: dict[str, Any], opened: int
) -> None:
    """However many answers they give."""
    of, state = config(rule(**UNHAPPY), **privacy), new_state(tmp_path)
    with found(tmp_path, state, of, answers((("Small", people, 6, "call", 1),))) as (_, incidents):
        assert len(incidents) == opened


def test_the_command_line_tells_no_window_that_has_become_one_of_few(tmp_path: Path, new_state: NewState) -> None:
    of, state = config(rule(**UNHAPPY)), new_state(tmp_path)
    with found(tmp_path, state, of, answers(PEOPLE)) as (pin, (incident,)):
        stricter = of.model_copy(update={"privacy": Privacy(people=99)})
        with state.connect() as conn:
            lines, withheld = (list(explain(conn, pin, one, incident.id, NOW)) for one in (of, stricter))
        assert sum("now:" in line for line in lines) == sum("privacy" in line for line in withheld) > 0


def test_what_a_change_is_measured_from_is_of_enough_people_too() -> None:
    day = date(2025, 12, 1)

    def side(**people: int) -> Any:
        return {
            (name,): ([day.toordinal() - 3] * n, [(name, f"{name}-{i}") for i in range(n)])
            for name, n in people.items()
        }

    def few(baseline: str, **people: int) -> bool:
        made = {**UNHAPPY, "kind": "change", "baseline": baseline, "by": ["vertical"], "floor": 0.05, "recover": 0.01}
        of = config()
        body = {k: v for k, v in {**rule().model_dump(exclude={"limit", "kind"}), **made}.items() if k != "limit"}
        moment = Moment(NOW, 1, NOW, NOW.tzinfo, timedelta(0))  # type: ignore[arg-type]
        subject = subject_of(version_of(of, ChangeRule.model_validate(body)), of, moment)
        return bool(
            FewPeople(subject, 5, (side(**people),)).windows([day], [("A",)], np.ones((1, 1), dtype=bool))[0, 0]
        )

    assert not few("others", A=5, B=5)
    assert few("others", A=5, B=2, C=2)
    assert few("others", A=4, B=5)
    assert not few("others", A=5, B=2, C=3)


# One severe case: it is told to those who answer for it, without the words of somebody who could be anybody.


@pytest.mark.parametrize(
    ("writers", "privacy", "told"),
    [(7, {}, False), (8, {}, True), (1, {"exempt": ("survey",)}, True), (2, {"comments": 2}, True)],
)
def test_a_customers_own_words_are_shown_where_many_have_written(
    tmp_path: Path,
    new_state: NewState,
    writers: int,
    privacy: dict[str, Any],
    told: bool,  # noqa: FBT001
) -> None:
    rows = answers((("Small", writers, 1, "call", 5),))
    for row in rows[tables.response]:
        row["comment"] = f"Words of {row['person_id']}."
    worst = rows[tables.response][GOOD + BAD - 1]
    worst |= {"scale": "nps", "kind": "relationship", "score": 2}
    of, state = config(SEVERE, **privacy), new_state(tmp_path)
    with found(tmp_path, state, of, rows) as (pin, (incident,)):
        shown = card(state, pin, of, incident.id)
        message = str(render(incident_message(shown)))
        assert "Small plc gave us 2 out of 10" in message
        assert "Words of" not in message
        _, evidence = on_page(state, pin, of, incident.id)
        page = {who: str(case_section(replace(shown, evidence=evidence), verbatims=who)) for who in (True, False)}
        assert ("Words of Small-person-0." in page[True]) == told
        assert ("Their own words are withheld for privacy." in page[True]) == (not told)
        assert "ords" not in page[False]
        asked = (pin.conn, "Small", Scope(privacy=of.privacy), NOW, "EUR")
        for who in (True, False):
            story = read_story(*asked, has_rows=True, has_verbatims=who)
            assert story is not None
            assert any(answer.comment for answer in story.answers) == (told and who)
