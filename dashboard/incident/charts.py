"""The charts of an incident: its own figures over time, and where its change comes from."""

from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Final

import altair as alt

from config.models import Metric
from dashboard.charts import ATTENTION, GREY, QUIET, Rows, muted
from queries.documents.review_words import VERDICT_WORDS
from queries.engine import day_of
from queries.metrics import count, figure, goal_figure, interval, money_figure, point_figure, shown, signed_change, unit
from queries.monitoring import DIMENSIONS, Cell, Drivers
from queries.review import Readings, Trend, reading_days, reading_words
from queries.state import Incident

ROW: Final = 40
"""Height of a row in pixels: its words, and below them its dot."""
_MOST: Final = 2
"""Values of a dimension: the chart says where, the list beside it has the others."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a figure is held against: its name, its value in the metric's unit, and whether somebody wrote it so.

    `half` is half the width of the figure's own interval: both are as precise.
    """

    name: str
    value: float
    is_written: bool = False
    half: float | None = None

    def figure(self, metric: Metric) -> str:
        """The value in words: as it was written, or rounded."""
        return goal_figure(metric, self.value) if self.is_written else figure(metric, self.value, self.half)


def over_time(
    trend: Trend,
    metric: Metric,
    incident: Incident,
    reference: Reference | None,
    readings: Readings | None,
    zone: tzinfo,
) -> alt.LayerChart | alt.FacetChart:
    """An incident's own figures over time: intervals as a band, what it is held against as a line, the breach.

    The figures of the rule's own window, which the page names, are lines as long as their days: it is seldom a period.
    """
    rows = _rows(metric, trend)
    x = alt.X("utcyearmonthdate(period):T", axis=alt.Axis(title=trend.grain, format="%b %y", grid=False, tickCount=6))
    # The heading names the metric, and a phone has no room for it beside the axis.
    title = f"in {unit(metric)}" if unit(metric) else metric.label
    y = alt.Y("value:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title=title, grid=False, tickCount=5))
    base = alt.Chart(alt.InlineData(values=rows), height=260)
    fields = (("figure", "Value"), ("interval", "95% interval"), ("n", "Cases"), ("state", "State"))
    tips = [alt.Tooltip("utcyearmonthdate(period):T", title="From", format="%d %B %Y")]
    tips += [alt.Tooltip(f"{name}:N", title=label) for name, label in fields]
    layers = [
        *_shaded(trend, rows, zone),
        base.mark_area(color=GREY, opacity=0.25, tooltip=None).encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q"),
        base.mark_line(color=GREY, strokeWidth=1.6, tooltip=None).encode(x=x, y=y),
        *_reference(metric, reference, rows),
        base.mark_circle(size=46).encode(
            x=x, y=y, color=alt.Color("color:N", scale=None), opacity=muted(), tooltip=tips
        ),
        *_windows(metric, readings),
        *_breach(incident, rows, zone),
    ]
    return alt.layer(*layers).properties(autosize=alt.AutoSizeParams(type="fit", contains="padding"))


def _rows(metric: Metric, trend: Trend) -> Rows:
    return [
        {
            "period": point.period.isoformat(),
            "value": shown(metric, point.value),
            "low": None if point.low is None else shown(metric, point.low),
            "high": None if point.high is None else shown(metric, point.high),
            "figure": point_figure(metric, point),
            "interval": interval(metric, point.low, point.high),
            "n": count(point.n),
            "state": VERDICT_WORDS.get(point.status, "complete"),
            "color": GREY,
            "muted": 0.45 if point.status == "immature" else 1.0,
        }
        for point in trend.points
        if point.value is not None
    ]


def _reference(metric: Metric, reference: Reference | None, rows: Rows) -> list[alt.Chart]:
    if reference is None or not rows:
        return []
    label = f"{reference.name} {reference.figure(metric)}"
    line = {"at": shown(metric, reference.value), "period": rows[0]["period"], "label": label}
    base = alt.Chart(alt.InlineData(values=[line]))
    return [
        base.mark_rule(color=GREY, strokeWidth=1.5, strokeDash=[5, 3], tooltip=None).encode(y="at:Q"),
        base.mark_text(align="left", baseline="bottom", dy=-3, fontSize=12, tooltip=None).encode(
            x="utcyearmonthdate(period):T", y="at:Q", text="label:N"
        ),
    ]


def _windows(metric: Metric, readings: Readings | None) -> list[alt.Chart]:
    """The present figure and the worst one over the days that they are of, the worst named on the worse side."""
    if readings is None:
        return []
    worst = readings.at_worst(metric)
    layers, named = list[alt.Chart](), {"now": readings.now, "at its worst": worst}
    if reading_words(metric, worst, readings.now) == reading_words(metric, readings.now):
        del named["at its worst"]
    for when, sample in named.items():
        if "since" not in sample or sample.get("value") is None:
            continue
        label = f"{reading_words(metric, sample, readings.now)} {when}"
        line = {"start": sample["since"], "end": sample["until"], "at": shown(metric, sample["value"]), "label": label}
        base = alt.Chart(alt.InlineData(values=[{**line, "days": reading_days(sample)}]))
        end, y = alt.X("utcyearmonthdate(end):T"), alt.Y("at:Q")
        tips = [alt.Tooltip("label:N", title="Value"), alt.Tooltip("days:N", title="Days")]
        rule = base.mark_rule(color=ATTENTION, strokeWidth=4)
        is_above = (sample is worst) == (metric.good == "down")
        # Towards the middle: these windows are the newest, and the words would leave the chart.
        text = base.mark_text(
            align="right",
            baseline="bottom" if is_above else "top",
            dy=-5 if is_above else 6,
            fontSize=12.5,
            tooltip=None,
        )
        layers.append(
            rule.encode(x=alt.X("utcyearmonthdate(start):T"), x2=alt.X2("utcyearmonthdate(end):T"), y=y, tooltip=tips)
        )
        layers.append(text.encode(x=end, y=y, text="label:N"))
    return layers


def _breach(incident: Incident, rows: Rows, zone: tzinfo) -> list[alt.Chart]:
    if not rows:
        return []
    found = day_of(incident.opened_at, zone)
    line = {"period": found.isoformat(), "label": f"found {found.day} {found:%b %Y}"}
    base = alt.Chart(alt.InlineData(values=[line]))
    x = alt.X("utcyearmonthdate(period):T")
    first, last = (date.fromisoformat(row["period"]) for row in (rows[0], rows[-1]))
    # Towards the middle, or the words would leave the chart.
    is_late = found - first > (last - first) / 2
    text = base.mark_text(
        align="right" if is_late else "left", baseline="bottom", dx=-5 if is_late else 5, fontSize=12, tooltip=None
    )
    return [
        base.mark_rule(color=ATTENTION, strokeWidth=1.5, tooltip=None).encode(x=x),
        # At the foot: what the figure is held against is named at its line, which is often at the top.
        text.encode(x=x, y=alt.value("height"), text="label:N"),
    ]


def _shaded(trend: Trend, rows: Rows, zone: tzinfo) -> list[alt.Chart]:
    if not rows:
        return []
    first, last = rows[0]["period"], rows[-1]["period"]
    spans = []
    for condition in trend.overlaps:
        start = max(day_of(condition.since, zone).isoformat(), first)
        end = min(day_of(condition.until, zone).isoformat() if condition.until else last, last)
        if start < end:
            spans.append({"start": start, "end": end, "label": condition.name})
    base = alt.Chart(alt.InlineData(values=spans))
    x, x2 = alt.X("utcyearmonthdate(start):T"), alt.X2("utcyearmonthdate(end):T")
    tip = [alt.Tooltip("label:N", title="Condition")]
    return [base.mark_rect(color=GREY, opacity=0.16).encode(x=x, x2=x2, tooltip=tip)] if spans else []


def describe_over_time(trend: Trend, metric: Metric, where: str) -> str:
    """The chart in one sentence, for who cannot see it."""
    known = [point for point in trend.points if point.value is not None]
    if not known:
        return f"{metric.label} in {where}: too few cases to show."
    low, high = min(known, key=lambda p: p.value or 0), max(known, key=lambda p: p.value or 0)
    least, most, last = (point_figure(metric, point) for point in (low, high, known[-1]))
    return f"{metric.label} in {where} by {trend.grain}: between {least} and {most}, last {last}."


@dataclass(frozen=True, slots=True)
class Bought:
    """What an account bought or its share of wallet: (month, value, a year before), and the months compared."""

    name: str
    currency: str
    months: tuple[tuple[date, float | None, float | None], ...]
    compared: tuple[date, ...]

    def figure(self, value: float | None) -> str:
        """A value in words; without a currency it is a share."""
        if value is None:
            return "not known"
        return money_figure(value, self.currency) if self.currency else f"{value:.0%}"

    @property
    def has_before(self) -> bool:
        """Whether anything is known of the year before."""
        return any(before is not None for *_, before in self.months)


def bought(of: Bought) -> alt.LayerChart | alt.FacetChart:
    """A month a dot, those that were compared in colour with their figure; dashed the same months a year before."""
    factor = 1.0 if of.currency else 100.0
    rows: Rows = [
        {
            "period": month.isoformat(),
            "value": value * factor,
            "before": None if before is None else before * factor,
            "figure": of.figure(value),
            "earlier": of.figure(before),
            "color": ATTENTION if month in of.compared else GREY,
            "size": 110 if month in of.compared else 46,
            "label": f"{month:%b}: {of.figure(value)}" if month in of.compared else "",
            "align": "right" if place > len(of.months) / 2 else "left",
        }
        for place, (month, value, before) in enumerate(of.months)
        if value is not None
    ]
    x = alt.X("utcyearmonthdate(period):T", axis=alt.Axis(title="month", format="%b %y", grid=False, tickCount=6))
    axis = alt.Axis(title=f"in {of.currency or '%'}", grid=False, tickCount=5)
    # Room above for a label.
    highest = max((row[name] for row in rows for name in ("value", "before") if row[name] is not None), default=1.0)
    y = alt.Y("value:Q", scale=alt.Scale(zero=True, domainMax=1.15 * highest), axis=axis)
    base = alt.Chart(alt.InlineData(values=rows), height=220)
    fields = (("figure", of.name), ("earlier", "A year before"))
    tips = [alt.Tooltip("utcyearmonthdate(period):T", title="Month", format="%B %Y")]
    tips += [alt.Tooltip(f"{name}:N", title=label) for name, label in fields]
    color = alt.Color("color:N", scale=None)
    layers = [
        base.mark_line(color=GREY, strokeWidth=1.6, tooltip=None).encode(x=x, y=y),
        base.mark_circle(opacity=1).encode(
            x=x, y=y, color=color, size=alt.Size("size:Q", scale=None, legend=None), tooltip=tips
        ),
        # The newest below its dot: the line comes down to it.
        *(
            alt.Chart(alt.InlineData(values=[row]))
            .mark_text(
                align=row["align"], baseline="middle", dy=16 if row is rows[-1] else -14, fontSize=12, tooltip=None
            )
            .encode(x=x, y=y, text="label:N")
            for row in rows
            if row["label"]
        ),
    ]
    if of.has_before:
        before = base.mark_line(color=GREY, strokeWidth=1.5, strokeDash=[5, 3], opacity=0.7, tooltip=None)
        layers.insert(0, before.encode(x=x, y=alt.Y("before:Q", title=f"in {of.currency or '%'}")))
    return alt.layer(*layers).properties(autosize=alt.AutoSizeParams(type="fit", contains="padding"))


def describe_bought(of: Bought, where: str) -> str:
    """The chart in words, for who cannot see it."""
    known = [(month, value) for month, value, _ in of.months if value is not None]
    low, high = (of.figure(choose(value for _, value in known)) for choose in (min, max))
    compared = [f"{of.figure(value)} in {month:%B %Y}" for month, value in known if month in of.compared]
    said = f"{of.name} of {where} by month: between {low} and {high}, last {of.figure(known[-1][1])}."
    said += f" Compared: {' and '.join(compared)}." if compared else ""
    earlier = [before for *_, before in of.months if before is not None]
    if earlier:
        said += f" A year before: between {of.figure(min(earlier))} and {of.figure(max(earlier))}."
    return said


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
    rows = _origin_rows(drivers, metric)
    height = ROW * max(len(rows), 1)
    base = alt.Chart(alt.InlineData(values=rows), height=height)
    title = "points" if unit(metric) == "%" else unit(metric) or metric.label
    words = [f"What each adds to the change, in {title}", "Short line: what an even spread would add"]
    axis = alt.Axis(title=words, grid=False, tickCount=5, **QUIET)
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


def _origin_rows(drivers: Drivers, metric: Metric) -> Rows:
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
