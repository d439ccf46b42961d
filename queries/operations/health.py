"""How the trigger engine is doing, from its state alone: counts and instants, no names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from queries.engine import aware, naive
from queries.messages import Canary, astray_lease, newest_canary, notified_states
from queries.state import (
    CANARY,
    RuleError,
    eval_slot,
    evaluated_at,
    heartbeat,
    inbound,
    incident,
    instance,
    outbox,
    read_counters,
    rule_errors,
)

UNFINISHED = ("pending", "claimed", "unsure")


@dataclass(frozen=True, slots=True)
class Beat:
    """When a process last said that it lives, and what it said."""

    at: datetime
    note: str


@dataclass(frozen=True, slots=True)
class StateHealth:
    """The state at one moment. Instants are aware UTC.

    Args:
        at: that moment.
        beats: the processes that were ever alive, by name.
        evaluated_at: when each rule was last evaluated.
        errors: the rules that could not be.
        incidents: how many there are, by state and class.
        unfounded: firing instances without an open incident.
        messages: how many there are, by state.
        oldest_message: since when the oldest unfinished message could have been sent; None where nothing is owed.
        refused: messages that Slack refused for good in the last day.
        evaluations: slots of rules that were evaluated and are remembered.
        counted: what happened since the state was made, by name.
        canary: the newest.
        unheard: presses in Slack that were kept and not worked on, the oldest first.
        to_acknowledge: seconds from opening to acknowledgement of the incidents taken on in the last 30 days.
        overdue: since when each step of a ladder is due that should have been taken, the oldest first; whoever knows
            the ladders fills it in.
        astray: what is wrong with a lease that ends too far ahead.
        untold: open incidents of which nobody was told, and nobody will be: nothing waits to be sent.
        untold_live: those among them that were not found in the past by a rule's first run.
    """

    at: datetime
    beats: Mapping[str, Beat]
    evaluated_at: Mapping[str, datetime]
    incidents: Mapping[tuple[str, str], int]
    unfounded: int
    messages: Mapping[str, int]
    oldest_message: datetime | None
    unheard: tuple[datetime, ...]
    to_acknowledge: tuple[float, ...]
    errors: tuple[RuleError, ...] = ()
    refused: int = 0
    evaluations: int = 0
    counted: Mapping[str, int] = field(default_factory=dict)
    canary: Canary | None = None
    overdue: tuple[datetime, ...] = ()
    astray: str = ""
    untold: int = 0
    untold_live: int = 0


def read_health(conn: Connection, now: datetime) -> StateHealth:
    """Read the state. `now` is aware UTC."""
    messages = select(outbox.c.state, func.count()).group_by(outbox.c.state)
    oldest = conn.scalar(select(func.min(outbox.c.due_at)).where(outbox.c.state.in_(UNFINISHED)))
    # A rule that fires has an incident: open, or closed by hand until the figure has recovered.
    known = select(incident.c.id).where(incident.c.id == instance.c.incident_id).exists()
    unfounded = select(func.count()).where(instance.c.state.in_(("firing", "recovering")), ~known)
    # A message that is dead is not due: its due_at is when it was refused.
    refused = select(func.count()).where(outbox.c.state == "dead", outbox.c.due_at >= naive(now - timedelta(days=1)))
    # By when it was done and not by its state: what was given up is done with, too.
    unheard = select(inbound.c.received_at).where(inbound.c.done_at.is_(None)).order_by(inbound.c.received_at)
    untold = _untold(conn)
    return StateHealth(
        at=now,
        beats={row.name: Beat(aware(row.at), row.note) for row in conn.execute(select(heartbeat))},
        evaluated_at=evaluated_at(conn),
        errors=rule_errors(conn),
        incidents=_counted(conn),
        unfounded=int(conn.execute(unfounded).scalar_one()),
        messages={row[0]: row[1] for row in conn.execute(messages)},
        oldest_message=aware(oldest) if oldest else None,
        unheard=tuple(aware(at) for at in conn.execute(unheard).scalars()),
        to_acknowledge=_to_acknowledge(conn, now - timedelta(days=30)),
        refused=int(conn.execute(refused).scalar_one()),
        evaluations=int(conn.execute(select(func.count()).select_from(eval_slot)).scalar_one()),
        counted=read_counters(conn),
        canary=newest_canary(conn),
        astray=astray_lease(conn, now),
        untold=len(untold),
        untold_live=untold.count("live"),
    )


def _untold(conn: Connection) -> list[str]:
    """How each of them was found."""
    c = incident.c
    # Of those whose next step is none another incident speaks.
    standing = conn.execute(select(c.id, c.origin).where(c.state == "open", c.rule != CANARY, c.next_step > 0)).all()
    states = notified_states(conn, [row.id for row in standing])
    return [row.origin for row in standing if states.get(row.id) not in {"notified", "pending"}]


def _counted(conn: Connection) -> dict[tuple[str, str], int]:
    c = incident.c
    rows = conn.execute(
        select(c.state, c["class"].label("class_"), func.count().label("n"))
        .where(c.rule != CANARY)
        .group_by(c.state, c["class"])
    )
    return {(row.state, row.class_): row.n for row in rows}


def _to_acknowledge(conn: Connection, since: datetime) -> tuple[float, ...]:
    c = incident.c
    # What the first run found in the past was opened long before anybody could acknowledge it.
    taken = select(c.opened_at, c.acknowledged_at).where(c.acknowledged_at >= naive(since), c.origin == "live")
    return tuple((row.acknowledged_at - row.opened_at).total_seconds() for row in conn.execute(taken))
