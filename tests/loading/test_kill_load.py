"""`kill -9` of a load, at moments inside its work: the generation before is served, and the next load is any load."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Final

import pytest

from queries.warehouse import EmbeddedWarehouse
from tests.support.deliveries import NOW, WHEN_LOADED, Delivery, Held, Rows, company, deliver, held, number

KILLS: Final = 100
"""With --prove; the ordinary run takes a tenth of them."""
SEED: Final = 7


@dataclass
class Loads:
    """A process that loads, and where to."""

    process: subprocess.Popen[str]
    folder: Path

    def load(self, delivery: Delivery, after: float | None = None) -> dict[str, Any]:
        asked = {
            "warehouse": str(self.folder),
            "folder": str(delivery.folder),
            "data": str(delivery.data),
            "now": (NOW + timedelta(days=1)).isoformat(),
            "after": after,
        }
        print(json.dumps(asked), file=_pipe(self.process.stdin), flush=True)
        answer: dict[str, Any] = json.loads(_pipe(self.process.stdout).readline())
        return answer

    def served(self) -> tuple[int, Held]:
        """What a reader gets who comes now."""
        with closing(EmbeddedWarehouse(self.folder, "128MB")) as warehouse:
            return number(warehouse), held(warehouse)

    def contents(self) -> Held:
        with closing(EmbeddedWarehouse(self.folder, "128MB")) as warehouse:
            return held(warehouse, WHEN_LOADED)

    def keep(self) -> Path:
        return Path(shutil.copytree(self.folder, self.folder.with_name("kept")))

    def restore(self, kept: Path) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(kept, self.folder)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe
    return pipe


@pytest.fixture
def loads(tmp_path: Path) -> Iterator[Loads]:
    command = [sys.executable, "-m", "tests.support.killed_load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Loads(process, tmp_path / "warehouse")
        _pipe(process.stdin).close()


@pytest.mark.slow
def test_a_killed_load_leaves_the_generation_before(loads: Loads, tmp_path: Path, *, prove: bool) -> None:
    rows = company(journeys=300)
    assert loads.load(deliver(tmp_path, rows))["status"] == 0
    kept = loads.keep()
    before = loads.served()
    delivery = deliver(tmp_path, changed(rows))
    draw, hits = random.Random(SEED), list[dict[str, Any]]()
    lasts = _lasts(loads, delivery, kept)
    while len(hits) < (KILLS if prove else KILLS // 10):
        hit = loads.load(delivery, draw.uniform(0.01, lasts))
        if hit["status"] == 0:  # it was faster than the last one: nothing was killed
            loads.restore(kept)
            continue
        assert hit["status"] == -9
        assert loads.served() == before
        hits.append(hit)
    print("\n".join(f"after {hit['stage']!r}, in {hit['where'][0]}" for hit in hits))
    assert all(hit["where"] for hit in hits), "a kill outside the work proves nothing"
    assert len({hit["stage"] for hit in hits}) >= (5 if prove else 3), "spread over the load"
    _loads_as_ever(loads, delivery, tmp_path / "apart")


def changed(rows: Rows) -> Rows:
    """Another delivery of the same company: much is new, some differs, some is gone."""
    more = company(journeys=400, seed=9)
    return {name: found if name.startswith("account") else more[name] for name, found in rows.items()}


def _lasts(loads: Loads, delivery: Delivery, kept: Path) -> float:
    done = loads.load(delivery)
    assert done["status"] == 0
    loads.restore(kept)
    return float(done["seconds"])


def _loads_as_ever(loads: Loads, delivery: Delivery, apart: Path) -> None:
    """What the kills left is gone, and the warehouse is what one load of the same delivery makes."""
    assert loads.load(delivery)["status"] == 0
    with closing(EmbeddedWarehouse(apart)) as fresh:
        delivery.load(fresh)
        assert loads.contents() == held(fresh, WHEN_LOADED)
    names = {file.name for file in loads.folder.iterdir()}
    assert names == {
        "current",
        "lock",
        "generation-1.duckdb",
        "generation-1.pin",
        "generation-2.duckdb",
        "generation-2.pin",
    }
