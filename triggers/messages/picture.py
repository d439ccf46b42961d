"""The picture of an incident: its figure over a year, what it is held against, and the breach. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from config.models import Metric
from queries.engine import day_of
from queries.metrics import (
    MonthlyRevenue,
    figure,
    goal_figure,
    half_width,
    money_figure,
    month_of,
    point_figure,
    shown,
    unit,
)
from queries.review import Trend, reading_days, reading_words
from triggers.evaluation.kinds import kind_of
from triggers.messages.card import Card, slice_text
from triggers.messages.message import Picture

WIDTH, HEIGHT, SCALE = 560, 220, 2
GREY: Final = "#8A8579"
INK: Final = "#22211E"
SOFT: Final = "#605C54"
ATTENTION: Final = "#CF5327"
FONT: Final = "Liberation Sans"
"""It comes with vl-convert: a picture looks the same on every machine."""
YEAR: Final = 12


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of a period, in the unit that is shown; without bounds where nobody knows them."""

    period: date
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure over the days [since, until), as it is drawn and in words."""

    since: date
    until: date
    value: float
    label: str
    days: str


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn.

    Args:
        title: what it is and where.
        grain: week or month.
        points: oldest first, without those that have too few cases.
        unit: of the axis.
        held: what the figure is held against: its value, and how it is called.
        since: from this period on it is a breach.
        until: the first period after it.
        said: the lowest, the highest and the last figure in words.
        window: the figure that the message names, as a reading: seldom is it that of a period.
    """

    title: str
    grain: str
    points: tuple[Point, ...]
    unit: str
    held: tuple[float, str] | None
    since: date
    until: date
    said: tuple[str, str, str]
    window: "Reading | None" = None

    @property
    def alt(self) -> str:
        """The picture in a sentence or two, for who cannot see it."""
        held = f" {self.held[1][:1].upper()}{self.held[1][1:]}." if self.held else ""
        least, most, last = self.said
        days = f" From {self.window.days}: {self.window.label}." if self.window else ""
        return f"{self.title} by {self.grain}: between {least} and {most}, last {last}.{days}{held}"


def metric_series(card: Card, metric: Metric, trend: Trend) -> Series | None:
    """The figures that an incident's rule looks at; None where too few are known to show a trend."""
    # What is not complete yet is not judged yet either, and would often look like an end of the breach.
    known = [(point, point.value) for point in trend.points if point.value is not None and point.status != "immature"]
    if len(known) < 2:
        return None
    points = []
    for point, value in known:
        ends = (None if end is None else shown(metric, end) for end in (point.low, point.high))
        points.append(Point(point.period, shown(metric, value), *ends))
    low, high = (choose(known, key=lambda each: each[1])[0] for choose in (min, max))
    said = (point_figure(metric, low), point_figure(metric, high), point_figure(metric, known[-1][0]))
    against = None
    if held := kind_of(card.rule).held(card.sample):
        half = half_width(card.sample.get("low"), card.sample.get("high"))
        named = goal_figure(metric, held.value) if held.is_written else figure(metric, held.value, half)
        against = (shown(metric, held.value), f"{held.name} {named}")
    sample = card.entries[0].sample or {}
    since = date.fromisoformat(sample["since"]) if "since" in sample else card.incident.slot
    over = card.incident.resolved_at
    end = day_of(over, card.zone) if over else date.max
    window, read = None, card.sample
    if "since" in read and read.get("value") is not None:
        first, after = (date.fromisoformat(read[edge]) for edge in ("since", "until"))
        window = Reading(first, after, shown(metric, read["value"]), reading_words(metric, read), reading_days(read))
    return Series(_title(card), trend.grain, tuple(points), unit(metric), against, since, end, said, window)


def decline_series(card: Card, months: MonthlyRevenue) -> Series | None:
    """What an account buys by month, or its share of wallet where the fall is told as one of that."""
    sample = card.sample
    if "months" not in sample or not months.accounts:
        return None
    is_share = None not in sample["shares"]
    line = (months.share if is_share else months.held)[0]
    known = [(month_of(months.first + int(at)), float(line[at])) for at in np.flatnonzero(np.isfinite(line))]
    before = date.fromisoformat(sample["months"][0])
    past = [value for month, value in known if month <= before][-YEAR:]
    shown_ = [(month, value) for month, value in known if month >= _year_before(known[-1][0])] if known else []
    if len(shown_) < 2 or not past:
        return None

    def said(value: float) -> str:
        return f"{value:.0%}" if is_share else money_figure(value, sample["currency"] or "").strip()

    values, usual = [value for _, value in shown_], float(np.median(past))
    factor = 100 if is_share else 1
    points = [Point(month, value * factor) for month, value in shown_]
    what = "share of wallet" if is_share else "revenue"
    words = (said(min(values)), said(max(values)), said(values[-1]))
    unit_ = "%" if is_share else sample["currency"] or ""
    held = (usual * factor, f"usual {said(usual)}")
    since = before + timedelta(days=31)
    return Series(f"{_title(card)}: {what}", "month", (*points,), unit_, held, since.replace(day=1), date.max, words)


def _year_before(newest: date) -> date:
    return newest.replace(year=newest.year - 1)


def _title(card: Card) -> str:
    return f"{card.rule.label or card.rule.name}, {slice_text(card)}"


def drawn(card: Card, series: Series) -> Picture:
    """The picture as a file: the same bytes for the same series."""
    import vl_convert  # noqa: PLC0415 - it and altair take seconds to import, and few messages are drawn

    image: bytes = vl_convert.vegalite_to_png(chart(series), scale=SCALE, allowed_base_urls=[])
    return Picture(f"earshot-{card.incident.id}.png", series.alt, image)


def chart(series: Series) -> dict[str, Any]:
    """The series as a Vega-Lite chart."""
    import altair as alt  # noqa: PLC0415

    rows = [
        {
            "period": point.period.isoformat(),
            "value": point.value,
            "low": point.low,
            "high": point.high,
            "color": ATTENTION if series.since <= point.period < series.until else GREY,
        }
        for point in series.points
    ]
    x = alt.X("utcyearmonthdate(period):T", axis=alt.Axis(title=None, format="%b %y", grid=False, tickCount=6))
    scale = alt.Scale(zero=False, nice=4)
    y = alt.Y("value:Q", scale=scale, axis=alt.Axis(title=None, grid=False, tickCount=4))
    base = alt.Chart(alt.InlineData(values=rows), width=WIDTH, height=HEIGHT)
    color = alt.Color("color:N", scale=None)
    layers: list[alt.Chart] = []
    if any(row["low"] is not None for row in rows):
        layers.append(base.mark_area(color=GREY, opacity=0.2).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"))
    if series.held:
        one = alt.Chart(alt.InlineData(values=[{"at": series.held[0]}]))
        layers.append(one.mark_rule(color=INK, strokeWidth=1.5, strokeDash=[6, 4]).encode(y="at:Q"))
    layers.append(base.mark_line(color=GREY, strokeWidth=2).encode(x=x, y=y))
    breach = alt.Chart(alt.InlineData(values=[row for row in rows if row["color"] == ATTENTION]))
    layers.append(breach.mark_line(color=ATTENTION, strokeWidth=2.5).encode(x=x, y=y))
    layers.append(base.mark_circle(size=60, opacity=1).encode(x=x, y=y, color=color))
    bold: dict[str, Any] = {"fontSize": 15, "fontWeight": "bold"}
    if series.window:
        span = {"start": series.window.since.isoformat(), "end": series.window.until.isoformat()}
        line = {**span, "value": series.window.value, "label": series.window.label}
        one = alt.Chart(alt.InlineData(values=[line]))
        start, stop = alt.X("utcyearmonthdate(start):T"), alt.X2("utcyearmonthdate(end):T")
        layers.append(one.mark_rule(color=INK, strokeWidth=4).encode(x=start, x2=stop, y=y))
        text = one.mark_text(align="right", dy=-12, color=INK, **bold)
        layers.append(text.encode(x=alt.X("utcyearmonthdate(end):T"), y=y, text="label:N"))
    else:
        last = alt.Chart(alt.InlineData(values=[{**rows[-1], "label": series.said[-1]}]))
        layers.append(last.mark_text(align="left", dx=10, **bold).encode(x=x, y=y, text="label:N", color=color))
    # Words beside the dashed line would often stand on the figures.
    parts = [f"{series.unit} by {series.grain}".strip(), *([f"dashed: {series.held[1]}"] if series.held else [])]
    parts += [f"black: {series.window.days}"] if series.window else []
    title = alt.TitleParams(series.title, subtitle=", ".join(parts), anchor="start", limit=WIDTH)
    whole = alt.layer(*layers).properties(title=title, background="#FFFFFF", padding=16)
    axis = {"labelFontSize": 14, "labelColor": SOFT, "domainColor": GREY, "tickColor": GREY}
    head: dict[str, Any] = {"fontSize": 17, "color": INK, "offset": 14}
    head |= {"subtitleFontSize": 14, "subtitleColor": SOFT, "subtitlePadding": 6}
    spec: dict[str, Any] = whole.to_dict()
    spec["config"] = {**spec.get("config", {}), "font": FONT, "view": {"strokeWidth": 0}, "axis": axis, "title": head}
    return spec
