"""The steps of ladders that should have been taken by now. Pure: it asks what a tick asks.

A step waits rightly while somebody has the incident, while it is snoozed or silenced, while another incident speaks for
it, and while nobody is at work.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from config.models import Catalog, Route
from queries.messages.silences import Silence, silenced
from queries.state import Incident
from triggers.incidents.business_hours import timetable
from triggers.incidents.escalation import EscalationStep, due_steps
from triggers.incidents.ledger import inhibitor_of


def overdue_steps(
    standing: Sequence[Incident],
    silences: Sequence[Silence],
    catalog: Catalog,
    zone: ZoneInfo,
    now: datetime,
    late: timedelta,
) -> tuple[datetime, ...]:
    """Since when each step is due that was due `late` ago and is not taken, the oldest first.

    Args:
        standing: the incidents that are open, or were open `late` ago.
        silences: those that are not over, or were not `late` ago.
        catalog: routes, rules and holidays.
        zone: of routes that name none.
        now: aware UTC.
        late: how long a step may wait for the next tick.
    """
    then = now - late
    # Those that spoke for themselves then: what a parent has left since is for the next tick to tell.
    speaking = (one for one in standing if one.is_open and inhibitor_of(one, catalog, standing) is None)
    # Both ends are asked: a silence that ended a moment ago held the step back, and the next tick will take it.
    heard = (one for one in speaking if not any(silenced(one, silences, at) for at in (then, now)))
    return tuple(sorted(_since(one, move, catalog, zone) for one, move in due_steps(heard, catalog, zone, then)))


def _since(one: Incident, move: EscalationStep, catalog: Catalog, zone: ZoneInfo) -> datetime:
    """From when on a move could be made: its time, or the first working minute after it."""
    route = next((route for route in catalog.routes if route.name == one.route), Route(name=one.route))
    at = _time(one, move, route)
    goes_through = move.kind == "skipped" or one.severity == 1
    return at if goes_through else timetable(catalog, route, zone).next_opening(at)


def _time(one: Incident, move: EscalationStep, route: Route) -> datetime:
    if move.kind == "woken" and one.snoozed_until:
        return one.snoozed_until
    if move.kind == "lapsed" and one.acknowledged_at and route.ack_timeout:
        return one.acknowledged_at + route.ack_timeout
    return one.next_step_at or one.opened_at
