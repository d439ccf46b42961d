"""The conditions that held while something was measured: a strike, an outage, a price change."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from queries.warehouse import tables


@dataclass(frozen=True, slots=True)
class ConditionPeriod:
    """The days [since, until] of a condition, and whom it concerns: empty is everybody. `until` None: it holds on."""

    name: str
    since: date
    until: date | None
    verticals: frozenset[str]
    touchpoints: frozenset[str]

    def concerns(self, vertical: str | None, touchpoint: str | None) -> bool:
        """Whether rows of that place lie under it; a place that is not named lies everywhere."""
        return _named(self.verticals, vertical) and _named(self.touchpoints, touchpoint)


def _named(names: frozenset[str], place: str | None) -> bool:
    return not names or place is None or place in names


def condition_periods(conn: Connection, zone: ZoneInfo) -> tuple[ConditionPeriod, ...]:
    """Every condition of the warehouse, by its days in the reporting zone, oldest first."""
    c = tables.condition.c
    query = select(c.name, c.starts_at, c.ends_at, c.verticals, c.touchpoints).order_by(c.starts_at, c.name)
    return tuple(
        ConditionPeriod(
            row.name,
            _day(row.starts_at, zone),
            _day(row.ends_at, zone) if row.ends_at else None,
            _names(row.verticals),
            _names(row.touchpoints),
        )
        for row in conn.execute(query)
    )


def _day(instant: datetime, zone: ZoneInfo) -> date:
    return instant.replace(tzinfo=UTC).astimezone(zone).date()


def _names(text: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (text or "").split(",") if part.strip())
