"""Small warehouses made row by row, whole or as they would have been at an instant."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, Engine, Table, insert

from config.models import Calendar
from queries.engine import embedded
from queries.warehouse import LoadReport, tables, write_calendar
from queries.warehouse.rollups import rebuild_rollups
from tests.support.rows import put

ZONE: Final = "Europe/Berlin"
START: Final = datetime(2025, 9, 20)  # noqa: DTZ001 - the warehouse stores naive UTC
DAYS: Final = 150

Row = dict[str, Any]
Rows = dict[str, list[Row]]


def warehouse(file: Path, rows: Mapping[str, list[Row]], zone: str = ZONE) -> Engine:
    """A DuckDB file with these rows, the days, journeys, rollups and calendar made from them, and one generation."""
    return on(embedded(file, read_only=False), rows, zone)


def on(engine: Engine, rows: Mapping[str, list[Row]], zone: str = ZONE) -> Engine:
    """The same in an empty database."""
    with engine.begin() as conn:
        tables.warehouse.create_all(conn)
        for name, table_rows in rows.items():
            fill(conn, tables.warehouse.tables[name], table_rows, zone)
        write_calendar(conn, Calendar())
        rebuild_rollups(conn)
        conn.execute(insert(tables.generation), _generation(zone))
    return engine


def _generation(zone: str) -> Row:
    return {
        "number": 1,
        "published_at": START,
        "zone": zone,
        "calendar_hash": "",
        "metrics_hash": "",
        "source": "a",
        "summary": LoadReport("a").json(),
    }


def fill(conn: Connection, table: Table, rows: list[Row], zone: str) -> None:
    """Insert rows with their days made."""
    if rows:
        names = [c.name for c in table.c]
        made = [{"source": "a", **row, **_days(table, row, zone)} for row in rows]
        put(conn, table, [{name: row.get(name) for name in names} for row in made])


def _days(table: Table, row: Row, zone: str) -> Row:
    found = {c.name: row.get(c.info["day_of"]) for c in table.c if "day_of" in c.info}
    return {name: local_day(value, zone) for name, value in found.items()}


def local_day(instant: datetime | None, zone: str = ZONE) -> date | None:
    return instant.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date() if instant else None


def company(seed: int = 1, journeys: int = 150) -> Rows:
    """Two sources, six accounts, journeys with contacts, responses and defects; some dimensions are missing."""
    rng = np.random.default_rng(seed)
    rows: Rows = {name: [] for name in ("account", "account_history", "journey", "contact", "response", "defect")}
    for i in range(6):
        rows["account"].append({"account_id": f"A{i}", "name": f"Account {i}"})
        rows["account_history"] += _histories(f"A{i}", i)
    for i in range(journeys):
        _add_journey(rng, rows, i)
    return rows


def _histories(account: str, i: int) -> list[Row]:
    first = {"account_id": account, "valid_from": date(2020, 1, 1), "tier": "key" if i % 2 else "small", "owner": "x"}
    second = {**first, "valid_from": date(2025, 11, 15), "tier": "key", "owner": "y"}
    return [{**first, "vertical": "North"}, {**second, "vertical": "South"}]


def _add_journey(rng: np.random.Generator, rows: Rows, i: int) -> None:
    source, start = "ab"[int(rng.integers(2))], START + _span(rng, DAYS)
    key = {"source": source, "account_id": f"A{rng.integers(6)}", "vertical": _pick(rng, ("North", "South", None))}
    ended = start + _span(rng, 25) if rng.random() < 0.8 else None
    rows["journey"].append(
        {
            **key,
            "id": f"J{i}",
            "journey_type": _pick(rng, ("repair", "order")),
            "started_at": start,
            "promised_at": start + _span(rng, 25) if rng.random() < 0.8 else None,
            "ended_at": ended,
            "outcome": _pick(rng, ("reached", "reached", "failed", "abandoned")) if ended else None,
        }
    )
    for k in range(int(rng.integers(1, 7))):
        rows["contact"].append({**key, "id": f"C{i}-{k}", "journey_id": f"J{i}", **_contact(rng, start)})
    for k in range(int(rng.integers(0, 5))):
        rows["response"].append({**key, "id": f"R{i}-{k}", "journey_id": f"J{i}", **_response(rng, start)})
    for k in range(int(rng.integers(0, 3))):
        when = start + _span(rng, 40)
        rows["defect"].append(
            {
                **key,
                "id": f"D{i}-{k}",
                "journey_id": f"J{i}",
                "code": "late",
                "occurred_at": when,
                "resolved_at": when + _span(rng, 9),
                "severity": int(rng.integers(1, 6)),
            }
        )


def _contact(rng: np.random.Generator, start: datetime) -> Row:
    when = start + _span(rng, 20)
    return {
        "touchpoint": _pick(rng, ("visit", "call")),
        "channel": _pick(rng, ("mail", "phone", None)),
        "direction": _pick(rng, ("in", "out")),
        "occurred_at": when,
        "answered_at": when + _span(rng, 4) if rng.random() < 0.3 else None,
        "issue_code": _pick(rng, ("bill", "fault", None)),
        "emotion": _pick(rng, (-2, -1, 0, 1, 2, None)),
        "context_seen": _pick(rng, (True, False, None)),
    }


def _response(rng: np.random.Generator, start: datetime) -> Row:
    invited, scale = start + _span(rng, 20), _pick(rng, ("nps", "csat", "ces"))
    answered = invited + _span(rng, 25) if rng.random() < 0.6 else None
    low, high = tables.SCALES[scale]
    return {
        "touchpoint": _pick(rng, ("visit", "call", None)),
        "kind": _pick(rng, ("transaction", "relationship")),
        "status": "answered" if answered else _pick(rng, ("invited", "bounced")),
        "scale": scale,
        "score": int(rng.integers(low, high + 1)) if answered else None,
        "expectation": _pick(rng, ("below", "as", "above", None)) if answered else None,
        "instrument": "survey",
        "invited_at": invited,
        "responded_at": answered,
    }


def _pick(rng: np.random.Generator, values: tuple[Any, ...]) -> Any:
    return values[int(rng.integers(len(values)))]


def _span(rng: np.random.Generator, days: float) -> timedelta:
    return timedelta(seconds=int(rng.integers(0, int(days * 86_400))))


def cut(rows: Rows, at: datetime) -> Rows:
    """What had been known at an instant, written down independently of the queries."""
    events = {"journey": "started_at", "contact": "occurred_at", "response": "invited_at", "defect": "occurred_at"}
    known: Rows = {}
    for name, table_rows in rows.items():
        event = events.get(name)
        known[name] = [_forget(name, dict(row), at) for row in table_rows if event is None or row[event] < at]
    return known


def _forget(name: str, row: Row, at: datetime) -> Row:
    later = {
        "journey": ("ended_at", ("ended_at", "outcome")),
        "contact": ("answered_at", ("answered_at",)),
        "response": ("responded_at", ("responded_at", "score", "expectation", "comment")),
        "defect": ("resolved_at", ("resolved_at",)),
    }
    instant, lost = later.get(name, ("", ()))
    if instant and row.get(instant) and row[instant] >= at:
        row.update(dict.fromkeys(lost))
        if name == "response":
            row["status"] = "invited"
    return row
