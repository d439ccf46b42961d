"""What became of messages and escalations: taken on, solved, in time or not, and whether they came back."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config.models import Catalog, Route
from queries.engine import day_of, day_start
from queries.messages import notified_states
from queries.metrics import count, listed
from queries.review.business_hours import solve_by, timetable
from queries.state import HistoryEntry, Incident, histories, read_incidents
from queries.statistics.survival import median_time
from queries.warehouse import Scope

RETURNS_WITHIN: Final = timedelta(days=60)
"""What is open again so soon after it was solved came back."""


@dataclass(frozen=True, slots=True)
class EscalatedIncident:
    """An incident that Slack has, and what became of it as far as is known.

    Args:
        rule: the one that opened it.
        month: the first day of the month in which it was opened, where its specialists live.
        taken_on: hours until somebody first acknowledged it, None before that.
        solved: days until it first recovered or somebody closed it; None while it lasts, or where it was closed
            by itself.
        waited: hours from its opening until now, or until it was over.
        in_time: whether it was solved within what its route promises; None without a promise, or before its time is up.
        came_back: whether it was open again within `RETURNS_WITHIN`.
    """

    rule: str
    route: str
    month: date
    taken_on: float | None
    solved: float | None
    waited: float
    in_time: bool | None
    came_back: bool


@dataclass(frozen=True, slots=True)
class EscalationOutcome:
    """What became of several escalations. `taken_on` is a median in hours, `lasted` one in days, both with those that
    are still open counted as such (Kaplan and Meier); None where less than half got there. `due` are those whose time
    is up or that were solved before.
    """

    escalated: int
    solved: int
    due: int
    in_time: int
    came_back: int
    taken_on: float | None
    lasted: float | None

    @property
    def words(self) -> str:
        """In one line, such as `12 escalated, 9 solved, 8 of 10 in time, 1 came back; half were ...`."""
        if not self.escalated:
            return "No incident was escalated to Slack."
        parts = [f"{count(self.escalated)} escalated", f"{count(self.solved)} solved"]
        if self.due:
            parts.append(f"{count(self.in_time)} of {count(self.due)} in time")
        parts.append(f"{count(self.came_back)} came back" if self.came_back else "none came back")
        medians = {"acknowledged": self.taken_on_words, "solved": self.lasted_words}
        halves = [f"half were {done} within {time}" for done, time in medians.items() if time]
        return f"{', '.join(parts)}; {' and '.join(halves) or 'fewer than half were acknowledged so far'}."

    @property
    def taken_on_words(self) -> str:
        """The time by which half were acknowledged; empty where there is none."""
        return "" if self.taken_on is None else _time_words(self.taken_on)

    @property
    def lasted_words(self) -> str:
        """The time by which half were solved; empty where there is none."""
        return "" if self.lasted is None else _time_words(24 * self.lasted)


def outcome_of(of: Sequence[EscalatedIncident]) -> EscalationOutcome:
    """What became of them together."""
    answered = [one.taken_on for one in of if one.taken_on is not None]
    solved = [one.solved for one in of if one.solved is not None]
    judged = [one.in_time for one in of if one.in_time is not None]
    return EscalationOutcome(
        len(of),
        len(solved),
        len(judged),
        sum(judged),
        sum(one.came_back for one in of),
        median_time(answered, [one.waited for one in of if one.taken_on is None]),
        median_time(solved, [one.waited / 24 for one in of if one.solved is None]),
    )


def queue_summary(incidents: Iterable[Incident], told: Mapping[str, str]) -> str:
    """How many are open, what became of the message of each, and how many nobody has; `told` is by incident."""
    standing = [one for one in incidents if one.is_open]
    free = sum(not one.acknowledged_at and not one.assigned_to for one in standing)
    # Of those whose next step is none another incident speaks.
    states = Counter((told.get(one.id) or "") if one.next_step else "covered" for one in standing)
    sent, waiting, covered = states["notified"], states["pending"], states["covered"]
    never = len(standing) - sent - waiting - covered
    parts = (
        (sent, "notified"),
        (waiting, f"waiting to be sent{' (one message can tell of several)' if waiting > 1 else ''}"),
        (covered, "covered by another incident"),
        (never, "that nobody was notified of"),
    )
    said = [f"{count(number)} {words}" for number, words in parts if number]
    owners = {0: "each has an owner", len(standing): "none has an owner"}.get(free, f"{count(free)} without an owner")
    return f"{count(len(standing))} open{f': {listed(said)}; {owners}' if said else ''}."


def read_escalated(
    conn: Connection, catalog: Catalog, scope: Scope, since: date, until: date, zone: ZoneInfo, as_of: datetime
) -> tuple[EscalatedIncident, ...]:
    """The escalations of the months in [since, until), the oldest first.

    What was found in the past by the first run is no escalation, nor is a fault of the data.
    """
    routes = {route.name: route for route in catalog.routes}
    # A day more on both sides: a month begins at another instant where the specialists live.
    first, last = day_start(since - timedelta(days=1), zone), day_start(until + timedelta(days=1), zone)
    everything = read_incidents(conn, scope, since=first)
    found = [one for one in everything if one.class_ == "customer" and one.origin == "live" and one.opened_at < last]
    states = notified_states(conn, [one.id for one in found])
    told = [one for one in found if states.get(one.id) == "notified"]
    history = histories(conn, [one.id for one in told])
    again = dict[tuple[str, str], list[datetime]]()
    for one in everything:
        again.setdefault((one.rule, one.slice), []).append(one.opened_at)
    escalations = list[EscalatedIncident]()
    for one in (one for one in reversed(told) if one.id in history):
        route = routes.get(one.route) or Route(name=one.route)
        table = timetable(catalog, route, zone)
        by = solve_by(route, one.severity, one.opened_at, table)
        openings = again[one.rule, one.slice]
        escalations.append(_escalation(one, history[one.id], openings, table.zone, by, as_of))
    return tuple(one for one in escalations if since <= one.month < until)


def by_route(of: Sequence[EscalatedIncident]) -> Mapping[tuple[date, str], EscalationOutcome]:
    """The outcome of each month and route that had any, the newest month first."""
    groups = dict[tuple[date, str], list[EscalatedIncident]]()
    for one in sorted(of, key=lambda one: (-one.month.toordinal(), one.route)):
        groups.setdefault((one.month, one.route), []).append(one)
    return {key: outcome_of(group) for key, group in groups.items()}


def _escalation(
    incident: Incident,
    history: Sequence[HistoryEntry],
    openings: Sequence[datetime],
    zone: ZoneInfo,
    by: date | None,
    as_of: datetime,
) -> EscalatedIncident:
    """What became of one that should be solved `by` a day."""
    began = incident.opened_at
    taken = next((entry.at for entry in history if entry.kind == "acknowledged"), None)
    end = next((entry for entry in history if entry.kind in {"resolved", "closed"}), None)
    # What ran out, or whose rule was removed, ends without a figure and without anybody: it was not solved.
    solved = end.at if end and (end.author or (end.kind == "resolved" and end.sample is not None)) else None
    returns = (*openings, *(entry.at for entry in history if entry.kind == "reopened"))
    return EscalatedIncident(
        incident.rule,
        incident.route,
        day_of(began, zone).replace(day=1),
        _passed(began, taken),
        None if solved is None else (solved - began) / timedelta(days=1),
        ((end.at if end else as_of) - began) / timedelta(hours=1),
        (solved is not None and day_of(solved, zone) <= by) if by and (solved or day_of(as_of, zone) > by) else None,
        solved is not None and any(solved < at <= solved + RETURNS_WITHIN for at in returns),
    )


def _passed(began: datetime, at: datetime | None) -> float | None:
    return None if at is None else (at - began) / timedelta(hours=1)


def _time_words(hours: float) -> str:
    amount, unit = (hours * 60, "minute") if hours < 1 else (hours, "hour") if hours < 48 else (hours / 24, "day")
    # Rounded up: half were done within the time that is named, not after it.
    number = max(1, ceil(amount - 1e-9))
    return f"{number} {unit}{'' if number == 1 else 's'}"
