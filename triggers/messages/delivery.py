"""Send what is owed: every message once, whatever dies in between.

claim and the channel's gate -> commit that there is an attempt -> post -> record. What an attempt may have sent waits
out the quiet period and is looked for (find_sent.py) before it is sent again. A claim that outlives the quiet period
belongs to a process that died; by then its message is stored or lost.
"""

import logging
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from time import monotonic
from typing import Final

from sqlalchemy import Connection, Engine

from config.models import Catalog, Route
from queries.messages import (
    DueMessage,
    PostedMessage,
    QueuedMessage,
    discard_pictures,
    outbox,
    rate_limits,
    restores,
    usable_file,
    want_picture,
)
from triggers.logs import about
from triggers.messages import channel_budget
from triggers.messages.compose import CardSource, Composer, Prepared
from triggers.messages.delivery_channel import DeliveryChannel, Ids, Posted, SendError
from triggers.messages.find_sent import LOOKED, LOOKING, Search
from triggers.messages.message import Message

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
    FOLDING = channel_budget.FOLDING
    FOLDED = channel_budget.FOLDED


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
        return Sent(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        """The round in one line."""
        digest_ = f", {self.folded} in a digest" if self.folded else ""
        told = f"{self.sent} sent, {self.found} found already sent{digest_}"
        return f"{told}, {self.later} to be retried, {self.dead} rejected"


@dataclass(frozen=True, slots=True)
class DeliveryWorker:
    """What a delivery needs: the state, the channel, the cards and the clock.

    Args:
        wait: waits for a gate to open, with nothing claimed; None leaves the rest to the next round.
        spacing: between two messages to one channel, by whatever process.
        is_muted: whether nothing is to be told of an incident now, by its id. What is muted waits.
        crash_point: called with each CrashPoint that a message passes, and the message's id. For tests that kill.
        back_off: before the second attempt at what was certainly not sent; later ones wait longer.
        letters: the words of a letter by its id; None for what is no letter.
    """

    states: Engine
    slack: DeliveryChannel
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
            with self.states.connect().execution_options(reading=True) as conn:
                pause = channel_budget.pause(rate_limits.read_rate_limits(conn), waiting, self.clock())
            if pause is None or pause > SHORT or self.wait is None:
                return total
            self.wait(pause)
        return total

    def _round(self, stop: Callable[[], bool]) -> tuple[Sent | None, frozenset[str]]:
        """One message to each channel. None where nothing could be done, with the channels whose gate is closed."""
        channels = channel_budget.channels(self.catalog.routes)
        targets = {route: channel.id for channel in channels for route in channel.routes}
        folded = self._settle(channels, targets)
        due, open_, blocked = self._due(targets)
        # A look is no post: it needs no turn at the gate, and waits only where Slack itself has closed the channel.
        sought = [message for message in due if message.message.must_be_looked_for and message.channel not in blocked]
        posts = [message for message in due if not message.message.must_be_looked_for]
        ready = [message for message in posts if message.channel in open_]
        if not (folded or sought or ready):
            return None, frozenset(message.channel for message in posts)
        total = Sent(folded=folded)
        if sought:
            search = Search(
                self.states, self.slack, self.clock, self.settle_time, self._found, self._again, self.crash_point
            )
            found, later = search.look(sought)
            total += Sent(found=found, later=later)
        for message in ready:
            if not stop():
                total += self._attempt(message)
        return total, frozenset()

    def _settle(self, channels: tuple[channel_budget.Channel, ...], targets: dict[str, str]) -> int:
        """Before anything is chosen: what is in doubt, muted, or too much. Returns how many a digest tells."""
        now = self.clock()
        rate_limits.make_rate_limits(self.states, (channel.id for channel in channels))
        with self.states.begin() as conn:
            restores.doubt(conn)
            if self.is_muted is not None:
                incidents = outbox.due_incidents(conn, now, list(targets))
                outbox.postpone(conn, [id_ for id_ in incidents if self.is_muted(id_)], now + MUTED_FOR)
        return sum(channel_budget.fold_overflow(self.states, channel, now, self.crash_point) for channel in channels)

    def _due(self, targets: dict[str, str]) -> tuple[tuple[DueMessage, ...], frozenset[str], frozenset[str]]:
        """What is due, the channels that take a message now, and those that Slack closed."""
        now = self.clock()
        with self.states.connect().execution_options(reading=True) as conn:
            due, gates = outbox.due_messages(conn, now, targets), rate_limits.read_rate_limits(conn)
        # A message may stand where its route leads no more: its channel has no gate yet.
        strange = {message.channel for message in due} - gates.keys()
        rate_limits.make_rate_limits(self.states, strange)
        open_ = frozenset(channel for channel, gate in gates.items() if gate.opens_at <= now)
        blocked = frozenset(channel for channel, gate in gates.items() if gate.blocked_until > now)
        return due, open_ | strange, blocked

    def _attempt(self, due: DueMessage) -> Sent:
        """One message, one attempt."""
        composer = Composer(self.cards, self.catalog, self.letters)
        with self.states.connect().execution_options(reading=True) as conn:
            ready = composer.prepare(conn, due)
        if ready.words is None:
            return self._unneeded(ready)
        self.crash_point(CrashPoint.CHOSEN, due.message.id)
        # By the monotonic clock: the wall clock may be set between the claim and the call.
        claimed, began = self._claim(ready), monotonic()
        if claimed is None:
            return Sent()
        self.crash_point(CrashPoint.CLAIMED, due.message.id)
        try:
            posted = self._call(claimed, ready.words, began)
        except SendError as error:
            self.crash_point(CrashPoint.ANSWERED, due.message.id)
            return self._failed(claimed, error)
        self.crash_point(CrashPoint.ANSWERED, due.message.id)
        if self._record(claimed, posted):
            self._log("sent", claimed.message)
            return Sent(sent=1)
        self._clean(claimed, posted)
        return Sent()

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

    def _call(self, ready: Prepared, words: Message, began: float, *, is_bare: bool = False) -> Posted:
        """The call, and once more as bare text where the channel refuses the message's form."""
        message, anchor = ready.message, ready.anchor
        # The second call has the first one's lease, so it may come too late as well.
        if monotonic() - began > self.timeout_s * MOST_OF_LEASE:
            raise SendError("too_slow_to_send_safely", "unsent")
        self.crash_point(CrashPoint.WRITING, message.id)
        try:
            if message.kind != "update" or anchor is None:
                thread = anchor.ts if anchor and message.kind == "reply" else None
                ids = Ids(message.id, message.incident_id)
                return self.slack.send(ready.channel, words, ids, thread, is_bare=is_bare)
            # The message keeps the id under which it was first sent: by that id a search finds it again.
            standing = Posted(anchor.channel, anchor.ts)
            ids = Ids(ready.root_id or message.incident_id, message.incident_id)
            self.slack.change(standing, words, ids, is_bare=is_bare)
        except SendError as error:
            if words.picture and error.certainty == "permanent":
                # Somebody deleted it, or Slack takes it no more: the words go without it.
                posted = self._call(ready, replace(words, picture=None), began)
                with self.states.begin() as conn:
                    discard_pictures(conn, [message.incident_id], self.clock())
                return posted
            if is_bare or error.code not in TOO_RICH:
                raise
        else:
            return standing
        return self._call(ready, words, began, is_bare=True)

    # What became of it.

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
            if is_mine and message.kind == "root" and message.step != outbox.DIVERTED:
                want_picture(conn, message.incident_id, message.target, now)
            if is_mine and message.kind == "update" and ready.anchor:
                outbox.record_shown(conn, ready.anchor, ready.version)
                if usable_file(conn, message.incident_id, message.target) != ready.file:
                    outbox.refresh_message(conn, ready.anchor, now)  # its picture came or went meanwhile
            self.crash_point(CrashPoint.RECORDING, message.id)
            if not is_mine:
                transaction.rollback()
        self.crash_point(CrashPoint.RECORDED, message.id)
        return is_mine

    def _log(self, event: str, message: QueuedMessage, error: SendError | None = None) -> None:
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

    def _failed(self, ready: Prepared, error: SendError) -> Sent:
        """Put a message back by what is known of it: unsent, in doubt until looked for, or refused."""
        message, now = ready.message, self.clock()
        if message.kind == "update" and ready.anchor and error.code == "message_not_found":
            # Somebody deleted the incident's message: it is posted again.
            with self.states.begin() as conn:
                if outbox.record_outcome(conn, message, "superseded", now):
                    outbox.repost(conn, ready.anchor, now)
            return Sent(superseded=1)
        outcome = _OUTCOMES[error.certainty]
        self._log(f"not sent: {outcome}", message, error)
        wait = self.settle_time if error.certainty == "ambiguous" else self._longer(message.attempts)
        with self.states.begin() as conn:
            if error.retry_after is not None:
                wait = timedelta(seconds=error.retry_after)
                rate_limits.block_channel(conn, ready.channel, now + wait)
            is_mine = outbox.record_outcome(conn, message, outcome, now, error=error.code, due_at=now + wait)
            if is_mine and outcome == "dead" and (route := self._fallback(message)):
                outbox.reroute(conn, replace(message, error=error.code), route.name, now)
        return Sent(dead=1) if outcome == "dead" else Sent(later=1)

    def _fallback(self, message: QueuedMessage) -> Route | None:
        """The route that gets what a channel refuses; one step only."""
        if message.step == outbox.DIVERTED or message.kind == "digest":
            return None
        routes = {route.name: route for route in self.catalog.routes}
        own = routes.get(message.target)
        return routes.get(own.fallback) if own and own.fallback else None

    def _again(self, message: QueuedMessage, error: SendError | None) -> timedelta:
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


_OUTCOMES: Final[dict[str, outbox.Outcome]] = {"permanent": "dead", "unsent": "pending", "ambiguous": "unsure"}
