"""What opens an incident, and where that is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from config.models import WatchRule
from queries.state import slice_values
from triggers.evaluation import StateChange
from triggers.rules import Subject

Place = tuple[str | None, str | None, str | None]
"""Vertical, touchpoint and account."""


def place_of(subject: Subject, finding: StateChange, verticals: Mapping[str, str]) -> Place:
    """The vertical, touchpoint and account that an incident lies in, where they are one."""
    where = slice_values(finding.slice)
    account = where.get("account_id")
    vertical = verticals.get(account) if account else _one(subject.rule, where, "vertical")
    return vertical, _one(subject.rule, where, "touchpoint"), account


def _one(rule: WatchRule, where: Mapping[str, str], column: str) -> str | None:
    """The one value that the incident's rows have in a column."""
    if column in where:
        return where[column]
    named = [c.any_of for c in rule.where if c.column == column and c.any_of and len(c.any_of) == 1]
    return str(named[0][0]) if named else None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What opens: its id, its slice, when it was knowable, and the day it stands for."""

    id: str
    slice: str
    at: datetime
    slot: date
