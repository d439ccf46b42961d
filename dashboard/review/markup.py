"""The review's parts as HTML; the templates are in `macros.html`. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from markupsafe import Markup

from dashboard.markup import SEVERITIES, macros
from queries.metrics import day_words, money_change, money_figure
from queries.review import ActionStatus, Issue, Money, Review

_MACROS: Final = macros("review/macros.html")


def review_header(review: Review, where: str) -> Markup:
    """What is reviewed, the headline, and how fresh the figures are."""
    loaded = f"data of {day_words(review.published_on)}"
    evaluated = f" · rules evaluated {day_words(review.evaluated_on)}" if review.evaluated_on else ""
    dateline = f"{review.month:%B %Y} · {loaded}{evaluated} · intervals are 95%"
    return _MACROS.review_header(f"Monthly review · {where}", review.headline, dateline)


def issue(number: int, shown: Issue) -> Markup:
    """One key issue: what, where, since when, how sure, whose, what is done and whether it works."""
    return _MACROS.issue(number, shown, SEVERITIES[shown.severity])


def goals(rows: Iterable[Mapping[str, Any]]) -> Markup:
    """The chart's figures as a list, for a phone: it is too narrow for the chart."""
    return _MACROS.goals(rows)


def carried(statuses: Iterable[ActionStatus]) -> Markup:
    """Actions carried over, a row each."""
    return _MACROS.carried(statuses)


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
