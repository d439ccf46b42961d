"""What a reader takes along: a chart as PNG or SVG, drawn here without a browser or a network, and tables as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Final

import vl_convert

from dashboard.charts import in_full
from queries.metrics import AgainstBaseline, csv_cell
from queries.review import ActionStatus, MetricStatus, Money, Review

SCALE: Final = 2
_PAPER: Final[dict[str, Any]] = {
    "background": "#FFFFFF",
    "padding": 16,
    "config": {
        "font": '"Source Sans 3", "Segoe UI", "Helvetica Neue", "Liberation Sans", "DejaVu Sans", sans-serif',
        "view": {"strokeWidth": 0},
        "axis": {
            "labelColor": "#605C54",
            "titleColor": "#605C54",
            "domainColor": "#8A8579",
            "tickColor": "#8A8579",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "title": {"color": "#22211E", "anchor": "start"},
        "text": {"color": "#22211E"},
    },
}


def on_paper(spec: dict[str, Any], title: str) -> dict[str, Any]:
    """A chart's specification for a document: white paper, dark text, its own title."""
    paper = deepcopy(in_full(spec))
    paper["config"] = {**paper.get("config", {}), **_PAPER["config"]}
    paper["background"], paper["padding"] = _PAPER["background"], _PAPER["padding"]
    paper["title"] = {"text": title, "anchor": "start", "fontSize": 16, "offset": 16}
    return paper


def png(spec: dict[str, Any], title: str) -> bytes:
    """The chart as an image, twice the size it has on the page."""
    image: bytes = vl_convert.vegalite_to_png(on_paper(spec, title), scale=SCALE, allowed_base_urls=[])
    return image


def svg(spec: dict[str, Any], title: str) -> str:
    """The chart as SVG."""
    drawing: str = vl_convert.vegalite_to_svg(on_paper(spec, title), allowed_base_urls=[])
    return drawing


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV whose cells no spreadsheet runs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([csv_cell(name) for name in head])
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return out.getvalue()


def standings_csv(standings: Iterable[MetricStatus]) -> str:
    """Every month of every row of the chart: shares 0..1, as the command line prints them."""
    head = ("vertical", "metric", "period", "n", "value", "low", "high", "status", "goal", "verdict")
    rows = []
    for s in standings:
        for p in s.history:
            now = (s.goal, s.verdict) if p.period == s.point.period else (None, "")
            n = None if p.status == "private" else p.n
            rows.append((s.vertical or "*", s.metric.name, p.period, n, p.value, p.low, p.high, p.status, *now))
    return table(head, rows)


def issues_csv(review: Review) -> str:
    """The key issues with what was decided."""
    head = (
        "issue",
        "where",
        "since",
        "found",
        "value",
        "value_of",
        "period",
        "interval",
        "n",
        "against",
        "severity",
        "owner",
        "decision",
        "due",
        "actions",
        "function",
    )
    return table(
        head,
        (
            (
                i.what,
                i.where,
                i.since,
                i.found_on,
                i.figure,
                i.figure_of,
                i.period,
                i.interval,
                i.n,
                i.against,
                i.severity,
                i.decision.owner if i.decision else "",
                i.decision.what if i.decision else "",
                i.decision.due_on if i.decision else None,
                "; ".join(f"{u.action.what} ({u.effect})" for u in i.undertakings),
                i.function,
            )
            for i in review.issues
        ),
    )


def baselines_csv(baselines: Iterable[AgainstBaseline]) -> str:
    """Every vertical against each baseline: figures in the metric's unit, changes as a part of the baseline."""
    head = ("metric", "vertical", "baseline_since", "baseline_until", "since", "until", "cases_before", "before")
    rows = []
    for of in baselines:
        days = (of.first, of.last, of.since, of.until)
        for one in of.verticals:
            ends = (one.change.value, one.change.low, one.change.high) if one.change else (None, None, None)
            figures = (one.cases_before, one.before, one.cases, one.now, *ends)
            rows.append((of.metric.name, one.vertical, *days, *figures))
        if of.pooled:
            ends = (of.pooled.change.value, of.pooled.change.low, of.pooled.change.high)
            rows.append((of.metric.name, "*", *days, None, None, None, None, *ends))
    return table((*head, "cases", "now", "change", "low", "high"), rows)


def actions_csv(carried: Iterable[ActionStatus]) -> str:
    """Actions carried over, with what they have done."""
    head = ("action", "vertical", "owner", "started", "due", "done", "effect", "function")
    rows = ((u.action, u.done_on, u.effect) for u in carried)
    return table(
        head, ((a.what, a.vertical, a.owner, a.started_on, a.due_on, done, e, a.function) for a, done, e in rows)
    )


def money_csv(money: Iterable[Money], currency: str) -> str:
    """Revenue by vertical."""
    head = ("vertical", "currency", "amount", "month_before", "year_before")
    return table(head, ((m.vertical, currency, m.amount, m.previous, m.year_before) for m in money))
