"""When a rule is evaluated. A slot is the day after a window's last day; it is due when its window has settled."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

ANCHOR: Final = date(1970, 1, 5)
"""A Monday: slots every 7 days end with a Sunday."""

DAYS_A_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True)
class Cadence:
    """The slots of one rule.

    Args:
        window: the days each slot looks back, whole days.
        every: the days between slots, whole days.
        settle: how long after its window a slot waits for late rows: the longest of source, metric and rule.
        zone: the reporting zone; windows begin and end at its midnight.
    """

    window: timedelta
    every: timedelta
    settle: timedelta
    zone: ZoneInfo

    @property
    def a_year(self) -> float:
        """Slots a year."""
        return DAYS_A_YEAR / self.every.days

    def as_of(self, slot: date) -> datetime:
        """When the slot may be read, aware UTC: nothing later may enter its sample."""
        return midnight(slot, self.zone) + self.settle

    def newest(self, now: datetime) -> date:
        """The newest slot that is due."""
        today = now.astimezone(self.zone).date() + timedelta(days=1)
        slot = today - (today - ANCHOR) % self.every
        while self.as_of(slot) > now:
            slot -= self.every
        return slot

    def due(self, after: date | None, first_day: date, now: datetime) -> tuple[date, ...]:
        """The slots to evaluate, oldest first: those after `after`, or from the first whole window of data on."""
        earliest = after + timedelta(days=1) if after else first_day + self.window
        start = earliest + (ANCHOR - earliest) % self.every
        count = (self.newest(now) - start) // self.every + 1
        return tuple(start + i * self.every for i in range(max(count, 0)))


@dataclass(frozen=True, slots=True)
class Moment:
    """When and on what a tick runs: its time, the data generation and when it was published (aware UTC), the reporting
    zone and the sources' settle.
    """

    now: datetime
    generation: int
    published_at: datetime
    zone: ZoneInfo
    settle: timedelta


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a day in a zone, aware UTC. Where a clock skips midnight it is the instant of the skip."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
