"""How much of a person's attention a week may take: so many steps of ladders; the rest waits for a digest. Pure.

The most severe incidents go first, and severity 1 always goes through without counting. Nobody is named to whom an
incident may not be told.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from config.models import Person, called
from queries.engine import day_of
from queries.state import BEYOND, TOLD, WITHHELD, Incident
from triggers.incidents.access import may_read
from triggers.incidents.escalation import EscalationStep, named_people

EXEMPT: Final = 1
"""The severity that no budget holds back."""

Taken = tuple[Incident, EscalationStep]


@dataclass(frozen=True, slots=True)
class Requested:
    """One person whom a step asks for, and what becomes of it: one of BEYOND, TOLD, WITHHELD of `queries.state`."""

    person: str
    told: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """A step as it is taken, and whom it asked for."""

    incident: Incident
    move: EscalationStep
    asked: tuple[Requested, ...] = ()


def monday(now: datetime, zone: ZoneInfo) -> datetime:
    """When the week of an instant began, in a zone."""
    today = day_of(now, zone)
    return datetime.combine(today - timedelta(days=today.weekday()), time(), zone)


def assign_steps(moves: Iterable[Taken], people: Sequence[Person], spent: Mapping[str, int]) -> tuple[Assigned, ...]:
    """Each move with whom it names; a step that may name nobody is not told now, and says why.

    Args:
        moves: what the time has come for, as `escalate.moves` gives it.
        people: everybody, with their budgets.
        spent: how often each was named this week.
    """
    taken, used = tuple(moves), Counter(spent)
    order = sorted(range(len(taken)), key=lambda i: (taken[i][0].severity, taken[i][0].opened_at, taken[i][0].id))
    # The worst first, for a budget that runs out must run out on the others; the answer keeps the moves' own order.
    decided = {i: _decided(*taken[i], people, used) for i in order}
    put_off = {_whom(one.incident, one.move): one.move for one in decided.values() if one.move.kind == "deferred"}
    return tuple(_followed(decided[i], people, put_off) for i in range(len(taken)))


def _decided(incident: Incident, move: EscalationStep, people: Sequence[Person], used: Counter[str]) -> Assigned:
    whom = named_people(move.to, people, incident.vertical) if move.kind == "escalated" else ()
    asked = list[Requested]()
    for person in whom:
        is_free = incident.severity == EXEMPT or person.budget is None or used[person.name] < person.budget
        allowed = TOLD if is_free else BEYOND
        asked.append(Requested(person.name, allowed if may_read(person, incident) else WITHHELD))
    used.update(one.person for one in asked if one.told == TOLD and incident.severity != EXEMPT)
    if not asked or any(one.told == TOLD for one in asked):
        # Severity 1 goes through whatever the budget says, so it uses none of it.
        counted = tuple(one for one in asked if incident.severity != EXEMPT or one.told != TOLD)
        return Assigned(incident, move, counted)
    names = ", ".join(called(person.name, whom) for person in whom)
    if all(one.told == WITHHELD for one in asked):
        quiet = replace(move, kind="skipped", reason=f"no notification to {names}: no access")
    else:
        reason = f"in the weekly digest to {names}: the weekly budget is used up"
        quiet = replace(move, kind="deferred", reason=reason)
    return Assigned(incident, quiet, tuple(asked))


def _whom(incident: Incident, move: EscalationStep) -> tuple[str, ...]:
    return incident.route, move.to, incident.vertical or "" if move.to == "gm" else ""


def _followed(one: Assigned, people: Sequence[Person], put_off: Mapping[tuple[str, ...], EscalationStep]) -> Assigned:
    """What was to be told together with a step that is put off is put off as well."""
    if one.move.kind != "digested" or _whom(one.incident, one.move) not in put_off:
        return one
    whom = named_people(one.move.to, people, one.incident.vertical)
    asked = tuple(Requested(p.name, BEYOND if may_read(p, one.incident) else WITHHELD) for p in whom)
    return Assigned(
        one.incident, replace(one.move, kind="deferred", reason=put_off[_whom(one.incident, one.move)].reason), asked
    )
