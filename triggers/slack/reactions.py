"""Look for reactions before a step of the ladder is taken: an event can be lost, a reaction stays where it is."""

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from config.models import Catalog, Person
from queries.messages.inbox import places
from queries.scope import EVERYTHING
from queries.state import Incident, RacedError, open_incidents
from triggers.incidents.access import may_read, reader_scope
from triggers.incidents.actions import OverError, acknowledge
from triggers.incidents.escalation import due_steps
from triggers.slack.client import Slack, SlackError
from triggers.slack.interactions import is_acknowledging, presser

log: Final = logging.getLogger("triggers")
MOST: Final = 40
"""How many messages are looked at in one round: Slack allows about 50 such calls a minute."""


def acknowledge_reacted(states: Engine, slack: Slack, catalog: Catalog, zone: ZoneInfo, now: datetime) -> int:
    """Take on for those who reacted the incidents that would be escalated now. Returns how many.

    Where Slack does not answer the step is taken: telling somebody once more is better than telling nobody.
    """
    with states.connect() as conn:
        due = due_steps(open_incidents(conn, EVERYTHING), catalog, zone, now)
    steps = [incident for incident, move in due if move.kind in ("escalated", "digested")]
    if len(steps) > MOST:
        log.warning("%s steps are due at once; the reactions of %s are looked at", len(steps), MOST)
    return sum(_one(states, slack, catalog, incident, now) for incident in steps[:MOST])


def _one(states: Engine, slack: Slack, catalog: Catalog, incident: Incident, now: datetime) -> bool:
    with states.connect() as conn:
        shown = places(conn, incident.id)
    try:
        who = next((p for channel, ts in shown for p in _reacted(slack, catalog, channel, ts, incident)), None)
        if who is None:
            return False
        with states.begin() as conn:
            acknowledge(conn, incident.id, who.name, reader_scope(who), now)
    except SlackError as error:
        log.info("reactions could not be looked at: %s", error.code)
        return False
    except (RacedError, OverError) as error:
        log.info("%s", error)
        return False
    return True


def _reacted(slack: Slack, catalog: Catalog, channel: str, ts: str, incident: Incident) -> Iterator[Person]:
    """Who left a reaction by which an incident is taken on, and may see it."""
    message = slack.ask("reactions.get", channel=channel, timestamp=ts, full=True).data.get("message") or {}
    for reaction in message.get("reactions") or ():
        if is_acknowledging(reaction.get("name")):
            people = (presser(catalog.people, str(member)) for member in reaction.get("users") or ())
            yield from (person for person in people if person and may_read(person, incident))
