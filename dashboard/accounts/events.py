"""The band of one account's time that says what happened around it: conditions, incidents and actions, as spans."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import altair as alt

from dashboard.accounts.charts import Layers, across, fitted, upright
from dashboard.charts import ATTENTION, GREY, finished
from queries.metrics import day_words

MOST: Final = 12
"""Spans that are drawn: what is open first, then the newest; all incidents and actions are listed below the chart."""
ROW: Final = 22
"""The height of a span's row in pixels."""
_KINDS: Final = ("Condition", "Incident", "Action")


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted from a day to another; `is_open` where it still does."""

    kind: str
    name: str
    since: date
    until: date
    is_open: bool = False

    @property
    def words(self) -> str:
        """What it was, and whether it still is."""
        return f"{self.name}{', open' if self.is_open and self.kind == 'Incident' else ''}"


def chosen(found: Iterable[Span], span: tuple[date, date]) -> tuple[Span, ...]:
    """What lies in `span` (both ends included), by kind and beginning; at most MOST."""
    inside = [one for one in found if one.until >= span[0] and one.since <= span[1]]
    kept = sorted(inside, key=lambda one: (not one.is_open, -one.until.toordinal(), one.name))[:MOST]
    return tuple(sorted(kept, key=lambda one: (_KINDS.index(one.kind), one.since, one.name)))


def events(of: Sequence[Span], span: tuple[date, date]) -> dict[str, Any] | None:
    """The finished chart: a row for each span, on the axis of time of the other bands; None without any."""
    return finished(_chart(of, span)) if of else None


def _chart(of: Sequence[Span], span: tuple[date, date]) -> Layers:
    first, last = span
    middle = first + (last - first) / 2
    rows = []
    for number, one in enumerate(of):
        since, until = max(one.since, first), min(max(one.until, one.since), last)
        is_late = since > middle
        rows.append(
            {
                # In order, and with the kind as the label of its first row.
                "row": f"{number:02}|{one.kind if not number or of[number - 1].kind != one.kind else ''}",
                "day": since.isoformat(),
                # A span of one day has the width of it.
                "until": (until + timedelta(days=1)).isoformat(),
                "said": one.words,
                "kind": one.kind,
                "days": f"{day_words(one.since)} to {'today' if one.is_open else day_words(one.until)}",
                "color": ATTENTION if one.is_open and one.kind == "Incident" else GREY,
                "at": (since if is_late else until).isoformat(),
                "is_late": is_late,
            }
        )
    base = alt.Chart(alt.InlineData(values=rows), height=max(2, len(rows)) * ROW)
    y = upright("row:N", sort=[row["row"] for row in rows], words="split(datum.label, '|')[1]")
    tips = [alt.Tooltip(f"{name}:N", title=title) for name, title in (("kind", "What"), ("said", ""), ("days", "When"))]
    bars = base.mark_bar(height=8, cornerRadius=2, opacity=0.85).encode(
        x=across(span),
        x2=alt.X2("utcyearmonthdate(until):T"),
        y=y,
        color=alt.Color("color:N", scale=None),
        tooltip=tips,
    )
    names = [
        base.transform_filter(alt.datum.is_late == is_late)
        .mark_text(
            align="right" if is_late else "left",
            dx=-7 if is_late else 7,
            limit=alt.ExprRef("width * 0.6"),
            fontSize=12,
            tooltip=None,
        )
        .encode(x=alt.X("utcyearmonthdate(at):T"), y=y, text="said:N")
        for is_late in {row["is_late"] for row in rows}
    ]
    return fitted(bars, *names)


def describe_events(of: Sequence[Span]) -> str:
    """The band in words, for who cannot see it."""
    said = "; ".join(f"{one.kind.lower()}: {one.words}, since {day_words(one.since)}" for one in of)
    return f"What happened around the account: {said}."
