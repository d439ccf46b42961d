"""A backtest of 50 rules over 24 months and all segments, beside its bare queries and beside a query a window.

Run as `python -m tests.benchmarks.backtesting CONTACTS`.
"""

import sys
from datetime import UTC, date, datetime, timedelta
from itertools import cycle, islice
from statistics import median
from time import perf_counter
from typing import Final

from config.models import Catalog, GapRule, RateRule, WatchRule
from queries.metrics import Ask, measure, read_cube
from queries.warehouse import EVERYTHING, EmbeddedWarehouse, Pin
from tests.benchmarks.process import peak
from tests.benchmarks.sizes import catalog, data, label
from triggers.lab import sweep_setting, trial
from triggers.lab.backtest import backtest

RULES: Final = 50
WIDEST: Final = "touchpoint-satisfaction"
ALONE: Final = {"enabled": True, "inhibited_by": None}
SINCE, UNTIL = date(2024, 11, 1), date(2026, 11, 1)
SLICES: Final = {
    "response": ("vertical", "touchpoint"),
    "journey": ("vertical", "journey_type"),
    "contact": ("vertical", "touchpoint"),
}


def rules() -> Catalog:
    """50 rules of every kind that looks at slots: those that ship, then those on metrics again over finer slices."""
    shipped = catalog()
    watched = [rule for rule in shipped.rules if isinstance(rule, WatchRule)]
    rates = [rule for rule in watched if isinstance(rule, RateRule)]
    finer = islice(cycle(rates), RULES - len(watched))
    made = (*watched, *(_finer(shipped, rule) for rule in finer))
    named = (rule.model_copy(update={"name": f"bench-{i}", **ALONE}) for i, rule in enumerate(made))
    return shipped.model_copy(update={"rules": tuple(named)})


def _finer(shipped: Catalog, rule: RateRule) -> RateRule:
    by = SLICES.get(shipped.metric(rule.metric).table, rule.by)
    return rule.model_copy(update={"by": by, **({"strata": ()} if isinstance(rule, GapRule) else {})})


def report(contacts: int) -> None:
    """Print one backtest beside its bare queries and the separate ones."""
    warehouse = EmbeddedWarehouse(data(contacts) / "warehouse")
    with warehouse.pin() as pin:
        made = rules()
        ours = median(_backtest(pin, made) for _ in range(3))
        bare, window, curve = _bare(pin, made), _window(pin, made), _curve(pin)
    warehouse.close()
    windows = RULES * (UNTIL - SINCE).days // 7
    figures = (
        f"backtest {ours:6.2f} s   bare queries {bare:6.2f} s   {windows} queries {windows * window:7.1f} s (from 20)"
    )
    print(f"  {label(contacts):>5}  {figures}", end="")
    print(f"   ratio to bare {ours / bare:.1f}, to a query a window {ours / windows / window:.3f}", end="")
    print(f"   {curve}   peak {peak():.0f} MB", flush=True)


def _curve(pin: Pin) -> str:
    """What the lab shows of one rule."""
    shipped = catalog()
    began = perf_counter()
    found = sweep_setting(pin.conn, trial(pin, shipped, shipped.rule(WIDEST), SINCE, UNTIL))
    return f"lab's curve of {len(found.values)} limits {perf_counter() - began:.2f} s"


def _backtest(pin: Pin, made: Catalog) -> float:
    began = perf_counter()
    found = backtest(pin, made, SINCE, UNTIL)
    assert found
    return perf_counter() - began


def _bare(pin: Pin, made: Catalog) -> float:
    """What the database itself takes: each metric by day and the finest slices, once."""
    began = perf_counter()
    for table, dims in SLICES.items():
        named = {r.metric for r in made.rules if isinstance(r, RateRule)}
        metrics = [m for m in made.metrics if m.name in named and m.table == table]
        if metrics:
            read_cube(pin.conn, metrics, dims, None, UNTIL, EVERYTHING, _at(UNTIL))
    return perf_counter() - began


def _window(pin: Pin, made: Catalog) -> float:
    """One window of one rule by a query of its own: the mean of twenty."""
    rates = [r for r in made.rules if isinstance(r, RateRule)]
    began = perf_counter()
    for i in range(20):
        rule, until = rates[i % len(rates)], UNTIL - timedelta(weeks=i)
        ask = Ask(by=rule.by, grain="all", since=until - rule.window, until=until, where=rule.where)
        measure(pin.conn, made.metric(rule.metric), ask, EVERYTHING, _at(until))
    return (perf_counter() - began) / 20


def _at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 1, tzinfo=UTC) + timedelta(days=15)


if __name__ == "__main__":
    report(int(sys.argv[1]))
