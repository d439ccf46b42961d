"""The design effects known at an instant: of each figure those of the newest quarter that had ended and has it."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from sqlalchemy import delete, insert

from queries.metrics.design_effects import DesignEffect, read_design_effects
from queries.warehouse import EmbeddedWarehouse, SharedWarehouse, Warehouse, tables
from tests.support.company import Week, catalog, publish, rows_of

QUARTERS: Final = tuple(date(year, month, 1) for year in (2024, 2025) for month in (1, 4, 7, 10))


@pytest.fixture(params=["embedded", pytest.param("shared", marks=pytest.mark.postgres)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "embedded":
        return EmbeddedWarehouse(tmp_path / "warehouse")
    return SharedWarehouse(request.getfixturevalue("postgres_url"))


def drawn() -> list[tuple[str, str, date, float, int]]:
    """Effects of some quarters and not of others: metric, vertical, quarter, effect, n."""
    rng = np.random.default_rng(5)
    keys = [(m, v, q) for m in ("csat", "nps") for v in ("*", "North", "South") for q in QUARTERS if rng.random() < 0.6]
    return [(*key, float(rng.integers(4, 20)) / 4, int(rng.integers(1, 500))) for key in keys]


@pytest.mark.parametrize("now", [date(2024, 2, 1), date(2024, 5, 1), date(2025, 6, 30), date(2025, 7, 1)])
def test_effects_are_those_of_the_newest_quarter_that_ended(empty: Warehouse, now: date) -> None:
    publish(empty, catalog(), rows_of((Week(date(2024, 1, 1), 1, 0), Week(date(2025, 12, 1), 1, 0))))
    rows, expected = drawn(), dict[tuple[str, str], DesignEffect]()
    running = max(q for q in QUARTERS if q <= now)
    ended = [q for q in QUARTERS if q < running]
    for metric, vertical, _, deff, n in sorted((row for row in rows if row[2] in ended), key=lambda row: row[2]):
        expected[metric, vertical] = DesignEffect(deff, n)
    names = ("metric", "vertical", "quarter", "deff", "n")
    with empty.draft(lambda _: None) as draft:
        values = [{**dict(zip(names, row, strict=True)), "clusters": 9} for row in rows]
        draft.conn.execute(delete(tables.design_effect))
        draft.conn.execute(insert(tables.design_effect), values)
        assert read_design_effects(draft.conn, datetime(now.year, now.month, now.day, tzinfo=UTC)) == expected
        draft.discard()
    empty.close()
