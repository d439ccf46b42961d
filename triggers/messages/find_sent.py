"""Messages that may have been sent: look for them in Slack, and only what is not there is sent again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, Engine

from queries.messages import DueMessage, PostedMessage, QueuedMessage, block_channel, digests, last_restore, outbox
from triggers.messages.delivery_channel import DeliveryChannel, Posted, SendError

LOOK_BACK: Final = timedelta(minutes=5)
"""How far before a message was queued Slack is searched for it: clocks differ."""

LOOKING, LOOKED = 8, 9
"""Where a process can die, numbered on from `delivery.CrashPoint`."""


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
        now = self.clock()
        sought = list[Sought]()
        with self.states.begin() as conn:
            for message in due:
                # A claim for each: another process does not look at the same time.
                claimed = outbox.claim(conn, message.message, message.channel, now, now + self.quiet)
                if claimed:
                    sought.append(Sought(claimed, message.channel, thread_of(conn, claimed)))
        sought.sort(key=lambda message: message.place)
        done = [self._look_at(list(group)) for _, group in groupby(sought, key=lambda message: message.place)]
        return sum(found for found, _ in done), sum(later for _, later in done)

    def _look_at(self, sought: list[Sought]) -> tuple[int, int]:
        """Look for all that is sought in one place."""
        for message in sought:
            self.crash_point(LOOKING, message.message.id)
        channel, thread = sought[0].place
        with self.states.connect().execution_options(reading=True) as conn:
            restore = last_restore(conn)
        oldest = min(message.message.created_at for message in sought)
        if restore and oldest < restore.until:
            oldest = min(oldest, restore.since)
        try:
            listing = self.slack.sent_since(channel, (oldest - LOOK_BACK).timestamp(), thread or None)
        except SendError as error:
            # Not knowing whether they are there, one must not post them.
            now, said = self.clock(), f"lookup_failed: {error.code}"
            with self.states.begin() as conn:
                if error.retry_after is not None:
                    block_channel(conn, channel, now + timedelta(seconds=error.retry_after))
                for message in sought:
                    due_at = now + self.back_off(message.message, error)
                    outbox.record_outcome(conn, message.message, "unsure", now, error=said, due_at=due_at)
            return 0, len(sought)
        for message in sought:
            self.crash_point(LOOKED, message.message.id)
        return sum(self._settle(message, listing.get(message.message.id, ())) for message in sought), 0

    def _settle(self, sought: Sought, places: Sequence[str]) -> bool:
        """Record what was found; what was not waits for its next attempt."""
        if places:
            return self.found(sought.message, sought.thread, Posted(sought.channel, places[0]))
        now, message = self.clock(), sought.message
        with self.states.begin() as conn:
            due_at = now + self.back_off(message, None)
            outbox.record_outcome(conn, message, "pending", now, error=message.error, due_at=due_at)
        return False


def thread_of(conn: Connection, message: QueuedMessage) -> PostedMessage | None:
    """The message in whose thread a reply belongs: its incident's, or the digest that told the incident."""
    if message.kind != "reply":
        return None
    own = outbox.posted_message(conn, message.incident_id, message.target)
    digest = None if own else digests.told_by(conn, message.incident_id)
    return digests.anchor(conn, digest) if digest else own
