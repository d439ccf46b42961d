"""Set out one message a day that is about nothing, and look whether it arrived. It goes the way of every other."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from config.models import Catalog, Route, program_rule
from queries.messages import SEEN, Canary, newest_canary
from queries.state import (
    CANARY,
    HistoryEntry,
    Incident,
    RuleVersion,
    TickRecord,
    annotate,
    incident_id,
    incidents_by_id,
    rule_hashes,
    write,
)
from triggers.incidents import snapshot
from triggers.incidents.outgoing import root_message
from triggers.rules import version
from triggers.slack.client import Slack

REASON: Final = "A message of every day that shows that messages arrive. Nothing is to be done"
LOOK_BACK: Final = timedelta(minutes=5)
RULE: Final = program_rule(CANARY, "The watchdog's message of the day", severity=4, route=CANARY, owner=CANARY)
"""What the canary's incident was evaluated by, for its card: no tick evaluates it."""


def with_canary(catalog: Catalog, channel: str | None) -> Catalog:
    """The catalogue with the canary's route, where it has a channel."""
    if channel is None:
        return catalog
    return catalog.model_copy(update={"routes": (*catalog.routes, _route(channel))})


def _route(channel: str | None) -> Route:
    return Route(name=CANARY, label="the watchdog's test channel", channel=channel)


def set_out(states: Engine, day: date, now: datetime) -> bool:
    """Queue the day's canary. False where it was.

    Args:
        states: the state.
        day: in the reporting zone.
        now: aware UTC.

    Raises:
        RacedError: another process did it in this moment.
    """
    rule = version(RULE)
    incident = _incident(day, rule.hash, now)
    with states.begin() as conn:
        if incidents_by_id(conn, (incident.id,)):
            return False
        new = () if rule.hash in rule_hashes(conn) else (RuleVersion(rule.hash, CANARY, rule.body, None, now),)
        entry = HistoryEntry(incident.id, 1, now, "opened", REASON)
        message = root_message(incident, now, now)
        write(conn, TickRecord(versions=new, opened=(incident,), entries=(entry,), queued=(message,)))
    return True


def _incident(day: date, rule_hash: str, now: datetime) -> Incident:
    """Closed from the beginning: no tick and no ladder touches it."""
    return Incident(
        id=incident_id(CANARY, day.isoformat(), None),
        rule=CANARY,
        rule_hash=rule_hash,
        slice=f"day={day}",
        class_="data",
        severity=4,
        route=CANARY,
        ladder=snapshot(_route(None), 4),
        vertical=None,
        touchpoint=None,
        account_id=None,
        state="closed",
        episode=1,
        opened_at=now,
        slot=day,
        resolved_at=now,
        acknowledged_at=None,
        acknowledged_by=None,
        next_step=1,
        next_step_at=None,
        value=None,
        n=1,
        origin="live",
        version=1,
    )


def look(states: Engine, slack: Slack, channel: str, now: datetime) -> Canary | None:
    """The newest canary, after looking in its channel where it was not found before.

    Raises:
        SlackError: Slack cannot be read.
        RacedError: another process found it in this moment.
    """
    with states.connect() as conn:
        newest = newest_canary(conn)
    if newest is None or newest.found or newest.state != "sent":
        return newest
    there = slack.sent_since(channel, (newest.queued_at - LOOK_BACK).timestamp())
    if newest.message not in there:
        return newest
    with states.begin() as conn:
        before = incidents_by_id(conn, (newest.incident_id,))[newest.incident_id]
        after = replace(before, version=before.version + 1)
        annotate(conn, after, HistoryEntry(after.id, after.version, now, SEEN, "found in its channel"))
        return newest_canary(conn)
