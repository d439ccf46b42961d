"""The review's parts as HTML; the templates are in `macros.html`. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from enum import Enum
from typing import Any, Final
from urllib.parse import urlencode

from markupsafe import Markup

from config.models import Person, label_of
from dashboard.charts import STATES
from dashboard.markup import SEVERITIES, bullets, macros, notice, section, stacked
from dashboard.review.baselines import against_baselines
from dashboard.review.opportunities import opportunities
from queries.metrics import count, day_words, goal_figure, money_change, money_figure, point_figure
from queries.review import EVERYWHERE, ActionStatus, Issue, MetricStatus, Money, Review, ReviewDates
from queries.state import Action, ClosedReview

_MACROS: Final = macros("review/macros.html")
_MINUTES: Final = macros("review/minutes.html")
LEAST_MONTHS: Final = 3
SPARK_WIDTH, SPARK_HEIGHT, MARGIN = 152, 34, 3
"""Of an issue's trend, in pixels."""

Verdicts = tuple[Sequence[str], Sequence[tuple[str, Sequence[tuple[str, str, bool]]]]]
"""Metrics by name, and for each vertical the figure and the word for each of them, and whether it is a miss."""


class Shown(Enum):
    """What a page shows of a review that was closed: its document, the same where newer data differs, the newest
    figures, or those of a reader whom the document is not for.
    """

    CLOSED = 1
    CHANGED = 2
    NEWEST = 3
    OUTSIDE = 4


NEWEST: Final = "newest"
"""What an address has for `figures` where a closed review is looked at as the newest data has it."""


def closed_lines(
    review: Review, closed: ClosedReview, shown: Shown, people: Iterable[Person], zone: tzinfo
) -> list[Markup]:
    """When and by whom a review was closed, what was erased from it, and where other figures are."""
    here, newest = (f"?{_address(review, **of)}" for of in ({}, {"figures": NEWEST}))
    day, who = day_words(closed.closed_at, zone), label_of(closed.author, people)
    if shown is Shown.OUTSIDE:
        whose = f"of {closed.review}" if review.vertical else "of the whole company"
        return [notice(f"The review {whose} was closed on {day} by {who}. You see the newest figures.")]
    if shown is Shown.NEWEST:
        words = f"These are the newest figures. The review was closed on {day} by {who}:"
        return [_MACROS.closed(words, here, "see it as it was closed")]
    words = f"Closed on {day} by {who}."
    words += f" Present: {closed.present.rstrip('. ')}." if closed.present else ""
    if shown is Shown.CHANGED:
        words += " Newer data shows other figures for this month:"
    lines = [_MACROS.closed(words, *((newest, "see them") if shown is Shown.CHANGED else ()))]
    if closed.erased_at:
        erased = f"Names and texts were erased from this review on {day_words(closed.erased_at, zone)}"
        lines.append(notice(f"{erased}; its figures are as they were."))
    return lines


def above_issues(review: Review, closed: Iterable[Markup] = ()) -> Markup:
    """What is reviewed, the headline, how fresh the figures are, what is doubtful about them, and who misses what.

    `closed` are the lines that say that it was closed.
    """
    loaded = f"data of {day_words(review.published_on)}"
    evaluated = f" · rules evaluated {day_words(review.evaluated_on)}" if review.evaluated_on else ""
    dateline = f"{review.month:%B %Y} · {loaded}{evaluated} · 95% confidence intervals"
    kicker = " · ".join(filter(None, ("Monthly review", review.vertical or EVERYWHERE, review.function)))
    pieces = [_MACROS.review_header(kicker, review.headline, dateline, f"?{_address(review, meeting='0')}")]
    pieces += closed
    if review.function:
        words = f"Only issues, actions and escalations of {review.function} are shown."
        pieces.append(notice(f"{words} The rest covers all functions."))
    if review.doubt:
        words = f"Incidents may be missing: {review.doubt}."
        pieces.append(notice(words, attention=True, command="python -m triggers audit"))
    metrics, rows = goal_words(review.standings)
    known = dict.fromkeys(f"{s.metric.label} {s.reference}" for s in review.standings if s.reference)
    references = f"For comparison, not a goal: {'; '.join(known)}." if known else ""
    if len(rows) > 1:
        pieces.append(_MACROS.verdicts(metrics, rows, references))
    elif references:
        pieces.append(notice(references))
    if review.maturity:
        pieces.append(notice(review.maturity))
    if review.data_problems:
        is_one = review.data_problems == 1
        problems = "problem. It is not counted as a" if is_one else "problems. They are not counted as"
        words = f"{review.data_problems} data-quality {problems} customer {'issue' if is_one else 'issues'}."
        pieces.append(notice(words))
    return stacked(*pieces)


def issues_heading(review: Review) -> Markup:
    """What stands above the key issues, or in their place."""
    none = "None: no incident was open and no goal was missed."
    if review.doubt:
        none = f"None is known: no goal was missed, but {review.doubt}."
    if review.function:
        none = f"None of {review.function}."
    return section("Key issues", review.tally) + ("" if review.issues else bullets([none]))


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
    word = STATES[s.verdict].removesuffix(" its goal")
    value = "" if s.point.value is None or s.verdict == "too few" else point_figure(s.metric, s.point)
    return value, word, s.verdict == "missed"


@dataclass(frozen=True, slots=True)
class Sparkline:
    """An issue's figure over the months, ready to be drawn: places in pixels, the origin at the upper left.

    `points` are those of the line, `end` its newest month, `line` the height of the goal or limit; `size` is its width
    and its height.
    """

    points: str
    end: tuple[float, float]
    line: float | None
    said: str
    size: tuple[int, int] = (SPARK_WIDTH, SPARK_HEIGHT)


def sparkline(issue: Issue) -> Sparkline | None:
    """The trend of an issue's figure; None where fewer than three months have one."""
    if len(issue.history) < LEAST_MONTHS:
        return None
    values = [month.value for month in issue.history]
    around = [*values, values[0] if issue.line is None else issue.line]
    low, high = min(around), max(around)
    first = issue.history[0].period
    ages = [(one.period.year - first.year) * 12 + one.period.month - first.month for one in issue.history]

    def across(age: int) -> float:
        return round(MARGIN + (SPARK_WIDTH - 2 * MARGIN) * age / (ages[-1] or 1), 1)

    def down(value: float) -> float:
        return round(MARGIN + (SPARK_HEIGHT - 2 * MARGIN) * (high - value) / ((high - low) or 1), 1)

    places = [(across(age), down(value)) for age, value in zip(ages, values, strict=True)]
    begun, now = (f"{one.figure} in {one.period:%B %Y}" for one in (issue.history[0], issue.history[-1]))
    return Sparkline(
        " ".join(f"{x:g},{y:g}" for x, y in places),
        places[-1],
        None if issue.line is None else down(issue.line),
        f"From {begun} to {now}{f'; {issue.against}' if issue.line is not None else ''}.",
    )


def issue(number: int, shown: Issue) -> Markup:
    """One key issue: what, where, since when, how sure, whose, what is done and whether it works."""
    return _MACROS.issue(number, shown, SEVERITIES[shown.severity], sparkline(shown))


def goals(rows: Iterable[Mapping[str, Any]]) -> Markup:
    """The chart's figures as a list, for a phone: it is too narrow for the chart."""
    return _MACROS.goals(rows)


def downloads(links: Iterable[tuple[str, str]]) -> Markup:
    """Labels and addresses of files."""
    return _MACROS.downloads(links)


def calendar(
    dates: Iterable[ReviewDates], held: Mapping[date, datetime], shown: Mapping[str, str], today: date, zone: tzinfo
) -> Markup:
    """By when each month's review is due, and when it was closed; `held` says that of those that were, naive UTC.

    `shown` is what the address has besides the month.
    """
    rows = []
    for one in dates:
        at, is_late = held.get(one.month), one.month not in held and one.due_on < today
        state = day_words(at, zone) if at else "not closed, overdue" if is_late else "not closed yet"
        rows.append((f"{one.month:%B %Y}", f"?{_query(one.month, shown)}", day_words(one.due_on), state, is_late))
    return _MACROS.calendar(rows)


def _address(review: Review, **more: str) -> str:
    named = (("vertical", review.vertical), ("function", review.function))
    return _query(review.month, {**{name: value for name, value in named if value}, **more})


def _query(month: date, shown: Mapping[str, str]) -> str:
    return urlencode({"month": f"{month:%Y-%m}", **shown})


def carried(statuses: Iterable[ActionStatus]) -> Markup:
    """Actions carried over, a row each."""
    return _MACROS.carried(statuses)


def below_chart(
    review: Review, names: Mapping[str, str], currency: str, zone: tzinfo, *, has_links: bool = False
) -> Markup:
    """What changed since the baseline, what improved, what could be gained, what is being done, what was escalated, and
    the financials. `names` are those of the accounts that are named, `has_links` whether these lead to their page.
    """
    lede = "Statistically significant, corrected for the number of comparisons on this page."
    over = [f"{count(review.more_improved)} more."] if review.more_improved else []
    improved = bullets([*review.improved, *over] or ("No change is large enough to be certain.",))
    became = bullets([review.outcome.words]) if review.outcome else ""
    if review.function and not review.outcome:
        became = bullets(["Kept for all functions together."])
    pieces = [
        *against_baselines(review.baselines),
        section("What improved", lede) + improved,
        *opportunities(review.growth, review.repeatable, names, currency, has_links=has_links),
        section("Actions carried over") + (carried(review.carried) if review.carried else bullets(["None."])),
        section("Escalated incidents", "Opened this month and sent to Slack.") + became,
        section("Financials"),
    ]
    if not review.financials_open:
        needs = "issue needs" if review.undecided == 1 else "issues need"
        return stacked(*pieces, notice(f"Locked: {review.undecided} key {needs} an owner and a decision first."))
    if review.overrides:
        last = review.overrides[-1]
        by = f"Opened by {last.author} on {day_words(last.at, zone)} with issues undecided: {last.reason}"
        pieces.append(notice(by, attention=True))
    if review.no_money:
        pieces.append(notice(f"Revenue is not shown: {review.no_money}.", attention=True))
    elif review.money:
        pieces.append(finances(review.money, currency, review.month))
    else:
        pieces.append(notice("No revenue is loaded for this month; fill the table `revenue` from a source."))
    return stacked(*pieces)


def finances(money: Iterable[Money], currency: str, month: date) -> Markup:
    """Revenue by vertical with its change, and the total below."""
    verticals = [*money]

    def cells(amount: float, previous: float | None, year_before: float | None) -> tuple[str, str, str]:
        changes = money_change(amount, previous), money_change(amount, year_before)
        return (money_figure(amount, currency), *changes)

    total = cells(
        sum(row.amount for row in verticals),
        _sum(row.previous for row in verticals),
        _sum(row.year_before for row in verticals),
    )
    rows = [(row.vertical, cells(row.amount, row.previous, row.year_before)) for row in verticals]
    return _MACROS.finances(f"{month:%B %Y}", rows, total)


def _sum(values: Iterable[float | None]) -> float | None:
    # A vertical that is new this year has no year before: the total compares with what there was.
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def minutes(review: Review, closed: ClosedReview | None, people: Iterable[Person], zone: tzinfo) -> Markup:
    """What a meeting decided, as a document to send round."""
    line = "Not closed yet."
    if closed:
        line = f"Closed on {day_words(closed.closed_at, zone)} by {label_of(closed.author, people)}."
    issues = []
    for number, issue in enumerate(review.issues, start=1):
        what = f"{issue.what}, {issue.where}"
        figure = ", ".join(filter(None, (issue.figure, issue.against)))
        made = issue.decision
        decided = (made.what, made.owner, _due(made)) if made else ("", "", "")
        issues.append((number, what, figure, *decided))
    carried = [(one.action.what, _due(one.action), one.action.owner) for one in review.carried]
    of = ", ".join(filter(None, (review.vertical or EVERYWHERE, review.function)))
    title = f"Minutes of the review of {review.month:%B %Y}, {of}"
    return _MINUTES.minutes(title, line, closed.present if closed else "", issues, carried)


def _due(action: Action) -> str:
    return f"due {day_words(action.due_on)}" if action.due_on else "no due date"
