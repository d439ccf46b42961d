"""Do what a press means: its change and the note that it is done in one transaction, then the answer to the presser."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from config.models import Catalog, Route
from queries.messages import inbox
from queries.messages.inbox import Arrived, Done
from queries.scope import Scope
from queries.state import Incident, NewAction, RacedError, actions, entries, incidents_by_id
from queries.state.feedback import vote
from triggers.incidents.access import reader_scope
from triggers.incidents.actions import acknowledge, reassign, resolve, snooze
from triggers.incidents.business_hours import Timetable, timetable
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
    presser,
)
from triggers.slack.modals import form

log: Final = logging.getLogger("triggers")
THANKS: Final = {
    "useful": "Thank you: counted as useful.",
    "noise": "Thank you: counted as noise. Its rule's owner sees how often.",
    "action": "Recorded. The monthly review shows it beside the figure it is meant to move.",
}


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

    def _one(self, arrived: Arrived) -> bool:
        try:
            press = from_text(arrived.body)
            decision, about = self._decided(arrived, press)
        except Exception as error:  # noqa: BLE001 - one that cannot be done must not hold up the others
            self._failed(arrived, error)
            return False
        if decision is not None:
            self._answer(press, decision, about)
        return decision is not None

    def _failed(self, arrived: Arrived, error: Exception) -> None:
        """A race is only tried again; anything else counts, and after some times it is given up."""
        if isinstance(error, RacedError):
            return
        log.error("%s %s could not be done: %s", arrived.kind, arrived.id, type(error).__name__)
        with self.states.begin() as conn:
            inbox.failed(conn, arrived.id, type(error).__name__, self.clock())

    def _decided(self, arrived: Arrived, press: Interaction) -> tuple[Decision | None, Incident | None]:
        """Decide and do it. None where another process did."""
        with self.states.begin() as conn:
            about = self._incident(conn, press)
            seen = self._seen(conn, press, about, arrived)
            decision = decide(press, seen) if press.kind != "reaction" or about else Tell("")
            done = Done(about.id if about else None, seen.person.name if seen.person else None, _outcome(decision))
            if not inbox.record_handled(conn, arrived.id, done, self.clock()):
                return None, about
            if isinstance(decision, Do) and about and seen.person:
                self._do(conn, press, decision, about, seen.person.name, reader_scope(seen.person))
        return decision, about

    def _incident(self, conn: Connection, press: Interaction) -> Incident | None:
        id_ = press.incident or inbox.shown_at(conn, press.channel, press.ts)
        return incidents_by_id(conn, (id_,)).get(id_) if id_ else None

    def _seen(
        self, conn: Connection, press: Interaction, about: Incident | None, arrived: Arrived
    ) -> InteractionContext:
        channels = {channel for channel, _ in inbox.places(conn, about.id)} if about else set()
        history = entries(conn, about.id) if about else ()
        table = self._timetable(about)
        person, people = presser(self.catalog.people, press.user), self.catalog.people
        return InteractionContext(
            person, about, history, frozenset(channels), table, people, arrived.received_at, self.clock()
        )

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
            reassign(conn, id_, do.to, do.words, author, scope, now)
        elif do.what == "resolve":
            resolve(conn, id_, author, do.words, scope, now)
        elif do.what == "action":
            actions.record_action(conn, self._new(press, about, author), author, now)
        else:
            vote(conn, id_, author, now, useful=do.what == "useful")

    def _new(self, press: Interaction, about: Incident, author: str) -> NewAction:
        rule = next((rule for rule in self.catalog.rules if rule.name == about.rule), None)
        return NewAction(
            what=press.fields["what"],
            owner=press.fields.get("who") or author,
            started_on=self._today(about),
            due_on=due_on(press),
            incident_id=about.id,
            vertical=about.vertical,
            touchpoint=about.touchpoint,
            metric=getattr(rule, "metric", None),
            expected_effect=effect(press),
        )

    def _answer(self, press: Interaction, decision: Decision, about: Incident | None) -> None:
        """Say it to the presser alone. What it says is also in the incident's message, so a failure loses nothing."""
        try:
            if isinstance(decision, Open) and about:
                view = form(decision.form, press, about, self.catalog.people)
                self.slack.ask("views.open", trigger_id=press.trigger, view=view)
            elif text := _said(decision):
                self._whisper(press, text)
        except SlackError as error:
            log.info("an answer was not told: %s", error.code)

    def _whisper(self, press: Interaction, text: str) -> None:
        body: Mapping[str, Any] = {"channel": press.channel, "user": press.user, "text": text}
        self.slack.ask("chat.postEphemeral", **body)


def _said(decision: Decision) -> str:
    if isinstance(decision, Tell):
        return decision.text
    return THANKS.get(decision.what, "") if isinstance(decision, Do) else ""


def _outcome(decision: Decision) -> str:
    """As it is kept: ids and counts only."""
    if isinstance(decision, Do):
        return f"done: {decision.what}"
    return f"opened: {decision.form}" if isinstance(decision, Open) else "refused"
