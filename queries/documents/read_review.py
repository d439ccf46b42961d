"""The review of a month, read and composed: for documents from the stores, for pages from what they keep."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Protocol

from sqlalchemy import Connection

from queries.accounts import Growth, growth_of, in_vertical, portfolio_before, read_account_facts
from queries.metrics import AgainstBaseline, MetricPoint, UnratedRevenueError, read_against_baseline
from queries.review import (
    ActionEffect,
    Facts,
    Onset,
    PageBudget,
    Review,
    ReviewContext,
    ReviewIncident,
    Sample,
    current_rule,
    past_actions,
    read_effect,
    read_facts,
    read_meeting,
    read_months,
    read_onset,
    read_points,
    read_window,
    with_sides,
    worth_repeating,
)
from queries.review.compose import compose, within
from queries.state import Action, read_actions
from queries.warehouse import EVERYTHING, Pin

HEADROOM: Final = 3
"""So many accounts with headroom are named."""


class ReviewReadings(Protocol):
    """What is read from the warehouse for one review."""

    @property
    def context(self) -> ReviewContext:
        """Which review it is."""

    def facts(self) -> Facts:
        """The month."""

    def months(self, metric: str, rule: str, group: str) -> tuple[MetricPoint, ...]:
        """The months of an incident's figure."""

    def onset(self, found: ReviewIncident) -> Onset | None:
        """When an incident began."""

    def window(self, rule: str, group: str) -> Sample | None:
        """What a rule reads at the end of the month."""

    def effect(self, action: Action, others: tuple[Action, ...]) -> ActionEffect | None:
        """What an action has done so far; `others` at the same place share in it."""

    def baselines(self) -> tuple[AgainstBaseline, ...]:
        """The verticals against each baseline."""

    def growth(self) -> Growth | None:
        """What growth accounts could buy more; None where there are none, or their revenue cannot be added up."""


@dataclass(frozen=True, slots=True)
class FreshReadings:
    """Read from one generation, each when it is asked for."""

    pin: Pin
    context: ReviewContext
    today: date

    def facts(self) -> Facts:
        """See `ReviewReadings`."""
        return read_facts(self.pin, self.context)

    def months(self, metric: str, rule: str, group: str) -> tuple[MetricPoint, ...]:
        """See `ReviewReadings`."""
        return read_points(self.pin.conn, self.context, self.context.catalog.metric(metric), rule, group)

    def onset(self, found: ReviewIncident) -> Onset | None:
        """See `ReviewReadings`."""
        place = found.group, found.slot, found.value
        return read_onset(self.pin, self.context.catalog, found.rule, place, self.context.scope, self.context.as_of)

    def window(self, rule: str, group: str) -> Sample | None:
        """See `ReviewReadings`."""
        context, (current, metric) = self.context, current_rule(rule, self.context.catalog)
        if current is None or metric is None:
            return None
        metrics = (metric, *(context.catalog.metric(name) for name in current.metric_names[1:]))
        until = min(context.period.until, self.today)
        return read_window(self.pin.conn, current, metrics, group, until, context.scope, context.as_of)

    def effect(self, action: Action, others: tuple[Action, ...]) -> ActionEffect | None:
        """See `ReviewReadings`."""
        return read_effect(self.pin.conn, self.context, action, others)

    def baselines(self) -> tuple[AgainstBaseline, ...]:
        """See `ReviewReadings`. Where a baseline begins is the same for whoever looks."""
        context, conn = self.context, self.pin.conn
        known = context.catalog.baselines_on(context.period.first)
        first = read_months(conn, EVERYTHING, context.as_of).first_full if known else None
        span = first, context.period.until
        metrics = {metric.name: metric for metric in context.catalog.metrics}
        found = (
            read_against_baseline(conn, metrics[one.metric], one, span, context.scope, context.as_of) for one in known
        )
        return tuple(one for one in found if one is not None)

    def growth(self) -> Growth | None:
        """See `ReviewReadings`. The portfolio is that of all verticals: only what is shown of it is narrowed to one."""
        context = self.context
        wide = context.scope.before or context.scope
        try:
            facts = read_account_facts(self.pin.conn, wide, context.as_of, context.currency)
            every = portfolio_before(facts, context.catalog, context.period.until)
        except UnratedRevenueError:
            return None
        shown = in_vertical(every, context.vertical)
        return growth_of(shown, HEADROOM) if shown else None


def read_review(
    readings: ReviewReadings, state: Connection, budget: PageBudget, today: date, function: str | None = None
) -> Review:
    """The document of one month; what is over the budget is left out, and `today` says what is overdue.

    Issues and actions are those of all functions, or of one.
    """
    context = readings.context
    meeting = read_meeting(state, context, function)
    found = (_compared(readings, replace(one, onset=readings.onset(one))) for one in meeting.found)
    meeting = replace(meeting, found=tuple(found))
    effects = {action.id: readings.effect(action, meeting.actions) for action in meeting.actions}
    # Every incident that has a metric, and the months of its figure.
    wanted = {(found.metric.name, found.rule, found.group) for found in meeting.found if found.metric}
    past = past_actions(read_actions(state, context.scope), meeting, context.period.first, context.zone)
    others = {action.id: readings.effect(action, meeting.actions) for action in past}
    made = compose(
        readings.facts(),
        meeting,
        {(metric, group): readings.months(metric, rule, group) for metric, rule, group in sorted(wanted)},
        {id_: measured for id_, measured in effects.items() if measured is not None},
        {metric.name: metric for metric in context.catalog.metrics},
        vertical=context.vertical,
        budget=budget,
        today=today,
        function=function,
    )
    more = replace(
        made,
        months=context.period.history,
        baselines=readings.baselines(),
        growth=readings.growth(),
        repeatable=worth_repeating((*meeting.actions, *past), {**effects, **others}, meeting.found, context.catalog),
    )
    return within(more, budget)


def _compared(readings: ReviewReadings, found: ReviewIncident) -> ReviewIncident:
    """An incident of a gap with both figures as they are at the end of the month."""
    reading = readings.window(found.rule, found.group) if found.compared else None
    if not found.compared or not reading or "against" not in reading:
        return found
    return replace(found, compared=with_sides(found.compared, reading))
