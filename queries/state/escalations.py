"""Whom the steps of ladders asked for: what counts against a person's weekly budget, and what waits for a digest."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from queries.engine import aware, naive
from queries.state.tables import escalation, incident

BEYOND, TOLD, WITHHELD = 0, 1, 2
"""What became of it: it was beyond the budget, the person was named, or may not read of the incident."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """One step that asked for one person. `seq` is that of the incident's event; `told` is one of the three above."""

    incident_id: str
    seq: int
    person: str
    at: datetime
    told: int


def spent(conn: Connection, since: datetime) -> dict[str, int]:
    """How often each person was named since an instant (aware UTC)."""
    c = escalation.c
    mine = select(c.person, func.count()).where(c.at >= naive(since), c.told == TOLD).group_by(c.person)
    return {person: int(n) for person, n in conn.execute(mine)}


def read_escalations(conn: Connection, told: int, since: datetime, until: datetime) -> tuple[Escalation, ...]:
    """What became so of steps in [since, until), oldest first."""
    c = escalation.c
    within = (c.told == told) & (c.at >= naive(since)) & (c.at < naive(until))
    rows = conn.execute(select(escalation).where(within).order_by(c.at, c.incident_id, c.person))
    return tuple(Escalation(row.incident_id, row.seq, row.person, aware(row.at), row.told) for row in rows)


def unnamed(conn: Connection, incident_id: str) -> frozenset[tuple[int, str]]:
    """The events of an incident, with the people whom they asked for and must not name."""
    c = escalation.c
    rows = conn.execute(select(c.seq, c.person).where(c.incident_id == incident_id, c.told != TOLD))
    return frozenset((row.seq, row.person) for row in rows)


@dataclass(frozen=True, slots=True)
class RuleTally:
    """What a rule did in a time: incidents opened, and those of them that nobody ever took on."""

    rule: str
    opened: int
    unanswered: int


def rule_tallies(conn: Connection, since: datetime, until: datetime) -> tuple[RuleTally, ...]:
    """What every rule opened in [since, until); what the first run found in the past is left out."""
    c = incident.c
    within = (c.opened_at >= naive(since)) & (c.opened_at < naive(until)) & (c.origin == "live")
    # Being assigned counts as an answer: whoever was named by somebody else need not acknowledge, too.
    nobody = func.count().filter(c.acknowledged_at.is_(None) & c.assigned_to.is_(None))
    rows = conn.execute(select(c.rule, func.count(), nobody).where(within).group_by(c.rule).order_by(c.rule))
    return tuple(RuleTally(*row) for row in rows)
