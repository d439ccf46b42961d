"""A rule that leaves it to another to speak while that one's incident is open over the same slice."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from config.models import Catalog, EventRule, Route, Step
from queries.engine import disposing
from queries.messages import outbox
from queries.state import Incident, entries, passing_state, read_incidents
from queries.warehouse import EVERYTHING, Pin, tables
from tests.support.company import LOADED, catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.states import NewState
from triggers.incidents import resolve
from triggers.incidents.tick import tick

FIRST: Final = date(2025, 9, 1)
WEEK: Final = timedelta(weeks=1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
OPENS: Final = date(2025, 12, 22)
LADDER: Final = (Step(), Step(after=(timedelta(days=3),) * 4, notify="delivery-lead"))
ROUTE: Final = Route(name="delivery", label="Keepers of promises", channel="C000000104", ladder=LADDER)
COMPANY: Final = rule(name="company", by=[])
"""Resolves at 20%; the one of the vertical holds on to 1%."""

CHILD: Final = rule(name="vertical", inhibited_by="company", recover=0.01)


@pytest.fixture
def pin(tmp_path: Path) -> Iterator[Pin]:
    config = made()
    with warehouse(tmp_path, config, rows_of(weeks(FIRST, STORY))) as store, store.pin() as pinned:
        yield pinned


def made(parent: object = COMPANY, child: object = CHILD) -> Catalog:
    return catalog(parent, child, routes=(ROUTE,))  # type: ignore[arg-type]


def found(states: Engine) -> dict[str, Incident]:
    with states.connect() as conn:
        return {incident.rule: incident for incident in read_incidents(conn, EVERYTHING)}


def kinds(states: Engine, incident: Incident) -> list[str]:
    with states.connect() as conn:
        return [entry.kind for entry in entries(conn, incident.id)]


def told(states: Engine) -> list[tuple[str, str]]:
    """What waits to be sent, as the rule and the kind of message."""
    with states.connect() as conn:
        names = {incident.id: incident.rule for incident in read_incidents(conn, EVERYTHING)}
        return [(names[message.incident_id], message.kind) for message in outbox.unsent(conn)]


def lived(states: Engine, pin: Pin, config: Catalog, until: date) -> Engine:
    """The state after a tick each day, from a week before the breach on."""
    day = OPENS - WEEK
    while day <= until:
        tick(states, pin, config, noon(day))
        day += timedelta(days=1)
    return states


def test_a_child_is_recorded_and_not_told_while_its_parent_is_open(pin: Pin, new_state: NewState) -> None:
    states = lived(new_state(), pin, made(), OPENS + timedelta(days=5))
    assert {name: one.state for name, one in found(states).items()} == {"company": "open", "vertical": "open"}
    assert {rule_ for rule_, _ in told(states)} == {"company"}


def test_a_child_does_not_go_up_its_ladder_while_its_parent_is_open(pin: Pin, new_state: NewState) -> None:
    states = lived(new_state(), pin, made(), OPENS + timedelta(days=5))
    incidents_ = found(states)
    assert "escalated" in kinds(states, incidents_["company"])
    assert "escalated" not in kinds(states, incidents_["vertical"])


def test_a_child_is_told_when_its_parent_is_over_and_its_ladder_begins_then(pin: Pin, new_state: NewState) -> None:
    config = made(parent=rule(name="company", by=[], recover=0.25))
    states, day = lived(new_state(), pin, config, OPENS), OPENS
    while found(states)["company"].is_open:
        day += timedelta(days=1)
        tick(states, pin, config, noon(day))
    child = found(states)["vertical"]
    assert child.is_open
    assert kinds(states, child)[-1] == "released"
    assert ("vertical", "root") in told(states)
    assert child.next_step_at == noon(day) + timedelta(days=3)
    tick(states, pin, config, noon(day))
    assert told(states).count(("vertical", "root")) == 1  # once
    tick(states, pin, config, noon(day + timedelta(days=3)))
    assert kinds(states, found(states)["vertical"])[-1] == "escalated"


def test_a_child_that_is_over_first_is_never_told(pin: Pin, new_state: NewState) -> None:
    config = made(parent=rule(name="company", by=[], recover=0.02), child=rule(name="vertical", inhibited_by="company"))
    states = lived(new_state(), pin, config, OPENS + 8 * WEEK)
    incidents_ = found(states)
    assert (incidents_["company"].state, incidents_["vertical"].state) == ("open", "resolved")
    assert {rule_ for rule_, _ in told(states)} == {"company"}


def test_a_child_that_was_told_before_its_parent_opened_only_follows(pin: Pin, new_state: NewState) -> None:
    """Its message is brought up to date; nobody is called again."""
    late = rule(name="company", by=[], consecutive=2, limit=0.30, recover=0.02)
    states = lived(new_state(), pin, made(parent=late), OPENS + 2 * WEEK)
    child, parent = found(states)["vertical"], found(states)["company"]
    assert child.opened_at < parent.opened_at
    after = [entry for entry in _entries(states, child) if entry[1] >= parent.opened_at]
    assert [kind for kind, _ in after] == ["worsened"]
    assert ("vertical", "update") in told(states)
    assert not [one for one in told(states) if one == ("vertical", "reply") and "escalated" not in kinds(states, child)]


def _entries(states: Engine, incident: Incident) -> list[tuple[str, datetime]]:
    with states.connect() as conn:
        return [(entry.kind, entry.at) for entry in entries(conn, incident.id)]


def test_only_the_same_slice_or_all_of_it_speaks_for_a_child(tmp_path: Path, new_state: NewState) -> None:
    """Another vertical's incident says nothing of this one."""
    config = made(parent=rule(name="company", where={"vertical": "Energy"}))
    company = [*weeks(FIRST, STORY), *weeks(FIRST, STORY, vertical="Energy")]
    with warehouse(tmp_path, config, rows_of(company)) as store, store.pin() as both:
        states = lived(new_state(), both, config, OPENS + WEEK)
    with states.connect() as conn:
        everything = {(i.rule, i.slice): i.id for i in read_incidents(conn, EVERYTHING)}
        owed = {message.incident_id for message in outbox.unsent(conn)}
    spoken = {name for name, id_ in everything.items() if id_ in owed}
    assert spoken == {("company", "vertical=Energy"), ("vertical", "vertical=Retail")}


# Severe cases.


def severe(**changes: Any) -> EventRule:
    """A rule on severe cases, which leaves it to the company's to speak."""
    body = {
        "name": "vertical",
        "kind": "event",
        "table": "defect",
        "dated_by": "occurred_at",
        "where": {"code": "severe"},
        "severity": 1,
        "route": "delivery",
        "owner": "delivery-lead",
        "inhibited_by": "company",
        "resolve_after": "200d",
    }
    return EventRule.model_validate(body | changes)


def one_case(day: date) -> dict[str, Any]:
    """A severe defect of a journey that has another one."""
    at = datetime.combine(day, time(9))
    return {
        "id": "severe", "source": "made", "account_id": "Retail-0", "vertical": "Retail", "code": "severe",
        "journey_id": "2025-12-01-Retail-installation-0", "occurred_at": at, "day": day,
        "first_loaded_at": LOADED, "loaded_at": LOADED,
    }  # fmt: skip


BRIEF: Final = rule(name="company", by=[], recover=0.25)
"""Is over in January."""


def told_of_case(folder: Path, day: date, child: EventRule, *, closed_on: date | None = None) -> dict[str, Any]:
    """What became of a severe case of that day, a fortnight after the company's incident was over."""
    config, rows = made(parent=BRIEF, child=child), rows_of(weeks(FIRST, STORY))
    rows[tables.defect].append(one_case(day))
    with disposing(passing_state()) as states, warehouse(folder, config, rows) as store, store.pin() as pinned:
        lived(states, pinned, config, OPENS)
        now, over = OPENS, None
        while over is None or now < over + timedelta(days=14):
            now += timedelta(days=1)
            if now == closed_on:
                with states.begin() as conn:
                    resolve(conn, found(states)["company"].id, "ana", "by hand", EVERYTHING, noon(now))
            tick(states, pinned, config, noon(now))
            over = over or (None if found(states)["company"].is_open else now)
        case = found(states)["vertical"]
        return {"over": over, "case": case, "kinds": kinds(states, case), "told": told(states)}


@pytest.mark.parametrize("closed_on", [None, OPENS + WEEK])
def test_a_severe_case_is_told_once_when_its_parent_is_over_while_it_is_open(
    tmp_path: Path, closed_on: date | None
) -> None:
    """Whether the parent recovered or somebody closed it."""
    became = told_of_case(tmp_path, OPENS + timedelta(days=1), severe(), closed_on=closed_on)
    assert closed_on in (None, became["over"])
    assert became["kinds"] == ["opened", "released", "escalated"]
    assert became["told"].count(("vertical", "root")) == 1
    assert became["case"].next_step == 2


@pytest.mark.parametrize(
    ("day", "child", "known"),
    [
        # over before its parent
        (OPENS + timedelta(days=1), {"resolve_after": "7d"}, ["opened", "closed"]),
        # a month old when the rules were first looked at: not worth telling then, and not now
        (date(2025, 11, 17), {}, ["opened"]),
    ],
)
def test_a_severe_case_that_is_never_told(tmp_path: Path, day: date, child: dict[str, Any], known: list[str]) -> None:
    became = told_of_case(tmp_path, day, severe(**child))
    assert became["kinds"] == known
    assert {name for name, _ in became["told"]} == {"company"}
