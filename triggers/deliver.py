"""Send what is owed: every message once, whatever dies in between.

claim -> commit that there is an attempt -> where an earlier one may have got through, look for it in Slack -> post ->
record. A claim that outlives the quiet period belongs to a process that died; by then its message is stored or lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from sqlalchemy import Engine

from config.catalog import Catalog, Person
from queries import outbox
from queries.incidents import delivery_id
from queries.outbox import Outcome, Owed, Root
from triggers.cards import Cards
from triggers.escalate import ladder, named
from triggers.message import Card, Message, metadata, reply, root
from triggers.slack import Posted, Slack, SlackError

MARGIN: Final = 0.5
"""How long after its time-out a request can still be stored, as a part of the time-out."""

BACK_OFF: Final = timedelta(seconds=5)
LONGEST: Final = timedelta(minutes=30)
TOO_RICH: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long"})
"""What Slack refuses for its form: it gets the bare text."""

LOOK_BACK: Final = timedelta(minutes=5)
"""How far before a message was queued Slack is searched for it: clocks differ."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What one round did."""

    sent: int = 0
    found: int = 0
    superseded: int = 0
    later: int = 0
    dead: int = 0

    def __add__(self, other: "Sent") -> "Sent":
        pairs = zip(self._figures(), other._figures(), strict=True)
        return Sent(*(a + b for a, b in pairs))

    def _figures(self) -> tuple[int, ...]:
        return self.sent, self.found, self.superseded, self.later, self.dead

    def __str__(self) -> str:
        """The round in one line."""
        return f"{self.sent} sent, {self.found} found already sent, {self.later} to be tried again, {self.dead} refused"


@dataclass(frozen=True, slots=True)
class Courier:
    """What a delivery needs: the state, Slack, the cards and the clock."""

    states: Engine
    slack: Slack
    cards: Cards
    catalog: Catalog
    timeout_s: float
    clock: Callable[[], datetime]

    @property
    def quiet(self) -> timedelta:
        """After this long an attempt's message is stored, or never will be."""
        return timedelta(seconds=self.timeout_s * (1 + MARGIN))

    def deliver(self, stop: Callable[[], bool] = lambda: False) -> Sent:
        """Send everything that is due, in the order of each incident."""
        total = Sent()
        while not stop():
            with self.states.connect() as conn:
                due = outbox.sendable(conn, self.clock(), self._channels())
            done = [self._deliver(message) for message in due if not stop()]
            if not done:
                return total
            total = sum((one for one in done if one), total)
        return total

    def _channels(self) -> dict[str, str]:
        """Where each target's messages go. A target without a channel keeps its messages pending."""
        return {route.name: route.channel for route in self.catalog.routes if route.channel}

    def _deliver(self, message: Owed) -> Sent | None:
        """One message, one attempt. None where nothing could be done about it now."""
        channel = message.channel or self._channels()[message.target]
        claimed, began = self._claim(message, channel), monotonic()
        if claimed is None:
            return None
        seen_before = message.may_be_sent_already
        try:
            return self._attempt(claimed, seen_before=seen_before, began=began)
        except SlackError as error:
            return self._failed(claimed, error, seen_before=seen_before)

    def _claim(self, message: Owed, channel: str) -> Owed | None:
        now = self.clock()
        with self.states.begin() as conn:
            return outbox.claim(conn, message, channel, now, now + self.quiet)

    def _attempt(self, message: Owed, *, seen_before: bool, began: float) -> Sent:
        with self.states.connect() as conn:
            card = self.cards.card(conn, message.incident_id)
            anchor = outbox.root(conn, message.incident_id, message.target)
        if message.kind == "update":
            return self._update(message, card, anchor)
        if message.kind == "reply" and (anchor is None or message.version <= anchor.posted_version):
            return self._done(message, "superseded")
        if seen_before and (found := self._find(message, anchor)):
            return self._posted(message, message.version, found, Sent(found=1))
        if monotonic() - began > self.timeout_s * MARGIN:
            raise SlackError("too_slow_to_send_safely", "unsent")
        return self._posted(message, card.incident.version, self._post(message, card, anchor), Sent(sent=1))

    def _find(self, message: Owed, anchor: Root | None) -> Posted | None:
        oldest = (message.created_at - LOOK_BACK).timestamp()
        thread = anchor.ts if anchor and message.kind == "reply" else None
        try:
            return self.slack.find(message.channel or "", message.id, oldest, thread)
        except SlackError as error:  # not knowing whether it is there, one must not post
            raise SlackError(f"cannot_look_for_it: {error.code}", "ambiguous", error.retry_after) from error

    def _post(self, message: Owed, card: Card, anchor: Root | None) -> Posted:
        payload = metadata(message.id, message.incident_id)
        words = root(card) if message.kind == "root" else self._reply(message, card)
        thread = anchor.ts if anchor and message.kind == "reply" else None
        try:
            return self.slack.post(message.channel or "", words, payload, thread)
        except SlackError as error:
            if error.code not in TOO_RICH:
                raise
            return self.slack.post(message.channel or "", Message(words.text, ()), payload, thread)

    def _reply(self, message: Owed, card: Card) -> Message:
        entry = next((e for e in card.entries if e.seq == message.version), card.entries[-1])
        people: tuple[Person, ...] = ()
        if entry.kind == "escalated":
            notify = ladder(card.incident.ladder)[card.incident.next_step - 1].notify
            people = named(notify, self.catalog.people, card.incident.vertical)
        return reply(card, entry, people)

    def _update(self, message: Owed, card: Card, anchor: Root | None) -> Sent:
        """Bring the root up to date; not where it shows this version, or a newer one, already."""
        if anchor is None or anchor.version >= message.version:
            return self._done(message, "superseded")
        payload = metadata(delivery_id(card.incident, "root", 0, message.target), message.incident_id)
        self.slack.update(Posted(anchor.channel, anchor.ts), root(card), payload)
        with self.states.begin() as conn:
            outbox.record_shown(conn, anchor, card.incident.version)
            outbox.record(conn, message, "sent", self.clock(), ts=anchor.ts)
        return Sent(sent=1)

    def _posted(self, message: Owed, version: int, posted: Posted, outcome: Sent) -> Sent:
        """Record where a message stands. Of one that was found only the version that it was queued for is certain."""
        with self.states.begin() as conn:
            if message.kind == "root":
                place = (message.incident_id, message.target, posted.channel, posted.ts)
                outbox.record_root(conn, Root(*place, version, version))
            outbox.record(conn, message, "sent", self.clock(), ts=posted.ts)
        return outcome

    def _done(self, message: Owed, outcome: Outcome) -> Sent:
        with self.states.begin() as conn:
            outbox.record(conn, message, outcome, self.clock())
        return Sent(superseded=1)

    def _failed(self, message: Owed, error: SlackError, *, seen_before: bool) -> Sent:
        """Put a message back by what is known of it. What may be there already stays in doubt until looked for."""
        now = self.clock()
        outcome: Outcome = _OUTCOMES[error.certainty]
        if outcome == "pending" and seen_before:
            outcome = "unsure"
        due_at = now + self._wait(message, error)
        with self.states.begin() as conn:
            outbox.record(conn, message, outcome, now, error=error.code, due_at=due_at)
        return Sent(dead=1) if outcome == "dead" else Sent(later=1)

    def _wait(self, message: Owed, error: SlackError) -> timedelta:
        if error.retry_after is not None:
            return timedelta(seconds=error.retry_after)
        first = self.quiet if error.certainty == "ambiguous" else BACK_OFF
        times: int = 2 ** min(message.attempts - 1, 10)
        return min(first * times, max(LONGEST, self.quiet))


_OUTCOMES: Final[dict[str, Outcome]] = {"permanent": "dead", "unsent": "pending", "ambiguous": "unsure"}
