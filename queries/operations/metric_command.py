"""`python -m queries metric NAME`: one metric over time, as a table, CSV or JSON."""

from argparse import ArgumentParser, Namespace
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog, Condition, Metric, Scalar
from config.reading import read_catalog, suggest
from config.settings import read_settings
from queries.metrics import NO_FIGURE, Ask, MetricPoint, clock_of, interval, measure, plan, point_figure, private_words
from queries.operations.command_line import add_format, add_until, on_the_wall, parse_day, parse_instant
from queries.operations.output import aligned, as_csv, as_json, complain, echo, emit, on_one_line
from queries.stores import open_warehouse
from queries.warehouse import COLUMNS, EVERYTHING, typed

WIDEST: Final = 40
GRAINS: Final = ("day", "week", "month", "quarter", "all")


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("name", metavar="NAME", help="a metric in metrics.toml")
    parser.add_argument(
        "--by", default="", metavar="COLUMNS", help="split by these columns, such as vertical,touchpoint"
    )
    parser.add_argument("--grain", choices=GRAINS, default="month", help="length of each period (default: month)")
    parser.add_argument("--since", type=parse_day, metavar="DAY", help="first day, in the reporting time zone")
    add_until(parser)
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="only rows with this value; may be repeated",
    )
    add_format(parser)
    parser.add_argument(
        "--as-of",
        type=parse_instant,
        metavar="TIME",
        help="as known at this time, such as 2026-11-21T09:00 (UTC unless it has an offset)",
    )


def show_metric(arguments: Namespace, now: datetime) -> None:
    """Print the figures, as known at `now` (aware UTC) unless `--as-of` says otherwise.

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
    _refuse_grain(catalog, arguments.grain)
    ask = _ask(metric, arguments)
    as_of = on_the_wall(arguments.as_of or now, UTC)
    warehouse = open_warehouse(settings)
    try:
        with warehouse.pin() as pin:
            points = measure(pin.conn, metric, ask, replace(EVERYTHING, privacy=catalog.privacy), as_of)
            if not any(point.n or point.status == "private" for point in points):
                _refuse_unknown(pin.conn, metric, ask.where, as_of)
            reading = plan(metric, ask.columns, EVERYTHING, clock_of(pin.conn, as_of))
    finally:
        warehouse.close()
    # A quantile is always read from rows: no sum of days holds it, and nobody can do anything about it.
    if not reading.rollup and metric.shape != "quantile":
        complain(f"note: {metric.name} is read from the rows of {metric.table}: no rollup holds all that is asked")
    if any(point.status == "private" for point in points):
        complain(f"note: {private_words(catalog.privacy.people)}")
    say = echo if arguments.format == "table" else emit
    say(FORMATS[arguments.format](metric, ask, points))


def _refuse_grain(catalog: Catalog, grain: str) -> None:
    """The command shows what analysts may see: their periods, and all of them as one."""
    analyst = catalog.audience("analyst")
    if analyst and grain not in {*analyst.grains, "all"}:
        offered = " or ".join(f"--grain {one}" for one in (*analyst.grains, "all"))
        raise EarshotError(f"audiences.toml does not list {grain!r} among the grains of analysts; write {offered}")


def _ask(metric: Metric, arguments: Namespace) -> Ask:
    by = tuple(dict.fromkeys(_column(metric, name.strip()) for name in arguments.by.split(",") if name.strip()))
    since, until = arguments.since, arguments.until
    if since and until and since >= until:
        raise EarshotError("--until is the day after the last one; it must come after --since")
    # One condition a column; the values given for the same column are alternatives.
    wanted: dict[str, list[Scalar]] = {}
    for text in arguments.where:
        name, equals, value = text.partition("=")
        if not equals:
            raise EarshotError(f"{text!r} is not a filter; write --where COLUMN=VALUE")
        column = _column(metric, name.strip())
        wanted.setdefault(column, []).append(typed(metric.table, column, value))
    where = tuple(Condition(column=column, any_of=tuple(values)) for column, values in wanted.items())
    return Ask(by, arguments.grain, since, until, where)


def _refuse_unknown(conn: Connection, metric: Metric, where: Collection[Condition], as_of: datetime) -> None:
    """Name a value that no row has: an empty table would be taken for an answer."""
    for condition in where:
        by = measure(conn, metric, Ask((condition.column,)), EVERYTHING, as_of)
        known = sorted({str(point.by[0]) for point in by})
        for value in condition.any_of or ():
            if str(value) not in known:
                raise EarshotError(f"no row has {condition.column} {str(value)!r}; {suggest(str(value), known)}")


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
    n = None if point.status == "private" else point.n
    return (point.period, *point.by, n, point.value, point.low, point.high, point.status)


def _csv(_metric: Metric, ask: Ask, points: Collection[MetricPoint]) -> str:
    return as_csv(_names(ask), map(_values, points))


def _json(_metric: Metric, ask: Ask, points: Collection[MetricPoint]) -> str:
    """A list of objects; null where there is no figure."""
    return as_json([dict(zip(_names(ask), _values(point), strict=True)) for point in points])


def as_table(metric: Metric, ask: Ask, points: Collection[MetricPoint]) -> str:
    """Aligned columns to be read by people: figures in their unit, no finer than their interval supports."""
    header = ("period", *ask.by, "n", "value", "95% interval", "status")
    rows = [
        (
            str(p.period),
            *(on_one_line(name, WIDEST) for name in p.by),
            NO_FIGURE if p.status == "private" else f"{p.n:,}",
            point_figure(metric, p),
            interval(metric, p.low, p.high),
            p.status,
        )
        for p in points
    ]
    title = f"{metric.label} ({metric.name})" + (f"\n{metric.note}" if metric.note else "")
    return "\n".join([title, "", *aligned([header, *rows], right=range(1 + len(ask.by), 4 + len(ask.by)))])


FORMATS: Final = {"table": as_table, "csv": _csv, "json": _json}
