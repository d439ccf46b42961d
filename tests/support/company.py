"""A company of a few rows, made by hand: what a test of the triggers needs and nothing else."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Table, delete

from config.models import Catalog, Goal, Metric, RateRule, Route, Rule, ThresholdRule
from config.reading import read_catalog
from queries.loading.publish import derive, generation_key, record_generation
from queries.warehouse import COLUMNS, EmbeddedWarehouse, LoadReport, Warehouse, tables
from tests.support.rows import put
from triggers.rules import Cadence, Subject, version
from triggers.rules.subject import cube_requests

CONFIG: Final = Path(__file__).parents[2] / "config"
LOADED: Final = datetime(2026, 12, 1, 6)  # noqa: DTZ001 - as the warehouse stores it
ROUTE: Final = Route(name="delivery", label="Keepers of promises", channel="C000000104")


METRIC: Final = Metric.model_validate(
    {
        "name": "defect-rate",
        "label": "Journeys with a defect",
        "shape": "share",
        "table": "journey",
        "dated_by": "ended_at",
        "good": "down",
        "unit": "%",
        "count": {"defective": True},
        "matures": "14d",
    }
)
"""The project's own may be edited; what is compared with golden files may not."""


def rule(**changes: Any) -> ThresholdRule:
    """A rule on the share of journeys with a defect, by vertical."""
    body = {
        "name": "defects",
        "label": "Journeys with a defect",
        "kind": "threshold",
        "metric": "defect-rate",
        "by": ["vertical"],
        "limit": 0.25,
        "recover": 0.20,
        "floor": 0,
        "keep_firing": "0d",
        "window": "28d",
        "every": "7d",
        "false_alarms_per_year": 0.5,
        "severity": 2,
        "route": "delivery",
        "owner": "delivery-lead",
        "runbook": "Call the engineer who was there.",
    }
    return ThresholdRule.model_validate(body | changes)


def subject(of: RateRule, *goals: Goal, alpha: float | None = None, zone: str = "UTC") -> Subject:
    """A rule that reads METRIC, and nothing else, as it is evaluated."""
    metrics = tuple(METRIC for _ in of.metric_names)
    made = version(of, metrics, goals)
    cadence = Cadence(of.window, of.every, max(METRIC.matures, of.settle), ZoneInfo(zone))
    return Subject(of, metrics, cube_requests(of, metrics, metrics, made.hash), cadence, made, alpha)


def catalog(*rules: Rule, routes: tuple[Route, ...] = (ROUTE,)) -> Catalog:
    """The project's catalogue with other rules and routes."""
    project = read_catalog(CONFIG, COLUMNS)
    metrics = (METRIC, *(m for m in project.metrics if m.name != METRIC.name))
    guard = project.guard.model_copy(update={"route": routes[0].name})
    return project.model_copy(update={"rules": rules, "routes": routes, "metrics": metrics, "guard": guard})


@dataclass(frozen=True, slots=True)
class Week:
    """One week of journeys in one vertical, all ended on its Wednesday."""

    monday: date
    journeys: int
    defective: int
    vertical: str = "Retail"
    journey_type: str = "installation"


Rows = Mapping[Table, list[dict[str, Any]]]


def rows_of(weeks: Iterable[Week], accounts: int = 20) -> Rows:
    """Accounts, journeys and defects; account number i of a vertical has every i-th journey and defect."""
    found: dict[Table, list[dict[str, Any]]] = {tables.account: [], tables.journey: [], tables.defect: []}
    known = set[str]()
    for week in weeks:
        for i in range(week.journeys):
            account = f"{week.vertical[:40]}-{i % accounts}"
            if account not in known:
                known.add(account)
                found[tables.account].append(_account(account))
            _journey(found, week, i, account)
    return found


def _account(account: str) -> dict[str, Any]:
    return {"account_id": account, "source": "made", "name": f"{account} plc", **_lifecycle()}


def _journey(found: Rows, week: Week, i: int, account: str) -> None:
    ended = datetime.combine(week.monday + timedelta(days=2), time(12))
    key = f"{week.monday}-{week.vertical[:40]}-{week.journey_type}-{i}"
    shared = {"source": "made", "account_id": account, "vertical": week.vertical, **_lifecycle()}
    started = ended - timedelta(days=1)
    found[tables.journey].append(
        {
            **shared,
            "id": key,
            "journey_type": week.journey_type,
            "started_at": started,
            "ended_at": ended,
            "outcome": "reached",
            "day": started.date(),
            "ended_day": ended.date(),
        }
    )
    if i < week.defective:
        at = {"occurred_at": ended, "day": ended.date()}
        found[tables.defect].append({**shared, "id": key, "journey_id": key, "code": "broken", **at})


def _lifecycle() -> dict[str, Any]:
    return {"first_loaded_at": LOADED, "loaded_at": LOADED}


def publish(warehouse: Warehouse, catalog_: Catalog, rows: Rows, zone: str = "UTC", now: datetime = LOADED) -> int:
    """Replace everything in the warehouse by these rows, as a new generation. Returns its number."""
    with warehouse.draft(lambda _: None) as draft:
        for table in reversed(tables.CANONICAL):
            draft.conn.execute(delete(table))
        for table, values in rows.items():
            put(draft.conn, table, values)
        derive(draft.conn, catalog_, None)
        record_generation(
            draft.conn, draft.number, generation_key(zone, catalog_), "made", LoadReport("made").json(), now
        )
    return draft.number


@contextmanager
def warehouse(folder: Path, catalog_: Catalog, rows: Rows, zone: str = "UTC") -> Iterator[EmbeddedWarehouse]:
    """A DuckDB warehouse that holds these rows."""
    made = EmbeddedWarehouse(folder / "warehouse")
    publish(made, catalog_, rows, zone)
    try:
        yield made
    finally:
        made.close()


def weeks(first: date, defective: Iterable[int], journeys: int = 50, vertical: str = "Retail") -> tuple[Week, ...]:
    """Weeks in a row with so many defective journeys each."""
    return tuple(Week(first + timedelta(weeks=i), journeys, bad, vertical) for i, bad in enumerate(defective))


def noon(day: date) -> datetime:
    """Noon of a day, aware UTC."""
    return datetime.combine(day, time(12), UTC)
