"""The chart of figures against their goals: a table of small charts, a row for each figure."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import altair as alt

from dashboard.charts import ATTENTION, BETTER, GREY, QUIET, Rows, muted
from queries.documents.review_words import VERDICT_WORDS
from queries.metrics import (
    count,
    goal_figure,
    half_width,
    interval,
    is_share,
    point_figure,
    shown,
    signed_change,
    unit,
)
from queries.review import MetricStatus

ROW: Final = 36
"""Height of a row in pixels."""
LABELS, BULLET, WORDS, TREND, CHANGE, MOVED = 172, 292, 158, 196, 132, 92
"""Widths of the columns in pixels."""
LONGEST: Final = 160


def against_goals(standings: Sequence[MetricStatus], months: Sequence[date], *, one_scale: bool) -> alt.HConcatChart:
    """Every standing as one row: value with its 95% interval and goal, the months before, and the last change.

    Args:
        standings: the rows; those surest to miss their goal come first, all verticals together last.
        months: the months of the trend, oldest first.
        one_scale: all rows are one metric and share its axis; otherwise each row has its own scale and no axis.
    """
    ordered = sorted(standings, key=_urgency)
    rows = [_row(number, s, one_scale=one_scale) for number, s in enumerate(ordered)]
    scale = _value_scale(ordered) if one_scale else alt.Scale(domain=[0, 1], nice=False)
    title = "each on its own scale"
    if ordered and one_scale:
        metric = ordered[0].metric
        title = f"{metric.label} ({unit(metric)})" if unit(metric) else metric.label
    names = _chart(rows, LABELS, "").mark_text(
        align="left", baseline="middle", fontSize=13.5, limit=LABELS, tooltip=None
    )
    parts = (
        names.encode(x=alt.value(0), y=_y(rows), text="label:N"),
        _bullets(rows, scale, title),
        _words(rows),
        _trends(_trend_rows(ordered, one_scale=one_scale), rows, months),
        _changes(rows, months),
        _moved(rows),
    )
    chart: alt.HConcatChart = alt.hconcat(*parts, spacing=8).resolve_scale(x="independent", y="shared")
    plain: alt.HConcatChart = chart.configure_view(strokeWidth=0).properties(autosize="pad")
    return plain


def figures(standings: Sequence[MetricStatus], *, one_scale: bool) -> Rows:
    """The rows of the chart in words, in its order."""
    return [_row(0, s, one_scale=one_scale) for s in sorted(standings, key=_urgency)]


def describe(standings: Sequence[MetricStatus], month: date) -> str:
    """The chart in one sentence, for who cannot see it."""
    missed = [s for s in standings if s.verdict == "missed"]
    names = ", ".join(
        f"{s.where} ({s.metric.label}, {point_figure(s.metric, s.point)})" for s in sorted(missed, key=_urgency)
    )
    head = f"{count(len(standings))} figures of {month:%B %Y} against their goals, with trend and last change."
    return f"{head} Missed: {names}." if missed else f"{head} No goal is missed."


def _urgency(s: MetricStatus) -> tuple[bool, bool, float, str, str]:
    gap, half = 0.0, half_width(s.point.low, s.point.high)
    if s.goal is not None and s.point.value is not None:
        gap = (s.goal - s.point.value if s.metric.good == "up" else s.point.value - s.goal) / (half or 1)
    return (not s.vertical, s.point.value is None, -gap, s.vertical, s.metric.name)


def _row(number: int, s: MetricStatus, *, one_scale: bool) -> dict[str, Any]:
    low, high = _ends(s) if not one_scale else (0.0, 1.0)
    point, change = s.point, s.change
    half = half_width(change.low, change.high) if change else None

    def placed(value: float | None) -> float | None:
        return None if value is None else (shown(s.metric, value) - low) / (high - low)

    return {
        "y": number + 0.5,
        "label": (s.where if one_scale else s.metric.label)[:LONGEST],
        "value": placed(point.value),
        "low": placed(point.low),
        "high": placed(point.high),
        "goal": placed(s.goal),
        "figure": point_figure(s.metric, point) if point.value is not None else VERDICT_WORDS[s.verdict],
        "n": "" if s.verdict == "private" else f"n = {count(point.n)}",
        "goal_figure": "" if s.goal is None else goal_figure(s.metric, s.goal),
        "interval": interval(s.metric, point.low, point.high),
        "state": VERDICT_WORDS[s.verdict],
        "is_missed": s.verdict == "missed",
        "color": ATTENTION if s.verdict == "missed" else GREY,
        "muted": 0.7 if point.value is None or s.verdict in {"too few", "immature"} else 1.0,
        "up_is_good": s.metric.good == "up",
        "change": None if change is None else shown(s.metric, change.value) / (1 if one_scale else high - low),
        "change_low": None if change is None else shown(s.metric, change.low) / (1 if one_scale else high - low),
        "change_high": None if change is None else shown(s.metric, change.high) / (1 if one_scale else high - low),
        "change_figure": signed_change(s.metric, change.value, half) if change else "",
        "change_words": change.meaning if change else "",
        "change_color": _CHANGE_COLORS[change.meaning] if change else GREY,
    }


_CHANGE_COLORS: Final = {"better": BETTER, "worse": ATTENTION, "no clear change": GREY}


def _ends(s: MetricStatus) -> tuple[float, float]:
    """The scale of a row of its own: everything it shows, with some air."""
    points = [s.point, *s.history]
    known = [shown(s.metric, v) for p in points for v in (p.value, p.low, p.high) if v is not None]
    known += [shown(s.metric, s.goal)] if s.goal is not None else []
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    air = (high - low) * 0.06 or 1.0
    return low - air, high + air


def _value_scale(standings: Sequence[MetricStatus]) -> alt.Scale:
    ends = [
        shown(s.metric, v)
        for s in standings
        for v in (s.point.value, s.point.low, s.point.high, s.goal)
        if v is not None
    ]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    air = (high - low) * 0.05 or 1.0
    top = min(high + air, 100.0) if standings and is_share(standings[0].metric) else high + air
    bottom = max(low - air, 0.0) if standings and standings[0].metric.shape != "balance" else low - air
    return alt.Scale(domain=[bottom, max(top, bottom + 1e-9)], nice=False, zero=False)


def _chart(rows: Rows, width: int, title: str, height_of: int | None = None) -> alt.Chart:
    lines = height_of if height_of is not None else len(rows)
    heading = alt.TitleParams(title, anchor="start", fontSize=12, fontWeight="normal", offset=8)
    chart: alt.Chart = alt.Chart(alt.InlineData(values=rows), title=heading)
    chart.width, chart.height = width, max(lines, 1) * ROW
    return chart


def _y(rows: Rows) -> alt.Y:
    scale = alt.Scale(domain=[max(len(rows), 1), 0], nice=False, zero=False)
    return alt.Y("y:Q", scale=scale, axis=None)


def _tooltip() -> list[alt.Tooltip]:
    fields = (
        ("label", "Where"),
        ("figure", "Value"),
        ("interval", "95% interval"),
        ("goal_figure", "Goal"),
        ("state", "State"),
        ("n", "Cases"),
    )
    return [alt.Tooltip(f"{name}:N", title=title) for name, title in fields]


def _bullets(rows: Rows, scale: alt.Scale, title: str) -> alt.LayerChart | alt.FacetChart:
    axis = alt.Axis(title=title, grid=False, ticks=True, tickCount=5, domain=True, **QUIET)
    no_axis = alt.Axis(title=title, labels=False, ticks=False, grid=False, domain=True, **QUIET)
    x = alt.X("value:Q", scale=scale, axis=no_axis if title.startswith("each") else axis)
    color = alt.Color("color:N", scale=None)
    goals = {row["goal_figure"] for row in rows}
    same = f" {goals.pop()}" if len(goals) == 1 else ""
    base = _chart(rows, BULLET, f"Value (dot), 95% interval (band), goal (line){same}")
    hairline = base.mark_rule(color=GREY, opacity=0.28, tooltip=None).encode(y=_y(rows))
    band = base.mark_bar(height=11, opacity=0.36, cornerRadius=1).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", y=_y(rows), color=color, tooltip=_tooltip()
    )
    goal = base.mark_tick(thickness=2.5, size=24, orient="vertical", color=GREY).encode(
        x=alt.X("goal:Q", scale=scale), y=_y(rows), tooltip=_tooltip()
    )
    dot = base.mark_circle(size=92, opacity=1).encode(x=x, y=_y(rows), color=color, tooltip=_tooltip())
    return alt.layer(hairline, band, goal, dot)


def _words(rows: Rows) -> alt.LayerChart | alt.FacetChart:
    base = _chart(rows, WORDS, "")
    bold = base.mark_text(align="left", baseline="middle", dy=-7, fontSize=13.5, fontWeight=600, tooltip=None)
    figure = bold.encode(x=alt.value(0), y=_y(rows), text="figure:N", opacity=muted())
    state = base.transform_calculate(
        words="datum.figure == datum.state ? datum.n : datum.state + ', ' + datum.n"
    ).mark_text(align="left", baseline="middle", dy=8, fontSize=11.5, opacity=0.78, tooltip=None)
    return alt.layer(figure, state.encode(x=alt.value(0), y=_y(rows), text="words:N"))


def _trend_rows(standings: Sequence[MetricStatus], *, one_scale: bool) -> Rows:
    """The months of each row, drawn within its own band: one scale for all rows, or each its own."""
    ends = [_ends(s) for s in standings]
    if one_scale and ends:
        ends = [(min(low for low, _ in ends), max(high for _, high in ends))] * len(ends)

    def height(s: MetricStatus, value: float, low: float, high: float) -> float:
        # Air above and below: the lines of two rows must not touch.
        return 0.12 + 0.76 * (1 - (shown(s.metric, value) - low) / (high - low))

    return [
        {
            "row": number,
            "month": point.period.isoformat(),
            "y": None if point.value is None else number + height(s, point.value, *ends[number]),
            "label": s.where if one_scale else s.metric.label,
            "figure": VERDICT_WORDS["private"] if point.status == "private" else point_figure(s.metric, point),
            "n": "" if point.status == "private" else count(point.n),
            "last": point.period == s.point.period,
            "color": ATTENTION if s.verdict == "missed" else GREY,
        }
        for number, s in enumerate(standings)
        for point in s.history
    ]


def _trends(points: Rows, rows: Rows, months: Sequence[date]) -> alt.LayerChart | alt.FacetChart:
    first, last = (months[0], months[-1]) if months else (date.min, date.min)
    scale = alt.Scale(domain=[first.isoformat(), last.isoformat()], nice=False) if len(months) > 1 else alt.Undefined
    axis = alt.Axis(title="month", format="%b %y", values=[first.isoformat(), last.isoformat()], grid=False, **QUIET)
    x = alt.X("utcyearmonthdate(month):T", scale=scale, axis=axis)
    base = _chart(points, TREND, f"Last {len(months)} months", len(rows))
    line = base.mark_line(color=GREY, strokeWidth=1.5, tooltip=None, interpolate="linear")
    dot = base.transform_filter("datum.last").mark_circle(size=42, opacity=1)
    tip = [
        alt.Tooltip("label:N", title="Where"),
        alt.Tooltip("utcyearmonthdate(month):T", title="Month", format="%B %Y"),
    ]
    tip += [alt.Tooltip("figure:N", title="Value"), alt.Tooltip("n:N", title="Cases")]
    hover = base.mark_point(size=60, opacity=0, filled=True).encode(x=x, y=_y(rows), tooltip=tip)
    return alt.layer(
        line.encode(x=x, y=_y(rows), detail="row:N"),
        dot.encode(x=x, y=_y(rows), color=alt.Color("color:N", scale=None)),
        hover,
    )


def _changes(rows: Rows, months: Sequence[date]) -> alt.LayerChart | alt.FacetChart:
    before = f"Change on {months[-2]:%B}" if len(months) > 1 else "Change"
    base = _chart(rows, CHANGE, before)
    # Zero in the middle of one scale for all rows: to the left is less, in each of them.
    reaches = [abs(row[end]) for row in rows for end in ("change_low", "change_high") if row[end] is not None]
    widest = max(reaches, default=1) or 1
    scale = alt.Scale(domain=[-widest, widest], nice=False)
    up_is_good = all(row["up_is_good"] for row in rows)
    down_is_good = not any(row["up_is_good"] for row in rows)
    ways = "← worse    better →" if up_is_good else "← better    worse →" if down_is_good else "← less    more →"
    axis = alt.Axis(title=ways, labels=False, ticks=False, grid=False, **QUIET)
    x = alt.X("change:Q", scale=scale, axis=axis)
    color = alt.Color("change_color:N", scale=None)
    tip = [alt.Tooltip("label:N", title="Where"), alt.Tooltip("change_figure:N", title="Change")]
    tip += [alt.Tooltip("change_words:N", title="Meaning")]
    zero = base.mark_rule(color=GREY, opacity=0.7, tooltip=None).encode(x=alt.XDatum(0, scale=scale))
    reach = base.mark_rule(strokeWidth=2.5, opacity=0.5).encode(
        x=alt.X("change_low:Q", scale=scale), x2="change_high:Q", y=_y(rows), color=color, tooltip=tip
    )
    dot = base.mark_circle(size=48, opacity=1).encode(x=x, y=_y(rows), color=color, tooltip=tip)
    return alt.layer(zero, reach, dot)


def _moved(rows: Rows) -> alt.LayerChart | alt.FacetChart:
    base = _chart(rows, MOVED, "")
    figure = base.mark_text(align="left", baseline="middle", dy=-7, fontSize=13, tooltip=None)
    words = base.mark_text(align="left", baseline="middle", dy=8, fontSize=11.5, opacity=0.78, tooltip=None)
    return alt.layer(
        figure.encode(x=alt.value(0), y=_y(rows), text="change_figure:N"),
        words.encode(x=alt.value(0), y=_y(rows), text="change_words:N"),
    )
