"""Messages that may have been sent: look for them in Slack, and only what is not there is sent again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, Engine

from queries.messages import digests, outbox, rate_limits
from queries.messages.outbox import DueMessage, PostedMessage, QueuedMessage
from queries.messages.restores import last_restore
from triggers.messages.delivery_channel import DeliveryChannel, Posted, SendError

LOOK_BACK: Final = timedelta(minutes=5)
"""How far before a message was queued Slack is searched for it: clocks differ."""

LOOKING, LOOKED = 8, 9
"""Where a process can die, numbered on from `deliver.Point`."""

Listing = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Sought:
    """A message to look for, in a channel or in a thread."""

    message: QueuedMessage
    channel: str
    thread: PostedMessage | None

    @property
    def place(self) -> tuple[str, str]:
        """Where to look."""
        return self.channel, self.thread.ts if self.thread else ""


@dataclass(frozen=True, slots=True)
class Search:
    """What a look needs. `found` records a message that is there; `back_off` says when to try again."""

    states: Engine
    slack: DeliveryChannel
    clock: Callable[[], datetime]
    quiet: timedelta
    found: Callable[[QueuedMessage, PostedMessage | None, Posted], bool]
    back_off: Callable[[QueuedMessage, SendError | None], timedelta]
    crash_point: Callable[[int, str], None]

    def look(self, due: Sequence[DueMessage]) -> tuple[int, int]:
        """Look for messages, one reading for each channel and thread. Returns how many were found, and put off.

        What is not there was lost: it may be sent, by whoever claims it next.
        """
        sought = sorted(self._claimed(due), key=lambda one: one.place)
        done = [self._place(list(group)) for _, group in groupby(sought, key=lambda one: one.place)]
        return sum(found for found, _ in done), sum(later for _, later in done)

    def _claimed(self, due: Sequence[DueMessage]) -> Iterator[Sought]:
        """A claim for each: another process does not look at the same time."""
        now = self.clock()
        with self.states.begin() as conn:
            for one in due:
                claimed = outbox.claim(conn, one.message, one.channel, now, now + self.quiet)
                if claimed:
                    yield Sought(claimed, one.channel, thread_of(conn, claimed))

    def _place(self, sought: list[Sought]) -> tuple[int, int]:
        for one in sought:
            self.crash_point(LOOKING, one.message.id)
        try:
            listing = self._read(sought)
        except SendError as error:
            self._put_off(sought, error)
            return 0, len(sought)
        for one in sought:
            self.crash_point(LOOKED, one.message.id)
        return sum(self._settle(one, listing) for one in sought), 0

    def _read(self, sought: list[Sought]) -> Listing:
        channel, thread = sought[0].place
        with self.states.connect().execution_options(reading=True) as conn:
            restore = last_restore(conn)
        oldest = min(one.message.created_at for one in sought)
        if restore and oldest < restore.until:
            oldest = min(oldest, restore.since)
        return self.slack.sent_since(channel, (oldest - LOOK_BACK).timestamp(), thread or None)

    def _settle(self, one: Sought, listing: Listing) -> bool:
        places = listing.get(one.message.id)
        if places:
            return self.found(one.message, one.thread, Posted(one.channel, places[0]))
        now = self.clock()
        with self.states.begin() as conn:
            due_at = now + self.back_off(one.message, None)
            outbox.record_outcome(conn, one.message, "pending", now, error=one.message.error, due_at=due_at)
        return False

    def _put_off(self, sought: list[Sought], error: SendError) -> None:
        """Not knowing whether they are there, one must not post them."""
        now, said = self.clock(), f"cannot_look_for_it: {error.code}"
        with self.states.begin() as conn:
            if error.retry_after is not None:
                rate_limits.block(conn, sought[0].channel, now + timedelta(seconds=error.retry_after))
            for one in sought:
                due_at = now + self.back_off(one.message, error)
                outbox.record_outcome(conn, one.message, "unsure", now, error=said, due_at=due_at)


def thread_of(conn: Connection, message: QueuedMessage) -> PostedMessage | None:
    """The message in whose thread a reply belongs: its incident's, or the digest that told the incident."""
    if message.kind != "reply":
        return None
    own = outbox.posted_message(conn, message.incident_id, message.target)
    digest = None if own else digests.told_by(conn, message.incident_id)
    return digests.anchor(conn, digest) if digest else own
