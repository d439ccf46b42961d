"""Do what a press means: its change and the note that it is done in one transaction, then the answer to the presser.

Before a step of the ladder is taken reactions are looked for: an event can be lost, a reaction stays where it is.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from config.models import Catalog, Person, Route
from queries.messages import inbox
from queries.review import Timetable, timetable
from queries.state import Incident, NewAction, RacedError, entries, incidents_by_id, open_incidents, vote
from queries.warehouse import EVERYTHING, Scope
from triggers.incidents import (
    OverError,
    acknowledge,
    due_steps,
    may_read,
    reader_scope,
    reassign,
    resolve,
    snooze,
    take_action,
)
from triggers.messages import Message
from triggers.slack.blocks import form
from triggers.slack.client import Slack, SlackError
from triggers.slack.interactions import (
    Decision,
    Do,
    Interaction,
    InteractionContext,
    Open,
    Tell,
    decide,
    due_on,
    effect,
    from_text,
    is_acknowledging,
    presser,
)

log: Final = logging.getLogger("triggers")
MOST: Final = 40
"""How many messages are looked at for reactions in one round: Slack allows about 50 such calls a minute."""


@dataclass(frozen=True, slots=True)
class InteractionHandler:
    """What answering needs: the state, Slack, the catalogue, the zone of routes that name none, and the clock."""

    states: Engine
    slack: Slack
    catalog: Catalog
    zone: ZoneInfo
    clock: Callable[[], datetime]

    def everything(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Do all that has arrived, in order. Returns how much was done; what fails is tried again next time."""
        with self.states.connect() as conn:
            waiting = inbox.pending(conn)
        return sum(self._one(arrived) for arrived in waiting if not stop())

    def _one(self, arrived: inbox.Arrived) -> bool:
        try:
            press = from_text(arrived.body)
            decision, about = self._decided(arrived, press)
        except RacedError:
            return False
        except Exception as error:  # noqa: BLE001 - one that cannot be done must not hold up the others
            name = type(error).__name__
            log.error("%s %s could not be done: %s", arrived.kind, arrived.id, name)  # noqa: TRY400 - no data in logs
            with self.states.begin() as conn:
                inbox.failed(conn, arrived.id, name, self.clock())
            return False
        if decision is not None:
            self._answer(press, decision, about)
        return decision is not None

    def _decided(self, arrived: inbox.Arrived, press: Interaction) -> tuple[Decision | None, Incident | None]:
        """Decide and do it. None where another process did."""
        with self.states.begin() as conn:
            about, people = self._incident(conn, press), self.catalog.people
            seen = InteractionContext(
                presser(people, press.user),
                about,
                entries(conn, about.id) if about else (),
                frozenset(channel for channel, _ in inbox.places(conn, about.id)) if about else frozenset(),
                self._timetable(about),
                people,
                arrived.received_at,
                self.clock(),
            )
            decision = decide(press, seen) if press.kind != "reaction" or about else Tell("")
            done = inbox.Done(about.id if about else None, seen.person.name if seen.person else None, decision.outcome)
            if not inbox.record_handled(conn, arrived.id, done, self.clock()):
                return None, about
            if isinstance(decision, Do) and about and seen.person:
                self._do(conn, press, decision, about, seen.person.name, reader_scope(seen.person))
        return decision, about

    def _incident(self, conn: Connection, press: Interaction) -> Incident | None:
        id_ = press.incident or inbox.shown_at(conn, press.channel, press.ts)
        return incidents_by_id(conn, (id_,)).get(id_) if id_ else None

    def today(self, press: Interaction) -> date:
        """The day it is at the route of the incident that a form is about."""
        with self.states.connect() as conn:
            about = self._incident(conn, press)
        return self._today(about)

    def _today(self, about: Incident | None) -> date:
        return self.clock().astimezone(self._timetable(about).zone).date()

    def _timetable(self, about: Incident | None) -> Timetable:
        routes = (route for route in self.catalog.routes if about and route.name == about.route)
        return timetable(self.catalog, next(routes, Route(name="nowhere")), self.zone)

    def _do(self, conn: Connection, press: Interaction, do: Do, about: Incident, author: str, scope: Scope) -> None:
        now, id_ = self.clock(), about.id
        if do.what == "acknowledge":
            acknowledge(conn, id_, author, scope, now)
        elif do.what == "snooze" and do.until:
            snooze(conn, id_, do.until, do.words, author, scope, now)
        elif do.what == "reassign":
            reassign(conn, id_, do.to, do.words, author, scope, now, table=self._timetable(about))
        elif do.what == "resolve":
            resolve(conn, id_, author, do.words, scope, now)
        elif do.what == "action":
            rule = next((rule for rule in self.catalog.rules if rule.name == about.rule), None)
            new = NewAction(
                what=press.fields["what"],
                owner=press.fields.get("who") or author,
                started_on=self._today(about),
                due_on=due_on(press),
                incident_id=about.id,
                vertical=about.vertical,
                touchpoint=about.touchpoint,
                metric=getattr(rule, "metric", None),
                expected_effect=effect(press),
                function=self.catalog.function_of(about.rule),
            )
            take_action(conn, new, author, now)
        else:
            vote(conn, id_, author, now, useful=do.what == "useful")

    def _answer(self, press: Interaction, decision: Decision, about: Incident | None) -> None:
        """Say it to the presser alone. What it says is also in the incident's message, so a failure loses nothing."""
        try:
            if isinstance(decision, Open) and about:
                self.slack.open_form(press.trigger, form(decision.form, press, about, self.catalog.people))
            elif decision.said:
                words = Message((decision.said,), sentences=(decision.said,))
                self.slack.whisper(press.channel, press.user, words)
        except SlackError as error:
            log.info("an answer was not told: %s", error.code)


def acknowledge_reacted(states: Engine, slack: Slack, catalog: Catalog, zone: ZoneInfo, now: datetime) -> int:
    """Take on for those who reacted the incidents that would be escalated now. Returns how many.

    Where Slack does not answer the step is taken: telling somebody once more is better than telling nobody.
    """
    with states.connect() as conn:
        due = due_steps(open_incidents(conn, EVERYTHING), catalog, zone, now)
    steps = [incident for incident, move in due if move.kind in ("escalated", "digested")]
    if len(steps) > MOST:
        log.warning("%s steps are due at once; checking the reactions of %s", len(steps), MOST)
    taken = 0
    for incident in steps[:MOST]:
        try:
            person = next(_who_reacted(states, slack, catalog, incident), None)
            if person is not None:
                with states.begin() as conn:
                    acknowledge(conn, incident.id, person.name, reader_scope(person), now)
                taken += 1
        except SlackError as error:
            log.info("reactions could not be looked at: %s", error.code)
        except (RacedError, OverError) as error:
            log.info("%s", error)
    return taken


def _who_reacted(states: Engine, slack: Slack, catalog: Catalog, incident: Incident) -> Iterator[Person]:
    """Who left a reaction by which an incident is taken on, and may see it."""
    with states.connect() as conn:
        shown = inbox.places(conn, incident.id)
    for channel, ts in shown:
        message = slack.ask("reactions.get", channel=channel, timestamp=ts, full=True).data.get("message") or {}
        for reaction in message.get("reactions") or ():
            if is_acknowledging(reaction.get("name")):
                people = (presser(catalog.people, str(member)) for member in reaction.get("users") or ())
                yield from (person for person in people if person and may_read(person, incident))
