"""The chart of where a breach comes from: what each value adds to the change, with its interval."""

from typing import Final

import altair as alt

from config.models import Metric
from dashboard.charts import ATTENTION, GREY, QUIET, Rows
from queries.metrics import count, interval, shown, signed_change, unit
from queries.monitoring.drivers import DIMENSIONS, Cell, Drivers

ROW: Final = 40
"""Height of a row in pixels: its words, and below them its dot."""
_MOST: Final = 2
"""Values of a dimension: the chart says where, the list beside it has the others."""


def shown_cells(drivers: Drivers) -> list[tuple[str, Cell]]:
    """The values that the chart has, with what they are values of; accounts only where one stands out."""
    found = list[tuple[str, Cell]]()
    for one in drivers.dimensions:
        first = sorted(one.cells, key=lambda cell: -cell.part)[:_MOST]
        kept = [cell for cell in first if cell.stands_out] if one.name == "account_id" else first
        found += [(one.name, cell) for cell in kept if one.is_weighed]
    return found


def origin(drivers: Drivers, metric: Metric) -> alt.LayerChart | alt.FacetChart:
    """A row for each value: its part of the change as a dot with its interval, and a tick for an even spread."""
    rows = _rows(drivers, metric)
    height = ROW * max(len(rows), 1)
    base = alt.Chart(alt.InlineData(values=rows), height=height)
    title = "points" if unit(metric) == "%" else unit(metric) or metric.label
    axis = alt.Axis(title=f"adds, in {title} (tick: if spread evenly)", grid=False, tickCount=5, **QUIET)
    x = alt.X("part:Q", axis=axis)
    y = alt.Y("dot:Q", axis=None, scale=alt.Scale(domain=[len(rows), 0], nice=False, zero=False))
    color = alt.Color("color:N", scale=None)
    fields = (("label", "Value"), ("figure", "Adds"), ("interval", "95% interval"), ("expected", "If spread evenly"))
    tips = [alt.Tooltip(f"{name}:N", title=label) for name, label in fields]
    layers = [
        alt.Chart(alt.InlineData(values=[{"at": 0}]))
        .mark_rule(color=GREY, strokeWidth=1, opacity=0.4, tooltip=None)
        .encode(x="at:Q"),
        base.mark_rule(strokeWidth=2, tooltip=None)
        .encode(x=x, x2="high:Q", y=y, color=color)
        .transform_calculate(part="datum.low"),
        base.mark_tick(color=GREY, thickness=2, size=14, tooltip=None).encode(x=alt.X("even:Q"), y=y),
        base.mark_circle(size=70, opacity=1).encode(x=x, y=y, color=color, tooltip=tips),
        base.mark_text(align="left", baseline="middle", fontSize=12.5, tooltip=None).encode(
            x=alt.value(0), y=alt.Y("words:Q"), text="label:N"
        ),
    ]
    return alt.layer(*layers).properties(autosize=alt.AutoSizeParams(type="fit", contains="padding"))


def _rows(drivers: Drivers, metric: Metric) -> Rows:
    return [
        {
            "label": _label(name, cell, drivers),
            "words": place + 0.3,
            "dot": place + 0.72,
            "part": shown(metric, cell.part),
            "low": shown(metric, cell.low),
            "high": shown(metric, cell.high),
            "even": shown(metric, cell.even),
            "figure": signed_change(metric, cell.part, cell.high - cell.part),
            "interval": interval(metric, cell.low, cell.high),
            "expected": signed_change(metric, cell.even, cell.high - cell.part),
            "color": ATTENTION if cell.stands_out else GREY,
        }
        for place, (name, cell) in enumerate(shown_cells(drivers))
    ]


def _label(name: str, cell: Cell, drivers: Drivers) -> str:
    what, value = DIMENSIONS[name][0], "one account" if name == "account_id" else cell.value
    of = f"n = {count(cell.n)}" if cell.bad is None else f"{count(cell.bad)} of {count(drivers.bad or 0)}"
    return f"{what.capitalize()}: {value} ({of})"


def describe_origin(drivers: Drivers, words: str) -> str:
    """The chart in one sentence, for who cannot see it."""
    many = count(len(shown_cells(drivers)))
    return f"What each of {many} values adds to the change, with its 95% interval. {words}."
