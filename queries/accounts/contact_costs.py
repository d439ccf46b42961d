"""What contacts cost: of a journey of each type, and of those that a journey had more than is usual for its type.

A journey's cost is its number of contacts times what a contact costs, the mean over the channels that were used. Usual
is the median of the type's journeys: half of them needed no more. What lies beyond it is excess; nothing is taken off
for journeys that needed less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, func, select

from config.models import ContactCost, Metric
from queries.metrics import Ask, measure
from queries.warehouse import Scope, rollups

ANY_CHANNEL: Final = "*"
METRIC: Final = Metric(
    name="contacts-per-journey",  # as in metrics.toml: its design effect is measured with each load
    label="Contacts per journey",
    shape="mean",
    table="journey",
    dated_by="ended_at",
    good="down",
    unit="contacts",
    value="contacts",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """A mean in the reporting currency, with its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class JourneyCost:
    """The journeys of one type that ended in twelve months.

    Args:
        journey_type: the type.
        journeys: how many ended.
        usual: the median number of contacts.
        excess: the contacts beyond that, over all journeys.
        cost: of a journey; None of too few.
        excess_cost: of the contacts beyond the usual number, in twelve months.
    """

    journey_type: str
    journeys: int
    usual: int
    excess: int
    cost: Cost | None
    excess_cost: float


def cost_of(costs: Sequence[ContactCost], channel: str, day: date) -> float | None:
    """What a contact of a channel costs on a day: the newest amount of the channel, else that of every channel."""
    valid = [one for one in costs if one.valid_from <= day and one.channel in {channel, ANY_CHANNEL}]
    newest = max(valid, key=lambda one: (one.channel != ANY_CHANNEL, one.valid_from), default=None)
    return newest.amount if newest else None


def read_journey_costs(
    conn: Connection, costs: Sequence[ContactCost], until: date, scope: Scope, as_of: datetime
) -> tuple[JourneyCost, ...]:
    """What journeys cost in the twelve months before a day, those with the costliest excess first; from rollups alone.

    Args:
        conn: a pinned generation.
        costs: what contacts cost; nothing is told where one of the channels that were used has no amount.
        until: the first day after the twelve months.
        scope: what may be read.
        as_of: aware UTC.
    """
    since = until.replace(year=until.year - 1)
    each = _mean_cost(conn, costs, since, until, scope)
    if each is None:
        return ()
    counted = _lengths(conn, since, until, scope)
    ask = Ask(("journey_type",), "all", since, until)
    means = {point.by[0]: point for point in measure(conn, METRIC, ask, scope, as_of)}
    found = []
    for name, lengths in counted.items():
        usual, point = _median(lengths), means.get(name)
        excess = sum(max(0, length - usual) * number for length, number in lengths.items())
        mean, low, high = (point.value, point.low, point.high) if point else (None, None, None)
        cost = Cost(mean * each, low * each, high * each) if mean and low and high else None
        found.append(JourneyCost(name, sum(lengths.values()), usual, excess, cost, excess * each))
    return tuple(sorted(found, key=lambda one: (-one.excess_cost, one.journey_type)))


def _mean_cost(conn: Connection, costs: Sequence[ContactCost], since: date, until: date, scope: Scope) -> float | None:
    table = rollups.roll_contact
    days = (table.c.day >= since, table.c.day < until, scope.where(table))
    query = select(table.c.channel, func.sum(table.c.c)).where(*days).group_by(table.c.channel)
    used = {row[0] or "": int(row[1]) for row in conn.execute(query)}
    priced = {channel: cost_of(costs, channel, until) for channel in used}
    if not used or any(cost is None for cost in priced.values()):
        return None
    return sum(number * (priced[channel] or 0.0) for channel, number in used.items()) / sum(used.values())


def _lengths(conn: Connection, since: date, until: date, scope: Scope) -> dict[str, dict[int, int]]:
    """Of each type of journey, how many ended after so many contacts."""
    table = rollups.roll_journey
    days = (table.c.ended_day >= since, table.c.ended_day < until, scope.where(table))
    keys = (table.c.journey_type, table.c.contacts)
    query = select(*keys, func.sum(table.c.c)).where(*days, keys[0].is_not(None), keys[1].is_not(None))
    counted = dict[str, dict[int, int]]()
    for name, length, number in conn.execute(query.group_by(*keys)):
        counted.setdefault(name, {})[int(length)] = int(number)
    return counted


def _median(lengths: dict[int, int]) -> int:
    """The least number of contacts that at least half of the journeys needed no more than."""
    half, seen = sum(lengths.values()) / 2, 0
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= half:
            return length
    return 0
