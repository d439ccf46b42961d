"""Send what is owed: every message once, whatever dies in between.

claim and the channel's gate -> commit that there is an attempt -> post -> record. What an attempt may have sent waits
out the quiet period and is looked for (reconcile.py) before it is sent again. A claim that outlives the quiet period
belongs to a process that died; by then its message is stored or lost.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from time import monotonic
from typing import Final, Protocol

from sqlalchemy import Connection, Engine

from config.models.catalog import Catalog
from config.models.routing import Person, Route
from queries.messages import digests, outbox, rate_limits, restores
from queries.messages.outbox import DIVERTED, DueMessage, Outcome, PostedMessage, QueuedMessage
from queries.state.incidents import HistoryEntry
from triggers.incidents.escalation import named_people, parse_ladder
from triggers.logs import about
from triggers.messages import channel_budget, digest
from triggers.messages.card import SECTION, Card, Message, fallback, incident_message, metadata, news_message, plain
from triggers.slack.client import Posted, Slack, SlackError
from triggers.slack.find_sent import LOOKED, LOOKING, Search, thread_of

log: Final = logging.getLogger("triggers")

QUIET: Final = 2.0
"""After so many time-outs an attempt's message is stored or lost: connecting and waiting may each take one."""

MOST_OF_LEASE: Final = 0.5
"""What may have passed of a time-out between the claim and the call: later the claim could end before the call does."""

BACK_OFF: Final = timedelta(seconds=5)
LONGEST: Final = timedelta(minutes=30)
MUTED_FOR: Final = timedelta(minutes=1)
"""How long what is muted is put off, before one asks again."""

SHORT: Final = timedelta(seconds=2)
"""How long a round waits for a gate to open; for longer it gives up its turn."""

TOO_RICH: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long"})
"""What Slack refuses for its form: it gets the bare text."""


class CrashPoint(IntEnum):
    """Where a process can die, or be stopped, on the way of a message."""

    CHOSEN = 1
    CLAIMING = 2
    CLAIMED = 3
    WRITING = 4
    ANSWERED = 5
    RECORDING = 6
    RECORDED = 7
    LOOKING = LOOKING
    LOOKED = LOOKED
    FOLDING = digest.FOLDING
    FOLDED = digest.FOLDED


class CardSource(Protocol):
    """Where cards come from."""

    @property
    def public_url(self) -> str:
        """How links begin."""
        ...

    def card(self, conn: Connection, id_: str, /) -> Card:
        """The card of an incident, for its route's channel."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What one round did."""

    sent: int = 0
    found: int = 0
    superseded: int = 0
    later: int = 0
    dead: int = 0
    folded: int = 0

    def __add__(self, other: "Sent") -> "Sent":
        pairs = zip(self._figures(), other._figures(), strict=True)
        return Sent(*(a + b for a, b in pairs))

    def _figures(self) -> tuple[int, ...]:
        return self.sent, self.found, self.superseded, self.later, self.dead, self.folded

    def __str__(self) -> str:
        """The round in one line."""
        digest_ = f", {self.folded} told by a digest" if self.folded else ""
        told = f"{self.sent} sent, {self.found} found already sent{digest_}"
        return f"{told}, {self.later} to be tried again, {self.dead} refused"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message with everything that can be known before it is claimed. `anchor` is the root message that it changes
    or replies to, and `root_id` its outbox id; without `words` there is nothing to say any more.
    """

    message: QueuedMessage
    channel: str
    anchor: PostedMessage | None = None
    card: Card | None = None
    words: Message | None = None
    version: int = 0
    root_id: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryWorker:
    """What a delivery needs: the state, Slack, the cards and the clock.

    Args:
        wait: waits for a gate to open, with nothing claimed; None leaves the rest to the next round.
        spacing: between two messages to one channel, by whatever process.
        is_muted: whether nothing is to be told of an incident now, by its id. What is muted waits.
        crash_point: called with each Point that a message passes, and the message's id. For tests that kill.
        back_off: before the second attempt at what was certainly not sent; later ones wait longer.
        letters: the words of a letter by its id; None for what is no letter.
    """

    states: Engine
    slack: Slack
    cards: CardSource
    catalog: Catalog
    timeout_s: float
    clock: Callable[[], datetime]
    wait: Callable[[timedelta], None] | None = None
    spacing: timedelta = channel_budget.SPACING
    is_muted: Callable[[str], bool] | None = None
    crash_point: Callable[[int, str], None] = lambda _point, _message: None
    back_off: timedelta = BACK_OFF
    letters: Callable[[Connection, str], Message | None] | None = None

    @property
    def settle_time(self) -> timedelta:
        """After this long an attempt's message is stored, or never will be."""
        return timedelta(seconds=max(self.timeout_s, self.slack.timeout_s) * QUIET)

    def deliver(self, stop: Callable[[], bool] = lambda: False) -> Sent:
        """Send everything that is due, in the order of each incident, as fast as the channels take it."""
        total = Sent()
        while not stop():
            done, waiting = self._round(stop)
            total += done or Sent()
            if done is not None:
                continue
            pause = self._pause(waiting)
            if pause is None or pause > SHORT or self.wait is None:
                return total
            self.wait(pause)
        return total

    def _round(self, stop: Callable[[], bool]) -> tuple[Sent | None, frozenset[str]]:
        """One message to each channel. None where nothing could be done, with the channels whose gate is closed."""
        channels = channel_budget.channels(self.catalog.routes)
        rate_limits.build(self.states, (channel.id for channel in channels))
        folded = self._settle(channels)
        due, open_, blocked = self._due(dict(digest.targets(channels)))
        sought = [one for one in due if one.message.must_be_looked_for and one.channel not in blocked]
        posts = [one for one in due if not one.message.must_be_looked_for]
        ready = [one for one in posts if one.channel in open_]
        if not (folded or sought or ready):
            return None, frozenset(one.channel for one in posts)
        found, later = self._search().look(sought) if sought else (0, 0)
        total = Sent(found=found, later=later, folded=folded)
        for one in ready:
            if not stop():
                total += self._deliver(one)
        return total, frozenset()

    def _settle(self, channels: tuple[channel_budget.Channel, ...]) -> int:
        """Before anything is chosen: what is in doubt, muted, or too much. Returns how many a digest tells."""
        now = self.clock()
        with self.states.begin() as conn:
            restores.doubt(conn)
            if self.is_muted is not None:
                known = outbox.due_incidents(conn, now, [name for name, _ in digest.targets(channels)])
                outbox.postpone(conn, [id_ for id_ in known if self.is_muted(id_)], now + MUTED_FOR)
        return sum(digest.fold_overflow(self.states, channel, now, self.crash_point) for channel in channels)

    def _due(self, targets: dict[str, str]) -> tuple[tuple[DueMessage, ...], frozenset[str], frozenset[str]]:
        """What is due, the channels that take a message now, and those that Slack closed."""
        now = self.clock()
        with self.states.connect().execution_options(reading=True) as conn:
            due, known = outbox.due_messages(conn, now, targets), rate_limits.rate_limits(conn)
        strange = {one.channel for one in due} - known.keys()  # a message may stand where its route leads no more
        rate_limits.build(self.states, strange)
        open_ = frozenset(channel for channel, gate in known.items() if gate.opens_at <= now)
        blocked = frozenset(channel for channel, gate in known.items() if gate.blocked_until > now)
        return due, open_ | strange, blocked

    def _pause(self, waiting: Iterable[str]) -> timedelta | None:
        with self.states.connect().execution_options(reading=True) as conn:
            return channel_budget.pause(rate_limits.rate_limits(conn), waiting, self.clock())

    def _search(self) -> Search:
        return Search(self.states, self.slack, self.clock, self.settle_time, self._found, self._again, self.crash_point)

    def _deliver(self, due: DueMessage) -> Sent:
        """One message, one attempt."""
        ready = self._prepared(due)
        if ready.words is None:
            return self._unneeded(ready)
        self.crash_point(CrashPoint.CHOSEN, due.message.id)
        claimed, began = self._claim(ready), monotonic()
        if claimed is None:
            return Sent()
        self.crash_point(CrashPoint.CLAIMED, due.message.id)
        try:
            posted = self._write(claimed, began)
        except SlackError as error:
            self.crash_point(CrashPoint.ANSWERED, due.message.id)
            return self._failed(claimed, error)
        self.crash_point(CrashPoint.ANSWERED, due.message.id)
        return self._sent(claimed, posted)

    # What to say.

    def _prepared(self, due: DueMessage) -> Prepared:
        message = due.message
        with self.states.connect().execution_options(reading=True) as conn:
            if digests.is_digest(conn, message.incident_id):
                return self._digest(conn, message, due.channel)
            if self.letters is not None and (said := self.letters(conn, message.incident_id)) is not None:
                return Prepared(message, due.channel, words=said, version=message.version)
            anchor = outbox.posted_message(conn, message.incident_id, message.target)
            card = self._card(conn, message)
            if message.kind == "root":
                words = incident_message(card)
                return Prepared(message, due.channel, None, card, _noted(words, message), card.incident.version)
            if anchor is None and message.kind == "reply":
                anchor = thread_of(conn, message)
                return self._stray_reply(message, due.channel, anchor, card)
            root_id = outbox.root_id(conn, message.incident_id, message.target)
        return replace(self._news(message, due.channel, anchor, card), root_id=root_id or message.incident_id)

    def _card(self, conn: Connection, message: QueuedMessage) -> Card:
        """In a fallback channel nobody is named: it was not made for this incident."""
        card = self.cards.card(conn, message.incident_id)
        return replace(card, evidence=None) if message.step == DIVERTED else card

    def _digest(self, conn: Connection, message: QueuedMessage, channel: str) -> Prepared:
        anchor = digests.anchor(conn, message.incident_id)
        now = digests.read_digest(conn, message.incident_id)
        words: Message | None = digest.words(now, self.catalog, self.cards.public_url, self._verticals(message.target))
        if message.kind == "update" and (anchor is None or anchor.version >= message.version):
            words = None
        return Prepared(message, anchor.channel if anchor else channel, anchor, None, words, now.version)

    def _verticals(self, target: str) -> frozenset[str] | None:
        """What every reader of a target's channel may read about: of the routes that share it, the least."""
        channels = {route.name: route.channel for route in self.catalog.routes}
        shared = [r for r in self.catalog.routes if r.channel and r.channel == channels.get(target)]
        limits = [frozenset(route.verticals) for route in shared if route.verticals is not None]
        return frozenset.intersection(*limits) if limits else None

    def _stray_reply(self, message: QueuedMessage, channel: str, anchor: PostedMessage | None, card: Card) -> Prepared:
        """News of an incident without a message of its own: in the digest's thread, or nowhere."""
        if anchor is None:
            return Prepared(message, channel, None, card)
        words = digest.digest_reply(card, *self._entry(message, card))
        return Prepared(message, anchor.channel, anchor, card, words, message.version)

    def _news(self, message: QueuedMessage, channel: str, anchor: PostedMessage | None, card: Card) -> Prepared:
        """A reply that the root did not tell already, or the root where it does not show this version yet."""
        if message.kind == "update":
            words = incident_message(card) if anchor and anchor.version < message.version else None
            return Prepared(message, channel, anchor, card, _noted(words, message), card.incident.version)
        is_told = anchor is None or message.version <= anchor.posted_version
        words = None if is_told else news_message(card, *self._entry(message, card))
        return Prepared(message, channel, anchor, card, words, message.version)

    def _entry(self, message: QueuedMessage, card: Card) -> tuple[HistoryEntry, tuple[Person, ...]]:
        """What happened, and who is named."""
        entry = next((e for e in card.entries if e.seq == message.version), card.entries[-1])
        if entry.kind != "escalated":
            return entry, ()
        notify = parse_ladder(card.incident.ladder)[card.incident.next_step - 1].notify
        return entry, named_people(notify, self.catalog.people, card.incident.vertical)

    # One attempt.

    def _claim(self, ready: Prepared) -> Prepared | None:
        """The gate and the message, both or neither; None when another process was first."""
        now = self.clock()
        with self.states.connect() as conn, conn.begin() as transaction:
            claimed = None
            if rate_limits.try_acquire(conn, ready.channel, now, self.spacing):
                claimed = outbox.claim(conn, ready.message, ready.channel, now, now + self.settle_time)
            self.crash_point(CrashPoint.CLAIMING, ready.message.id)
            if claimed is None:
                transaction.rollback()
        return replace(ready, message=claimed) if claimed else None

    def _write(self, ready: Prepared, began: float) -> Posted:
        """The call, and once more as bare text where Slack refuses its form."""
        words = ready.words or Message("", ())
        try:
            return self._call(ready, words, began)
        except SlackError as error:
            if error.code not in TOO_RICH:
                raise
        return self._call(ready, Message(words.text, ()), began)

    def _call(self, ready: Prepared, words: Message, began: float) -> Posted:
        message, anchor = ready.message, ready.anchor
        if monotonic() - began > self.timeout_s * MOST_OF_LEASE:
            raise SlackError("too_slow_to_send_safely", "unsent")
        self.crash_point(CrashPoint.WRITING, message.id)
        if message.kind != "update" or anchor is None:
            thread = anchor.ts if anchor and message.kind == "reply" else None
            return self.slack.post(ready.channel, words, metadata(message.id, message.incident_id), thread)
        standing = Posted(anchor.channel, anchor.ts)
        self.slack.update(standing, words, metadata(ready.root_id or message.incident_id, message.incident_id))
        return standing

    # What became of it.

    def _sent(self, ready: Prepared, posted: Posted) -> Sent:
        if not self._record(ready, posted):
            self._clean(ready, posted)
            return Sent()
        self._log("sent", ready.message)
        return Sent(sent=1)

    def _record(self, ready: Prepared, posted: Posted) -> bool:
        """Under the fence: False, and nothing written, when another process took the message over."""
        message, now = ready.message, self.clock()
        with self.states.connect() as conn, conn.begin() as transaction:
            notified = message.kind in ("root", "reply")
            rate_limits.record_use(conn, posted.channel, now, self.spacing, notified=notified)
            is_mine = outbox.record_outcome(conn, message, "sent", now, ts=posted.ts)
            if is_mine and message.kind in ("root", "digest"):
                place = (message.incident_id, message.target, posted.channel, posted.ts)
                outbox.record_root(conn, PostedMessage(*place, ready.version, ready.version))
            if is_mine and message.kind == "update" and ready.anchor:
                outbox.record_shown(conn, ready.anchor, ready.version)
            self.crash_point(CrashPoint.RECORDING, message.id)
            if not is_mine:
                transaction.rollback()
        self.crash_point(CrashPoint.RECORDED, message.id)
        return is_mine

    def _log(self, event: str, message: QueuedMessage, error: SlackError | None = None) -> None:
        """One line for each outcome."""
        of = about(incident=message.incident_id, message=message.id, code=error.code if error else None)
        log.info(event, extra=of)

    def _found(self, message: QueuedMessage, thread: PostedMessage | None, posted: Posted) -> bool:
        """Of a message that was found only the version that it was queued for is certain."""
        self._log("found already sent", message)
        return self._record(Prepared(message, posted.channel, thread, version=message.version), posted)

    def _clean(self, ready: Prepared, posted: Posted) -> None:
        """This process was away for so long that another one took over: what it did is undone."""
        with self.states.begin() as conn:
            if ready.message.kind == "update" and ready.anchor:
                outbox.refresh_message(conn, ready.anchor, self.clock())
                return
            recorded = outbox.where_sent(conn, ready.message.id)
        if recorded not in (None, posted.ts):
            self.slack.delete(posted)

    def _unneeded(self, ready: Prepared) -> Sent:
        """Nothing to say any more, unless its channel refused the incident: then the fallback's gets it."""
        message, now = ready.message, self.clock()
        with self.states.begin() as conn:
            if outbox.record_outcome(conn, message, "superseded", now) and ready.anchor is None:
                route = self._fallback(message)
                if route and (why := outbox.refusal(conn, message.incident_id, message.target)):
                    outbox.reroute(conn, replace(message, error=why), route.name, now)
        return Sent(superseded=1)

    def _failed(self, ready: Prepared, error: SlackError) -> Sent:
        """Put a message back by what is known of it: unsent, in doubt until looked for, or refused."""
        message, now = ready.message, self.clock()
        if message.kind == "update" and ready.anchor and error.code == "message_not_found":
            return self._gone(message, ready.anchor)
        outcome = _OUTCOMES[error.certainty]
        self._log(f"not sent: {outcome}", message, error)
        with self.states.begin() as conn:
            if error.retry_after is not None:
                rate_limits.block(conn, ready.channel, now + timedelta(seconds=error.retry_after))
            due_at = now + self._wait(message, error)
            is_mine = outbox.record_outcome(conn, message, outcome, now, error=error.code, due_at=due_at)
            if is_mine and outcome == "dead" and (route := self._fallback(message)):
                outbox.reroute(conn, replace(message, error=error.code), route.name, now)
        return Sent(dead=1) if outcome == "dead" else Sent(later=1)

    def _gone(self, message: QueuedMessage, anchor: PostedMessage) -> Sent:
        """Somebody deleted the incident's message: it is posted again."""
        with self.states.begin() as conn:
            if outbox.record_outcome(conn, message, "superseded", self.clock()):
                outbox.repost(conn, anchor, self.clock())
        return Sent(superseded=1)

    def _fallback(self, message: QueuedMessage) -> Route | None:
        """The route that gets what a channel refuses; one step only."""
        if message.step == DIVERTED or message.kind == "digest":
            return None
        routes = {route.name: route for route in self.catalog.routes}
        own = routes.get(message.target)
        return routes.get(own.fallback) if own and own.fallback else None

    def _wait(self, message: QueuedMessage, error: SlackError) -> timedelta:
        if error.retry_after is not None:
            return timedelta(seconds=error.retry_after)
        return self.settle_time if error.certainty == "ambiguous" else self._longer(message.attempts)

    def _again(self, message: QueuedMessage, error: SlackError | None) -> timedelta:
        """When to look again, or to send what a look did not find: at once the first time."""
        if error is not None and error.retry_after is not None:
            return timedelta(seconds=error.retry_after)
        if error is None and message.attempts <= 2:
            return timedelta(0)
        return self._longer(message.attempts - 2)

    def _longer(self, attempts: int) -> timedelta:
        """Twice as long with every second attempt, for each may have been a look."""
        times: int = 2 ** min(max(attempts - 1, 0) // 2, 10)
        return min(self.back_off * times, LONGEST)


def _noted(words: Message | None, message: QueuedMessage) -> Message | None:
    """In a fallback channel: why it comes here."""
    if words is None or message.step != DIVERTED:
        return words
    note = f"This comes here because Slack refused it elsewhere: {message.error or 'see the log'}."
    return Message(f"{words.text} {fallback(note)}", (*words.blocks, {"type": "section", "text": plain(note, SECTION)}))


_OUTCOMES: Final[dict[str, Outcome]] = {"permanent": "dead", "unsent": "pending", "ambiguous": "unsure"}
