"""What `check` warns of, which shows only beside the data; and what `explain` says of a fault of the data."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from config.models import Benchmark, Catalog, Goal, Metric, Person, Route, Step
from queries.engine import disposing
from queries.state import HistoryEntry, TickRecord, passing_state, write
from queries.warehouse import Pin
from tests.incidents.test_one_event import incident
from tests.support.company import METRIC, catalog, noon, rows_of, rule, warehouse, weeks
from triggers.commands.doubts import doubts
from triggers.commands.incidents import explain
from triggers.data_faults.scan import NAME, rule_of_faults
from triggers.rules import version

FIRST: Final = date(2024, 1, 1)
NOW: Final = noon(date(2026, 3, 2))
"""A year after the newest row."""

GM: Final = Route(name="delivery", ladder=(Step(), Step(after=(timedelta(days=1),) * 4, notify="gm")))


@pytest.fixture(scope="module")
def pin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pin]:
    """Retail to this day, and Energy which ended more than a year before it."""
    rows = (*weeks(FIRST, (1,) * 60, 3), *weeks(FIRST, (1,) * 2, 3, vertical="Energy"))
    with warehouse(tmp_path_factory.mktemp("doubts"), catalog(rule()), rows_of(rows)) as made, made.pin() as pinned:
        yield pinned


def made(*goals: Goal, route: Route | None = None, people: tuple[Person, ...] = (), **changes: Any) -> Catalog:
    found = catalog(rule(**{"function": "Field Service", **changes}), routes=(route or Route(name="delivery"),))
    return found.model_copy(update={"goals": goals, "people": people, "metrics": (METRIC,)})


def goal(vertical: str) -> Goal:
    return Goal(metric="defect-rate", vertical=vertical, value=0.1, valid_from=date(2024, 1, 1))


def manager(*verticals: str) -> Person:
    return Person(name="gm", label="Ana", audience="gm", verticals=verticals or None)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (made(where={"journey_type": "installation"}), []),
        (made(where={"journey_type": "instalation"}), ["where journey_type is 'instalation'", "'installation'"]),
        (made(where={"vertical": ["Retail", "Energy"]}), ["where vertical is 'Energy', and no journey of the last"]),
        (made(where={"product": "unknown"}), []),  # a source may say nothing of it
        (made(where={"defective": True}), []),
        (made(where={"contacts": {"at_least": 9}}), []),
        (made(goal("Retail"), goal("*")), []),
        (made(goal("Retale")), ["the goal for defect-rate names 'Retale'", "did you mean 'Retail'?"]),
        (made(route=GM), ["route delivery: its step to the general manager reaches nobody for Retail"]),
        (made(route=GM, people=(manager("Energy"),)), ["reaches nobody for Retail"]),
        (made(route=GM, people=(manager("Retail"),)), []),
        (made(route=GM, people=(manager(),)), []),
        (made(enabled=False, where={"journey_type": "repair"}, route=GM), []),
        (made(function=None), ["rule defects names no function; say who in the company is responsible"]),
        (made(enabled=False, function=None), []),
    ],
)
def test_what_can_hardly_be_meant(pin: Pin, config: Catalog, said: list[str]) -> None:
    found = list(doubts(pin.conn, config, NOW))
    assert len(found) == bool(said)
    for words in said:
        assert words in found[0]


def test_verticals_that_are_spelled_alike(tmp_path: Path) -> None:
    rows = [week for name in ("Retail", "RETAIL", "Energy") for week in weeks(FIRST, (1,) * 60, 3, vertical=name)]
    with warehouse(tmp_path, made(), rows_of(rows)) as alike, alike.pin() as pinned:
        (line,) = doubts(pinned.conn, made(), NOW)
    assert "differ only in case or spaces: RETAIL, Retail;" in line


@pytest.mark.parametrize(("dated", "lines"), [(NOW.date(), 0), (NOW.date() + timedelta(days=1), 1)])
def test_a_reference_from_the_future_is_named(pin: Pin, dated: date, lines: int) -> None:
    of = Benchmark(value=0.08, source="Sector survey", dated=dated)
    found = [*doubts(pin.conn, made(goal("*").model_copy(update={"reference": of})), NOW)]
    assert [f"is dated {dated}; it is not shown before that day" in line for line in found] == [True] * lines


def test_functions_that_are_spelled_alike_and_rules_without_one(pin: Pin) -> None:
    names = ("Field Service", "Field service", None, None)
    rules = tuple(rule(name=f"r{i}", function=name) for i, name in enumerate(names))
    nobodys, alike = doubts(pin.conn, made().model_copy(update={"rules": rules}), NOW)
    assert nobodys.startswith("2 rules name no function (r2, r3); ")
    assert "such as function = '" in nobodys
    assert alike == "functions that differ only in case or spaces: Field Service, Field service; write each in one way"


def unripe(**changes: Any) -> Metric:
    body = {"name": "late", "label": "Late", "shape": "share", "good": "down", "unit": "%"}
    return Metric.model_validate(body | changes)


@pytest.mark.parametrize(
    ("metric", "late"),
    [
        (unripe(table="inbound", dated_by="occurred_at", count={"reply_hours": {"at_most": 24}}), "reply_hours"),
        (unripe(table="issue", dated_by="closed_at", count={"repeat_days": {"at_most": 30}}), "repeat_days"),
        (unripe(table="response", dated_by="invited_at", count={"score": {"at_least": 4}}), "score"),
        (unripe(table="response", dated_by="responded_at", count={"score": {"at_least": 4}}), None),
        (
            unripe(table="inbound", dated_by="occurred_at", count={"reply_hours": {"at_most": 24}}, matures="1d"),
            None,
        ),
    ],
)
def test_a_metric_whose_newest_figures_still_change(pin: Pin, metric: Metric, late: str | None) -> None:
    config = made().model_copy(update={"metrics": (METRIC, metric)})
    found = list(doubts(pin.conn, config, NOW))
    assert [f"counts what is known only later: {late} (known at" in line for line in found] == ([True] if late else [])


def test_a_fault_of_the_data_has_its_rule(pin: Pin) -> None:
    config = made()
    of = version(rule_of_faults(config.guard))
    fault = replace(incident(NAME, class_="data", slice="k", value=None, n=1), rule_hash=of.hash)
    opened = HistoryEntry(fault.id, 1, NOW, "opened", "rows stop")
    with disposing(passing_state()) as states, states.begin() as conn:
        write(conn, TickRecord(opened=(fault,), entries=(opened,)))
        said, detailed = (list(explain(conn, pin, config, fault.id, NOW, details=d)) for d in (False, True))
        assert (said[1], detailed[1]) == (f"rule {NAME}", f"rule {NAME} version {of.hash}")
        moved = config.model_copy(update={"guard": config.guard.model_copy(update={"severity": 1})})
        assert "changed since" in list(explain(conn, pin, moved, fault.id, NOW))[1]
