"""What was evaluated: the slots of each rule, the rules as they were then, and what each slice of a rule remembers."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, func, select

from queries.instants import aware
from queries.state import tables


@dataclass(frozen=True, slots=True)
class Remembered:
    """An instance as stored: `body` is the evaluator's own text."""

    rule: str
    slice: str
    state: str
    health: str
    slot: date | None
    body: str
    incident_id: str | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One slot of one rule, evaluated on one generation."""

    rule: str
    slot: date
    generation: int
    rule_hash: str
    origin: str
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class Newest:
    """How far a rule was evaluated, on which generation, and when that was first done."""

    slot: date
    generation: int
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """A rule as it was when it was evaluated, with its metric."""

    hash: str
    rule: str
    body: str
    author: str | None
    stored_at: datetime


def remembered(conn: Connection) -> tuple[Remembered, ...]:
    """Every instance that is not as it began."""
    return tuple(Remembered(*row) for row in conn.execute(select(tables.instance)))


def newest_slots(conn: Connection) -> dict[str, Newest]:
    """Per rule the newest slot evaluated, on the newest generation it was evaluated on."""
    table = tables.eval_slot
    newest = select(table.c.rule, func.max(table.c.slot).label("slot")).group_by(table.c.rule).subquery()
    same_slot = (table.c.rule == newest.c.rule) & (table.c.slot == newest.c.slot)
    # Of the rows of one slot the last to come wins below: that of the newest generation.
    rows = conn.execute(select(table).join_from(newest, table, same_slot).order_by(table.c.generation))
    return {row.rule: Newest(row.slot, row.generation, aware(row.evaluated_at)) for row in rows}


def rule_version(conn: Connection, hash_: str) -> RuleVersion | None:
    """A rule as it was under that hash."""
    row = conn.execute(select(tables.rule_version).where(tables.rule_version.c.hash == hash_)).one_or_none()
    return RuleVersion(row.hash, row.rule, row.body, row.author, aware(row.stored_at)) if row else None


def rule_hashes(conn: Connection) -> frozenset[str]:
    """The hashes of all stored rule versions."""
    return frozenset(conn.execute(select(tables.rule_version.c.hash)).scalars())
