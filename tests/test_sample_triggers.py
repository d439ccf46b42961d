"""The default rules on the sample company: what is planted is found, and where nothing happens nothing is."""

import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Table, create_engine, text
from sqlalchemy.pool import StaticPool

from config.catalog import Catalog, ThresholdRule
from config.reading import read_catalog
from queries import schema
from queries.generations import Pin, latest
from queries.incidents import Incident, incidents
from queries.publish import basis_of, derive, record
from queries.relations import COLUMNS
from queries.sample import generate
from queries.scope import EVERYTHING
from queries.state import passing_state
from queries.summary import Summary
from tests.company import LOADED
from triggers.tick import tick

ROOT: Final = Path(__file__).resolve().parents[1]
PLANTED: Final = tomllib.loads((ROOT / "tests" / "planted.toml").read_text(encoding="utf-8"))
NULL: Final = PLANTED["null"]["vertical"]
SETTLE: Final = 14 * 86400.0
CONTACTS: Final = 200_000
SEEDS: Final = 20
YEARS: Final = 2
ENDS: Final = (
    date(2026, 11, 21),
    date(2024, 3, 1),  # no month in progress, after a 29 February
    date(2024, 2, 29),
    date(2025, 12, 31),  # the longest month in progress
    date(2025, 1, 1),
    date(2025, 3, 31),  # a month and a quarter that are not quite over
)


@contextmanager
def loaded(folder: Path, catalog: Catalog, vertical: str | None) -> Iterator[Pin]:
    """A warehouse in memory with the sample's files, or with one vertical's rows of them."""
    engine = create_engine("duckdb:///:memory:", poolclass=StaticPool)
    with engine.connect() as conn:
        schema.warehouse.create_all(conn)
        for table in schema.CANONICAL:
            conn.execute(text(_insert(table, folder / f"{table.name}.parquet", vertical)))
        derive(conn, catalog, None)
        summary = Summary("sample", settle=SETTLE).json()
        record(conn, 1, basis_of("UTC", catalog), "sample", summary, LOADED)
        generation = latest(conn)
        assert generation is not None
        yield Pin(conn, generation)
    engine.dispose()


def _insert(table: Table, file: Path, vertical: str | None) -> str:
    """Rows as the loader would store them: the reporting zone is that of the files."""
    made = {"source": "'sample'", "first_loaded_at": "timestamp '2020-01-01'", "loaded_at": "timestamp '2020-01-01'"}
    for column in table.c:
        if of := column.info.get("day_of"):
            made[column.name] = f"cast({of} as date)"
    chosen = ", ".join(f"{made[c.name]} as {c.name}" for c in table.c if c.name in made)
    only = f" where vertical = '{vertical}'" if vertical and "vertical_filled" in table.c else ""
    return f"insert into {table.name} by name select *, {chosen} from '{file}'{only}"


def found(folder: Path, catalog: Catalog, end: date, vertical: str | None = None) -> tuple[Incident, ...]:
    """What one run over the sample finds at its end."""
    states = passing_state()
    with loaded(folder, catalog, vertical) as pin:
        tick(states, pin, catalog, datetime.combine(end, time(), UTC))
    with states.connect() as conn:
        return incidents(conn, EVERYTHING)


@pytest.fixture(scope="module")
def rules() -> Catalog:
    return read_catalog(ROOT / "config", COLUMNS)


def months_before(end: date, months: int) -> date:
    first = end.replace(day=1)
    for _ in range(months):
        first = (first - timedelta(days=1)).replace(day=1)
    return first


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS, ids=str)
def test_what_is_planted_is_found(tmp_path: Path, rules: Catalog, end: date) -> None:
    seed = ENDS.index(end) + 1
    generate(tmp_path, end=end, seed=seed, contacts=CONTACTS)
    opened = found(tmp_path, rules, end)
    broken, unhappy = PLANTED["installation_break"], PLANTED["key_account_detractor"]
    (installation,) = [i for i in opened if i.rule == "installation-defects" and i.vertical == broken["vertical"]]
    began = months_before(end, -broken["since"])
    assert began < installation.opened_at.date() <= began + timedelta(days=70)
    assert installation.is_open
    detractors = [i for i in opened if i.rule == "key-account-detractor" and i.account_id == unhappy["account_id"]]
    assert any(i.opened_at.date() >= months_before(end, -unhappy["month"]) for i in detractors)
    assert [i for i in opened if i.vertical == NULL] == []
    elsewhere = [i for i in opened if i.rule == "installation-defects" and i.vertical != broken["vertical"]]
    assert elsewhere == []


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS, ids=str)
def test_where_nothing_happens_nothing_is_found(
    tmp_path: Path, rules: Catalog, end: date, record_property: Any
) -> None:
    """Two years of the null vertical, twenty companies. The rules see it alone, which asks them to be least sure."""
    counted: Counter[str] = Counter()
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        generate(folder, end=end, seed=1000 + seed, contacts=CONTACTS)
        counted.update(incident.rule for incident in found(folder, rules, end, NULL))
        for file in folder.iterdir():
            file.unlink()
    record_property("incidents", dict(counted))
    declared = {r.name: r.false_alarms_per_year * YEARS * SEEDS for r in rules.rules if isinstance(r, ThresholdRule)}
    assert {name: n for name, n in counted.items() if n > declared.get(name, 0)} == {}
