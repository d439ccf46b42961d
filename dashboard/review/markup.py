"""The review's parts as HTML; the templates are in `macros.html`. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, tzinfo
from enum import Enum
from typing import Any, Final
from urllib.parse import urlencode

from markupsafe import Markup

from config.models import Person, label_of
from dashboard.markup import SEVERITIES, bullets, macros, notice, section, stacked
from dashboard.review.baselines import against_baselines
from dashboard.review.opportunities import opportunities
from queries.documents import review_words as words
from queries.documents import sparkline
from queries.metrics import day_words, money_change, money_figure
from queries.review import EVERYWHERE, ActionStatus, Issue, Money, Review, ReviewDates
from queries.state import Action, ClosedReview

_MACROS: Final = macros("review/macros.html")
_MINUTES: Final = macros("review/minutes.html")


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
        said = f"These are the newest figures. The review was closed on {day} by {who}:"
        return [_MACROS.closed(said, here, "see it as it was closed")]
    first, *erased = words.closed_words(closed, people, zone)
    if shown is Shown.CHANGED:
        first += " Newer data shows other figures for this month:"
    lines = [_MACROS.closed(first, *((newest, "see them") if shown is Shown.CHANGED else ()))]
    lines += [notice(line) for line in erased]
    return lines


def above_issues(review: Review, closed: Iterable[Markup] = ()) -> Markup:
    """What is reviewed, the headline, how fresh the figures are, what is doubtful about them, and who misses what.

    `closed` are the lines that say that it was closed.
    """
    meeting = _address(review, meeting="0")
    pieces = [_MACROS.review_header(words.kicker(review), review.headline, words.dateline(review), f"?{meeting}")]
    pieces += closed
    if review.function:
        pieces.append(notice(words.function_words(review.function)))
    if doubt := words.doubt_words(review):
        pieces.append(notice(doubt, attention=True, command="python -m triggers audit"))
    (metrics, rows), references = words.goal_words(review.standings), words.reference_words(review)
    if len(rows) > 1:
        pieces.append(_MACROS.verdicts(metrics, rows, references))
    elif references:
        pieces.append(notice(references))
    pieces += [notice(line) for line in (review.maturity, words.data_words(review)) if line]
    return stacked(*pieces)


def issues_heading(review: Review) -> Markup:
    """What stands above the key issues, or in their place."""
    none = "" if review.issues else bullets([words.no_issue_words(review)])
    return section("Key issues", review.tally) + none


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
    pieces = [
        *against_baselines(review.baselines),
        section("What improved", words.IMPROVED) + bullets(words.improved_lines(review)),
        *opportunities(review.growth, review.repeatable, names, currency, has_links=has_links),
        section("Actions carried over") + (carried(review.carried) if review.carried else bullets(["None."])),
        section("Escalated incidents", words.ESCALATED) + bullets(words.outcome_lines(review)),
        section("Financials"),
    ]
    if not review.financials_open:
        return stacked(*pieces, notice(words.locked_words(review)))
    if review.overrides:
        last = review.overrides[-1]
        by = f"Opened by {last.author} on {day_words(last.at, zone)} with issues undecided: {last.reason}"
        pieces.append(notice(by, attention=True))
    if review.no_money:
        pieces.append(notice(f"Revenue is not shown: {review.no_money}.", attention=True))
    elif review.money:
        pieces.append(finances(review.money, currency, review.month))
    else:
        pieces.append(notice(words.NO_REVENUE))
    return stacked(*pieces)


def finances(money: Iterable[Money], currency: str, month: date) -> Markup:
    """Revenue by vertical with its change, and the total below."""
    verticals = [*money]
    rows = [
        (row.vertical, (money_figure(row.amount, currency), *(money_change(row.amount, then) for then in row.before)))
        for row in (*verticals, words.total(verticals))
    ]
    return _MACROS.finances(f"{month:%B %Y}", rows[:-1], rows[-1][1])


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
