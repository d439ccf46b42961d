"""One tick of 504 instances, beside one bare cube query and beside 504 separate queries of the same figures.

Run as `python -m tests.benchmarks.ticking CONTACTS`.
"""

import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final
from zoneinfo import ZoneInfo

from config.models import Catalog, Condition, Metric, ThresholdRule
from queries.metrics import Ask, measure, read_cube
from queries.state import open_state
from queries.warehouse import EVERYTHING, EmbeddedWarehouse, Pin, settle
from tests.benchmarks.process import peak
from tests.benchmarks.sizes import catalog, data, label
from triggers.incidents.tick import tick
from triggers.rules import Cadence

RULES: Final = 63
WINDOW: Final = timedelta(days=28)
SLOTS: Final = tuple(date(2026, 8, 3) + timedelta(weeks=week) for week in range(7))
DIMS: Final = ("vertical",)


def rules() -> Catalog:
    """63 rules by vertical on satisfaction, each with its own limit: 504 instances."""
    shipped = catalog()
    template = next(r for r in shipped.rules if isinstance(r, ThresholdRule))
    made = tuple(
        template.model_copy(
            update={
                "name": f"bench-{i}",
                "metric": "csat",
                "by": DIMS,
                "where": (),
                "limit": 0.5 + i / 200,
                "recover": 0.9,
            }
        )
        for i in range(RULES)
    )
    return shipped.model_copy(update={"rules": made})


def report(contacts: int) -> None:
    """Print one tick beside its bare query and the separate ones."""
    warehouse = EmbeddedWarehouse(data(contacts) / "warehouse")
    with warehouse.pin() as pin, tempfile.TemporaryDirectory() as folder:
        (ours, looking), bare, separate = _ticks(pin, Path(folder)), _bare(pin), _separate(pin)
    warehouse.close()
    figures = f"tick {ours:6.1f} ms   bare cube query {bare:6.1f} ms   504 queries {separate:7.1f} ms"
    figures += f"   tick that looks for faults of the data, fortnightly {looking:6.1f} ms"
    print(f"  {label(contacts):>5}  {figures}", end="")
    print(f"   ratio to bare {ours / bare:.1f}, to separate {ours / separate:.3f}   peak {peak():.0f} MB", flush=True)


def _ticks(pin: Pin, folder: Path) -> tuple[float, float]:
    """The median tick with one new slot, after one that takes the history: by itself, and with a look for faults."""
    states, made = open_state(folder), rules()
    guard = Cadence(made.guard.window, made.guard.every, settle(pin.conn), ZoneInfo(pin.generation.zone))
    looked = [guard.newest(_at(day)) for day in SLOTS]
    times = [_timed(lambda day=day: tick(states, pin, made, _at(day))) for day in SLOTS]  # type: ignore[misc]
    states.dispose()
    alone, looking = list[float](), list[float]()
    for time, last, this in zip(times[1:], looked, looked[1:], strict=False):
        (alone if last == this else looking).append(time)
    return median(alone), median(looking)


def _bare(pin: Pin) -> float:
    metric = catalog().metric("csat")
    return median(_timed(lambda day=day: _cube(pin, metric, day)) for day in SLOTS)  # type: ignore[misc]


def _cube(pin: Pin, metric: Metric, day: date) -> None:
    read_cube(pin.conn, (metric,), DIMS, day - WINDOW, day, EVERYTHING, _at(day))


def _separate(pin: Pin) -> float:
    metric = catalog().metric("csat")
    verticals = sorted(
        {p.by[0] for p in measure(pin.conn, metric, Ask(by=DIMS, grain="all"), EVERYTHING, _at(SLOTS[-1]))}
    )
    return median(_timed(lambda day=day: _one_by_one(pin, metric, verticals, day)) for day in SLOTS[:3])  # type: ignore[misc]


def _one_by_one(pin: Pin, metric: Metric, verticals: list[str], day: date) -> None:
    for vertical in verticals:
        where = (Condition(column="vertical", any_of=(vertical,)),)
        for _ in range(RULES):
            measure(
                pin.conn, metric, Ask(grain="all", since=day - WINDOW, until=day, where=where), EVERYTHING, _at(day)
            )


def _at(day: date) -> datetime:
    """The moment a slot is evaluated: two weeks after its window, when the source has settled."""
    return datetime(day.year, day.month, day.day, 1, tzinfo=UTC) + timedelta(days=15)


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1000


if __name__ == "__main__":
    report(int(sys.argv[1]))
