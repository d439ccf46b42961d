"""The same loads make the same warehouse on DuckDB and on PostgreSQL, and what is kept is what a rebuild makes."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from config.models import Catalog
from config.reading import read_catalog
from queries.metrics import write_design_effects
from queries.monitoring.asked_rows import Question
from queries.monitoring.drivers import read_drivers
from queries.operations.drop_source import drop
from queries.warehouse import (
    CANONICAL,
    COLUMNS,
    EVERYTHING,
    EmbeddedWarehouse,
    LoadReport,
    SharedWarehouse,
    Warehouse,
    rollups,
)
from tests.support.deliveries import COMPUTED, NOW, START, Rows, company, deliver, held, rows_of

OURS: Final[Catalog] = read_catalog(Path(__file__).parents[3] / "config", COLUMNS)
Step = Callable[[Warehouse, datetime], LoadReport]


@pytest.fixture
def engines(tmp_path: Path, postgres_url: str) -> Iterator[tuple[Warehouse, Warehouse]]:
    with ExitStack() as stack:
        duckdb = stack.enter_context(closing(EmbeddedWarehouse(tmp_path / "warehouse", "256MB")))
        yield duckdb, stack.enter_context(closing(SharedWarehouse(postgres_url)))


def bringing(place: Path, rows: Rows, name: str = "crm", mode: str = "snapshot") -> Step:
    def step(warehouse: Warehouse, now: datetime) -> LoadReport:
        return deliver(place, rows, name=name, mode=mode, settle="7d").load(warehouse, now, catalog=OURS)

    return step


def dropping(name: str) -> Step:
    return lambda warehouse, now: drop(warehouse, name, OURS, now, lambda _: None)


def story(place: Path) -> dict[str, Step]:
    """The whole life of two sources; each step leaves traces that the next has to change."""
    rows = company(journeys=40)
    rows["contact"] += [
        rows["contact"][0],  # twice
        rows["contact"][1] | {"id": "nobody's", "account_id": "nobody"},
        rows["contact"][1] | {"id": "odd", "direction": "up"},
        rows["contact"][2] | {"id": "é ü 'quoted', \"twice\"", "vertical": "=cmd|' /C calc'!A0", "touchpoint": "\\N"},
    ]
    late: Rows = {
        "account": [{"account_id": "nobody", "name": "Came late"}],
        "account_history": [{"account_id": "A1", "valid_from": date(2026, 1, 9), "vertical": "Leasing"}],
        "contact": [{**row, "id": f"late {row['id']}"} for row in rows["contact"][4:40]],
        "journey": [
            row | {"outcome": "failed", "ended_at": row["started_at"] + timedelta(1)} for row in rows["journey"]
        ],
    }
    return {
        "first": bringing(place, rows),
        "changed": bringing(place, _changed(rows)),
        "fewer": bringing(place, {name: found[::2] if len(found) > 20 else found for name, found in rows.items()}),
        "second source": bringing(place, late, "desk", "append"),
        "append": bringing(place, {"contact": [row | {"emotion": 1} for row in late["contact"][:9]]}, "desk", "append"),
        "no history": bringing(place, _changed(rows) | {"account_history": []}),
        "dropped": dropping("crm"),
    }


def _changed(rows: Rows, seed: int = 7) -> Rows:
    """Some facts move to other days, journeys and verticals."""
    draw, keys = random.Random(seed), [row["id"] for row in rows["journey"]]
    changed = {name: [dict(row) for row in found] for name, found in rows.items()}
    for row in draw.sample(changed["contact"], 20):
        row |= {"journey_id": draw.choice(keys), "occurred_at": START + timedelta(hours=draw.randrange(900))}
        row |= {"answered_at": None, "vertical": draw.choice(("Payments", None)), "emotion": draw.choice((-2, 2))}
    for row in draw.sample(changed["journey"], 10):
        row |= {"ended_at": row["started_at"] + timedelta(hours=draw.randrange(900)), "outcome": "reached"}
    for row in changed["response"][:10]:
        row |= {"status": "bounced", "responded_at": None, "score": None, "scale": None, "comment": None}
    changed["defect"] = changed["defect"][3:]
    changed["fx_rate"][0]["rate"] = 0.8
    changed["revenue"][0] |= {"amount": 5.0, "share_of_wallet": 0.4}
    return changed


def test_engines_agree_and_what_is_kept_is_what_a_rebuild_makes(
    tmp_path: Path, engines: tuple[Warehouse, Warehouse]
) -> None:
    now = NOW
    for name, step in story(tmp_path).items():
        now += timedelta(days=1)
        figures = [(s.tables, s.reasons, s.refilled, s.published) for s in (step(one, now) for one in engines)]
        assert figures[0] == figures[1], name
        assert figures[0][3], name
        duckdb, postgresql = map(held, engines)
        for table, rows in duckdb.items():
            assert rows == postgresql[table], (name, table)
        for one in engines:
            assert _rebuilt(one) == {table: duckdb[table] for table in (*COMPUTED, "design_effect")}, name
    assert {row[0] for row in duckdb["contact"]} == {"desk"}


def test_every_canonical_table_is_in_the_story(tmp_path: Path) -> None:
    with closing(EmbeddedWarehouse(tmp_path / "warehouse", "256MB")) as warehouse:
        story(tmp_path)["first"](warehouse, NOW)
        full = held(warehouse)
    assert [table.name for table in CANONICAL if not full[table.name]] == []
    assert [name for name in (*COMPUTED, "design_effect", "calendar", "quarantine") if not full[name]] == []


def _rebuilt(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    with warehouse.draft() as draft:
        rollups.rebuild_rollups(draft.conn)
        write_design_effects(draft.conn, OURS)
        found = {name: rows_of(draft.conn, name) for name in (*COMPUTED, "design_effect")}
        draft.discard()
    return found


def test_engines_agree_where_a_breach_comes_from(tmp_path: Path, engines: tuple[Warehouse, Warehouse]) -> None:
    earlier, window = START.date(), START.date() + timedelta(days=21)
    metrics = [metric for metric in OURS.metrics if metric.shape in {"share", "balance", "mean"}]
    questions = [
        Question(metric, window, window + timedelta(days=21), (), by, (earlier, window))
        for metric in metrics
        for by in ((), (("vertical", "Payments"),))
    ]
    read = []
    for warehouse in engines:
        bringing(tmp_path, company(journeys=200))(warehouse, NOW)
        with warehouse.pin() as pin:
            as_of = NOW.replace(tzinfo=UTC) if NOW.tzinfo is None else NOW
            read.append([read_drivers(pin.conn, question, EVERYTHING, as_of) for question in questions])
    assert any(found and found.dimensions for found in read[0])
    for question, embedded, shared in zip(questions, *read, strict=True):
        assert (embedded is None) == (shared is None), question
        if embedded and shared:
            same = (embedded.n, embedded.bad, embedded.words({}))
            assert (shared.n, shared.bad, shared.words({})) == same, question
            assert shared.change == pytest.approx(embedded.change), question
