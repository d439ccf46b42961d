"""Rows that a load does not let in, each with its reason: what a row says itself the contract has judged before.

Here they are held to the rest: keys that stand once, and references that exist.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Double,
    Integer,
    String,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    not_,
    select,
    true,
    update,
)

from queries.engine import append, hash64, insert_arrow
from queries.warehouse import LOADED, Stage, tables, temporary

COMPANY_WIDE: Final = frozenset({"account", "person"})
"""The tables whose key does not hold the source."""

WAITS: Final = "unknown "
"""How the reasons begin that a later load can cure: what the row refers to may still come."""

LISTED: Final = 1_000
"""How many rejected rows of a table are looked for in the files, and how many of a refused load are kept."""

FindLines = Callable[[Sequence[frozenset[str]]], Sequence[str]]
"""Where in the source's files the rows stand that hold these values."""


class Rejected(NamedTuple):
    """A row that was not let in; `row` is JSON, with the `line` it stands on where that was found."""

    source: str
    table_name: str
    key: str
    reason: str
    row: str


_COLUMNS: Final = Rejected._fields
# To the last apostrophe: the value may hold some, as O'Brien does.
_QUOTED: Final = re.compile("'.*'", re.DOTALL)
_ROWS_AT_ONCE: Final = 10_000


def reject_invalid_rows(stage: Stage, leaving: Collection[str]) -> None:
    """Give every staged row that cannot stand its reason.

    Args:
        stage: the staged tables; their own mistakes already have a reason.
        leaving: the sources whose present rows go with this load: a snapshot's own, a replaced sample's.
    """
    for table, staged in stage:
        _reject_repeated(stage, table, staged)
        for column in table.c:
            if parent := column.info.get("refers"):
                _reject_unknown(stage, staged, column.name, tables.warehouse.tables[parent], leaving)


def _reject_repeated(stage: Stage, table: Table, staged: Table) -> None:
    # All copies go: nothing says which one is right.
    names = _own_key(table)
    repeated = temporary(f"repeated_{table.name}", *(Column(name, staged.c[name].type) for name in names))
    repeated.create(stage.conn)
    keys = [staged.c[name] for name in names]
    # Numbers are grouped in a quarter of the memory that their texts take. That two different texts share a number
    # does no harm: what is left is grouped by the texts themselves.
    mark = hash64(func.concat_ws("|", *keys) if len(keys) > 1 else keys[0])
    complete = and_(*(key.is_not(None) for key in keys))
    suspect = and_(complete, mark.in_(select(mark).where(complete).group_by(mark).having(func.count() > 1)))
    copies = select(*keys).where(suspect).group_by(*keys).having(func.count() > 1)
    if not append(stage.conn, repeated, copies):
        return
    same = and_(*(staged.c[name] == repeated.c[name] for name in names))
    reason = f"same key twice in one load; keep one row for each {' and '.join(names)}"
    stage.conn.execute(_unless_rejected(staged, exists().where(same)).values(reason=reason))


def _reject_unknown(stage: Stage, staged: Table, column: str, parent: Table, leaving: Collection[str]) -> None:
    # Each place where the key may be is a condition of its own: joined by OR, PostgreSQL would look row by row.
    value = staged.c[column]
    missing: list[ColumnElement[bool]] = [value.is_not(None)]
    key = _own_key(parent)[0]
    if parent.name in stage.tables:
        arriving = stage.tables[parent.name].alias()
        missing.append(not_(exists().where(arriving.c[key] == value, arriving.c.reason.is_(None))))
    # In place the rows that are there are the staged ones, with those that were rejected.
    if not stage.in_place:
        present = parent.alias()
        same_source = true() if parent.name in COMPANY_WIDE else present.c.source == staged.c.source
        stays = present.c.source.not_in(sorted(leaving))
        missing.append(not_(exists().where(present.c[key] == value, same_source, stays)))
    reason = literal(f"unknown {parent.name} '") + value + "'"
    stage.conn.execute(_unless_rejected(staged, and_(*missing)).values(reason=reason))


def _unless_rejected(staged: Table, wrong: ColumnElement[bool]) -> Any:
    return update(staged).where(staged.c.reason.is_(None), wrong)


def count_reasons(stage: Stage) -> Counter[str]:
    """How many staged rows have which reason: `contact: unknown account '…'`."""
    counts: Counter[str] = Counter()
    for table, staged in stage:
        reason = staged.c.reason
        for text, number in stage.conn.execute(
            select(reason, func.count()).where(reason.is_not(None)).group_by(reason)
        ):
            counts[f"{table.name}: {without_values(text)}"] += number
    return counts


def without_values(reason: str) -> str:
    """A reason without the value it quotes, to count by: `unknown account '…'`."""
    return _QUOTED.sub("'…'", reason)


def write_quarantine(
    conn: Connection, stage: Stage, source: str, now: datetime, lines: FindLines, *, snapshot: bool
) -> int:
    """Put the rejected rows away and let go of those that came again: of a snapshot all, else those of the same key.

    Returns how many rows of the quarantine came or went.
    """
    arriving = _texts("arriving_quarantine", *_COLUMNS)
    arriving.create(conn)
    for batch in _batches(stage, source, lines):
        columns = [pa.array(column, pa.string()) for column in zip(*batch, strict=True)]
        insert_arrow(conn, arriving, pa.Table.from_arrays(columns, _COLUMNS).to_reader())
    there, new = tables.quarantine, arriving
    same = and_(*(there.c[name] == new.c[name] for name in _COLUMNS))
    outdated = true() if snapshot else _came_again(conn, stage)
    gone = conn.execute(delete(there).where(there.c.source == source, not_(exists().where(same)), outdated)).rowcount
    rows = select(*new.c, literal(now, DateTime).label("loaded_at")).where(not_(exists().where(same)))
    return gone + append(conn, there, rows)


def bring_back(conn: Connection, stage: Stage, source: str, now: datetime) -> int:
    """Stage again what waits in the quarantine for the row it refers to, unless its key arrives anew."""
    there = tables.quarantine
    parked = select(there.c.table_name, there.c.row).where(there.c.source == source, there.c.reason.startswith(WAITS))
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, row in conn.execute(parked).all():
        rows.setdefault(name, []).append(json.loads(row))
    number = 0
    for name, waiting in rows.items():
        table = tables.warehouse.tables[name]
        if name not in stage.tables:
            stage.fill(name, _arrow(table, []).to_reader(), now)
        staged, again = stage.tables[name], stage.table(name, "again")
        again.create(stage.conn)
        as_kept = pa.array((json.dumps(row, ensure_ascii=False) for row in waiting), pa.string())
        insert_arrow(stage.conn, again, _arrow(table, waiting).append_column("row", as_kept).to_reader())
        newer = exists().where(*(staged.c[key] == again.c[key] for key in _own_key(table)))
        number += append(stage.conn, staged, select(again).where(not_(newer)))
    return number


def rejected_rows(stage: Stage, source: str, lines: FindLines) -> list[Rejected]:
    """The first rejected rows, for a load that keeps none."""
    return list(islice(chain.from_iterable(_batches(stage, source, lines)), LISTED))


def quarantined_rows(conn: Connection) -> list[Rejected]:
    """The rows of the quarantine, by source, table and key."""
    there = tables.quarantine
    columns = [there.c[name] for name in _COLUMNS]
    return [Rejected(*row) for row in conn.execute(select(*columns).order_by(*columns))]


def keep_refused(data: Path, source: str, rows: Sequence[Rejected]) -> None:
    """Keep the rejected rows of a refused load until the source is loaded again; without any, forget the last ones."""
    file = data / "refused" / f"{source}.jsonl"
    if not rows:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def refused_rows(data: Path) -> list[Rejected]:
    """The rejected rows of each source's last load, where that was refused."""
    files = sorted((data / "refused").glob("*.jsonl"))
    return [Rejected(*json.loads(line)) for file in files for line in file.read_text("utf-8").splitlines()]


def _texts(name: str, *columns: str) -> Table:
    return temporary(name, *(Column(column, String) for column in columns))


def _batches(stage: Stage, source: str, lines: FindLines) -> Iterator[list[Rejected]]:
    """The rejected rows of every table; of the first the lines they stand on are looked for."""
    for table, staged in stage:
        keys = [staged.c[name] for name in _own_key(table)]
        rejected = stage.conn.execute(select(staged).where(staged.c.reason.is_not(None)).order_by(*keys)).mappings()
        searched = LISTED
        for rows in iter(lambda: rejected.fetchmany(_ROWS_AT_ONCE), []):  # noqa: B023 - read before the next table
            said: list[dict[str, Any]] = []
            for row in rows:
                # Without what a load adds: the same row put away twice is the same.
                names = (c.name for c in table.c if c.name not in LOADED and row[c.name] is not None)
                said.append(json.loads(row["row"]) if row["row"] else {name: row[name] for name in names})
            # A row that waits has its line from the file it came in.
            values = [
                frozenset() if "line" in item else frozenset(str(value).strip() for value in item.values())
                for item in said[:searched]
            ]
            for item, line in zip(said, lines(values), strict=False):
                if line:
                    item["line"] = line
            searched = 0
            yield [
                Rejected(
                    source,
                    table.name,
                    "|".join("" if row[name] is None else str(row[name]) for name in _own_key(table)),
                    row["reason"],
                    json.dumps(item, ensure_ascii=False, default=str),
                )
                for row, item in zip(rows, said, strict=True)
            ]


def _own_key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key if column.name != "source"]


def _came_again(conn: Connection, stage: Stage) -> ColumnElement[bool]:
    """Whether the key of a quarantined row is among the rows of this load, accepted or not."""
    seen = _texts("seen_key", "table_name", "key")
    seen.create(conn)
    for table, staged in stage:
        key = func.concat_ws("|", *(staged.c[name] for name in _own_key(table)))
        quarantined = tables.quarantine.alias()
        keys = select(literal(table.name).label("table_name"), key.label("key")).where(
            exists().where(quarantined.c.table_name == table.name, quarantined.c.key == key)
        )
        append(conn, seen, keys)
    return exists().where(seen.c.table_name == tables.quarantine.c.table_name, seen.c.key == tables.quarantine.c.key)


def _arrow(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as they stand in the quarantine: instants and days as text."""
    columns = [column for column in table.c if column.name not in LOADED]
    arrays = []
    for column in columns:
        is_text = isinstance(column.type, Date | DateTime)
        values = pa.array([row.get(column.name) for row in rows], pa.string() if is_text else _kept(column))
        arrays.append(values.cast(_kept(column)))
    return pa.Table.from_arrays(arrays, [column.name for column in columns])


def _kept(column: Column[Any]) -> pa.DataType:
    return next(arrow for kind, arrow in _ARROW if isinstance(column.type, kind))


_ARROW: Final[tuple[tuple[type[Any], pa.DataType], ...]] = (
    (String, pa.string()),
    (DateTime, pa.timestamp("us")),
    (Date, pa.date32()),
    (Boolean, pa.bool_()),
    (Integer, pa.int64()),
    (Double, pa.float64()),
)
