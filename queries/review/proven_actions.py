"""Actions that improved something where the same problem is open elsewhere: never those that had no effect."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta, tzinfo
from typing import Final

from config.models import Catalog, Metric
from queries.engine import day_of
from queries.metrics import listed
from queries.review.action_effects import ActionEffect
from queries.review.document import MeetingState, ReviewIncident
from queries.state import Action, slice_values

REMEMBERED: Final = timedelta(days=365)
"""So long after it was done, an action may still be an example."""

_PLACES: Final = ("touchpoint", "journey_type")


def past_actions(every: Iterable[Action], meeting: MeetingState, month: date, zone: tzinfo) -> tuple[Action, ...]:
    """The actions done in the year before a month that were about the metric of an incident that is open in it.

    `meeting` has those that were still running, which are left out here; `zone` is the reporting zone.
    """
    open_ = {one.metric.name for one in meeting.found if one.is_open and one.metric}
    shown = {one.id for one in meeting.actions}
    past = [one for one in every if one.metric in open_ and one.id not in shown]
    days = {one.id: day_of(one.done_at, zone) for one in past if one.done_at}
    return tuple(one for one in past if one.id in days and month - REMEMBERED <= days[one.id] <= month)


def worth_repeating(
    actions: Sequence[Action],
    effects: Mapping[str, ActionEffect | None],
    found: Sequence[ReviewIncident],
    catalog: Catalog,
) -> tuple[str, ...]:
    """A line for each action that improved its metric, with the verticals in which the same problem is open.

    The same problem is a breach of the same metric at the same touchpoint. A vertical where the like was done already
    is left out: it either works there, or does not.
    """
    lines = []
    metrics = {metric.name: metric for metric in catalog.metrics}
    for action in actions:
        effect, metric = effects.get(action.id), metrics.get(action.metric or "")
        if effect is None or metric is None or effect.verdict != "improved" or action.vertical is None:
            continue
        alike = (action.metric, action.touchpoint)
        tried = {other.vertical for other in actions if (other.metric, other.touchpoint) == alike}
        elsewhere = sorted({one.vertical for one in found if one.vertical and _is_same(one, action, catalog)} - tried)
        if elsewhere and None not in tried:
            lines.append(_line(action, effect, metric, elsewhere))
    return tuple(lines)


def _line(action: Action, effect: ActionEffect, metric: Metric, elsewhere: Sequence[str]) -> str:
    place = ", ".join(filter(None, (action.vertical, action.touchpoint)))
    said = f"{action.what} ({place}): {metric.label[:1].lower()}{metric.label[1:]} {effect.words(metric)}"
    return f"{said}. The same problem is open in {listed(elsewhere)}."


def _is_same(incident: ReviewIncident, action: Action, catalog: Catalog) -> bool:
    if not incident.is_open or incident.metric is None or incident.metric.name != action.metric:
        return False
    return _place(incident, catalog) == action.touchpoint


def _place(incident: ReviewIncident, catalog: Catalog) -> str | None:
    """The touchpoint or the type of journey that an incident is about, by its slice or by what its rule looks at."""
    rule = next((rule for rule in catalog.rules if rule.name == incident.rule), None)
    fixed = {one.column: one.any_of[0] for one in (rule.where if rule else ()) if one.any_of and len(one.any_of) == 1}
    known = {**fixed, **slice_values(incident.group)}
    return next((str(known[name]) for name in _PLACES if name in known), None)
