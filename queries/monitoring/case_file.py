"""One severe case as whoever answers for it must know it: who, what, when, and what came before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, String, and_, literal, select

from queries.engine import aware, naive
from queries.monitoring.people import may_quote
from queries.warehouse import COLUMNS, KEYS, Scope, relation

ASKED: Final = frozenset(
    {
        *("person_id", "person.role", "product", "channel", "touchpoint", "emotion", "comment"),
        *("scale", "score", "kind", "instrument", "code", "issue_code", "answered_at"),
        *("opened_at", "closed_at", "next_in_at", "repeat_days"),
        *("journey_id", "journey_type", "journey.journey_type", "journey.started_at"),
    }
)
"""What is asked of a row, as far as its relation has it."""


@dataclass(frozen=True, slots=True)
class Score:
    """An answer: its score, its scale, and when it was given (aware UTC), by the person of the case or another one."""

    value: int
    scale: str
    at: datetime
    is_same_person: bool = False


@dataclass(frozen=True, slots=True)
class CaseFile:
    """What is known of a severe case. Instants are aware UTC.

    Args:
        table: the relation that its row is of.
        at: when it happened.
        row: the row's columns, and its journey's; what is not known is left out.
        defects: the codes of its journey's defects, each once; of what came back those of the first journey.
        again: of what came back the contact by which it did, with the same columns, and the defects of its journey.
        before: the account's last score before, of the same scale where the case is one.
        replied_at: when it was answered, of what waits for an answer.
        is_private: whether the customer's own words are left out for privacy.
    """

    table: str
    at: datetime
    row: Mapping[str, Any]
    defects: tuple[str, ...] = ()
    again: Mapping[str, Any] | None = None
    again_defects: tuple[str, ...] = ()
    before: Score | None = None
    replied_at: datetime | None = None
    is_private: bool = False


def read_case(
    conn: Connection, table: str, key: str, account: str, at: datetime, scope: Scope, as_of: datetime
) -> CaseFile | None:
    """The file of a case, None where its row is gone or out of scope.

    Args:
        conn: one generation of the warehouse.
        table: the relation of the case.
        key: as `severe_cases.Case` has it.
        account: whose it is.
        at: when it happened, aware UTC.
        scope: what may be read.
        as_of: nothing later is read, aware UTC.
    """
    # How a contact was replied to needs every contact of every journey; of one row two small queries say it.
    name = "contact" if table == "inbound" else table
    own = _key(key.partition("=")[2], name)
    row = _first(conn, name, (*KEYS[name],), own, account, scope, as_of)
    if row is None:
        return None
    again, again_defects, replied = None, tuple[str, ...](), None
    if table == "issue":
        match = {"issue_code": row["issue_code"], "direction": "in", "occurred_at": naive(row["next_in_at"])}
        again = _first(conn, "contact", (*KEYS["contact"], *match), _equal(match), account, scope, as_of)
        again_defects = _defects(conn, again, account, scope, as_of) if again else ()
    if table == "inbound":
        replied = row.get("answered_at") or _next_out(conn, row, account, at, as_of)
    before = _before(conn, again or row, account, at, scope, as_of)
    if is_private := "comment" in row and not may_quote(conn, account, row.get("instrument"), scope, as_of):
        del row["comment"]
    defects = _defects(conn, row, account, scope, as_of)
    return CaseFile(table, at, row, defects, again, again_defects, before, replied, is_private)


Where = Any
"""A function of a relation's columns that says which rows are meant."""


def _key(key: str, name: str) -> Where:
    def matches(c: Any) -> ColumnElement[bool]:
        # As a whole: an id may hold the sign that parts it from the next one.
        text: Any = literal("")
        for number, column in enumerate(KEYS[name]):
            text = text + (literal("/") if number else literal("")) + c[column].cast(String)
        found: ColumnElement[bool] = text == key
        return found

    return matches


def _equal(values: Mapping[str, Any]) -> Where:
    return lambda c: and_(*(c[name] == value for name, value in values.items()))


def _first(
    conn: Connection,
    name: str,
    columns: Collection[str],
    where: Where,
    account: str,
    scope: Scope,
    as_of: datetime,
) -> dict[str, Any] | None:
    """The one row of an account that is meant, with what is asked of it and is known."""
    wanted = {*columns, "account_id", *((ASKED | {"vertical"}) & COLUMNS[name])}
    rows = relation(name, as_of, sorted(wanted))
    query = select(rows).where(rows.c.account_id == account, where(rows.c), scope.where(rows))
    found = conn.execute(query.order_by(*(rows.c[column] for column in KEYS[name])).limit(1)).mappings().first()
    if found is None:
        return None
    known = {column: value for column, value in found.items() if value is not None}
    return {c: aware(value) if isinstance(value, datetime) else value for c, value in known.items()}


def _defects(conn: Connection, row: Mapping[str, Any], account: str, scope: Scope, as_of: datetime) -> tuple[str, ...]:
    """The codes of the defects of a row's journey."""
    if "journey_id" not in row:
        return ()
    rows = relation("defect", as_of, ("source", "account_id", "journey_id", "code", "occurred_at", "vertical"))
    same = (rows.c.account_id == account, rows.c.source == row["source"], rows.c.journey_id == row["journey_id"])
    query = select(rows.c.code).where(*same, scope.where(rows)).order_by(rows.c.occurred_at, rows.c.code)
    return tuple(dict.fromkeys(conn.execute(query).scalars()))


def _next_out(conn: Connection, row: Mapping[str, Any], account: str, at: datetime, as_of: datetime) -> datetime | None:
    """When we next came back to the customer in the same journey."""
    if "journey_id" not in row:
        return None
    rows = relation("contact", as_of, ("source", "account_id", "journey_id", "direction", "occurred_at"))
    same = (rows.c.account_id == account, rows.c.source == row["source"], rows.c.journey_id == row["journey_id"])
    later = (rows.c.direction == "out", rows.c.occurred_at > naive(at))
    query = select(rows.c.occurred_at).where(*same, *later).order_by(rows.c.occurred_at).limit(1)
    found: datetime | None = conn.execute(query).scalar()
    return aware(found) if found else None


def _before(
    conn: Connection, row: Mapping[str, Any], account: str, at: datetime, scope: Scope, as_of: datetime
) -> Score | None:
    """The account's newest score before the case: of the same question, and of the same person where they gave one."""
    names = ("account_id", "person_id", "kind", "scale", "score", "responded_at", "vertical")
    rows = relation("response", as_of, names)
    c = rows.c
    asked = [c[name] == row[name] for name in ("scale", "kind") if "score" in row and name in row]
    earlier = (c.account_id == account, c.score.is_not(None), c.responded_at < naive(at), *asked)
    query = select(c.person_id, c.score, c.scale, c.responded_at).where(*earlier, scope.where(rows))
    newest = query.order_by(c.responded_at.desc(), c.person_id).limit(1)
    person = row.get("person_id")
    own = conn.execute(newest.where(c.person_id == person)).first() if person else None
    found = own or conn.execute(newest).first()
    return Score(found.score, found.scale, aware(found.responded_at), found is own) if found else None
