"""Forgetting an account or a person so that no later load brings them back."""

from hashlib import sha256
from typing import Literal
from unicodedata import category, normalize

from sqlalchemy import ColumnElement, delete, func, literal, select, update

from queries.engine import sha256_hex
from queries.warehouse import tables
from queries.warehouse.staging import Stage

Kind = Literal["account", "person"]


def as_key(text: str) -> str:
    """A key as the loader stores it: without the white space around it and the signs that nobody can see."""
    seen = (
        letter for letter in normalize("NFC", text) if category(letter) not in {"Cf", "Cc"} or letter in "\t\n\v\f\r"
    )
    return "".join(seen).strip()


def hash_of(kind: Kind, key: str) -> str:
    """The tombstone of a key: it says that a key was erased, not which keys were."""
    return sha256(f"{kind}:{key}".encode()).hexdigest()


def drop_erased(stage: Stage) -> int:
    """Take what was erased out of the staged rows. Returns the number of rows dropped.

    Rows of an erased account are dropped; those of an erased person lose the person and the comment.
    """
    conn, dropped = stage.conn, 0
    if not conn.execute(select(func.count()).select_from(tables.erased)).scalar_one():
        return 0
    for table, staged in stage:
        if "account_id" in staged.c:
            dropped += conn.execute(delete(staged).where(_erased("account", staged.c.account_id))).rowcount
        if table is tables.person:
            dropped += conn.execute(delete(staged).where(_erased("person", staged.c.person_id))).rowcount
        elif "person_id" in staged.c:
            # The row as it was read names the person and holds the comment, too.
            personal = {name: None for name in ("person_id", "comment", "row") if name in staged.c}
            conn.execute(update(staged).where(_erased("person", staged.c.person_id)).values(**personal))
    return dropped


def _erased(kind: Kind, key: ColumnElement[str]) -> ColumnElement[bool]:
    # Each distinct key is hashed once: ten million rows have a few thousand accounts.
    rows = key.table.alias()
    keys = select(rows.c[key.name].label("key")).distinct().subquery()
    mark = sha256_hex(literal(f"{kind}:") + keys.c.key)
    return key.in_(select(keys.c.key).where(mark.in_(select(tables.erased.c.hash))))
