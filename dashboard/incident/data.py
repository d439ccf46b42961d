"""What the incident page reads, each result once: see `dashboard.cache`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from dashboard.cache import Changes, Key, copied, shared, until_changed
from dashboard.charts import finished
from dashboard.customers import pseudonym
from dashboard.incident.charts import Bought, Reference, bought, origin, over_time
from dashboard.review.data import effect
from queries.messages import Notification, notified_states, read_notifications
from queries.monitoring import BadRow, Evidence, with_revenue
from queries.review import (
    USUAL,
    IncidentPage,
    Onset,
    Periods,
    Readings,
    Sample,
    Trend,
    current_rule,
    outcome_words,
    periods_for,
    queue_summary,
    read_bad_rows,
    read_bought,
    read_evidence,
    read_incident_page,
    read_onset,
    read_present,
    read_trend,
    timetable,
)
from queries.state import Action, Incident, newest_slots, read_incidents
from queries.warehouse import Pin
from triggers.messages import Card, origin_text, other_incidents

ShownCard = Card | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the state says of an incident: its page, what is open at accounts, and what was told of it."""

    page: IncidentPage
    standing: tuple[Incident, ...]
    told: tuple[Notification, ...]


@until_changed
def recorded(key: Key, changes: Changes, _pin: Pin, _state: Connection, id_: str) -> Recorded:
    """One incident in the reader's scope, as it is now. Raises UnknownIncidentError."""
    del changes
    page = read_incident_page(_state, key.catalog, id_, key.scope)
    newest = newest_slots(_state).get(page.incident.rule)
    now = present(key, _pin, page.incident, newest.slot if newest else None)
    standing = read_incidents(_state, key.scope, "open") if page.incident.account_id else ()
    return Recorded(replace(page, present=now), tuple(standing), tuple(read_notifications(_state, id_)))


def queue_line(state: Connection, found: Sequence[Incident]) -> str:
    """How many of these are open, and what became of their messages, in one line."""
    return queue_summary(found, notified_states(state, [one.id for one in found if one.is_open]))


def seen(page: IncidentPage) -> str:
    """What an incident's evidence and charts hang on: its version, which its history grows with, and its window."""
    return repr((page.incident, page.present))


def periods(key: Key, incident: Incident) -> Periods:
    """The periods by which an incident's reader may see its figures over time."""
    audience, (_, metric) = key.catalog.audience(key.scope.role), current_rule(incident.rule, key.catalog)
    allowed = audience.grains if audience else USUAL
    return periods_for(metric, key.scope, allowed) if metric else ()


@shared({Incident: repr})
def trend(key: Key, _pin: Pin, incident: Incident, grain: str | None = None) -> Trend | None:
    """An incident's own figures over time, by what was asked for, or by what suits them."""
    (rule, metric), allowed = current_rule(incident.rule, key.catalog), periods(key, incident)
    if rule is None or metric is None:
        return None
    usual = tuple(one for one in USUAL if one in allowed) or allowed
    grains = tuple(one for one in allowed if one == grain) or usual
    return read_trend(_pin.conn, rule, metric, incident, key.scope, key.as_of, grains=grains)


@copied({Incident: repr, Reference: repr, Readings: repr})
def trend_spec(
    key: Key, _pin: Pin, incident: Incident, grain: str | None, reference: Reference | None, readings: Readings | None
) -> dict[str, Any] | None:
    """The finished chart of an incident, None where no figures are kept for it."""
    shown = trend(key, _pin, incident, grain)
    _, metric = current_rule(incident.rule, key.catalog)
    if shown is None or metric is None or all(point.value is None for point in shown.points):
        return None
    return finished(over_time(shown, metric, incident, reference, readings, key.tz))


@shared({IncidentPage: seen})
def decline(key: Key, _pin: Pin, page: IncidentPage) -> tuple[Bought, ...]:
    """What the account of a decline bought by month, and its share of wallet where that is known."""
    account, sample, audience = page.incident.account_id, page.sample, key.catalog.audience(key.scope.role)
    if audience and "month" not in audience.grains:
        return ()
    if page.rule is None or not page.rule.reads_revenue or account is None or "months" not in sample:
        return ()
    months = read_bought(_pin.conn, account, key.scope, _read_at(key, page))
    compared = tuple(date.fromisoformat(day) for day in sample["months"])
    money = tuple((one.month, one.revenue, one.revenue_before) for one in months)
    share = tuple((one.month, one.share, one.share_before) for one in months)
    found = (
        Bought("Revenue", sample["currency"] or key.currency, money, compared),
        Bought("Share of wallet", "", share, compared),
    )
    return tuple(one for one in found if sum(value is not None for _, value, _ in one.months) > 1)


@copied({Bought: repr})
def decline_spec(_key: Key, _pin: Pin, of: Bought) -> dict[str, Any]:
    """The finished chart of a decline."""
    return finished(bought(of))


@shared({Incident: lambda found: (found.id, found.value)})
def onset(key: Key, _pin: Pin, found: Incident) -> Onset | None:
    """When an incident began."""
    return read_onset(_pin, key.catalog, found.rule, (found.slice, found.slot, found.value), key.scope, key.as_of)


@shared({Incident: lambda found: (found.id, found.version)})
def present(key: Key, _pin: Pin, found: Incident, slot: date | None) -> Sample | None:
    """The figure of an open incident in the newest window that its rule looked at."""
    rule, _ = current_rule(found.rule, key.catalog)
    metrics = tuple(key.catalog.metric(name) for name in rule.metric_names) if rule else ()
    return read_present(_pin.conn, rule, metrics, found, slot, key.scope, key.as_of)


def effect_words(key: Key, pin: Pin, action: Action, others: tuple[Action, ...]) -> str:
    """What an action has done so far, in words."""
    measured = effect(key, pin, action, others)
    metric = next((metric for metric in key.catalog.metrics if metric.name == action.metric), None)
    return outcome_words(action, measured, metric)


@shared({IncidentPage: seen})
def incident_evidence(key: Key, _pin: Pin, page: IncidentPage) -> Evidence | None:
    """What stands behind an incident, at its present version."""
    as_of = _read_at(key, page)
    found = read_evidence(_pin.conn, page, key.scope, as_of)
    if found and not key.has_names:
        hidden = (replace(one, name=pseudonym(one.account_id)) for one in found.contributors)
        found = replace(found, contributors=tuple(hidden))
    return with_revenue(_pin.conn, found, key.currency, key.scope, as_of) if found else None


def _read_at(key: Key, page: IncidentPage) -> datetime:
    """When a page is known at: a case of today was known when it opened, after the day had begun."""
    return max(key.as_of, page.incident.opened_at + timedelta(seconds=1))


@copied({IncidentPage: seen})
def origin_spec(key: Key, _pin: Pin, page: IncidentPage) -> dict[str, Any] | None:
    """The finished chart of where a breach comes from, None where that is not known."""
    found = incident_evidence(key, _pin, page)
    if found is None or found.drivers is None or page.metric is None or not found.drivers.dimensions:
        return None
    return finished(origin(found.drivers, page.metric))


@shared({IncidentPage: seen})
def bad_rows(key: Key, _pin: Pin, page: IncidentPage) -> tuple[BadRow, ...]:
    """The newest cases behind an incident; none for an audience that is shown no rows."""
    audience = key.catalog.audience(key.scope.role)
    rows = read_bad_rows(_pin.conn, page, key.scope, key.as_of) if audience and audience.rows else ()
    return rows if key.has_names else tuple(replace(row, account=pseudonym(row.account_id)) for row in rows)


def card(key: Key, pin: Pin, page: IncidentPage, link: str, standing: Iterable[Incident]) -> ShownCard:
    """The card that Slack shows too. `standing` is what is open and the reader may see."""
    route = next((route for route in key.catalog.routes if route.name == page.incident.route), None)
    if page.rule is None or route is None:
        return None
    # In Slack the route decides whether accounts are named, for anybody may be in a channel. Here the scope has
    # already left out the accounts that this reader may not see.
    named = route.model_copy(update={"show": ("accounts",)})
    zone = key.tz
    evidence = incident_evidence(key, pin, page)
    began = onset(key, pin, page.incident)
    told = (page.incident, page.history, page.rule, page.metric, named, evidence, zone, link, key.catalog.people)
    # Addresses within the dashboard, wherever it is reached.
    others = other_incidents(page.incident, standing, key.catalog, "", zone)
    shown = Card(*told, onset=began, today=key.day, present=page.present, others=others)
    return replace(shown, table=timetable(key.catalog, named, zone), now=_read_at(key, page))


def origin_words(shown: ShownCard) -> str:
    """Where a breach comes from, with the accounts that the card may name."""
    return origin_text(shown.evidence, shown.route) if shown and shown.evidence else ""
