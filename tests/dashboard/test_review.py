"""The review document: what is compared, claimed, ranked and said, and what it takes to open the financials."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from config.models import Metric
from dashboard.review import markup as review_markup
from queries.documents import review_words, sparkline
from queries.metrics import MetricPoint, difference_words, largest_word
from queries.metrics.formatting import amount, decimals, figure, goal_figure, interval, money_change, signed_change
from queries.review import ReviewContext, read_meeting, slice_words
from queries.review.action_effects import ActionEffect, Unit, Window, estimate_effect
from queries.review.compose import compose
from queries.review.document import (
    EVERYWHERE,
    Facts,
    MeetingState,
    MetricStatus,
    Money,
    Onset,
    PageBudget,
    Points,
    Review,
    ReviewIncident,
    metric_change,
    metric_status,
    pooled,
)
from queries.review.read import ReviewPeriod
from queries.state import (
    COMPANY,
    Action,
    ActionError,
    NewAction,
    Override,
    finish_action,
    overrides,
    parse_effect,
    read_actions,
    read_decisions,
    read_standing,
    record_action,
    record_override,
    slice_values,
)
from queries.state.overrides import OverrideError
from queries.warehouse import UNKNOWN, Scope
from tests.support.company import catalog, rule
from tests.support.states import NewState

MONTHS = (date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1), date(2026, 10, 1))
EXECUTIVES = PageBudget(issues=5, figures=12, charts=4)
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
SHARE = Metric(
    name="promise-kept",
    label="Promises kept",
    shape="share",
    table="journey",
    dated_by="ended_at",
    good="up",
    unit="%",
    count={"kept": True},  # type: ignore[arg-type]
)
DEFECTS = SHARE.model_copy(update={"name": "defect-rate", "label": "Journeys with a defect", "good": "down"})
NPS = SHARE.model_copy(
    update={"name": "nps", "label": "Net promoter score", "shape": "balance", "factor": 100.0, "unit": "points"}
)
DAYS = SHARE.model_copy(update={"name": "days", "label": "Days", "shape": "mean", "unit": "days", "good": "down"})


def share(month: date, kept: float, n: int, vertical: str = "Energy", status: str = "ok") -> MetricPoint:
    """A point as the metrics make it: a share with its Wilson interval."""
    low, high = proportion_confint(round(kept * n), n, method="wilson")
    return MetricPoint(month, (vertical,), n, kept, float(low), float(high), status)  # type: ignore[arg-type]


def series(values: Sequence[float], n: int = 600, vertical: str = "Energy", metric: Metric = SHARE) -> MetricStatus:
    points = [share(month, value, n, vertical) for month, value in zip(MONTHS, values, strict=True)]
    return metric_status(metric, vertical, points, MONTHS, 0.9 if metric is SHARE else 0.12)


def incident(rule: str, vertical: str, severity: int, **known: object) -> ReviewIncident:
    base = ReviewIncident(
        id=f"{rule}-{vertical}-{known.pop('number', 1)}",
        rule=rule,
        label=rule.capitalize(),
        metric=SHARE,
        group=f"vertical={vertical}",
        where=vertical,
        vertical=vertical,
        goal=0.9,
        goal_words="goal 90%",
        limit="limit 85%",
        severity=severity,
        is_open=True,
        opened_at=datetime(2026, 10, 5, tzinfo=UTC),
        value=0.7,
        n=300,
        owner="Head of installation",
        slot=date(2026, 10, 5),
    )
    return replace(base, **known)  # type: ignore[arg-type]


def made(
    *standings: MetricStatus,
    minutes: MeetingState | None = None,
    effects: dict[str, ActionEffect] | None = None,
    budget: PageBudget = EXECUTIVES,
    points: Points | None = None,
) -> Review:
    facts = Facts(3, datetime(2026, 11, 20, 5), UTC, MONTHS[-1], standings, (Money("Energy", 2e6, 1.9e6, None),))  # noqa: DTZ001
    metrics = {m.name: m for m in (SHARE, DEFECTS, NPS)}
    return compose(
        facts,
        minutes or MeetingState(),
        points or {},
        effects or {},
        metrics,
        vertical=None,
        budget=budget,
        today=NOW.date(),
    )


# Figures


@pytest.mark.parametrize(
    ("half_width", "places"),
    [(None, 1), (0, 1), (12, 0), (2.3, 0), (1, 0), (0.4, 1), (0.05, 2), (0.0001, 2)],
)
def test_a_figure_is_no_finer_than_its_interval(half_width: float | None, places: int) -> None:
    assert decimals(half_width) == places


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (figure(SHARE, 0.712, 0.03), "71%"),
        (figure(SHARE, 0.712, 0.003), "71.2%"),
        (figure(SHARE, None), "–"),
        (figure(NPS, -12.4, 6), "−12"),
        (figure(NPS, -0.2, 6), "0"),  # never "−0"
        (figure(DAYS, 4.25, 0.5), "4.2 days"),
        (goal_figure(SHARE, 0.95), "95%"),
        (goal_figure(SHARE, 0.875), "87.5%"),
        (interval(SHARE, 0.881, 0.962), "88 to 96%"),
        (interval(SHARE, None, None), ""),
        (signed_change(SHARE, 0.021, 0.02), "+2 points"),
        (signed_change(SHARE, -0.021, 0.02), "−2 points"),
        (signed_change(DAYS, 0.0001, 0.5), "0.0 days"),
        (amount(1_240_000, "EUR"), "1.24 M EUR"),
        (amount(385_400, "EUR"), "385 k EUR"),
        (money_change(103.2, 100), "+3.2%"),
        (
            ", ".join(map(largest_word, (1, 2, 10, 11, 13, 21))),
            "largest, second-largest, tenth-largest, 11th-largest, 13th-largest, 21st-largest",
        ),
        (money_change(99.99, 100), "0.0%"),
        (money_change(100, None), "–"),
    ],
)
def test_figures_are_written_in_their_unit(written: str, wanted: str) -> None:
    assert written == wanted


# Comparisons


def test_a_change_of_two_shares_has_newcombes_interval() -> None:
    """Newcombe 1998, table II, example (a): 56/70 - 48/80 has 0.0524 to 0.3339 by method 10."""
    now, before = share(MONTHS[1], 56 / 70, 70), share(MONTHS[0], 48 / 80, 80)
    found = metric_change(SHARE, now, before)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert (found.low, found.high) == pytest.approx(confint_proportions_2indep(56, 70, 48, 80, method="newcomb"))
    assert found.meaning == "better"
    assert metric_change(DEFECTS, now, before).meaning == "worse"  # type: ignore[union-attr]


def test_many_comparisons_widen_the_interval() -> None:
    now, before = share(MONTHS[1], 56 / 70, 70), share(MONTHS[0], 48 / 80, 80)
    alone, among_forty = metric_change(SHARE, now, before), metric_change(SHARE, now, before, comparisons=40)
    assert alone is not None
    assert among_forty is not None
    assert among_forty.low < 0 < alone.low
    assert among_forty.meaning == "no clear change"


@pytest.mark.parametrize(
    ("point", "goal", "verdict"),
    [
        (share(MONTHS[-1], 0.71, 600), 0.9, "missed"),
        (share(MONTHS[-1], 0.96, 600), 0.9, "met"),
        (share(MONTHS[-1], 0.91, 200), 0.9, "cannot tell"),  # the interval holds the goal: above it proves nothing
        (share(MONTHS[-1], 0.88, 60), 0.9, "cannot tell"),
        (share(MONTHS[-1], 0.5, 600), None, "no goal"),
        (share(MONTHS[-1], 0.5, 600, status="immature"), 0.9, "immature"),
        (MetricPoint(MONTHS[-1], ("Energy",), 12, None, None, None, "too_few"), 0.9, "too few"),
    ],
)
def test_a_goal_is_missed_or_met_only_on_evidence(point: MetricPoint, goal: float | None, verdict: str) -> None:
    assert metric_status(SHARE, "Energy", [point], MONTHS, goal).verdict == verdict


def test_the_bad_side_of_a_goal_is_the_metrics_own() -> None:
    assert series((0.2, 0.2, 0.2, 0.2), metric=DEFECTS).verdict == "missed"
    assert series((0.05, 0.05, 0.05, 0.05), metric=DEFECTS).verdict == "met"


def test_a_change_needs_the_month_before() -> None:
    gap = [share(MONTHS[0], 0.5, 600), share(MONTHS[-1], 0.9, 600)]
    assert metric_status(SHARE, "Energy", gap, MONTHS, None).change is None
    assert series((0.9, 0.9, 0.5, 0.9)).change is not None


def test_months_are_pooled_by_their_cases() -> None:
    found = pooled([share(MONTHS[0], 0.8, 100), share(MONTHS[1], 0.9, 300)])
    assert found is not None
    assert found.n == 400
    assert found.value == pytest.approx(0.875)
    assert pooled([MetricPoint(MONTHS[0], (), 3, None, None, None, "too_few")]) is None


# Issues


def test_a_missed_goal_is_an_issue_with_its_figure_and_its_first_month() -> None:
    review = made(series((0.95, 0.7, 0.71, 0.71)))
    (issue,) = review.issues
    assert (issue.what, issue.where, issue.figure, issue.against) == (
        "Promises kept: goal missed",
        "Energy",
        "71%",
        "goal 90%",
    )
    assert (issue.n, issue.interval, issue.since) == (600, "67 to 74%", date(2026, 8, 1))
    assert review.headline == "Promises kept: goal missed in Energy: 71% against a goal of 90%."


def test_a_miss_that_is_older_than_the_history_says_so() -> None:
    (issue,) = made(series((0.7, 0.7, 0.7, 0.7))).issues
    assert issue.since_words == "July 2026 or before"


def test_an_incident_and_the_goal_it_watches_are_one_issue() -> None:
    review = made(series((0.95, 0.7, 0.71, 0.71)), minutes=MeetingState(found=(incident("promises", "Energy", 2),)))
    (issue,) = review.issues
    assert issue.incidents == ("promises-Energy-1",)
    assert issue.against == "goal 90%"


def test_a_gap_has_its_interval_and_what_it_is_compared_with() -> None:
    """Both figures are of the rule's window, also where the month has one of them."""
    against = {"tally": [4000, 3800, 0, 0, 0], "deff": 1.0, "low": -0.35, "high": -0.2, "label": "Fine at a touchpoint"}
    sample = {"since": "2026-05-11", "until": "2026-11-09", "tally": [158, 108, 0, 0, 0], "value": 0.684, "held": 0.95}
    known = {"compared": {**sample, "against": against}, "figure_of": "Satisfied in the end"}
    found = incident("gap", "Energy", 2, limit="", **known)
    review = made(series((0.95, 0.95, 0.95, 0.95)), minutes=MeetingState(found=(found,)))
    (issue,) = review.issues
    assert (issue.figure, issue.period, issue.n) == ("68%", "11 May to 8 November 2026", 158)
    assert issue.interval == "\N{MINUS SIGN}27 points (95% CI \N{MINUS SIGN}35 to \N{MINUS SIGN}20)"
    assert issue.against == "compared with 95% (Fine at a touchpoint)"
    assert issue.figure_of == "Satisfied in the end"
    assert review.headline.startswith(
        "Gap in Energy: 68% (Satisfied in the end, 11 May to 8 November 2026), compared with 95% (Fine at a"
    )


def test_where_the_month_has_too_few_cases_the_rules_own_window_is_named() -> None:
    """And what the figure is of, unless the title says it."""
    found = incident("slow", "Energy", 2, figure_of="Promises kept", days="3 August to 1 November 2026")
    (issue,) = made(series((0.95, 0.95, 0.95, 0.95)), minutes=MeetingState(found=(found,))).issues
    assert (issue.figure, issue.period, issue.n) == ("70.0%", "3 August to 1 November 2026", 300)
    assert "<strong>70.0%</strong><span>Promises kept</span><span>3 August" in review_markup.issue(1, issue)
    titled = replace(issue, what="Promises kept")
    assert "<span>Promises kept</span>" not in review_markup.issue(1, titled)


def test_an_issue_shows_its_months_its_limit_and_who_is_responsible() -> None:
    """Whether it is getting better is answered in words, and the picture is described."""
    review = made(series((0.86, 0.85, 0.7, 0.71)))
    (issue,) = review.issues
    assert issue.trend == "worse than in the three months before (−9 points)"
    drawn = sparkline(issue)
    assert drawn is not None
    assert drawn.said == "From 86% in July 2026 to 71% in October 2026; goal 90%."
    (points,) = re.findall('points="(.+?)"', drawn.svg)
    heights = [float(place.split(",")[1]) for place in points.split()]
    goal, end = (float(found) for found in re.findall('(?:y1|cy)="(.+?)"', drawn.svg))
    assert goal < min(heights)  # the goal is above all of them
    assert heights[0] < heights[-1] == end
    assert f'alt="{drawn.said}"' in review_markup.issue(1, issue)
    assert "Responsible" in review_markup.issue(1, replace(issue, suggested_owner="Head of installation"))
    assert sparkline(replace(issue, history=issue.history[:2])) is None


def test_a_page_keeps_within_its_readers_budget() -> None:
    """What is over it is left out, and how much that is stands on the page."""
    better = [series((0.5, 0.5, 0.5, 0.9), vertical=f"V{i}") for i in range(9)]
    low = [series((0.7, 0.7, 0.7, 0.7), vertical=f"W{i}") for i in range(6)]
    whole = made(*low, *better, budget=PageBudget(50, 200, 24))
    assert (len(whole.issues), len(whole.improved), whole.more_improved) == (6, 9, 0)
    review = made(*low, *better)
    assert (len(review.issues), review.further) == (5, 1)
    assert (len(review.improved), review.more_improved) == (6, 3)
    assert [bool(issue.history) for issue in review.issues] == [True, True, True, False, False]
    page = review_markup.below_chart(review, {}, "EUR", UTC)
    assert "<li>3 more.</li>" in page


def test_a_trend_is_told_against_what_was_before_it_began() -> None:
    """The months before this one may be as bad as it is: an issue that stays is not one that is no worse."""
    found = incident("promises", "Energy", 1, onset=Onset(date(2026, 9, 1), date(2026, 9, 21)))
    months = tuple(
        share(month, value, 600, "Energy") for month, value in zip(MONTHS, (0.9, 0.9, 0.7, 0.71), strict=True)
    )
    points = {(SHARE.name, "vertical=Energy"): months}
    review = made(series((0.9, 0.9, 0.7, 0.71)), minutes=MeetingState(found=(found,)), points=points)
    assert review.issues[0].trend == "90% before September 2026"
    earlier_ = replace(found, onset=Onset(date(2026, 8, 3), date(2026, 8, 17)))
    review = made(series((0.9, 0.9, 0.7, 0.71)), minutes=MeetingState(found=(earlier_,)), points=points)
    assert review.issues[0].trend == "90% before August 2026, no clear change since"


def test_who_misses_what_is_said_at_a_glance() -> None:
    """All verticals come first, then those that miss most."""
    standings = (
        series((0.95, 0.95, 0.95, 0.95)),
        series((0.7, 0.7, 0.7, 0.7), vertical="Payments"),
        series((0.95, 0.95, 0.95, 0.95), vertical=""),
        series((0.5, 0.5, 0.5, 0.5), vertical="Payments", metric=DEFECTS),
    )
    metrics, rows = review_words.goal_words(standings)
    assert metrics == [f"{SHARE.label} (goal 90%)", f"{DEFECTS.label} (goal 12%)"]
    assert rows == [
        ("All verticals", [("95%", "meets", False), ("", "", False)]),
        ("Payments", [("70%", "misses", True), ("50%", "misses", True)]),
        ("Energy", [("95%", "meets", False), ("", "", False)]),
    ]
    page = review_markup.above_issues(made(*standings))
    assert page.count('class="e-miss"') == 2


@pytest.mark.parametrize(
    ("rules", "is_missed", "words"),
    [
        (("a", "a", "b"), False, "2 issues from 3 incidents open in October 2026."),
        (("a",), True, "2 issues: 1 from 1 incident open in October 2026 and 1 from missed goals without an incident."),
        ((), True, "1 issue from missed goals without an incident."),
        ((), False, ""),
    ],
)
def test_the_parts_of_the_issues_add_up(rules: tuple[str, ...], is_missed: bool, words: str) -> None:  # noqa: FBT001
    """Several cases are one issue, and a missed goal may have no incident: the list of incidents has other numbers."""
    found = tuple(
        incident(rule, "Energy", 2, number=n, metric=None, group="", goal=None, goal_words="")
        for n, rule in enumerate(rules)
    )
    review = made(series((0.95, 0.95, 0.95, 0.7 if is_missed else 0.95)), minutes=MeetingState(found=found))
    assert review.tally == words
    assert not words or words in review_markup.issues_heading(review)


@pytest.mark.parametrize(
    ("metric", "ends", "words"),
    [
        (SHARE, (-0.35, -0.2), "\N{MINUS SIGN}27 points (95% CI \N{MINUS SIGN}35 to \N{MINUS SIGN}20)"),
        (DAYS, (-0.35, -0.2), "\N{MINUS SIGN}0.27 days (95% CI \N{MINUS SIGN}0.35 to \N{MINUS SIGN}0.20)"),
        (SHARE, (None, None), "\N{MINUS SIGN}26.6 points"),
    ],
)
def test_a_difference_in_words(metric: Metric, ends: tuple[float | None, float | None], words: str) -> None:
    sample = {"value": 0.684, "held": 0.95, "against": {"low": ends[0], "high": ends[1]}}
    assert difference_words(metric, sample) == words
    for missing in ("value", "held", "against"):
        assert difference_words(metric, {**sample, missing: None}) == ""


def test_a_part_of_a_vertical_is_measured_against_its_rules_limit() -> None:
    part = incident("installations", "Energy", 2, goal=None, goal_words="", group="vertical=Energy|journey_type=repair")
    (issue,) = made(series((0.95, 0.95, 0.95, 0.95)), minutes=MeetingState(found=(part,))).issues
    assert issue.against == "limit 85%"
    promised = replace(part, goal=0.8, goal_words="goal 80% for installations")
    (issue,) = made(series((0.95, 0.95, 0.95, 0.95)), minutes=MeetingState(found=(promised,))).issues
    assert (issue.against, issue.line) == ("goal 80% for installations", 0.8)


def test_severe_cases_are_one_issue_however_many() -> None:
    cases = tuple(
        incident("detractor", vertical, 1, number=n, metric=None, group="", goal=None, goal_words="")
        for n, vertical in enumerate(("Energy", "Energy", "Payments"))
    )
    review = made(series((0.95, 0.95, 0.95, 0.95)), minutes=MeetingState(found=cases))
    (issue,) = review.issues
    assert (issue.figure, issue.where, issue.n) == ("3 cases", "Energy and Payments", None)
    assert len(issue.incidents) == 3
    accounts = tuple(replace(case, counted_as="account") for case in cases[:1])
    assert made(minutes=MeetingState(found=accounts)).issues[0].figure == "1 account"


def test_at_most_five_issues_the_most_severe_first_and_closed_ones_last() -> None:
    found = [incident("rule", f"V{n}", severity) for n, severity in enumerate((4, 2, 3, 2, 1, 2, 4))]
    found[4] = replace(found[4], is_open=False)
    review = made(series((0.95, 0.95, 0.95, 0.95)), minutes=MeetingState(found=tuple(found)))
    assert len(review.issues) == 5
    assert review.further == 2
    assert [issue.severity for issue in review.issues] == [2, 2, 2, 3, 4]


def test_the_headline_counts_what_is_still_to_decide() -> None:
    low, fine = series((0.7, 0.7, 0.7, 0.71)), series((0.96, 0.96, 0.96, 0.96), vertical="Payments")
    undecided = made(low, fine, minutes=MeetingState(found=(incident("promises", "Payments", 4),)))
    assert undecided.headline.endswith(
        "; one more issue needs a decision. One vertical misses at least "
        "one goal and one meets every goal with enough cases."
    )
    made_ = tuple(decision(i.id, "Go") for i in undecided.issues)
    decided = made(low, fine, minutes=MeetingState(found=(incident("promises", "Payments", 4),), decisions=made_))
    assert "; one more issue is decided" in decided.headline


@pytest.mark.parametrize(
    ("standings", "wanted"),
    [
        ((), "There is nothing to assess in October 2026: no metric has both a goal and enough cases."),
        ((series((0.96, 0.96, 0.96, 0.96)),), "No key issue in Energy: no goal is missed."),
        (
            (series((0.96, 0.96, 0.96, 0.96)), series((0.9, 0.9, 0.9, 0.9), vertical="Payments")),
            "No key issue in the two verticals: no goal is missed, with 1 of 2 figures too close to call.",
        ),
    ],
)
def test_a_quiet_month_is_said_to_be_quiet(standings: tuple[MetricStatus, ...], wanted: str) -> None:
    assert made(*standings).headline == wanted


def company_of(kept: float, n: int, *verticals: MetricStatus) -> Review:
    """A month of verticals too small to judge, and of all of them together."""
    month = replace(share(MONTHS[-1], kept, n), by=())
    return made(*verticals, metric_status(SHARE, "", [month], MONTHS, 0.9))


def small(vertical: str) -> MetricStatus:
    few = MetricPoint(MONTHS[-1], (vertical,), 12, None, None, None, "too_few")
    return metric_status(SHARE, vertical, [few], MONTHS, 0.9)


def test_a_company_that_misses_gets_no_all_clear_for_its_verticals_being_small() -> None:
    review = company_of(0.63, 112, *(small(f"V{n}") for n in range(7)))
    (issue,) = review.issues
    assert (issue.what, issue.where, issue.vertical, issue.figure) == (
        "Promises kept: goal missed",
        EVERYWHERE,
        None,
        "63%",
    )
    assert review.headline == (
        "Promises kept: goal missed: 63% against a goal of 90%. Seven verticals have too few cases."
    )
    assert not review.financials_open
    well = company_of(0.97, 600, *(small(f"V{n}") for n in range(7))).headline
    assert well == ("No key issue in the company as a whole: no goal is missed. Seven verticals have too few cases.")


def test_a_vertical_that_nobody_named_is_not_named_in_the_headline() -> None:
    fine = series((0.96, 0.96, 0.96, 0.96), vertical=UNKNOWN)
    assert UNKNOWN not in made(fine).headline
    assert UNKNOWN not in company_of(0.97, 600, fine).headline


def test_the_company_is_no_second_issue_where_a_vertical_misses_the_same_goal() -> None:
    low = series((0.7, 0.7, 0.7, 0.71))
    assert [issue.where for issue in company_of(0.7, 600, low).issues] == ["Energy"]


def test_an_immature_month_is_said_to_be_immature() -> None:
    young = metric_status(SHARE, "Energy", [share(MONTHS[-1], 0.7, 600, status="immature")], MONTHS, 0.9)
    review = made(young)
    assert review.maturity == "October is not complete yet: cases are still arriving, and Promises kept will move."
    assert review.issues == ()  # nothing is claimed of it


def test_only_what_got_better_beyond_chance_improved() -> None:
    better = series((0.80, 0.80, 0.80, 0.92))
    noise = series((0.80, 0.80, 0.80, 0.83), vertical="Payments")
    (line,) = made(better, noise).improved
    assert line == "Promises kept in Energy is 92%, +12 points against the three months before (n = 600)"


# Decisions and financials


def test_financials_stay_closed_until_each_issue_is_decided() -> None:
    low = series((0.7, 0.7, 0.7, 0.71))
    (issue,) = made(low).issues
    assert not made(low).financials_open
    decided = (decision(issue.id, "Two engineers on Monday"),)
    assert made(low, minutes=MeetingState(decisions=decided)).financials_open
    overruled = Override("open mode", "the board waits", NOW.replace(tzinfo=None))
    assert made(low, minutes=MeetingState(overrides=(overruled,))).financials_open


def earlier(month: date, what: str = "Two engineers", review: str = COMPANY, days: int = 0) -> Action:
    """What the review of a month decided on Energy's missed goal."""
    at = NOW.replace(tzinfo=None) + timedelta(days=days)
    issue = f"goal:{SHARE.name}|Energy|"
    return Action(
        f"{what}{month}{review}", what, "Ana", month, at, "ben", month=month, review=review, issue=issue, seq=1
    )


@pytest.mark.parametrize(
    ("values", "month", "stands"),
    [
        ((0.7, 0.7, 0.7, 0.71), MONTHS[1], True),
        ((0.7, 0.96, 0.7, 0.71), MONTHS[2], True),
        ((0.7, 0.96, 0.7, 0.71), MONTHS[1], False),
        ((0.7, 0.7, 0.7, 0.71), MONTHS[3], True),
    ],
)
def test_a_decision_stands_until_its_issue_is_over(values: Sequence[float], month: date, stands: bool) -> None:  # noqa: FBT001
    (issue,) = made(series(values), minutes=MeetingState(decisions=(earlier(month),))).issues
    assert (issue.decision is not None, issue.decided_on) == (stands, NOW.date() if stands else None)


def test_a_verticals_decision_and_the_companys_are_one_record() -> None:
    """The newest stands in both, and the other is no action beside it."""
    first, second = earlier(MONTHS[-1], "wait", "Energy"), earlier(MONTHS[-1], "send two", days=1)
    actions = (first, second)
    for order in ((first, second), (second, first)):
        review = made(series((0.7, 0.7, 0.7, 0.71)), minutes=MeetingState(actions=actions, decisions=order))
        (issue,) = review.issues
        assert issue.decision == second
        assert [status.action for status in issue.undertakings] == [second]


def test_what_an_earlier_review_decided_is_read_within_scope_until_it_is_done(
    tmp_path: Path, new_state: NewState
) -> None:
    states = new_state(tmp_path)
    with states.begin() as conn:
        for vertical in ("Energy", "Payments"):
            of = {"vertical": vertical, "month": MONTHS[1], "issue": f"goal:x|{vertical}|"}
            record_action(conn, new(review=COMPANY, **of), "ana", NOW)
        done = record_action(
            conn, new(what="done", review=COMPANY, month=MONTHS[1], issue="goal:y|Energy|"), "ana", NOW
        )
        finish_action(conn, done.id, NOW)
        record_action(conn, new(what="later", review=COMPANY, month=MONTHS[3], issue="goal:z|Energy|"), "ana", NOW)
    with states.connect() as conn:
        assert {one.issue for one in read_standing(conn, Scope(), MONTHS[2])} == {"goal:x|Energy|", "goal:x|Payments|"}
        (own,) = read_standing(conn, Scope(role="gm", verticals=frozenset({"Energy"})), MONTHS[2])
        assert own.vertical == "Energy"


def test_a_review_reads_the_decisions_that_its_reader_may_see(tmp_path: Path, new_state: NewState) -> None:
    """Of the company's meeting a general manager is told what is theirs; why it went on undecided is the company's."""
    energy, payments = (Scope("gm", frozenset({vertical})) for vertical in ("Energy", "Payments"))
    states = new_state(tmp_path)
    with states.begin() as conn:
        for vertical in ("Energy", "Payments"):
            of = {"vertical": vertical, "month": MONTHS[-1], "issue": f"goal:x|{vertical}|"}
            record_action(conn, new(what=f"For {vertical}", review=COMPANY, **of), "ana", NOW)
        why = Override("ana", "Payments Holding waits", NOW.replace(tzinfo=None))
        record_override(conn, MONTHS[-1], None, why)
    period = ReviewPeriod(MONTHS[-1], NOW.date(), MONTHS)
    with states.connect() as conn:
        for scope, seen in (
            (energy, {"For Energy"}),
            (payments, {"For Payments"}),
            (Scope(), {"For Energy", "For Payments"}),
        ):
            assert {one.what for one in read_decisions(conn, scope, MONTHS[-1], None).values()} == seen
            meeting = read_meeting(conn, ReviewContext(catalog(rule()), period, scope, NOW, "EUR", ZoneInfo("UTC")))
            assert {action.what for action in (*meeting.actions, *meeting.decisions)} == seen
            assert meeting.overrides == ((why,) if scope == Scope() else ())


def test_the_newest_decision_holds_and_none_is_lost(tmp_path: Path, new_state: NewState) -> None:
    states = new_state(tmp_path)
    with states.begin() as conn:
        of = {"month": MONTHS[-1], "review": COMPANY, "issue": "goal:x|Energy|"}
        for text in ("wait", "send two engineers", "send two engineers"):
            record_action(conn, new(what=text, owner=" Ana ", **of), "open mode", NOW)
        record_action(conn, new(what="other", owner="Ben", **{**of, "review": "Energy"}), "open mode", NOW)
    with states.connect() as conn:
        (held,) = read_decisions(conn, Scope(), MONTHS[-1], None).values()
        assert (held.owner, held.what, held.seq, held.due_on) == ("Ana", "send two engineers", 2, date(2026, 10, 15))
        assert read_decisions(conn, Scope(), MONTHS[-1], "Energy")["goal:x|Energy|"].owner == "Ben"
        assert read_decisions(conn, Scope(), MONTHS[0], None) == {}
        assert conn.exec_driver_sql("select count(*) from action").scalar() == 3
        # Elsewhere each review's newest is one action like any other.
        assert sorted(action.what for action in read_actions(conn, Scope())) == ["other", "send two engineers"]


def test_what_was_decided_of_no_single_vertical_is_for_who_sees_all(tmp_path: Path, new_state: NewState) -> None:
    """It may name another one's account."""
    of = {"month": MONTHS[-1], "review": COMPANY, "issue": "unanswered|", "vertical": None}
    with new_state(tmp_path).begin() as conn:
        record_action(conn, new(**of), "open mode", NOW)
        assert len(read_actions(conn, Scope())) == 1
        assert read_actions(conn, Scope("gm", frozenset({"Payments"}))) == ()


def test_what_answers_an_incident_decides_its_issue() -> None:
    """Wherever it was written down; what is done is over, and another incident's decides nothing."""
    low = series((0.7, 0.7, 0.7, 0.71))
    found = incident("promises", "Payments", 4)

    def decided(**changes: Any) -> dict[str, str | None]:
        taken = replace(decision(None, "Call them"), **{"incident_id": found.id, **changes})
        review = made(low, minutes=MeetingState(found=(found,), actions=(taken,)))
        return {issue.what: issue.decision.what if issue.decision else None for issue in review.issues}

    assert [*decided().values()].count("Call them") == 1
    assert set(decided(incident_id="other").values()) == {None}
    assert set(decided(done_at=NOW.replace(tzinfo=None)).values()) == {None}


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("-5%", -0.05), ("\N{MINUS SIGN}0,05", -0.05), (" 3 ", 3.0), ("inf", ...), ("nan", ...), ("few", ...)],
)
def test_what_is_expected_is_a_number_or_refused(text: str, value: Any) -> None:
    if value is ...:
        with pytest.raises(ActionError, match="the expected change is no number"):
            parse_effect(text)
    else:
        assert parse_effect(text) == value


def test_an_override_is_kept_with_its_reason(tmp_path: Path, new_state: NewState) -> None:
    states = new_state(tmp_path)
    with states.begin() as conn:
        record_override(conn, MONTHS[-1], None, Override("open mode", " the board waits ", NOW.replace(tzinfo=None)))
        with pytest.raises(OverrideError, match="needs a reason"):
            record_override(conn, MONTHS[-1], None, Override("open mode", " ", NOW.replace(tzinfo=None)))
    with states.connect() as conn:
        (kept,) = overrides(conn, MONTHS[-1], None)
        assert kept.reason == "the board waits"
        assert overrides(conn, MONTHS[-1], "Energy") == ()


# Actions


def decision(issue: str | None, what: str) -> Action:
    """What somebody decided."""
    at = NOW.replace(tzinfo=None)
    return Action(what, what, "Ana", MONTHS[-1], at, "open mode", issue=issue)


def new(**known: object) -> NewAction:
    base = NewAction(
        "Retrain the field team", "Ana", date(2026, 9, 1), date(2026, 10, 15), vertical="Energy", metric="promise-kept"
    )
    return replace(base, **known)  # type: ignore[arg-type]


def test_an_action_is_recorded_once_and_seen_by_its_vertical(tmp_path: Path, new_state: NewState) -> None:
    states = new_state(tmp_path)
    with states.begin() as conn:
        first, again = record_action(conn, new(), "open mode", NOW), record_action(conn, new(), "open mode", NOW)
        record_action(conn, new(vertical=None, what="Everywhere"), "open mode", NOW)
        assert first.id == again.id
    with states.connect() as conn:
        assert len(read_actions(conn, Scope())) == 2
        assert {a.what for a in read_actions(conn, Scope("gm", frozenset({"Payments"})))} == {"Everywhere"}
        assert read_actions(conn, Scope(), until=date(2026, 9, 1)) == ()
    with states.begin() as conn:
        assert finish_action(conn, first.id, NOW)
        assert not finish_action(conn, first.id, NOW)  # done is done


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"what": " "}, "text and an owner"),
        ({"owner": ""}, "text and an owner"),
        ({"due_on": date(2026, 8, 1)}, "due before"),
    ],
)
def test_an_action_must_make_sense(tmp_path: Path, known: dict[str, object], message: str, new_state: NewState) -> None:
    with new_state(tmp_path).begin() as conn, pytest.raises(ActionError, match=message):
        record_action(conn, new(**known), "open mode", NOW)


def test_an_action_stands_beside_its_issue_with_its_effect() -> None:
    mine = Action(
        "a",
        "Retrain",
        "Ana",
        date(2026, 9, 1),
        NOW,
        "open mode",
        None,
        "Energy",
        None,
        "promise-kept",
        date(2026, 10, 15),
    )
    other = replace(mine, id="b", vertical="Payments")
    worked = ActionEffect("improved", 0.06, 0.02, 0.1, 900, 900)
    review = made(
        series((0.7, 0.7, 0.7, 0.71)), minutes=MeetingState(actions=(mine, other)), effects={"a": worked, "b": worked}
    )
    (issue,) = review.issues
    (beside,) = issue.undertakings
    assert (beside.action.id, beside.effect, beside.overdue) == ("a", "improved (+6 points)", True)
    (carried,) = review.carried
    assert carried.action.id == "b"
    assert any("Retrain (Payments): improved" in line for line in review.improved)


# Effects


def window(rate: float, n: int, rng: np.random.Generator) -> Window:
    found = rng.binomial(n, rate) / n
    return Window(found, found * (1 - found) / n, n)


def units(rng: np.random.Generator, n: int, cut: float, verticals: int = 8) -> list[Unit]:
    """Verticals with their own rates around 40%, all drifting alike; the one that looks worst is treated."""
    rates = np.clip(rng.normal(0.40, 0.03, verticals), 0.2, 0.6)
    drift = rng.normal(0, 0.01)
    looked = [window(rate, 400, rng).value for rate in rates]  # the alarm's own window, left out of "before"
    worst = int(np.argmax(looked))
    made_ = [
        Unit(str(i), window(rate, n, rng), window((rate + drift) * (1 - cut * (i == worst)), n, rng))
        for i, rate in enumerate(rates)
    ]
    return [made_.pop(worst), *made_]


def verdicts(cut: float, n: int, runs: int = 400) -> dict[str, float]:
    rng = np.random.default_rng(16)
    found = [
        estimate_effect(DEFECTS, treated, peers).verdict
        for treated, *peers in (units(rng, n, cut) for _ in range(runs))
    ]
    return {verdict: found.count(verdict) / runs for verdict in set(found)}


def test_an_action_without_effect_on_the_worst_unit_is_not_called_improved() -> None:
    assert verdicts(0.0, 1800).get("improved", 0) <= 0.05


def test_a_cut_of_16_percent_is_found_where_there_are_cases_enough() -> None:
    assert verdicts(0.16, 1800).get("improved", 0) >= 0.85


def test_too_few_cases_ask_for_more() -> None:
    flat = [Unit(str(i), Window(0.4, 1e-4, 2400), Window(0.4, 1e-4, 2400)) for i in range(7)]
    treated = Unit("x", Window(0.4, 1e-4, 2400), Window(0.37, 0.0012, 200))
    found = estimate_effect(DEFECTS, treated, flat)
    assert (found.verdict, found.words(DEFECTS)) == ("needs more", f"needs {found.needed} more")
    assert 300 < (found.needed or 0) < 3000


def test_a_thin_baseline_cannot_be_made_up_for_afterwards() -> None:
    flat = [Unit(str(i), Window(0.4, 1e-4, 2400), Window(0.4, 1e-4, 2400)) for i in range(7)]
    found = estimate_effect(DEFECTS, Unit("x", Window(0.4, 0.0048, 50), Window(0.37, 1e-4, 2400)), flat)
    assert found.verdict == "cannot tell yet"
    assert "too few cases before" in found.reasons[0]


def test_the_number_of_cases_asked_for_is_enough() -> None:
    """With peers that hold still and a well-known baseline, the stated n shows the effect with 80% power."""
    before = Window(0.10, 0.09 / 1e6, 1_000_000)
    peers = [Unit(str(i), Window(0.1, 1e-9, 1_000_000), Window(0.1, 1e-9, 1_000_000)) for i in range(8)]
    effect = estimate_effect(DEFECTS, Unit("x", before, Window(0.1, 0.09 / 500, 500)), peers)
    assert effect.verdict == "needs more"
    total = 500 + (effect.needed or 0)
    assert total == pytest.approx((1.96 + 0.8416) ** 2 * 0.09 / 0.016**2, rel=0.02)


@pytest.mark.parametrize(
    ("after", "good", "verdict"), [(0.5, "up", "improved"), (0.5, "down", "worsened"), (0.3, "up", "worsened")]
)
def test_the_good_side_is_the_metrics_own(after: float, good: str, verdict: str) -> None:
    steady = [Unit(str(i), Window(0.4, 1e-4, 2400), Window(0.4, 1e-4, 2400)) for i in range(5)]
    treated = Unit("x", Window(0.4, 1e-4, 2400), Window(after, 1e-4, 2400))
    assert estimate_effect(SHARE.model_copy(update={"good": good}), treated, steady).verdict == verdict


def test_peers_that_move_too_are_no_effect() -> None:
    rising = [Unit(str(i), Window(0.4, 1e-4, 2400), Window(0.5, 1e-4, 2400)) for i in range(5)]
    treated = Unit("x", Window(0.4, 1e-4, 2400), Window(0.5, 1e-4, 2400))
    assert estimate_effect(SHARE, treated, rising).verdict not in {"improved", "worsened"}


def test_what_was_improving_before_is_not_credited_to_the_action() -> None:
    flat = Window(0.4, 1e-4, 2400)
    peers = [Unit(str(i), flat, flat, flat, flat) for i in range(5)]
    treated = Unit(
        "x", Window(0.4, 1e-4, 2400), Window(0.5, 1e-4, 2400), Window(0.3, 1e-4, 1200), Window(0.45, 1e-4, 1200)
    )
    found = estimate_effect(SHARE, treated, peers)
    assert (found.verdict, found.reasons) == ("cannot tell yet", ("it was already improving before the action",))


def test_nothing_can_be_told_without_peers() -> None:
    flat = Unit("x", Window(0.4, 1e-4, 2400), Window(0.5, 1e-4, 2400))
    assert estimate_effect(SHARE, flat, [flat]).reasons == ("no comparable segments without the action",)


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (ActionEffect("needs more", needed=5120), "needs 5,120 more"),
        (ActionEffect("cannot tell yet"), "cannot tell yet"),
        (ActionEffect("worsened", -0.06, -0.1, -0.02), "worsened (−6 points)"),
    ],
)
def test_a_verdict_is_said_in_its_words(effect: ActionEffect, words: str) -> None:
    assert effect.words(SHARE) == words


def test_a_slice_is_read_as_it_is_written() -> None:
    assert list(slice_values("vertical=Energy|touchpoint=visit").items()) == [
        ("vertical", "Energy"),
        ("touchpoint", "visit"),
    ]
    assert list(slice_values("vertical=a\\|b=c\\\\|touchpoint=x").items()) == [
        ("vertical", "a|b=c\\"),
        ("touchpoint", "x"),
    ]
    assert slice_words("") == EVERYWHERE
    assert slice_words("vertical=a\\|b") == "a|b"
