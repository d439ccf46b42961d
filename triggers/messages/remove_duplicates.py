"""Take back what was said twice: a process that was frozen while it sent may send after another one did so for it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from sqlalchemy import Engine

from queries.messages import PossibleDuplicate, lock_rate_limit, make_rate_limits, possible_duplicates, try_acquire
from triggers.messages.delivery_channel import DeliveryChannel, Posted, SendError

TURN: Final = "sweep"
EVERY: Final = timedelta(seconds=20)
MARGIN: Final = timedelta(hours=1)
"""How far before the last sweep messages are read again: clocks differ, and Slack may not have answered."""

MEMORY: Final = timedelta(days=1)
"""How long a process can be frozen, and what it sends then is still found."""

THREADS: Final = 50
"""Threads read in one sweep, those of the newest replies."""


@dataclass(frozen=True, slots=True)
class DuplicateRemover:
    """Every process may sweep; a gate lets one do so every 20 seconds."""

    states: Engine
    slack: DeliveryChannel
    clock: Callable[[], datetime]

    def remove(self) -> int:
        """Delete the messages that stand beside the recorded one under the same outbox id. Returns how many."""
        now = self.clock()
        make_rate_limits(self.states, (TURN,))
        with self.states.begin() as conn:
            last = lock_rate_limit(conn, TURN).next_at - EVERY
            if not try_acquire(conn, TURN, now, EVERY):
                return 0
            suspects = possible_duplicates(conn, now - MEMORY)
        since = max(last, now - MEMORY) - MARGIN
        in_order = sorted(suspects, key=_place)
        places = [(place, list(group)) for place, group in groupby(in_order, key=_place)]
        threads = [(place, group) for place, group in places if place[1]]
        threads.sort(key=lambda thread: max(float(suspect.ts) for suspect in thread[1]), reverse=True)
        read = [(place, group) for place, group in places if not place[1]] + threads[:THREADS]
        return sum(self._take_back(*place, group, since) for place, group in read)

    def _take_back(self, channel: str, thread: str, suspects: list[PossibleDuplicate], since: datetime) -> int:
        """Keep the message that is recorded: threads and updates hang on it."""
        deleted = 0
        with suppress(SendError):  # the next sweeps read the same again
            listing = self.slack.sent_since(channel, since.timestamp(), thread or None)
            for suspect in suspects:
                for ts in listing.get(suspect.id, ()):
                    if ts != suspect.ts:
                        self.slack.delete(Posted(suspect.channel, ts))
                        deleted += 1
        return deleted


def _place(suspect: PossibleDuplicate) -> tuple[str, str]:
    return suspect.channel, suspect.thread or ""
