"""`kill -9` of `python -m queries load` itself, on either engine, also while it fills an empty warehouse.

Where else a load can die: test_kill_load (at any moment of its work), test_generations (at any step of publishing).
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Timer
from typing import Final

import pytest

from config.reading import read_catalog
from queries.warehouse import COLUMNS, EmbeddedWarehouse, NoWarehouseError, SharedWarehouse, Warehouse
from tests.counterparts.postgres import NewDatabase
from tests.support.deliveries import NOW, WHEN_LOADED, Delivery, Held, company, deliver, held

CONFIG: Final = Path(__file__).parents[2] / "config"
OURS: Final = read_catalog(CONFIG, COLUMNS)
KILLS: Final = {"duckdb": 1, "postgresql": 2}
"""In each of the two situations."""
BEGINS: Final = "checking "
"""What the command says first when it begins to work."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a warehouse lies: a data folder, and a database if it is shared."""

    data: Path
    url: str | None

    def open(self) -> Warehouse:
        return SharedWarehouse(self.url) if self.url else EmbeddedWarehouse(self.data / "warehouse", "256MB")

    def served(self) -> Held | None:
        with closing(self.open()) as warehouse, suppress(NoWarehouseError):
            return held(warehouse)
        return None

    def start(self, delivery: Delivery) -> subprocess.Popen[str]:
        environ = {"EARSHOT_DATA": str(self.data), "EARSHOT_CONFIG": str(CONFIG), "TMPDIR": str(self.data)}
        if self.url:
            environ["EARSHOT_WAREHOUSE__URL"] = self.url
        command = [sys.executable, "-m", "queries", "load", str(delivery.folder), "--data", str(delivery.data)]
        out = subprocess.PIPE
        return subprocess.Popen(command, cwd=CONFIG.parent, env=os.environ | environ, stdout=out, text=True)

    def left(self) -> list[str]:
        """What a load keeps beside what it publishes."""
        kept = ("current", "lock", "generation-")
        there = [file.name for file in (self.data / "warehouse").glob("*") if not file.name.startswith(kept)]
        return there + [file.name for file in self.data.glob("earshot-*")]


def kill(process: subprocess.Popen[str], after: float) -> str:
    """Kill a load so many seconds into its work, or when it is about to publish. Returns what it had said last."""
    with process:
        assert process.stdout
        said = next(line for line in process.stdout if line.startswith(BEGINS))
        timer = Timer(after, process.kill)
        timer.start()
        for line in process.stdout:
            said = line
            if line.startswith("publishing"):
                process.kill()
        timer.cancel()
    return said.strip()


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Delivery, Delivery]:
    """A first and a second delivery of the same company."""
    folder, first, second = tmp_path_factory.mktemp("deliveries"), company(journeys=250), company(journeys=300, seed=9)
    second |= {name: found for name, found in first.items() if name.startswith("account")}
    return deliver(folder / "first", first), deliver(folder / "second", second)


@pytest.fixture(scope="module")
def expected(deliveries: Sequence[Delivery], tmp_path_factory: pytest.TempPathFactory) -> list[Held]:
    """What each leaves when nothing disturbs it."""
    found = []
    for delivery in deliveries:
        with closing(EmbeddedWarehouse(tmp_path_factory.mktemp("undisturbed"), "256MB")) as warehouse:
            delivery.load(warehouse, catalog=OURS)
            found.append(held(warehouse, WHEN_LOADED))
    return found


@pytest.fixture(params=["duckdb", "postgresql"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Place]]:
    """A function that finds an empty place."""
    numbers = count()

    def fresh(url: str | None = None) -> Place:
        data = tmp_path / str(next(numbers))
        data.mkdir()
        return Place(data, url)

    if request.param == "duckdb":
        yield fresh
        return
    new_database: NewDatabase = request.getfixturevalue("new_database")
    with new_database() as one, new_database() as two:
        urls = iter((one, two))
        yield lambda: fresh(next(urls))


@pytest.mark.slow
def test_the_command_killed_at_any_moment(
    places: Callable[[], Place],
    deliveries: Sequence[Delivery],
    expected: Sequence[Held],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """First while the warehouse is empty, then while it is changed; after each kill the next load is as any."""
    draw, place = random.Random(2026), places()
    lasts, where = _lasts(places(), deliveries[0]), list[str]()
    for delivery, whole in zip(deliveries, expected, strict=True):
        kills = KILLS["postgresql" if place.url else "duckdb"]
        where += [_killed(place, delivery, lasts * draw.uniform(0.05, 0.6)) for _ in range(kills)]
        _loads_as_ever(place, delivery, whole, monkeypatch)
    print("\n".join(f"killed after {stage!r}" for stage in where))


def _lasts(place: Place, delivery: Delivery) -> float:
    """The seconds of work of an undisturbed run."""
    with place.start(delivery) as process:
        assert process.stdout
        next(line for line in process.stdout if line.startswith(BEGINS))
        began = time.monotonic()
        process.stdout.read()
    assert process.returncode == 0
    return time.monotonic() - began


def _killed(place: Place, delivery: Delivery, after: float) -> str:
    """Kill one inside its work: what was served is served. Returns where it was."""
    before, process = place.served(), place.start(delivery)
    stage = kill(process, after)
    if stage != "publishing":  # else it may have been faster than the kill
        assert process.returncode == -9
        assert place.served() == before
    return stage


def _loads_as_ever(place: Place, delivery: Delivery, expected: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place.data))
    with closing(place.open()) as warehouse:
        delivery.load(warehouse, NOW, catalog=OURS)
        found = held(warehouse, WHEN_LOADED)
    for table, rows in expected.items():
        assert found[table] == rows, table
    assert place.left() == []
