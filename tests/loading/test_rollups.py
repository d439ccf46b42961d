"""What is computed from the facts when a generation is made, against counts in plain Python."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from sqlalchemy import Connection, select

from queries.warehouse import ROLLUPS
from queries.warehouse import tables as warehouse_tables
from tests.support.handmade import ZONE, Row, Rows, company, local_day, warehouse

HOUR: Final = timedelta(hours=1)
ROLLED: Final = [(name, table) for name, tables in ROLLUPS.items() for table in tables]


@pytest.fixture(scope="module")
def rows() -> Rows:
    found = company(seed=5)
    found["contact"].append(found["contact"][0] | {"id": "at the end", "occurred_at": _end(found, found["contact"][0])})
    return found


def _end(rows: Rows, of: Row) -> datetime:
    journey = next(j for j in rows["journey"] if j["id"] == of["journey_id"])
    end: datetime = journey["ended_at"] or journey["started_at"]
    return end


@pytest.fixture(scope="module")
def conn(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    engine = warehouse(tmp_path_factory.mktemp("rollups") / "warehouse.duckdb", rows)
    with closing(engine.connect()) as connection:
        yield connection
    engine.dispose()


def test_every_journey(conn: Connection, rows: Rows) -> None:
    facts = {(row.source, row.id): row for row in conn.execute(select(warehouse_tables.journey_fact))}
    assert len(facts) == len(rows["journey"])
    for journey in rows["journey"]:
        key = (journey["source"], journey["id"])
        fact = facts[key]._mapping
        expected = _fact(journey, [_of(rows[name], key) for name in ("contact", "defect")])
        assert {name: fact[name] for name in expected} == pytest.approx(expected), key
        own = ("account_id", "vertical", "journey_type", "started_at", "promised_at", "ended_at", "outcome")
        assert {name: fact[name] for name in own} == {name: journey[name] for name in own}


def _of(rows: list[Row], journey: tuple[str, str]) -> list[Row]:
    return [row for row in rows if (row["source"], row["journey_id"]) == journey]


def _fact(journey: Row, parts: list[list[Row]]) -> Row:
    """What a journey adds up to when it has ended; before, nothing is known."""
    end = journey["ended_at"]
    if end is None:
        names = ("kept", "days", "contacts", "inbound", "channels", "multi_channel", "hours_waiting_on_us", "defects")
        return dict.fromkeys((*names, "hours_waiting_on_customer", "last_emotion", "worst_emotion", "defective"))
    contacts = sorted((c for c in parts[0] if c["occurred_at"] <= end), key=lambda c: (c["occurred_at"], c["id"]))
    defects = [d for d in parts[1] if d["occurred_at"] <= end + timedelta(days=14)]
    emotions = [c["emotion"] for c in contacts if c["emotion"] is not None]
    channels = len({c["channel"] for c in contacts} - {None})
    return {
        "kept": None if journey["promised_at"] is None else end <= journey["promised_at"],
        "days": (end - journey["started_at"]) / timedelta(days=1),
        "contacts": len(contacts),
        "inbound": sum(c["direction"] == "in" for c in contacts),
        "channels": channels,
        "multi_channel": channels > 1,
        "hours_waiting_on_us": _waited(contacts, "in"),
        "hours_waiting_on_customer": _waited(contacts, "out"),
        "last_emotion": emotions[-1] if emotions else None,
        "worst_emotion": min(emotions, default=None),
        "defects": len(defects),
        "defective": bool(defects),
    }


def _waited(contacts: list[Row], since: str) -> float:
    """After who wrote it was waited how long."""
    gaps = [(b["occurred_at"] - a["occurred_at"]) / HOUR for a, b in pairwise(contacts) if a["direction"] == since]
    return float(sum(gaps))


@pytest.mark.parametrize(("name", "table"), ROLLED, ids=[table.name for _, table in ROLLED])
def test_every_rollup_counts_its_rows(conn: Connection, rows: Rows, name: str, table: Any) -> None:
    names = [column.name for column in table.c if column.name != "c"]
    expected = Counter(tuple(row[n] for n in names) for row in _derived(rows, name) if row[names[0]] is not None)
    found = [tuple(row) for row in conn.execute(select(table))]
    assert {row[:-1]: row[-1] for row in found} == expected
    assert len(found) == len(expected), "no cell stands twice"


def _derived(rows: Rows, name: str) -> Iterable[Row]:
    return {"contact": _contacts, "response": _responses, "journey": _journeys, "defect": _contacts}[name](rows, name)


def _contacts(rows: Rows, name: str) -> Iterator[Row]:
    for row in rows[name]:
        yield defaultdict(lambda: None, row | {"day": local_day(row["occurred_at"], ZONE)})


def _responses(rows: Rows, name: str) -> Iterator[Row]:
    for row in rows[name]:
        answered = row["responded_at"]
        days = {"day": local_day(row["invited_at"], ZONE), "responded_day": local_day(answered, ZONE)}
        waited = (answered - row["invited_at"]) // timedelta(days=1) if answered else None
        yield defaultdict(lambda: None, row | days | {"days_to_answer": waited})


def _journeys(rows: Rows, name: str) -> Iterator[Row]:
    for row in rows[name]:
        key, promised, ended = (row["source"], row["id"]), row["promised_at"], row["ended_at"]
        days = {"promised_day": local_day(promised, ZONE), "ended_day": local_day(ended, ZONE)}
        due = {"kept_when_due": None if promised is None else ended is not None and ended <= promised}
        yield row | days | due | _fact(row, [_of(rows["contact"], key), _of(rows["defect"], key)])
