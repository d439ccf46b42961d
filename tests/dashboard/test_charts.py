"""Charts as their specifications: what a reader is shown, and what a hostile name is shown as."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import TypeAdapter

from config.models import Metric, Rule
from dashboard import charts
from dashboard import markup as parts
from dashboard.incident import markup
from dashboard.incident.charts import Reference, describe_over_time, over_time
from dashboard.review import charts as review_charts
from dashboard.review import downloads
from dashboard.review import markup as review_markup
from queries.metrics import MetricPoint
from queries.review import Readings, Trend
from queries.review.document import MeetingState, MetricStatus, Money, metric_status
from queries.state import HistoryEntry
from tests.dashboard.test_review import DAYS, DEFECTS, MONTHS, NPS, SHARE, incident, made, series, share
from tests.slack.test_card import incident as incident_of

HOSTILE = (
    "<script>alert(1)</script>",
    "*bold* <!channel> & co",
    "=cmd|' /C calc'!A0",
    "x" * 300,
    "a.b[0]",
    "a'b\"c\\d",
)
DASHBOARD = Path(charts.__file__).parent
RULE: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)
WATCHED: Final[dict[str, Any]] = {
    "name": "r",
    "severity": 2,
    "route": "delivery",
    "owner": "ana",
    "metric": "csat",
    "floor": 0.1,
    "recover": 0.05,
    "window": "28d",
    "every": "7d",
    "false_alarms_per_year": 1,
    "keep_firing": "14d",
}
PAPERS = {"light": "#FCFBF8", "dark": "#191815"}


def rows(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for table in spec["datasets"].values() for row in table.to_pylist()]


def marks(spec: Any) -> Iterator[dict[str, Any]]:
    if isinstance(spec, dict):
        if "mark" in spec:
            yield spec
        for value in spec.values():
            yield from marks(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from marks(value)


def channels(view: dict[str, Any]) -> list[dict[str, Any]]:
    return [channel for channel in view.get("encoding", {}).values() if isinstance(channel, dict)]


def spec_of(*standings: MetricStatus, one_scale: bool = True) -> dict[str, Any]:
    return charts.finished(review_charts.against_goals(standings, MONTHS, one_scale=one_scale))


def test_verticals_against_goals_are_one_chart_with_a_row_each() -> None:
    spec = spec_of(series((0.9, 0.9, 0.9, 0.7)), series((0.9, 0.9, 0.9, 0.95), vertical="Payments"))
    assert "hconcat" in spec
    shown = [row for row in rows(spec) if "goal" in row]
    assert [(row["label"], row["figure"], row["state"], row["n"]) for row in shown] == [
        ("Energy", "70%", "misses its goal", "n = 600"),
        ("Payments", "95%", "meets its goal", "n = 600"),
    ]
    assert [row["color"] == charts.ATTENTION for row in shown] == [True, False]  # one accent, for what needs it


def test_every_row_shows_interval_goal_months_and_change() -> None:
    (row,) = [row for row in rows(spec_of(series((0.9, 0.9, 0.9, 0.7)))) if "goal" in row]
    assert row["low"] < row["value"] < row["high"] < row["goal"] == 90
    assert row["change_low"] < row["change"] < row["change_high"] < 0
    assert (row["change_figure"], row["change_words"]) == ("−20 points", "worse")
    months = [row["month"] for row in rows(spec_of(series((0.9, 0.9, 0.9, 0.7)))) if "month" in row]
    assert months == [month.isoformat() for month in MONTHS]


def test_too_few_cases_are_greyed_and_keep_their_n() -> None:
    thin = metric_status(
        SHARE, "Energy", [MetricPoint(MONTHS[-1], ("Energy",), 12, None, None, None, "too_few")], MONTHS, 0.9
    )
    (row,) = [row for row in rows(spec_of(thin)) if "goal" in row]
    assert (row["figure"], row["n"], row["value"]) == ("too few cases", "n = 12", None)
    assert row["muted"] < 1


def test_axes_have_titles_with_units_and_no_legend() -> None:
    spec = spec_of(series((0.9, 0.9, 0.9, 0.7)))
    titles = {
        encoding["axis"]["title"]
        for view in marks(spec)
        for encoding in channels(view)
        if isinstance(encoding.get("axis"), dict) and encoding["axis"].get("title")
    }
    assert titles == {"Promises kept (%)", "month", "← worse    better →"}
    assert not [view for view in marks(spec) for encoding in channels(view) if encoding.get("legend")]


@pytest.mark.parametrize(("metric", "ways"), [(SHARE, "← worse    better →"), (DEFECTS, "← better    worse →")])
def test_the_better_way_is_named(metric: Metric, ways: str) -> None:
    assert ways in str(spec_of(series((0.1, 0.1, 0.1, 0.2), metric=metric)))


def test_rows_of_several_metrics_each_have_their_own_scale() -> None:
    nps = metric_status(NPS, "Energy", [MetricPoint(MONTHS[-1], ("Energy",), 200, 31, 22, 40, "ok")], MONTHS, 20)
    shown = [row for row in rows(spec_of(series((0.9, 0.9, 0.9, 0.7)), nps, one_scale=False)) if "goal" in row]
    assert all(0 <= row[end] <= 1 for row in shown for end in ("low", "value", "high", "goal"))


@pytest.mark.parametrize("paper", PAPERS.values())
@pytest.mark.parametrize("color", [charts.GREY, charts.ATTENTION, charts.BETTER])
def test_marks_are_clear_on_both_papers(color: str, paper: str) -> None:
    """WCAG 2.2, 1.4.11: graphics need a contrast of 3 to 1."""
    assert contrast(color, paper) >= 3


@pytest.mark.parametrize(
    ("ink", "mode"),
    [
        *((ink, "light") for ink in ("#22211e", "#605c54", "#b23a13", "#1f5f8b")),
        *((ink, "dark") for ink in ("#ece9e2", "#aea99e", "#f2906b", "#8dc0e4")),
    ],
)
def test_text_is_clear_on_its_paper(ink: str, mode: str) -> None:
    """WCAG 2.2, 1.4.3: text needs 4.5 to 1."""
    assert ink in (DASHBOARD / "assets" / "look.css").read_text(encoding="utf-8")
    assert PAPERS[mode] in (DASHBOARD / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    assert contrast(ink, PAPERS[mode]) >= 4.5


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_drawn_as_text(name: str) -> None:
    spec = spec_of(series((0.9, 0.9, 0.9, 0.7), vertical=name))
    assert {row["label"] for row in rows(spec) if "goal" in row} == {name[: review_charts.LONGEST]}
    drawn = downloads.svg(spec, name)
    assert "<script" not in drawn
    assert downloads.png(spec, name).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_written_as_text(name: str) -> None:
    minutes = MeetingState(found=(incident(name, name, 1, label=name, where=name),))
    review = made(series((0.9, 0.9, 0.9, 0.7), vertical=name), minutes=minutes)
    review = replace(review, vertical=name, undecided=0, money=(Money(name, 1.0, None, None),))
    page = review_markup.above_issues(review) + review_markup.issue(1, review.issues[0])
    page += review_markup.below_chart(review, {}, "EUR", UTC) + parts.notice(name, command=name)
    page += markup.history_section(
        [HistoryEntry("i", 1, datetime(2026, 11, 1, tzinfo=UTC), "closed", name, name)], markup.Terms()
    )
    for forbidden in ("<script", "<!channel>"):
        assert forbidden not in page


def test_csv_cells_are_no_formulas_and_numbers_stay_numbers() -> None:
    text = downloads.money_csv([Money("=cmd|' /C calc'!A0", -12.5, None, 3.0)], "EUR")
    assert text.splitlines()[1] == "'=cmd|' /C calc'!A0,EUR,-12.5,,3"


def test_the_figures_of_the_chart_are_exported_month_by_month() -> None:
    lines = downloads.standings_csv([series((0.9, 0.9, 0.9, 0.7))]).splitlines()
    assert lines[0] == "vertical,metric,period,n,value,low,high,status,goal,verdict"
    assert lines[-1].startswith("Energy,promise-kept,2026-10-01,600,0.7,")
    assert lines[-1].endswith(",ok,0.9,missed")


def test_issues_are_exported_with_what_was_decided() -> None:
    lines = downloads.issues_csv(made(series((0.7, 0.7, 0.7, 0.71)))).splitlines()
    assert lines[1].startswith(
        "Promises kept: goal missed,Energy,2026-07-01,,71%,Promises kept,in October 2026,67 to 74%,600,goal 90%,3"
    )


@pytest.mark.parametrize(
    ("metric", "values", "labels"),
    [
        (DEFECTS, (0.4, 0.31), {"31% now": 2, "40% at its worst": -1}),
        (SHARE, (0.6, 0.69), {"69% now": -1, "60% at its worst": 2}),  # the worst is named on the worse side
        (DEFECTS, (0.4, 0.402), {"40% now": -1}),
    ],
)
def test_the_figures_that_the_page_names_are_in_the_chart(
    metric: Metric, values: tuple[float, float], labels: dict[str, int]
) -> None:
    """Each over the days that it is of: no month has the figure of eight weeks."""
    then, now = (
        {"value": value, "low": value - 0.05, "high": value + 0.05, "since": since, "until": until}
        for value, since, until in zip(values, ("2026-06-01", "2026-08-03"), ("2026-07-27", "2026-09-28"), strict=True)
    )
    known = Readings(now, then, then)
    trend, found = Trend("month", series((0.3, 0.4, 0.4, 0.35)).history, ()), incident_of("vertical=Energy")
    spec = charts.in_full(charts.finished(over_time(trend, metric, found, None, known, UTC)))
    rows = [row for table in spec["datasets"].values() for row in table if "days" in row]
    assert {row["label"] for row in rows} == set(labels)
    spans = {(row["start"], row["end"], round(row["at"] / 100, 3)) for row in rows}
    assert spans <= {(one["since"], one["until"], one["value"]) for one in (then, now)}
    texts = [
        layer for layer in spec["layer"] if layer["mark"]["type"] == "text" and layer["mark"].get("align") == "right"
    ]
    sides = {
        spec["datasets"][layer["data"]["name"]][0].get("label"): layer["mark"]["dy"] > 0
        for layer in texts
        if "data" in layer
    }
    assert {label: sides[label] for label in labels} == {label: side > 0 for label, side in labels.items()}
    assert downloads.png(charts.finished(over_time(trend, metric, found, None, known, UTC)), "x").startswith(b"\x89PNG")


def test_charts_say_in_words_what_they_show() -> None:
    low = series((0.9, 0.9, 0.9, 0.7))
    assert review_charts.describe([low], MONTHS[-1]).endswith("Missed: Energy (Promises kept, 70%).")
    assert review_charts.describe([series((0.9, 0.9, 0.9, 0.95))], MONTHS[-1]).endswith("No goal is missed.")
    trend = Trend("month", low.history, ())
    assert describe_over_time(trend, SHARE, "Energy") == (
        "Promises kept in Energy by month: between 70% and 90%, last 70%."
    )
    nothing = Trend("month", (), ())
    assert describe_over_time(nothing, SHARE, "Energy").endswith("too few cases to show.")


def test_a_month_without_any_case_draws_an_empty_chart() -> None:
    empty = metric_status(SHARE, "Energy", [], MONTHS, None)
    assert downloads.png(spec_of(empty), "Nothing").startswith(b"\x89PNG")
    assert downloads.png(spec_of(), "Nothing at all").startswith(b"\x89PNG")
    only = metric_status(SHARE, "Energy", [share(date(2026, 10, 1), 0.5, 50)], MONTHS[-1:], None)
    assert downloads.png(
        charts.finished(review_charts.against_goals([only], MONTHS[-1:], one_scale=True)), "One"
    ).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("kind", "changes", "held"),
    [
        ("threshold", {"limit": 0.8, "recover": 0.9}, Reference("limit", 0.8, is_written=True)),
        ("goal", {}, Reference("goal", 0.7, is_written=True)),
        ("change", {"baseline": "last-year"}, Reference("a year before", 0.7)),
        ("gap", {"against": {"metric": "csat"}}, Reference("csat", 0.7)),
        (
            "chart",
            {"method": "p", "baseline": {"first": "91d"}, "recover": 0.5},
            Reference("usual", 0.7),
        ),
    ],
)
def test_an_incidents_figure_is_shown_beside_what_it_was_held_against(
    kind: str, changes: dict[str, Any], held: Reference
) -> None:
    rule = RULE.validate_python({**WATCHED, "kind": kind, **changes})
    assert markup.reference_of(rule, {"held": 0.7}) == held


@pytest.mark.parametrize(("half", "words"), [(0.2, "0.4 days"), (0.02, "0.38 days"), (3, "0 days")])
def test_what_a_figure_is_held_against_is_as_precise_as_the_figure(half: float, words: str) -> None:
    rule = RULE.validate_python(
        {**WATCHED, "kind": "chart", "method": "p", "baseline": {"first": "91d"}, "recover": 0.5}
    )
    found = markup.reference_of(rule, {"held": 0.38, "low": 0.5 - half, "high": 0.5 + half})
    assert found is not None
    assert found.figure(DAYS) == words


def test_silence_and_a_severe_case_are_held_against_no_figure() -> None:
    quiet = {name: value for name, value in WATCHED.items() if name not in {"metric", "floor", "recover"}}
    rule = RULE.validate_python({**quiet, "kind": "quiet", "of": "source", "at_least": "3d"})
    assert markup.reference_of(rule, {"held": 3.0}) is None
    assert markup.reference_of(None, {"held": 3.0}) is None


def test_a_phone_has_the_charts_figures_as_a_list() -> None:
    """In the chart's order, each with its interval, goal, number of cases and change; a name is no markup."""
    missed, met = (
        series((0.7, 0.7, 0.7, 0.71), vertical="<b>Energy"),
        series((0.95, 0.95, 0.95, 0.97), vertical="Retail"),
    )
    said = str(review_markup.goals(review_charts.figures((met, missed), one_scale=True)))
    assert said.index("&lt;b&gt;Energy") < said.index("Retail")
    for words in ("71% <span", "misses its goal", "%, goal 90%, n = 600", "meets its goal", "no clear change"):
        assert words in said
    empty = replace(met, point=replace(met.point, value=None, low=None, high=None), verdict="too few", change=None)
    assert "<strong>Retail</strong> <span" in str(review_markup.goals(review_charts.figures((empty,), one_scale=True)))
