"""24 months of 50 rules over all their slices, and the lab's curve of one rule by vertical and touchpoint.

Run as `python -m tests.benchmarks.looking_back CONTACTS`, after `python -m tests.benchmarks.sizes CONTACTS`.
"""

import sys
from datetime import date
from itertools import cycle, islice
from time import perf_counter, process_time
from typing import Final

from config.catalog import Catalog, WatchRule
from queries.generations import EmbeddedWarehouse, Pin
from tests.benchmarks.process import peak
from tests.benchmarks.sizes import catalog, data, label
from triggers.backtest import past
from triggers.proposal import sweep
from triggers.trial import trial

RULES: Final = 50
SINCE, UNTIL = date(2024, 11, 1), date(2026, 11, 1)
WIDEST: Final = "touchpoint-satisfaction"


def rules() -> Catalog:
    """50 rules: those that ship and look at slots, of every kind, several times over."""
    shipped = catalog()
    chosen = islice(cycle(rule for rule in shipped.rules if isinstance(rule, WatchRule)), RULES)
    made = (
        rule.model_copy(update={"name": f"bench-{i}", "enabled": True, "inhibited_by": None})
        for i, rule in enumerate(chosen)
    )
    return shipped.model_copy(update={"rules": tuple(made)})


def report(contacts: int) -> None:
    """Print wall and processor seconds of both; on a busy machine the wall clock says little."""
    warehouse = EmbeddedWarehouse(data(contacts) / "warehouse")
    with warehouse.pin() as pin:
        wall, used = perf_counter(), process_time()
        made = rules()
        found = past(pin, made, SINCE, UNTIL, names=frozenset(rule.name for rule in made.rules))
        line = f"backtest {perf_counter() - wall:5.1f} s ({process_time() - used:.1f} s of processor)"
        print(f"  {label(contacts):>5}  {line}, {len(found.rows)} incidents   {_curve(pin)}   peak {peak():.0f} MB")
    warehouse.close()


def _curve(pin: Pin) -> str:
    shipped = catalog()
    wall, used = perf_counter(), process_time()
    found = sweep(pin.conn, trial(pin, shipped, shipped.rule(WIDEST), SINCE, UNTIL))
    took = f"{perf_counter() - wall:.2f} s ({process_time() - used:.2f} s of processor)"
    return f"curve of {len(found.values)} settings {took}"


if __name__ == "__main__":
    report(int(sys.argv[1]))
