"""What people think of an incident: useful, or noise. One vote a person; the last one counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from queries.engine import naive
from queries.state.tables import incident
from queries.state.tables import vote as table
from queries.statistics.estimates import wilson

_EVEN: Final = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """How people judged a rule's incidents."""

    rule: str
    useful: int
    noise: int


def vote(conn: Connection, incident_id: str, author: str, now: datetime, *, useful: bool) -> bool:
    """Record a vote in place of the person's earlier one. False where it says the same."""
    mine = (table.c.incident_id == incident_id) & (table.c.author == author)
    before = conn.execute(select(table.c.useful).where(mine)).scalar()
    values = {"useful": int(useful), "at": naive(now)}
    if before is None:
        conn.execute(insert(table).values(incident_id=incident_id, author=author, **values))
    elif before != int(useful):
        conn.execute(update(table).where(mine).values(values))
    return before != int(useful)


def votes_by_rule(conn: Connection, since: datetime | None = None) -> tuple[Verdict, ...]:
    """Votes by rule, the noisiest first."""
    useful = func.sum(table.c.useful)
    noise = func.count() - useful
    found = select(incident.c.rule, useful.label("useful"), noise.label("noise"))
    found = found.join_from(table, incident, incident.c.id == table.c.incident_id).group_by(incident.c.rule)
    if since is not None:
        found = found.where(table.c.at >= naive(since))
    rows = conn.execute(found.order_by(noise.desc(), incident.c.rule))
    return tuple(Verdict(row.rule, int(row.useful), int(row.noise)) for row in rows)


@dataclass(frozen=True, slots=True)
class Precision:
    """The share of a rule's incidents that people found useful, its 95% interval (Wilson), and how many they judged.

    An incident is judged once, by the majority of its votes; as many for as against counts half.
    """

    rule: str
    value: float
    low: float
    high: float
    n: int


def precisions(conn: Connection) -> Mapping[str, Precision]:
    """The precision of every rule that anybody voted on, by the rule's name."""
    share = func.avg(table.c.useful * 1.0).label("share")
    found = select(incident.c.rule, share).join_from(table, incident, incident.c.id == table.c.incident_id)
    judged: dict[str, list[float]] = {}
    # By incident and not by vote: the votes of one incident are not independent, and the interval would be too narrow.
    for row in conn.execute(found.group_by(incident.c.rule, table.c.incident_id)):
        judged.setdefault(row.rule, []).append(0.5 if row.share == _EVEN else float(row.share > _EVEN))
    return {
        rule: Precision(rule, *wilson(sum(useful), len(useful)), len(useful)) for rule, useful in sorted(judged.items())
    }
