"""What the review says, on its page as in its documents. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Final

from config.models import Person, label_of
from queries.accounts import Growth
from queries.metrics import count, day_words, goal_figure, money_range, point_figure
from queries.review import EVERYWHERE, MetricStatus, Money, Review
from queries.state import ClosedReview

Verdicts = tuple[Sequence[str], Sequence[tuple[str, Sequence[tuple[str, str, bool]]]]]
"""Metrics by name, and for each vertical the figure and the word for each of them, and whether it is a miss."""

CONFIDENCE: Final = "95% confidence intervals"
VERDICT_WORDS: Final[Mapping[str, str]] = {
    "met": "meets its goal",
    "missed": "misses its goal",
    "cannot tell": "too close to call",
    "no goal": "no goal set",
    "too few": "too few cases",
    "immature": "not complete yet",
    "no data": "no data",
    "private": "withheld for privacy",
}
IMPROVED: Final = "Statistically significant, corrected for the number of comparisons on this page."
ESCALATED: Final = "Opened this month and sent to Slack."
NO_REVENUE: Final = "No revenue is loaded for this month; fill the table `revenue` from a source."


def kicker(review: Review) -> str:
    """What is reviewed: of all verticals or one, and of all functions or one."""
    return " · ".join(filter(None, ("Monthly review", review.vertical or EVERYWHERE, review.function)))


def function_words(function: str) -> str:
    """What is narrowed to a function."""
    return f"Only issues, actions and escalations of {function} are shown. The rest covers all functions."


def dateline(review: Review) -> str:
    """Which month it is, and how fresh its figures are."""
    evaluated = f" · rules evaluated {day_words(review.evaluated_on)}" if review.evaluated_on else ""
    return f"{review.month:%B %Y} · data of {day_words(review.published_on)}{evaluated} · {CONFIDENCE}"


def doubt_words(review: Review) -> str:
    """Why incidents may be missing, empty where nothing is in doubt."""
    return f"Incidents may be missing: {review.doubt}." if review.doubt else ""


def reference_words(review: Review) -> str:
    """What others have, for comparison; empty where nothing is known of them."""
    known = dict.fromkeys(f"{s.metric.label} {s.reference}" for s in review.standings if s.reference)
    return f"For comparison, not a goal: {'; '.join(known)}." if known else ""


def data_words(review: Review) -> str:
    """How many faults of the data itself are open, empty where there is none."""
    if not review.data_problems:
        return ""
    is_one = review.data_problems == 1
    problems = "problem. It is not counted as a" if is_one else "problems. They are not counted as"
    return f"{review.data_problems} data-quality {problems} customer {'issue' if is_one else 'issues'}."


def no_issue_words(review: Review) -> str:
    """What stands where there is no key issue."""
    if review.function:
        return f"None of {review.function}."
    if review.doubt:
        return f"None is known: no goal was missed, but {review.doubt}."
    return "None: no incident was open and no goal was missed."


def locked_words(review: Review) -> str:
    """Why the financials are not shown yet."""
    needs = "issue needs" if review.undecided == 1 else "issues need"
    return f"Locked: {review.undecided} key {needs} an owner and a decision first."


def improved_lines(review: Review) -> tuple[str, ...]:
    """What improved, a sentence each."""
    over = (f"{count(review.more_improved)} more.",) if review.more_improved else ()
    return (*review.improved, *over) or ("No change is large enough to be certain.",)


def outcome_lines(review: Review) -> tuple[str, ...]:
    """What became of the month's escalations, nothing where that is not known."""
    if review.outcome:
        return (review.outcome.words,)
    return ("Kept for all functions together.",) if review.function else ()


def leading_metric(standings: Iterable[MetricStatus]) -> str | None:
    """The metric that most verticals miss, and of those the configuration's first; None without any."""
    missed: dict[str, int] = {}
    for s in standings:
        missed[s.metric.name] = missed.get(s.metric.name, 0) + (s.verdict == "missed" and bool(s.vertical))
    return max(missed, key=lambda name: missed[name]) if missed else None


def goal_words(standings: Sequence[MetricStatus]) -> Verdicts:
    """Who misses what: the metrics with their goals, and for each vertical the figure, its word, and whether it misses.

    All verticals together come first, then those that miss most.
    """
    by: dict[str, dict[str, MetricStatus]] = {}
    for standing in standings:
        by.setdefault(standing.vertical, {})[standing.metric.name] = standing
    metrics = {s.metric.name: s.metric.label for s in standings}
    for name in metrics:
        goals = {of[name].goal for of in by.values() if name in of}
        if len(goals) == 1 and (goal := goals.pop()) is not None:
            metric = next(s.metric for s in standings if s.metric.name == name)
            metrics[name] += f" (goal {goal_figure(metric, goal)})"
    missed = {vertical: sum(s.verdict == "missed" for s in of.values()) for vertical, of in by.items()}
    rows = [
        (next(iter(by[vertical].values())).where, [_goal_cell(by[vertical].get(name)) for name in metrics])
        for vertical in sorted(by, key=lambda name: (name != "", -missed[name], name))
    ]
    return [*metrics.values()], rows


def _goal_cell(s: MetricStatus | None) -> tuple[str, str, bool]:
    """The figure, the word and whether it is a miss."""
    if s is None:
        return "", "", False
    word = VERDICT_WORDS[s.verdict].removesuffix(" its goal")
    value = "" if s.point.value is None or s.verdict == "too few" else point_figure(s.metric, s.point)
    return value, word, s.verdict == "missed"


def growth_words(of: Growth, currency: str) -> str:
    """What growth accounts could buy more, in a sentence."""
    is_one = of.accounts == 1
    accounts = "account has" if is_one else "accounts have"
    said = (
        f"{count(of.accounts)} {accounts} a good relationship with us and {'spends' if is_one else 'spend'} less than "
    )
    said += f"{of.share:.0%} of {'its' if is_one else 'their'} wallet. Up to that share they could buy for "
    said += f"{money_range(of.value, of.low, of.high, currency)} more a year."
    return said


def closed_words(closed: ClosedReview, people: Iterable[Person], zone: tzinfo) -> tuple[str, ...]:
    """When, by whom and before whom a review was closed, and that something was erased from it since."""
    first = f"Closed on {day_words(closed.closed_at, zone)} by {label_of(closed.author, people)}."
    first += f" Present: {closed.present.rstrip('. ')}." if closed.present else ""
    if not closed.erased_at:
        return (first,)
    erased = f"Names and texts were erased from this review on {day_words(closed.erased_at, zone)}"
    return first, f"{erased}; its figures are as they were."


def total(money: Iterable[Money]) -> Money:
    """All verticals together."""
    rows = [*money]

    def added(values: Iterable[float | None]) -> float | None:
        # A vertical that is new this year has no year before: the total compares with what there was.
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    amount = sum(row.amount for row in rows)
    return Money("Total", amount, added(row.previous for row in rows), added(row.year_before for row in rows))
