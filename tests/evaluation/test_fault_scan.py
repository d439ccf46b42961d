"""A breach that the data explains is for the analyst, and its twin, in which it happened to customers, for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from config.models import Rule
from queries.engine import disposing
from queries.monitoring.row_profiles import PROFILED
from queries.state import entries, passing_state, read_incidents
from queries.warehouse import COLUMNS, EVERYTHING
from queries.warehouse import tables as warehouse_tables
from tests.support.company import Rows, catalog, noon, rule, warehouse
from triggers.data_faults.explanation import COLUMN_OF, ROWS_OF
from triggers.data_faults.scan import NAME
from triggers.incidents.tick import tick

FIRST: Final = date(2025, 1, 6)
DAYS: Final = 7 * 20
SPOILT: Final = FIRST + timedelta(weeks=13)
END: Final = FIRST + timedelta(days=DAYS)
A_DAY: Final = 14
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Case:
    """A journey: a message in the portal, a mail in reply, a call back two days later, and a defect on the way."""

    key: str
    at: datetime

    @property
    def own(self) -> dict[str, Any]:
        told = datetime.combine(END, time())
        return {"source": "made", "account_id": f"A{self.key[-1]}", "vertical": "Retail", "first_loaded_at": told}

    def contact(self, name: str, after: timedelta, channel: str = "phone", direction: str = "out") -> dict[str, Any]:
        at = self.at + after
        about = {"journey_id": self.key, "issue_code": self.key, "touchpoint": "desk", "channel": channel}
        dated = {"occurred_at": at, "day": at.date(), "loaded_at": at, "direction": direction}
        return {**self.own, **about, **dated, "id": f"{self.key}-{name}"}

    def call(self, name: str = "call", after: timedelta = timedelta(0)) -> dict[str, Any]:
        return self.contact(name, after, "portal", "in")

    def mail(self, after: timedelta = 2 * HOUR) -> dict[str, Any]:
        return self.contact("mail", after, "mail")

    def call_back(self) -> dict[str, Any]:
        return self.contact("back", 50 * HOUR)

    def defect(self, name: str = "defect", after: timedelta = HOUR) -> dict[str, Any]:
        at = self.at + after
        about = {"journey_id": self.key, "code": "broken", "occurred_at": at, "day": at.date(), "loaded_at": at}
        return {**self.own, **about, "id": f"{self.key}-{name}"}

    def journey(self) -> dict[str, Any]:
        ended = self.at + 51 * HOUR
        done = {"ended_at": ended, "ended_day": ended.date(), "outcome": "reached", "loaded_at": ended}
        about = {"journey_type": "repair", "started_at": self.at, "day": self.at.date()}
        return {**self.own, **about, **done, "id": self.key}


Happened = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""The contacts and the defects of one journey."""

Tell = Callable[[Case], Happened]


def as_usual(case: Case) -> Happened:
    return [case.call(), case.mail(), case.call_back()], [case.defect()]


def mails_lost(case: Case) -> Happened:
    return [case.call(), case.call_back()], [case.defect()]


def mails_late(case: Case) -> Happened:
    return [case.call(), case.mail(49 * HOUR), case.call_back()], [case.defect()]


def calls_twice(case: Case) -> Happened:
    """The same call under another id."""
    return [*as_usual(case)[0], case.call("again")], [case.defect()]


def called_again(case: Case) -> Happened:
    return [*as_usual(case)[0], case.call("again", 20 * HOUR)], [case.defect()]


def defects_twice(case: Case) -> Happened:
    return as_usual(case)[0], [case.defect(), case.defect("again")]


def two_defects(case: Case) -> Happened:
    return as_usual(case)[0], [case.defect(), case.defect("other", 3 * HOUR)]


def mails_and_defects(case: Case) -> Happened:
    """Mails are lost while journeys really fail."""
    return mails_lost(case)[0], two_defects(case)[1]


def cases() -> Iterator[Case]:
    for day, n in enumerate(np.random.default_rng(7).poisson(A_DAY, DAYS).tolist()):
        for number in range(n):
            at = datetime.combine(FIRST + timedelta(days=day), time(9, number, 7 * number % 60))
            yield Case(f"{day}-{number}", at)


def rows(tell: Tell) -> Rows:
    """What happened as usual, and from SPOILT on otherwise."""
    found: dict[Any, list[dict[str, Any]]] = {
        warehouse_tables.journey: [],
        warehouse_tables.contact: [],
        warehouse_tables.defect: [],
    }
    for case in cases():
        contacts, defects = tell(case) if case.at.date() >= SPOILT else as_usual(case)
        found[warehouse_tables.journey].append(case.journey())
        found[warehouse_tables.contact] += contacts
        found[warehouse_tables.defect] += defects
    return found


@dataclass(frozen=True, slots=True)
class Opened:
    """An incident, and the kind of the fault that explains it."""

    rule: str
    class_: str
    slice: str
    fault: str | None


def opened(folder: Path, tell: Tell, *rules: Rule) -> list[Opened]:
    """What one run at the end opens."""
    config = catalog(*rules)
    with (
        disposing(passing_state()) as states,
        warehouse(folder, config, rows(tell)) as made,
        made.pin() as pin,
    ):
        tick(states, pin, config, noon(END))
        with states.connect() as conn:
            found = [(one, entries(conn, one.id)[0].sample or {}) for one in read_incidents(conn, EVERYTHING)]
    return [Opened(one.rule, one.class_, one.slice, sample.get("artefact")) for one, sample in found]


WAITS: Final = rule(name="waits", metric="wait-on-us-median", gate="none", limit=20, recover=10)
ANSWERED: Final = rule(name="answered", metric="answered-in-time", limit=0.4, recover=0.5)
SOLVED: Final = rule(name="solved", metric="first-contact-resolution", limit=0.85, recover=0.95)
DEFECTS: Final = rule(name="defects", metric="defects-per-100", gate="none", limit=120, recover=110)


@pytest.mark.parametrize(
    ("rules", "fault", "twin", "kind", "table"),
    [
        # a wait lies between contacts, and a reply is one
        ((WAITS, ANSWERED), mails_lost, mails_late, "collection-change", "contact"),
        ((SOLVED,), calls_twice, called_again, "duplicated-rows", "contact"),  # an issue counts its contacts
        ((DEFECTS,), defects_twice, two_defects, "duplicated-rows", "defect"),  # a journey counts its defects
    ],
)
def test_a_fault_of_other_rows_explains(
    tmp_path: Path, rules: tuple[Rule, ...], fault: Tell, twin: Tell, kind: str, table: str
) -> None:
    names = {one.name for one in rules}
    explained = opened(tmp_path / "fault", fault, *rules)
    assert {(i.rule, i.class_, i.fault) for i in explained if i.rule != NAME} == {
        (name, "data", kind) for name in names
    }
    assert [i.slice.split("|")[:2] for i in explained if i.rule == NAME] == [[kind, table]]
    happened = opened(tmp_path / "twin", twin, *rules)
    assert {(i.rule, i.class_, i.fault) for i in happened} == {(name, "customer", None) for name in names}


def test_a_fault_of_rows_that_a_figure_does_not_read_explains_nothing(tmp_path: Path) -> None:
    """Mails that are lost hide no defect."""
    found = {i.rule: i.class_ for i in opened(tmp_path, mails_and_defects, DEFECTS, ANSWERED)}
    assert found == {"defects": "customer", "answered": "data", NAME: "data"}


def test_the_mapping_names_what_there_is() -> None:
    assert set(ROWS_OF) == set(COLUMNS) - {"revenue"}
    assert {table for tables in ROWS_OF.values() for table in tables} | set(COLUMN_OF.values()) <= set(PROFILED)
    assert set(COLUMN_OF) <= COLUMNS["journey"]
