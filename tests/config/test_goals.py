"""Which goal a figure is held against: the most specific one that fits it."""

from datetime import date
from typing import Any, Final

import pytest
from pydantic import TypeAdapter

from config.models import Conditions, Goal, GoalRule, goal_of
from triggers.rules import may_hold, version

FIRST: Final = date(2026, 1, 1)
_WHERE: Final[TypeAdapter[Conditions]] = TypeAdapter(Conditions)


def where(**columns: Any) -> Conditions:
    return _WHERE.validate_python(columns)


def goal(value: float, valid_from: date = FIRST, **known: Any) -> Goal:
    return Goal.model_validate({"metric": "csat", "value": value, "valid_from": valid_from, **known})


GOALS: Final = (
    goal(0.10),
    goal(0.20, vertical="Energy"),
    goal(0.30, function="Sales"),
    goal(0.40, where={"touchpoint": ["visit", "call"]}),
    goal(0.50, where={"touchpoint": "visit"}, vertical="Energy"),
    goal(0.60, where={"touchpoint": "visit", "product": "Custody"}),
    goal(0.70, where={"touchpoint": "visit"}, valid_from=date(2026, 6, 1)),
)


@pytest.mark.parametrize(
    ("vertical", "day", "part", "function", "expected"),
    [
        ("Payments", FIRST, {}, None, 0.10),
        ("Energy", FIRST, {}, None, 0.20),
        ("Energy", FIRST, {}, "Sales", 0.30),  # a function before a vertical
        ("Payments", FIRST, {"touchpoint": "call"}, None, 0.40),  # one of those that are listed
        ("Payments", FIRST, {"touchpoint": "call"}, "Sales", 0.40),  # a part before a function
        ("Payments", FIRST, {"product": "Cards"}, "Sales", 0.30),  # what a function answers for has many parts
        ("Energy", FIRST, {"touchpoint": "visit"}, None, 0.50),
        ("Energy", FIRST, {"touchpoint": "visit", "product": "Custody"}, None, 0.60),
        ("Energy", date(2026, 7, 1), {"touchpoint": "visit"}, None, 0.50),  # its own, though older
        ("Payments", date(2026, 7, 1), {"touchpoint": "visit"}, None, 0.70),  # of equals the newest
        ("Payments", FIRST, {"touchpoint": "chat"}, None, None),  # the goal of the whole is none of a part
        ("Payments", FIRST, {"touchpoint": "visit", "product": "Cards"}, None, None),
        ("Payments", date(2025, 12, 31), {}, None, None),
    ],
)
def test_a_figure_is_held_against_the_most_specific_goal_that_fits(
    vertical: str, day: date, part: dict[str, Any], function: str | None, expected: float | None
) -> None:
    for goals in (GOALS, GOALS[::-1]):
        found = goal_of(goals, "csat", vertical, day, where(**part), function=function)
        assert (found.value if found else None) == expected


def test_a_slice_without_a_goal_of_its_own_has_that_of_its_vertical() -> None:
    for touchpoint, expected in (("visit", 0.50), ("call", 0.40), ("chat", 0.20)):
        found = goal_of(GOALS, "csat", "Energy", FIRST, slices=where(touchpoint=touchpoint))
        assert found is not None
        assert found.value == expected


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, ""),
        ({"where": {"journey_type": "installation"}}, "installation"),
        ({"where": {"journey_type": "installation"}, "label": "installations"}, "installations"),
        ({"where": {"touchpoint": ["visit", "call"], "product": "Custody"}}, "Custody, visit or call"),
        ({"where": {"contacts": {"at_least": 3}}}, "contacts at least 3.0"),
        ({"where": {"multi_channel": True}, "function": "Sales"}, "multi channel, Sales"),
    ],
)
def test_a_goal_says_what_it_is_for(known: dict[str, Any], words: str) -> None:
    assert goal(0.5, **known).part.replace("3.0", "3") == words.replace("3.0", "3")


def test_a_goal_that_no_figure_of_a_rule_is_held_against_makes_no_version_of_it() -> None:
    body = {"name": "x", "kind": "goal", "metric": "csat", "by": ["vertical"], "floor": 0.0, "recover": 0.0}
    body |= {"window": "28d", "every": "7d", "false_alarms_per_year": 1, "keep_firing": "0d"}
    held = GoalRule.model_validate({**body, "severity": 2, "route": "r", "owner": "o"})
    assert [one.value for one in GOALS if may_hold(one, held)] == [0.10, 0.20]
    sales = held.model_copy(update={"function": "Sales"})
    assert [one.value for one in GOALS if may_hold(one, sales)] == [0.10, 0.20, 0.30]
    of_touchpoints = held.model_copy(update={"by": ("vertical", "touchpoint")})
    assert [one.value for one in GOALS if may_hold(one, of_touchpoints)] == [0.10, 0.20, 0.40, 0.50, 0.70]
    # With a goal of its function a rule of another function is another version.
    other = held.model_copy(update={"function": "Billing"})
    assert version(sales, (), GOALS[2:3]).hash != version(other, (), GOALS[2:3]).hash
    assert version(sales, (), GOALS[:1]).hash == version(other, (), GOALS[:1]).hash
