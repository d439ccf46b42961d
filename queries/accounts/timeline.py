"""What one account lives through with us: what it buys, its moments of truth, its answers, and when nobody replied."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import isnan
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, func, select

from queries.engine import aware, day_of
from queries.metrics import YEAR, clock_of, month_of, read_account_months
from queries.monitoring import may_quote
from queries.warehouse import SCALES, Scope, relation, tables

MOST_MOMENTS: Final = 2_000
"""Contacts that are shown one by one; more are counted by touchpoint and day, or month where these are too many."""

MOST_ANSWERS: Final = 2_000
PROMISED: Final = timedelta(days=3)
"""How long a customer waits for a reply before the wait is shown."""


@dataclass(frozen=True, slots=True)
class AccountMonth:
    """What an account bought in a month, in the reporting currency, and its share of wallet; None is not known."""

    month: date
    revenue: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class MomentOfTruth:
    """A contact, or all of a day or month at a touchpoint in one direction (`count`).

    Args:
        at: aware UTC; the first of what is counted.
        direction: `in` from the customer, or `out` from us.
        emotion: -2 to 2, the worst of what is counted; None is not known, or not for the reader.
        was_seen: whether staff had seen what was sent before; None is not known.
        until: when we replied, or what it is known at while nobody has; only where that took longer than PROMISED.
        is_waiting: whether nobody has replied yet, and the wait is that long.
    """

    at: datetime
    touchpoint: str
    direction: str
    channel: str
    emotion: int | None
    was_seen: bool | None
    until: datetime | None = None
    is_waiting: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    """An answer: `height` is where the score lies on its scale, from 0 to 1."""

    at: datetime
    kind: str
    instrument: str
    touchpoint: str
    scale: str
    score: int
    expectation: str
    role: str
    comment: str

    @property
    def height(self) -> float:
        """The score as a part of its scale."""
        low, high = SCALES[self.scale]
        return (self.score - low) / (high - low)

    @property
    def words(self) -> str:
        """The score on its scale, such as `6 of 10`."""
        return f"{self.score} of {SCALES[self.scale][1]}"


@dataclass(frozen=True, slots=True)
class AccountStory:
    """One account.

    Args:
        months: of the last two years.
        contacts: how many there are in all.
        touched_on: the day of the newest contact, from either side.
        answered_on: the day of the newest answer that may be shown.
    """

    id: str
    name: str
    since: date | None
    vertical: str
    tier: str
    months: tuple[AccountMonth, ...]
    moments: tuple[MomentOfTruth, ...]
    answers: tuple[AccountAnswer, ...]
    contacts: int
    touched_on: date | None
    answered_on: date | None

    @property
    def is_counted(self) -> bool:
        """Whether its contacts are counted, because there are more than MOST_MOMENTS."""
        return self.contacts > MOST_MOMENTS

    @property
    def unanswered(self) -> int:
        """How many of its contacts have waited too long and still wait."""
        return sum(moment.is_waiting for moment in self.moments)


def read_story(
    conn: Connection,
    account: str,
    scope: Scope,
    as_of: datetime,
    currency: str | None,
    *,
    has_rows: bool,
    has_verbatims: bool,
) -> AccountStory | None:
    """What an account lived through, as it was known at an instant; None where it is out of scope.

    Args:
        conn: the warehouse.
        account: its id.
        scope: what may be read; an account without a row in it does not exist for its reader.
        as_of: aware UTC.
        currency: the reporting currency.
        has_rows: whether single cases may be shown; without, neither emotions nor answers of other surveys than those
            given under the account's name are, where there is a privacy floor.
        has_verbatims: whether customers' own words may be shown, where enough people have written some.

    Raises:
        UnratedRevenueError: it bought in a currency without a rate.
    """
    months = _months(conn, account, scope, as_of, currency)
    is_floored = scope.privacy is not None and not has_rows
    contacts, moments = _moments(conn, account, scope, as_of, is_floored=is_floored)
    answers = _answers(conn, account, scope, as_of, is_floored=is_floored, has_verbatims=has_verbatims)
    if not months and not contacts and not answers:
        return None
    zone = clock_of(conn, as_of).zone
    named = conn.execute(
        select(tables.account.c.name, tables.account.c.since).where(tables.account.c.account_id == account)
    ).first()
    history = tables.account_history
    place = conn.execute(
        select(history.c.vertical, history.c.tier)
        .where(history.c.account_id == account, scope.where(history))
        .order_by(history.c.valid_from.desc(), history.c.source.desc())
    ).first()
    return AccountStory(
        account,
        named.name if named else account,
        named.since if named else None,
        (place.vertical if place else None) or "",
        (place.tier if place else None) or "",
        months,
        moments,
        answers,
        contacts,
        day_of(moments[-1].at, zone) if moments else None,
        day_of(answers[-1].at, zone) if answers else None,
    )


def _months(
    conn: Connection, account: str, scope: Scope, as_of: datetime, currency: str | None
) -> tuple[AccountMonth, ...]:
    of = read_account_months(conn, scope, as_of, currency, lambda table: table.c.account_id == account).at(as_of)
    if not of.accounts:
        return ()
    amounts, shares = ([None if isnan(value) else float(value) for value in line[0]] for line in (of.amount, of.share))
    first = max(0, len(amounts) - 2 * YEAR)
    return tuple(
        AccountMonth(month_of(of.first + place), amounts[place], shares[place]) for place in range(first, len(amounts))
    )


def _moments(
    conn: Connection, account: str, scope: Scope, as_of: datetime, *, is_floored: bool
) -> tuple[int, tuple[MomentOfTruth, ...]]:
    """How many contacts there are, and the moments that are shown of them, oldest first."""
    names = ("occurred_at", "day", "touchpoint", "direction", "channel", "emotion", "context_seen")
    rows = relation("contact", as_of, (*names, "answered_at", "journey_id", "account_id", "vertical", "id"))
    mine = (rows.c.account_id == account, scope.where(rows))
    number = int(conn.execute(select(func.count()).select_from(rows).where(*mine)).scalar_one())
    if number > MOST_MOMENTS:
        return number, _counted(conn, rows, mine, is_floored=is_floored)
    found = conn.execute(select(rows).where(*mine).order_by(rows.c.occurred_at, rows.c.id)).mappings().all()
    replies = _replies(found)
    return number, tuple(
        MomentOfTruth(
            aware(row["occurred_at"]),
            row["touchpoint"],
            row["direction"],
            row["channel"] or "",
            None if is_floored else row["emotion"],
            row["context_seen"],
            until := _waited(row, reply, as_of),
            until is not None and reply is None,
        )
        for row, reply in zip(found, replies, strict=True)
    )


def _replies(rows: Sequence[Any]) -> list[datetime | None]:
    """When each contact of the customer's was replied to: when it was answered, or by the next contact from us in its
    journey.
    """
    following: dict[str, datetime] = {}
    replies: list[datetime | None] = []
    for row in reversed(rows):
        is_in, journey = row["direction"] == "in", row["journey_id"]
        known = [at for at in (row["answered_at"], following.get(journey)) if at is not None] if is_in else []
        replies.append(min(known, default=None))
        if not is_in and journey is not None:
            following[journey] = row["occurred_at"]
    return replies[::-1]


def _waited(row: Any, reply: datetime | None, as_of: datetime) -> datetime | None:
    if row["direction"] != "in" or (reply is None and row["journey_id"] is None):
        return None
    at, until = aware(row["occurred_at"]), as_of if reply is None else aware(reply)
    return until if until - at > PROMISED else None


def _counted(
    conn: Connection, rows: FromClause, mine: tuple[ColumnElement[bool], ...], *, is_floored: bool
) -> tuple[MomentOfTruth, ...]:
    by_day = _grouped(conn, rows, rows.c.day, mine, is_floored=is_floored)
    if len(by_day) <= MOST_MOMENTS:
        return by_day
    month = select(tables.calendar.c.month).where(tables.calendar.c.day == rows.c.day).scalar_subquery()
    return _grouped(conn, rows, month, mine, is_floored=is_floored)


def _grouped(
    conn: Connection,
    rows: FromClause,
    period: ColumnElement[Any],
    mine: tuple[ColumnElement[bool], ...],
    *,
    is_floored: bool,
) -> tuple[MomentOfTruth, ...]:
    keys = (period.label("period"), rows.c.touchpoint, rows.c.direction)
    figures = (
        func.min(rows.c.occurred_at).label("at"),
        func.min(rows.c.emotion).label("emotion"),
        func.count().label("c"),
    )
    query = select(*keys, *figures).where(*mine).group_by(*keys).order_by("at", rows.c.touchpoint, rows.c.direction)
    return tuple(
        MomentOfTruth(
            aware(row.at),
            row.touchpoint,
            row.direction,
            "",
            None if is_floored else row.emotion,
            was_seen=None,
            count=int(row.c),
        )
        for row in conn.execute(query)
    )


def _answers(
    conn: Connection, account: str, scope: Scope, as_of: datetime, *, is_floored: bool, has_verbatims: bool
) -> tuple[AccountAnswer, ...]:
    names = ("kind", "instrument", "touchpoint", "scale", "score", "expectation", "comment", "responded_at")
    rows = relation("response", as_of, (*names, "person.role", "account_id", "vertical", "id"))
    given = (rows.c.responded_at.is_not(None), rows.c.score.is_not(None), rows.c.scale.in_(sorted(SCALES)))
    query = select(rows).where(rows.c.account_id == account, scope.where(rows), *given)
    if is_floored and scope.privacy is not None:
        query = query.where(rows.c.instrument.in_(scope.privacy.exempt))
    newest = query.order_by(rows.c.responded_at.desc(), rows.c.id).limit(MOST_ANSWERS)
    found = conn.execute(newest).mappings().all()
    surveys = {row["instrument"] for row in found} if has_verbatims else set()
    quoted = {survey for survey in surveys if may_quote(conn, account, survey, scope, as_of)}
    return tuple(
        AccountAnswer(
            aware(row["responded_at"]),
            row["kind"],
            row["instrument"] or "",
            row["touchpoint"] or "",
            row["scale"],
            row["score"],
            row["expectation"] or "",
            row["person.role"] or "",
            (row["comment"] or "") if row["instrument"] in quoted else "",
        )
        for row in reversed(found)
    )
