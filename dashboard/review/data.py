"""What the review page reads, each result once: see `dashboard.cache`."""

import json
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from markupsafe import Markup
from sqlalchemy import Connection

from dashboard.cache import Changes, Key, copied, shared, until_changed
from dashboard.charts import finished
from dashboard.customers import account_name, portfolio
from dashboard.review import markup
from dashboard.review.charts import against_goals
from dashboard.review.markup import Shown
from queries.accounts import Growth, growth_of, in_vertical
from queries.documents import HEADROOM, FreshReadings, read_review
from queries.metrics import AgainstBaseline, MetricPoint, UnratedRevenueError
from queries.review import (
    ActionEffect,
    Facts,
    MetricStatus,
    Months,
    Onset,
    PageBudget,
    Review,
    ReviewContext,
    ReviewIncident,
    Sample,
    read_effect,
    read_facts,
    read_months,
    read_onset,
    read_period,
    read_points,
    read_verticals,
    review_dates,
)
from queries.review.compose import of_function, within
from queries.review.stored_document import read_document, shows_other_figures
from queries.state import COMPANY, Action, ClosedReview, held_on, read_closed_review
from queries.warehouse import Pin, Scope

LISTED: Final = 6
"""So many months of the calendar of reviews are shown."""


@shared()
def months(key: Key, _pin: Pin) -> Months:
    """The months that can be reviewed."""
    return read_months(_pin.conn, key.scope, key.as_of)


@shared()
def verticals(key: Key, _pin: Pin) -> tuple[str, ...]:
    """The verticals in scope."""
    return read_verticals(_pin.conn, key.scope)


@shared()
def _context(key: Key, _pin: Pin) -> ReviewContext:
    month = key.month or key.day.replace(day=1)
    # A link may name a month before the first full one: its period then begins with itself.
    period = read_period(_pin.conn, month, min(months(key, _pin).first_full or month, month))
    return ReviewContext(key.catalog, period, key.scope, key.as_of, key.currency, key.tz, key.vertical)


@shared(spinner="Reading the month …")
def review_facts(key: Key, _pin: Pin) -> Facts:
    """What the warehouse says about the month."""
    return read_facts(_pin, _context(key, _pin))


@shared()
def _months_of(key: Key, _pin: Pin, metric: str, rule: str, group: str) -> tuple[MetricPoint, ...]:
    context = _context(key, _pin)
    return read_points(_pin.conn, context, context.catalog.metric(metric), rule, group)


@shared()
def _onset(key: Key, _pin: Pin, rule: str, group: str, slot: date, value: float | None) -> Onset | None:
    return read_onset(_pin, key.catalog, rule, (group, slot, value), key.scope, key.as_of)


@shared()
def _window(key: Key, _pin: Pin, rule: str, group: str) -> Sample | None:
    return FreshReadings(_pin, _context(key, _pin), key.day).window(rule, group)


@shared({Action: repr})
def effect(key: Key, _pin: Pin, action: Action, others: tuple[Action, ...]) -> ActionEffect | None:
    """What an action has done so far; `others` at the same place share in it."""
    return read_effect(_pin.conn, _context(key, _pin), action, others)


@shared()
def _against_baselines(key: Key, _pin: Pin) -> tuple[AgainstBaseline, ...]:
    return FreshReadings(_pin, _context(key, _pin), key.day).baselines()


def _growth(key: Key, pin: Pin, until: date) -> Growth | None:
    """What growth accounts could buy more; None where there are none, or where their revenue cannot be added up."""
    # The portfolio is the same for all reviews of a reader: only what is shown of it is narrowed to a vertical.
    own = replace(key, month=None, vertical=None, scope=key.scope.before or key.scope)
    try:
        every = portfolio(own, pin, until)
    except UnratedRevenueError:
        return None
    shown = in_vertical(every, key.vertical)
    return growth_of(shown, HEADROOM) if shown else None


@dataclass(frozen=True, slots=True)
class WrittenReview:
    """The document of one month, and its HTML.

    `closed` is the review as it was closed, where it was, and `is_own` is whether the document is that one's: `key` is
    then another one.
    """

    review: Review
    above: Markup
    heading: Markup
    issues: tuple[Markup, ...]
    below: Markup
    calendar: Markup
    key: Key
    closed: ClosedReview | None = None
    is_own: bool = False


def written_review(
    key: Key,
    changes: Changes,
    pin: Pin,
    state: Connection,
    *,
    newest: bool = False,
    function: str | None = None,
) -> WrittenReview:
    """The document of one month: as it was closed, or cached figures and the state as it is now.

    What was closed is for readers of the scope of who closed it; `newest` is the figures that there are beside it.
    Issues and actions are those of all functions, or of one.
    """
    review_facts(key, pin)  # here, for inside another cached function no one is shown that it takes long
    return _written_review(key, changes, pin, state, newest, function)


@until_changed
def _written_review(
    key: Key,
    changes: Changes,
    _pin: Pin,
    _state: Connection,
    newest: bool,  # noqa: FBT001
    function: str | None,
) -> WrittenReview:
    del changes
    now, calendar = review(key, _pin, _state, function=function), _calendar(key, _pin, _state, function)
    closed = read_closed_review(_state, now.month, key.vertical or COMPANY)
    if closed is None:
        return _written(key, _pin, now, calendar)
    if closed.scope != scope_text(key.scope):
        return _written(key, _pin, now, calendar, closed, Shown.OUTSIDE)
    kept = read_document(closed.document)
    of_all = kept.review
    if function:
        of_all = of_function(of_all, function, {rule.name: rule.function for rule in key.catalog.rules})
    own = within(of_all, budget_of(key))
    if newest:
        return _written(key, _pin, now, calendar, closed, Shown.NEWEST)
    shown = Shown.CHANGED if shows_other_figures(own, now) else Shown.CLOSED
    return _written(
        replace(key, currency=kept.currency, closed_at=closed.closed_at), _pin, own, calendar, closed, shown
    )


def _written(
    key: Key, pin: Pin, made: Review, calendar: Markup, closed: ClosedReview | None = None, shown: Shown = Shown.CLOSED
) -> WrittenReview:
    issues = tuple(markup.issue(number, issue) for number, issue in enumerate(made.issues, start=1))
    named = {one.account_id: account_name(key, pin, one.account_id) for one in made.growth.most} if made.growth else {}
    audience = key.catalog.audience(key.scope.role)
    said = markup.closed_lines(made, closed, shown, key.catalog.people, key.tz) if closed else ()
    above, below = (
        markup.above_issues(made, said),
        markup.below_chart(
            made, named, key.currency, key.tz, has_links=audience is None or "accounts" in audience.pages
        ),
    )
    is_own = closed is not None and shown in {Shown.CLOSED, Shown.CHANGED}
    return WrittenReview(made, above, markup.issues_heading(made), issues, below, calendar, key, closed, is_own)


def _calendar(key: Key, pin: Pin, state: Connection, function: str | None) -> Markup:
    """When the reviews of the last months were due and held, of all verticals or one."""
    ended = [month for month in months(key, pin).all if month <= (key.month or key.day)]
    newest = ended[: -LISTED - 1 : -1]
    dates = [review_dates(key.catalog.calendar, month, key.catalog.review.held_by) for month in newest]
    held = held_on(state, key.vertical or COMPANY)
    shown = {name: value for name, value in (("vertical", key.vertical), ("function", function)) if value}
    return markup.calendar((one for one in dates if one.until <= key.day), held, shown, key.day, key.tz)


def scope_text(scope: Scope) -> str:
    """What may be seen, as text: equal for readers who see the same."""
    limits = ((one.verticals, one.touchpoints, one.accounts) for one in (scope, scope.before) if one)
    return json.dumps([[limit if limit is None else sorted(limit) for limit in held] for held in limits])


def budget_of(key: Key) -> PageBudget:
    """How much the review's page may show its reader."""
    audience, most = key.catalog.audience(key.scope.role), key.catalog.review.max_issues
    if audience is None:
        return PageBudget(most, 12, 4)
    return PageBudget(min(most, audience.issues), audience.figures, audience.charts)


@dataclass(frozen=True, slots=True)
class _KeptReadings:
    """What a review is made of, each reading once for all who may see it."""

    key: Key
    pin: Pin

    @property
    def context(self) -> ReviewContext:
        return _context(self.key, self.pin)

    def facts(self) -> Facts:
        return review_facts(self.key, self.pin)

    def months(self, metric: str, rule: str, group: str) -> tuple[MetricPoint, ...]:
        return _months_of(self.key, self.pin, metric, rule, group)

    def onset(self, found: ReviewIncident) -> Onset | None:
        return _onset(self.key, self.pin, found.rule, found.group, found.slot, found.value)

    def window(self, rule: str, group: str) -> Sample | None:
        return _window(self.key, self.pin, rule, group)

    def effect(self, action: Action, others: tuple[Action, ...]) -> ActionEffect | None:
        return effect(self.key, self.pin, action, others)

    def baselines(self) -> tuple[AgainstBaseline, ...]:
        return _against_baselines(self.key, self.pin)

    def growth(self) -> Growth | None:
        return _growth(self.key, self.pin, self.context.period.until)


def review(
    key: Key, pin: Pin, state: Connection, budget: PageBudget | None = None, function: str | None = None
) -> Review:
    """The document of one month, composed anew; within the reader's budget unless there is another one."""
    return read_review(_KeptReadings(key, pin), state, budget or budget_of(key), key.day, function)


def shown_standings(review: Review, metric: str | None) -> tuple[MetricStatus, ...]:
    """What that chart is about: one metric in every vertical, or every metric in one."""
    return tuple(s for s in review.standings if metric in {None, s.metric.name})


@copied()
def goals_spec(key: Key, _review: Review, metric: str | None) -> dict[str, Any]:
    """The finished chart of the verticals against their goals in one metric, or of all metrics in one vertical."""
    del key  # what it shows hangs on nothing else
    standings = shown_standings(_review, metric)
    return finished(against_goals(standings, _review.months, one_scale=metric is not None))
