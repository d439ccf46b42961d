"""What an honest season and a rate of exchange do to accounts is no decline: through a real load, to the incident."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from numpy.random import default_rng

from queries.engine import disposing
from queries.state import passing_state, read_incidents
from queries.warehouse import EVERYTHING, EmbeddedWarehouse
from tests.support.loading import CATALOG, bring, order
from triggers.incidents.tick import tick

FIRST, LAST = date(2022, 1, 1), date(2026, 10, 1)
NOW: Final = datetime(2026, 11, 20, 9, tzinfo=UTC)
KNOWN: Final = datetime(2024, 6, 1, tzinfo=UTC)
"""From here on two years are known: a season can be told from a fall."""
ACCOUNTS: Final = tuple(f"A{number}" for number in range(12))
SUMMER: Final = (6, 7, 8)
Level = Callable[[date], float]


def months() -> list[date]:
    span = range(FIRST.year * 12, LAST.year * 12 + LAST.month)
    return [date(number // 12, number % 12 + 1, 1) for number in span]


def found(folder: Path, levels: Mapping[str, Level], rate: Level | None = None) -> dict[str, datetime]:
    """The accounts of which the default rule opens an incident once two years are known, and when; others stay level.

    With a `rate` every other account is billed in dollars.
    """
    noise = default_rng(7)
    revenue, rates = ["account_id,month,amount,currency,share_of_wallet"], ["currency,month,rate"]
    for month in months():
        rates += [f"EUR,{month},1", *([f"USD,{month},{rate(month)}"] if rate else [])]
        for number, account in enumerate(ACCOUNTS):
            level = levels[account](month) if account in levels else 1.0
            amount = 600_000 * level * (1 + 0.03 * noise.standard_normal())
            currency = "USD" if rate and number % 2 else "EUR"
            revenue.append(f"{account},{month},{amount:.2f},{currency},{0.6 * level:.4f}")
    history = (f"{account},{FIRST},Retail,key" for account in ACCOUNTS)
    tables = {
        "account": ["account_id,name", *(f"{account},{account} plc" for account in ACCOUNTS)],
        "account_history": ["account_id,valid_from,vertical,tier", *history],
        "revenue": revenue,
        "fx_rate": rates,
    }
    only = CATALOG.model_copy(update={"rules": (CATALOG.rule("key-account-decline"),)})
    warehouse = EmbeddedWarehouse(folder / "warehouse")
    request = order(folder / "books", {name: "\n".join(lines) + "\n" for name, lines in tables.items()})
    report = bring(warehouse, request, NOW)
    assert report.total("added") == sum(len(lines) - 1 for lines in tables.values())
    with disposing(passing_state()) as states, warehouse.pin() as pin:
        tick(states, pin, only, NOW)
        with states.connect() as conn:
            incidents = read_incidents(conn, EVERYTHING)
    warehouse.close()
    return {one.account_id: one.opened_at for one in incidents if one.account_id and one.opened_at >= KNOWN}


def summer(month: date) -> float:
    """Two fifths less in each summer."""
    return 0.6 if month.month in SUMMER else 1.0


def leaving(month: date) -> float:
    """Two fifths less from July 2026 on, for good."""
    return 0.6 if month >= date(2026, 7, 1) else 1.0


def worse(month: date) -> float:
    """A summer as ever, and twice as deep in the last one."""
    return 0.25 if month.month in SUMMER and month.year == 2026 else summer(month)


def dollar(month: date) -> float:
    """It loses half of its worth in July 2026."""
    return 0.45 if month >= date(2026, 7, 1) else 0.9


def test_a_season_is_no_decline_and_what_goes_beyond_it_is(tmp_path: Path) -> None:
    opened = found(tmp_path, {"A1": summer, "A6": worse})
    assert opened.keys() == {"A6"}
    # Two months must lie below it: June and July are known in August.
    assert (opened["A6"].year, opened["A6"].month) == (2026, 8)


def test_a_rate_alone_is_no_decline_and_hides_none(tmp_path: Path) -> None:
    """Of two that leave one is billed in dollars."""
    assert found(tmp_path / "alone", {}, dollar) == {}
    assert found(tmp_path / "left", {"A4": leaving, "A5": leaving}, dollar).keys() == {"A4", "A5"}
