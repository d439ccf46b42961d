"""Take back what was said twice: a process that was frozen while it sent may send after another one did so for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from sqlalchemy import Engine

from queries.messages import outbox, rate_limits
from queries.messages.outbox import PossibleDuplicate
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
        rate_limits.build(self.states, (TURN,))
        with self.states.begin() as conn:
            last = rate_limits.locked(conn, TURN).next_at - EVERY
            if not rate_limits.try_acquire(conn, TURN, now, EVERY):
                return 0
            found = outbox.possible_duplicates(conn, now - MEMORY)
        since = max(last, now - MEMORY) - MARGIN
        places = [(place, list(some)) for place, some in groupby(sorted(found, key=_place), key=_place)]
        threads = [one for one in places if one[0][1]]
        threads.sort(key=lambda one: max(float(suspect.ts) for suspect in one[1]), reverse=True)
        read = [one for one in places if not one[0][1]] + threads[:THREADS]
        return sum(self._read(*place, suspects, since) for place, suspects in read)

    def _read(self, channel: str, thread: str, suspects: list[PossibleDuplicate], since: datetime) -> int:
        try:
            listing = self.slack.sent_since(channel, since.timestamp(), thread or None)
            return sum(self._delete(one, listing.get(one.id, ())) for one in suspects)
        except SendError:  # the next sweeps read the same again
            return 0

    def _delete(self, one: PossibleDuplicate, places: Sequence[str]) -> int:
        """Keep the message that is recorded: threads and updates hang on it."""
        strays = [ts for ts in places if ts != one.ts]
        for ts in strays:
            self.slack.delete(Posted(one.channel, ts))
        return len(strays)


def _place(one: PossibleDuplicate) -> tuple[str, str]:
    return one.channel, one.thread or ""
