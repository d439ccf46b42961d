"""`python -m queries metric NAME`: one metric over time, as a table, CSV or JSON."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Collection
from datetime import UTC, date, datetime
from typing import Any, Final

from config.errors import EarshotError
from config.models import Condition, Metric, Scalar
from config.reading.error_messages import suggest
from config.reading.loader import read_catalog
from config.settings import read_settings
from queries.metrics.formatting import interval, point_figure
from queries.metrics.measure import Ask, MetricPoint, measure
from queries.metrics.query_plan import clock_of, plan
from queries.operations.output import aligned, as_csv, on_one_line
from queries.scope import EVERYTHING
from queries.stores import open_warehouse
from queries.warehouse import COLUMNS, typed

WIDEST: Final = 40
GRAINS: Final = ("day", "week", "month", "quarter", "all")


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("name", metavar="NAME", help="a metric of metrics.toml")
    parser.add_argument("--by", default="", metavar="COLUMNS", help="split by these, with commas: vertical,touchpoint")
    parser.add_argument("--grain", choices=GRAINS, default="month", help="length of a period (default: month)")
    parser.add_argument("--since", metavar="DAY", help="first day, in the reporting zone")
    parser.add_argument("--until", metavar="DAY", help="first day that is not counted any more")
    parser.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help="only these; may repeat")
    parser.add_argument("--format", choices=tuple(FORMATS), default="table")
    parser.add_argument("--as-of", metavar="T", help="what was known at this instant (UTC unless it says)")


def show_metric(arguments: Namespace, now: datetime) -> int:
    """Print the figures, as known at `now` (aware UTC) unless `--as-of` says otherwise. Returns 0.

    Raises:
        EarshotError: no such metric or column, an impossible range, nothing loaded.
    """
    settings = read_settings()
    catalog = read_catalog(settings.config, COLUMNS)
    try:
        metric = catalog.metric(arguments.name)
    except KeyError:
        names = [metric.name for metric in catalog.metrics]
        raise EarshotError(f"no metric named {arguments.name!r}; {suggest(arguments.name, names)}") from None
    ask = _ask(metric, arguments)
    as_of = _instant(arguments.as_of) if arguments.as_of else now
    warehouse = open_warehouse(settings)
    try:
        with warehouse.pin() as pin:
            points = measure(pin.conn, metric, ask, EVERYTHING, as_of)
            reading = plan(metric, ask.columns, EVERYTHING, clock_of(pin.conn, as_of))
    finally:
        warehouse.close()
    # A quantile is always read from rows: no sum of days holds it, and nobody can do anything about it.
    if not reading.rollup and metric.shape != "quantile":
        notice = f"note: {metric.name} is read from the rows of {metric.table}: no rollup holds all that is asked\n"
        sys.stderr.write(notice)
    sys.stdout.write(FORMATS[arguments.format](metric, ask, points) + "\n")
    return 0


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise EarshotError(f"{text!r} is no day; write it as 2026-11-21") from None


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise EarshotError(f"{text!r} is no instant; write it as 2026-11-21T09:00, in UTC unless it says") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _ask(metric: Metric, arguments: Namespace) -> Ask:
    by = tuple(dict.fromkeys(_column(metric, name.strip()) for name in arguments.by.split(",") if name.strip()))
    since, until = _day(arguments.since), _day(arguments.until)
    if since and until and since >= until:
        raise EarshotError(f"no day lies in [{since}, {until}); --until is the first day that is not counted any more")
    # One condition a column; the values given for the same column are alternatives.
    wanted: dict[str, list[Scalar]] = {}
    for text in arguments.where:
        name, equals, value = text.partition("=")
        if not equals:
            raise EarshotError(f"{text!r} is no filter; write --where COLUMN=VALUE")
        column = _column(metric, name.strip())
        wanted.setdefault(column, []).append(typed(metric.table, column, value))
    where = tuple(Condition(column=column, any_of=tuple(values)) for column, values in wanted.items())
    return Ask(by, arguments.grain, since, until, where)


def _column(metric: Metric, name: str) -> str:
    offered = COLUMNS[metric.table]
    if name not in offered:
        raise EarshotError(
            f"{metric.name} is read from {metric.table}, which has no column {name!r}; {suggest(name, offered)}"
        )
    return name


def _names(ask: Ask) -> tuple[str, ...]:
    return ("period", *ask.by, "n", "value", "low", "high", "status")


def _values(point: MetricPoint) -> tuple[Any, ...]:
    return (point.period, *point.by, point.n, point.value, point.low, point.high, point.status)


def _csv(_metric: Metric, ask: Ask, points: Collection[MetricPoint]) -> str:
    return as_csv(_names(ask), map(_values, points))


def as_json(_metric: Metric, ask: Ask, points: Collection[MetricPoint]) -> str:
    """A list of objects; null where there is no figure."""
    rows = [dict(zip(_names(ask), _values(point), strict=True)) for point in points]
    return json.dumps(rows, default=str, indent=1, ensure_ascii=False, allow_nan=False)


def as_table(metric: Metric, ask: Ask, points: Collection[MetricPoint]) -> str:
    """Aligned columns to be read by people: figures in their unit, no finer than their interval supports."""
    header = ("period", *ask.by, "n", "value", "95% interval", "status")
    rows = [
        (
            str(p.period),
            *(on_one_line(name, WIDEST) for name in p.by),
            f"{p.n:,}",
            point_figure(metric, p),
            interval(metric, p.low, p.high),
            p.status,
        )
        for p in points
    ]
    title = f"{metric.label} ({metric.name})" + (f"\n{metric.note}" if metric.note else "")
    return "\n".join([title, "", *aligned([header, *rows], right=range(1 + len(ask.by), 4 + len(ask.by)))])


FORMATS: Final = {"table": as_table, "csv": _csv, "json": as_json}
