"""Rows travel to and from both engines as Arrow, and arrive as they were."""

from datetime import date, datetime
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from queries.engine import epoch, fetch_arrow, insert_arrow, micros, newest_value, quantile, sha256_hex
from queries.warehouse import Warehouse, tables

AT = datetime(2026, 3, 29, 1, 30, 0, 123_456)  # noqa: DTZ001 - the warehouse stores naive UTC
TEXTS = ["", "plain", 'a "quoted" one', "two\nlines", "comma, too", "\\N", "NULL", " ", "ü€😀", "a\ttab", "\r\n", None]


def table(texts: list[str | None]) -> pa.Table:
    n = len(texts)
    columns: dict[str, Any] = {
        "source": ["crm"] * n,
        "id": [str(i) for i in range(n)],
        "account_id": ["A"] * n,
        "touchpoint": ["visit"] * n,
        "direction": ["in"] * n,
        "occurred_at": pa.array([AT] * n, pa.timestamp("us")),
        "team": pa.array(texts, pa.string()),
        "emotion": pa.array([i % 5 - 2 if i % 3 else None for i in range(n)], pa.int16()),
        "context_seen": pa.array([(None, True, False)[i % 3] for i in range(n)], pa.bool_()),
        "day": pa.array([date(2026, 3, 29)] * n, pa.date32()),
    }
    return pa.table(columns)


def test_what_goes_in_comes_out(warehouse: Warehouse) -> None:
    sent = table(TEXTS)
    contact = tables.contact
    with warehouse.draft() as draft:
        assert insert_arrow(draft.conn, contact, sent.to_reader(max_chunksize=5)) == len(TEXTS)
        found = fetch_arrow(draft.conn, select(*(contact.c[name] for name in sent.schema.names)))
        draft.discard()
    assert sorted(found.to_pylist(), key=str) == sorted(sent.to_pylist(), key=str)


def test_columns_of_other_names_do_not_slip(warehouse: Warehouse) -> None:
    sent = table(["x"]).select(["team", "id", "source", "account_id", "day", "direction", "touchpoint", "occurred_at"])
    with warehouse.draft() as draft:
        insert_arrow(draft.conn, tables.contact, sent.to_reader())
        row = draft.conn.execute(select(tables.contact)).mappings().one()
        draft.discard()
    assert (row["team"], row["id"], row["emotion"]) == ("x", "0", None)


@pytest.mark.parametrize("rows", [0, 3])
def test_types_are_known_where_nothing_is(warehouse: Warehouse, rows: int) -> None:
    contact = tables.contact.c
    with warehouse.draft() as draft:
        insert_arrow(draft.conn, tables.contact, table([None] * rows).to_reader())
        wanted = select(contact.team, contact.occurred_at, contact.day, contact.context_seen)
        found = fetch_arrow(draft.conn, wanted)
        draft.discard()
    assert found.num_rows == rows
    assert [field.type for field in found.schema] == [pa.string(), pa.timestamp("us"), pa.date32(), pa.bool_()]


def test_functions_mean_the_same(warehouse: Warehouse) -> None:
    contact = tables.contact.c
    with warehouse.draft() as draft:
        insert_arrow(draft.conn, tables.contact, table(["b", "a", "b", "c"]).to_reader())
        wanted = select(
            newest_value(contact.emotion, contact.id),
            quantile(contact.emotion, 0.5),
        )
        assert draft.conn.execute(wanted).one() == (0, -0.5)
        row = select(micros(contact.occurred_at), epoch(contact.occurred_at), sha256_hex(contact.team))
        found = draft.conn.execute(row.where(contact.id == "1")).one()
        draft.discard()
    assert found[0] == 1_774_747_800_123_456
    assert found[1] == pytest.approx(1_774_747_800.123456)
    assert found[2] == sha256(b"a").hexdigest()
