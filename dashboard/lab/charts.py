"""The lab's charts and words: pure functions from what a trial found. Text is drawn as text, and escaped in HTML."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any, Final, Literal

import altair as alt

from config.models import Metric
from dashboard.charts import ATTENTION, BETTER, GREY, QUIET, Rows
from queries.engine import day_of
from queries.metrics import day_words, shown, unit
from queries.monitoring.conditions import ConditionPeriod
from queries.state import slice_values
from triggers.lab import ParameterSweep, Score, TrialIncident, TrialOutcome, setting

READERS: Final = 4
"""How many readers a curve is drawn for; those after them are told less."""
PLACES: Final = 14
"""How many slices the time line shows; the table below has them all."""
AS_IS, AS_SET, BY_DATA, KNOWN = "current setting", "new setting", "caused by a data fault", "known incident"


@dataclass(frozen=True, slots=True)
class Bar:
    """One incident on the time line, or something known to have happened; `until` None: it goes on."""

    kind: str
    place: str
    since: date
    until: date | None
    words: str


@dataclass(frozen=True, slots=True)
class IncidentTimeline:
    """What the time line shows."""

    bars: tuple[Bar, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """The slices, those with the most on them first; no more than can be read."""
        named = [bar.place for bar in self.bars]
        return tuple(sorted(set(named), key=lambda place: (-named.count(place), place))[:PLACES])


def attention_curve(sweep: ParameterSweep, metric: Metric | None, value: float) -> alt.LayerChart | alt.FacetChart:
    """How often each reader would be told in a week at each setting, as it is and as set."""
    rows = _points(sweep, metric)
    named = "days" if metric is None else unit(metric)
    title = {"limit": "Limit", "floor": "Smallest distance that counts", "at_least": "Least silence"}[sweep.on.field]
    title = f"{title} ({named})" if named else title
    # From zero on, and never a line along the top for want of anything to tell.
    upward = alt.Scale(domain=[0, max([*(row["told"] for row in rows), 0.05]) * 1.15], nice=False)
    x = alt.X("x:Q", scale=alt.Scale(zero=False, nice=False), axis=_axis(title, tickCount=7))
    y = alt.Y("told:Q", axis=_axis("Notifications per person per week", tickCount=4, grid=True), scale=upward)
    base = alt.Chart(alt.InlineData(values=rows), height=240)
    layers = [
        base.mark_line(color=GREY, strokeWidth=1.8, interpolate="linear", tooltip=None).encode(
            x=x, y=y, detail="reader:N"
        ),
        base.mark_circle(size=44, opacity=1).encode(x=x, y=y, color=alt.Color("color:N", scale=None), tooltip=_TIPS),
        *_marks(sweep, metric, value),
        *_names(rows),
    ]
    return alt.layer(*layers).properties(autosize=alt.AutoSizeParams(type="fit", contains="padding"))


def _points(sweep: ParameterSweep, metric: Metric | None) -> Rows:
    """Each setting's row for each of the readers who are told most."""
    most: dict[str, float] = {}
    for outcome in sweep.outcomes:
        for load in outcome.attention:
            most[load.reader] = max(most.get(load.reader, 0.0), load.a_week)
    rows = []
    for reader in sorted(most, key=lambda reader: -most[reader])[:READERS] or [""]:
        for value, outcome in zip(sweep.values, sweep.outcomes, strict=True):
            load = outcome.load(reader)
            rows.append(
                {
                    "x": _x(sweep, metric, value),
                    "reader": reader_name(reader),
                    "told": load.a_week,
                    "a_week": f"{load.a_week:.2f}",
                    "busiest": load.busiest,
                    "setting": setting(sweep.on, metric, value),
                    "incidents": len(outcome.found),
                    "color": GREY,
                }
            )
    return rows


_TIPS: Final = [
    alt.Tooltip(f"{name}:N", title=title)
    for name, title in (
        ("setting", "Setting"),
        ("reader", "Reader"),
        ("a_week", "Notifications a week"),
        ("busiest", "Busiest week"),
        ("incidents", "Incidents"),
    )
]


def _x(sweep: ParameterSweep, metric: Metric | None, value: float) -> float:
    return value if metric is None or sweep.on.field == "at_least" else shown(metric, value)


def _axis(title: str, **rest: Any) -> alt.Axis:
    return alt.Axis(**{"title": title, "grid": False, **QUIET, **rest})


def _marks(sweep: ParameterSweep, metric: Metric | None, value: float) -> list[alt.Chart]:
    """A line where the rule stands, and one where it is set."""
    on, own = sweep.on, _x(sweep, metric, sweep.on.value)
    marks: Rows = [
        {"x": own, "label": f"current: {setting(on, metric, on.value)}", "row": 0, "color": GREY, "dash": [5, 3]}
    ]
    if value != on.value:
        named = f"new: {setting(on, metric, value)}"
        marks.append({"x": _x(sweep, metric, value), "label": named, "row": 1, "color": ATTENTION, "dash": [1, 0]})
    middle = (_x(sweep, metric, sweep.values[0]) + _x(sweep, metric, sweep.values[-1])) / 2
    parts = []
    for mark in marks:
        base = alt.Chart(alt.InlineData(values=[mark]))
        rule = base.mark_rule(color=mark["color"], strokeWidth=1.6, strokeDash=mark["dash"], tooltip=None)
        # Towards the middle, or the words would leave the chart.
        align: Literal["left", "right"] = "right" if mark["x"] > middle else "left"
        offset = -6 if align == "right" else 6
        text = base.mark_text(align=align, baseline="top", dx=offset, fontSize=12, tooltip=None)
        parts += [rule.encode(x="x:Q"), text.encode(x="x:Q", y=alt.value(2 + 16 * mark["row"]), text="label:N")]
    return parts


def _names(rows: Rows) -> list[alt.Chart]:
    """Each line's reader at its highest point, where there are several."""
    readers = dict.fromkeys(row["reader"] for row in rows)
    if len(readers) < 2:
        return []
    tops = [max((row for row in rows if row["reader"] == reader), key=lambda row: row["told"]) for reader in readers]
    base = alt.Chart(alt.InlineData(values=tops))
    text = base.mark_text(align="left", baseline="bottom", dy=-4, fontSize=12, tooltip=None)
    return [text.encode(x="x:Q", y="told:Q", text="reader:N")]


def time_line(
    line: IncidentTimeline, since: date, until: date, conditions: Sequence[ConditionPeriod]
) -> alt.LayerChart | alt.FacetChart:
    """Every incident as a bar in its slice's row; under it, thinner, what the rule opens as it is."""
    rows: Rows = []
    for bar in line.bars:
        if bar.place in line.places:
            start, end = max(bar.since, since), min(bar.until or until, until)
            ends = {"start": start.isoformat(), "end": max(end, start).isoformat()}
            rows.append({"place": bar.place, "kind": bar.kind, "words": bar.words, "color": _COLORS[bar.kind], **ends})
    domain = [since.isoformat(), until.isoformat()]
    x = alt.X("utcyearmonthdate(start):T", scale=alt.Scale(domain=domain), axis=_axis("", format="%b %y", tickCount=8))
    y = alt.Y("place:N", sort=list(line.places), axis=_axis("", labelLimit=190, ticks=False, domain=False))
    base = alt.Chart(alt.InlineData(values=rows), height=max(len(line.places), 2) * 40 + 32)
    color = alt.Color("color:N", scale=None)
    tips = [alt.Tooltip(f"{name}:N", title=title) for name, title in (("kind", "What"), ("words", "When"))]
    layers = [*_shaded(conditions, since, until)]
    for kind, look in _LOOKS.items():
        mark = base.transform_filter(alt.datum.kind == kind).mark_bar(**look)
        layers.append(mark.encode(x=x, x2="utcyearmonthdate(end):T", y=y, color=color, tooltip=tips))
    return alt.layer(*layers).properties(autosize=alt.AutoSizeParams(type="fit", contains="padding"))


_LOOKS: Final[dict[str, dict[str, Any]]] = {
    KNOWN: {"size": 26, "filled": False, "strokeWidth": 1.6, "opacity": 1},
    AS_SET: {"size": 14, "cornerRadius": 2},
    BY_DATA: {"size": 14, "cornerRadius": 2, "filled": False, "strokeDash": [3, 2], "strokeWidth": 1.4},
    AS_IS: {"size": 4, "yOffset": 13},
}
_COLORS: Final = {AS_IS: GREY, AS_SET: ATTENTION, BY_DATA: ATTENTION, KNOWN: BETTER}


def _shaded(conditions: Sequence[ConditionPeriod], since: date, until: date) -> list[alt.Chart]:
    spans = [
        {"start": max(c.since, since).isoformat(), "end": min(c.until or until, until).isoformat(), "label": c.name}
        for c in conditions
        if c.since < until and (c.until is None or c.until > since)
    ]
    if not spans:
        return []
    base = alt.Chart(alt.InlineData(values=spans))
    x, x2 = alt.X("utcyearmonthdate(start):T"), alt.X2("utcyearmonthdate(end):T")
    tip = [alt.Tooltip("label:N", title="Condition")]
    layers = [base.mark_rect(color=GREY, opacity=0.18).encode(x=x, x2=x2, tooltip=tip)]
    # The names stand on two lines in turn: where there is little room, neighbours would cover each other.
    for line in range(min(len(spans), 2)):
        base = alt.Chart(alt.InlineData(values=spans[line::2]))
        text = base.mark_text(align="left", baseline="top", dx=3, fontSize=11, tooltip=None, limit=150)
        layers.append(text.encode(x="utcyearmonthdate(start):T", y=alt.value(12 * line), text="label:N"))
    return layers


def line_of(set_: TrialOutcome, own: TrialOutcome, scores: Iterable[Score], zone: tzinfo) -> IncidentTimeline:
    """The time line of a setting beside the rule as it is, and beside what is known."""
    bars = [_incident(AS_IS, found, zone) for found in own.found]
    bars += [_incident(BY_DATA if found.fault else AS_SET, found, zone) for found in set_.found]
    for score in scores:
        known = score.known
        delay = f" after {score.delay.days} days" if score.delay is not None else ""
        words = f"{known.name or known.rule or known.metric or ''}: {score.verdict}{delay}"
        where = " · ".join(str(value) for value in known.slice.values()) or EVERYWHERE
        bars.append(Bar(KNOWN, where, known.since, known.until, words))
    return IncidentTimeline(tuple(bars))


def _incident(kind: str, found: TrialIncident, zone: tzinfo) -> Bar:
    incident = found.incident
    opened = day_of(incident.opened_at, zone)
    over = day_of(incident.resolved_at, zone) if incident.resolved_at else None
    words = f"{day_words(opened)} to {day_words(over) if over else 'the end'}"
    return Bar(kind, place_words(incident.slice), opened, over, words)


EVERYWHERE: Final = "The whole company"


def place_words(slice_: str) -> str:
    """A slice as it is read: its values."""
    return " · ".join(slice_values(slice_).values()) or EVERYWHERE


def reader_name(reader: str) -> str:
    """A reader as it is read: who reads a channel is one person."""
    kind, _, name = reader.partition(" ")
    return f"a reader of the {name} channel" if kind == "channel" and name else reader or "nobody"


def describe_curve(sweep: ParameterSweep, metric: Metric | None, value: float) -> str:
    """The curve in one sentence, for who cannot see it."""
    (least, first), *_, (most, last) = sweep.lax_first() if len(sweep.values) > 1 else sweep.lax_first() * 2
    ends = f"from {first.a_week:.2f} at {setting(sweep.on, metric, least)} to {last.a_week:.2f}"
    own = f"currently {sweep.present.a_week:.2f}, at {setting(sweep.on, metric, sweep.on.value)}"
    now = f"set to {setting(sweep.on, metric, value)}"
    return f"Notifications a week to the busiest reader: {ends} at {setting(sweep.on, metric, most)}; {own}; {now}."


_COUNTED: Final = {
    AS_IS: "with the current setting",
    AS_SET: "with the new setting",
    BY_DATA: "caused by a data fault",
    KNOWN: "known",
}


def describe_line(line: IncidentTimeline) -> str:
    """The time line in one sentence."""
    counts = {kind: sum(bar.kind == kind for bar in line.bars) for kind in (AS_SET, AS_IS, BY_DATA, KNOWN)}
    said = ", ".join(f"{number} {_COUNTED[kind]}" for kind, number in counts.items() if number)
    slices = "slice" if len(line.places) == 1 else "slices"
    return f"Incidents on a time line in {len(line.places)} {slices}: {said or 'none'}."


def hidden(line: IncidentTimeline) -> int:
    """How many slices the time line has no room for."""
    return len({bar.place for bar in line.bars}) - len(line.places)
