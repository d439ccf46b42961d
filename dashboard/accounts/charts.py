"""The charts of the accounts: the portfolio's quadrants, and the bands of one account's time."""

from datetime import date, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import altair as alt

from dashboard.charts import ATTENTION, GREY, QUIET, Rows, finished
from queries.accounts import (
    BOUNDARY_STATE,
    QUADRANTS,
    AccountAnswer,
    AccountStory,
    MomentOfTruth,
    Portfolio,
    PortfolioAccount,
    is_unhappy,
)
from queries.engine import day_of
from queries.metrics import count, day_words, money_figure

Layers = alt.LayerChart | alt.FacetChart

MOST_LABELS: Final = 10
"""Accounts that the chart names, with their intervals: the largest, and the largest on a boundary."""

_EDGE: Final = 96
"""The width of every band's axis in pixels: with one width, the bands' days lie below one another."""


def labelled(portfolio: Portfolio) -> tuple[str, ...]:
    """The accounts that the chart names."""
    drawn = [one for one in portfolio.accounts if one.score and one.share]
    near = [one for one in drawn if one.state == BOUNDARY_STATE]
    return tuple(dict.fromkeys(one.id for one in (*drawn[: MOST_LABELS // 2], *near[: MOST_LABELS // 2])))


def quadrants(portfolio: Portfolio, names: dict[str, str], currency: str) -> dict[str, Any]:
    """Each account with both known is a dot: how good the relationship is, our share of its wallet, what it buys.

    Those that are named have their 95% intervals.
    """
    drawn = [one for one in portfolio.accounts if one.score and one.share]
    cut = portfolio.cutoffs
    least = max(0.0, min([*(one.score.value for one in drawn if one.score), cut.score - 1]) - 0.5)
    rows = [_dot(one, names.get(one.id, ""), currency, least) for one in drawn]
    x = alt.X(
        "score:Q",
        scale=alt.Scale(domain=[least, 10.2], nice=False),
        axis=alt.Axis(title="Mean likelihood to recommend, of 10 (twelve months)", grid=False, tickCount=6, **QUIET),
    )
    y = alt.Y(
        "share:Q",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(title="Share of wallet, in % (three months)", grid=False, tickCount=5, **QUIET),
    )
    base = alt.Chart(alt.InlineData(values=rows), height=380)
    named = [row for row in rows if row["name"]]
    sure = alt.Chart(alt.InlineData(values=named))
    color = alt.Color("color:N", scale=None)
    size = alt.Size("revenue:Q", scale=alt.Scale(range=[18, 620]), legend=None)
    fields = (("label", "Account"), ("state", "Quadrant"), ("scored", "Relationship"), ("shared", "Share of wallet"))
    tips = [alt.Tooltip(f"{name}:N", title=title) for name, title in (*fields, ("money", "Revenue, twelve months"))]
    lines = alt.Chart(alt.InlineData(values=[{"score": cut.score, "share": cut.share * 100}]))
    layers = [
        lines.mark_rule(color=GREY, strokeDash=[5, 3], tooltip=None).encode(x="score:Q"),
        lines.mark_rule(color=GREY, strokeDash=[5, 3], tooltip=None).encode(y="share:Q"),
        sure.mark_rule(color=GREY, opacity=0.45, tooltip=None).encode(x="low:Q", x2="high:Q", y=y),
        sure.mark_rule(color=GREY, opacity=0.45, tooltip=None).encode(x=x, y="least:Q", y2="most:Q"),
        base.mark_circle(opacity=0.75).encode(x=x, y=y, size=size, color=color, tooltip=tips),
        sure.mark_text(align="right", dx=-9, dy=-8, limit=150, fontSize=12, tooltip=None).encode(
            x=x, y=y, text="name:N"
        ),
        *_corners(),
    ]
    return finished(fitted(*layers))


def _dot(account: PortfolioAccount, name: str, currency: str, least: float) -> dict[str, Any]:
    score, share = account.score, account.share
    if score is None or share is None:
        raise ValueError(account.id)
    return {
        "score": score.value,
        "low": max(score.low, least),
        "high": min(score.high, 10),
        "share": share.value * 100,
        "least": max(share.low, 0) * 100,
        "most": min(share.high, 1) * 100,
        "revenue": account.revenue,
        "money": money_figure(account.revenue, currency),
        "scored": f"{score.value:.1f} ({max(score.low, 0):.1f} to {min(score.high, 10):.1f}), n = {account.answers}",
        "shared": f"{share.value:.0%} ({max(share.low, 0):.0%} to {min(share.high, 1):.0%})",
        "state": account.state,
        "name": name,
        "label": name or f"account {account.id}",
        "color": ATTENTION if account.is_near("At Risk") else GREY,
    }


def _corners() -> list[alt.Chart]:
    """The quadrants' names, each in its corner."""
    left, right, low, high = alt.value(6), alt.value("width"), 3, 97
    at = (("Model", right, high), ("Growth", right, low), ("At Risk", left, high), ("Dangling", left, low))
    return [
        alt.Chart(alt.InlineData(values=[{"share": height, "name": name}]))
        .mark_text(align="right" if x is right else "left", fontStyle="italic", fontSize=13, opacity=0.75, tooltip=None)
        .encode(x=x, y=alt.Y("share:Q"), text="name:N")
        for name, x, height in at
    ]


def describe_quadrants(portfolio: Portfolio) -> str:
    """The chart in words, for who cannot see it."""
    placed = {state: portfolio.of(state) for state in (*QUADRANTS, BOUNDARY_STATE)}
    parts = [f"{count(len(found))} {state}" for state, found in placed.items() if found]
    return f"{count(len(portfolio.accounts))} accounts by relationship and share of wallet: {', '.join(parts)}."


def bands(story: AccountStory, since: date, until: date, currency: str, zone: ZoneInfo) -> dict[str, dict[str, Any]]:
    """The bands of one account's time, on one axis, by name; a band of which nothing is known is left out."""
    span, made = (since, until), dict[str, Layers]()
    months = [month for month in story.months if month.month >= since]
    money: Rows = [
        {"day": one.month.isoformat(), "value": one.revenue / 1000, "label": money_figure(one.revenue, currency)}
        for one in months
        if one.revenue is not None
    ]
    shares: Rows = [
        {"day": one.month.isoformat(), "value": 100 * one.share, "label": f"{one.share:.0%}"}
        for one in months
        if one.share is not None
    ]
    if money:
        made["revenue"] = _line(money, span)
    if shares:
        made["share"] = _line(shares, span)
    if moments := [one for one in story.moments if day_of(one.at, zone) >= since]:
        made["moments"] = _moments(moments, span, zone)
    if answers := [one for one in story.answers if day_of(one.at, zone) >= since]:
        made["answers"] = _answers(answers, span, zone)
    return {name: finished(chart) for name, chart in made.items()}


def across(span: tuple[date, date]) -> alt.X:
    """The axis of time that all bands share."""
    first, last = (day.isoformat() for day in (span[0], span[1] + timedelta(days=1)))
    axis = alt.Axis(title=None, format="%b %y", grid=True, gridOpacity=0.25, tickCount=8, **QUIET)
    return alt.X("utcyearmonthdate(day):T", scale=alt.Scale(domain=[first, last], type="utc"), axis=axis)


def upright(field: str, *, words: str | None = None, **more: Any) -> alt.Y:
    """The axis of a band, as wide as every other's; `words` is Vega's expression for its labels."""
    said: dict[str, Any] = {"labelExpr": words, "ticks": False, "domain": False} if words else {}
    axis = alt.Axis(title=None, grid=False, tickCount=3, minExtent=_EDGE, maxExtent=_EDGE, **QUIET, **said)
    return alt.Y(field, axis=axis, **more)


def _line(rows: Rows, span: tuple[date, date]) -> Layers:
    base = alt.Chart(alt.InlineData(values=rows), height=96)
    x, y = across(span), upright("value:Q", scale=alt.Scale(zero=True))
    tips = [
        alt.Tooltip("utcyearmonthdate(day):T", title="Month", format="%B %Y"),
        alt.Tooltip("label:N", title="Value"),
    ]
    return fitted(
        base.mark_line(color=GREY, strokeWidth=1.6, tooltip=None).encode(x=x, y=y),
        base.mark_circle(color=GREY, size=36, opacity=1).encode(x=x, y=y, tooltip=tips),
    )


def _moments(moments: list[MomentOfTruth], span: tuple[date, date], zone: ZoneInfo) -> Layers:
    """A row for each touchpoint: a triangle points up for what came from the customer, down for what came from us."""
    rows = [_moment(one, zone) for one in moments]
    touchpoints = sorted({row["touchpoint"] for row in rows})
    base = alt.Chart(alt.InlineData(values=rows), height=max(60, 12 * len(touchpoints)))
    x, y = across(span), upright("touchpoint:N", sort=touchpoints)
    shape = alt.Shape("shape:N", scale=None, legend=None)
    fields = (("said", "Moment"), ("mood", "Emotion"), ("seen", "What was sent before"))
    tips = [alt.Tooltip("utcyearmonthdate(day):T", title="Day", format="%d %B %Y")]
    tips += [alt.Tooltip(f"{name}:N", title=title) for name, title in fields]
    waits = alt.Chart(alt.InlineData(values=[row for row in rows if row["until"]]))
    return fitted(
        waits.mark_rule(color=ATTENTION, strokeWidth=2.5, tooltip=None).encode(
            x=x, x2=alt.X2("utcyearmonthdate(until):T"), y=y
        ),
        base.mark_point(filled=True, size=30).encode(
            x=x,
            y=y,
            shape=shape,
            color=alt.Color("color:N", scale=None),
            opacity=alt.Opacity("muted:Q", scale=None, legend=None),
            tooltip=tips,
        ),
    )


def _moment(one: MomentOfTruth, zone: ZoneInfo) -> dict[str, Any]:
    is_bad = one.emotion is not None and one.emotion < 0
    who = "from the customer" if one.direction == "in" else "from us"
    known = {True: "seen by staff", False: "not seen by staff", None: ""}
    said = f"{count(one.count)} contacts {who}" if one.count > 1 else f"{one.channel or 'contact'}, {who}"
    if one.until:
        said += "; still waits for a reply" if one.is_waiting else "; waited for a reply"
    moods = {-2: "very upset", -1: "upset", 0: "neutral", 1: "pleased", 2: "delighted", None: "not known"}
    return {
        "day": day_of(one.at, zone).isoformat(),
        "until": day_of(one.until, zone).isoformat() if one.until else None,
        "touchpoint": one.touchpoint,
        "shape": "triangle-up" if one.direction == "in" else "triangle-down",
        "said": said,
        "mood": moods[one.emotion],
        "seen": known[one.was_seen],
        "color": ATTENTION if is_bad else GREY,
        "muted": 0.95 if is_bad else 0.55,
    }


def _answers(answers: list[AccountAnswer], span: tuple[date, date], zone: ZoneInfo) -> Layers:
    """Each answer at the height of its score on its scale; a circle is of the relationship, a square of one contact."""
    rows: Rows = [
        {
            "day": day_of(one.at, zone).isoformat(),
            "height": 100 * one.height,
            "shape": "circle" if one.kind == "relationship" else "square",
            "said": f"{one.words}{f', {one.touchpoint}' if one.touchpoint else ''}",
            "who": one.role or "not known",
            "expected": {"below": "worse than expected", "above": "better than expected", "as": "as expected"}.get(
                one.expectation, "not asked"
            ),
            "comment": one.comment,
            "color": ATTENTION if is_unhappy(one) else GREY,
        }
        for one in answers
    ]
    base = alt.Chart(alt.InlineData(values=rows), height=96)
    fields = (("said", "Score"), ("who", "Who"), ("expected", "Experience"), ("comment", "In their words"))
    tips = [alt.Tooltip("utcyearmonthdate(day):T", title="Day", format="%d %B %Y")]
    tips += [alt.Tooltip(f"{name}:N", title=title) for name, title in fields]
    y = upright("height:Q", scale=alt.Scale(domain=[0, 100]))
    mark = base.mark_point(filled=True, size=46, opacity=0.85)
    return fitted(
        mark.encode(
            x=across(span),
            y=y,
            shape=alt.Shape("shape:N", scale=None, legend=None),
            color=alt.Color("color:N", scale=None),
            tooltip=tips,
        )
    )


def fitted(*layers: alt.Chart) -> Layers:
    """Layers as one chart that fills its place."""
    return alt.layer(*layers).properties(autosize=alt.AutoSizeParams(type="fit", contains="padding"))


def describe_band(name: str, story: AccountStory) -> str:
    """A band in words, for who cannot see it."""
    heard = f"; the last on {day_words(story.touched_on)}" if story.touched_on else ""
    return {
        "revenue": f"Revenue of {story.name} by month.",
        "share": f"Our share of the wallet of {story.name} by month.",
        "moments": f"{count(story.contacts)} contacts of {story.name} by touchpoint{heard}.",
        "answers": f"{count(len(story.answers))} answers of {story.name} by score.",
    }[name]
