"""Signs of life: on which days something was heard of an account, an instrument or a source, and whose revenue answers.

Nothing looks ahead: what happened, or became known, at or after `as_of` is absent.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from math import floor
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Subquery,
    and_,
    func,
    select,
    union,
    union_all,
)

from config.errors import EarshotError
from config.models.values import Conditions, parse_duration
from queries.engine import fetch_arrow, newest_value
from queries.scope import Scope
from queries.warehouse import tables
from queries.warehouse.relations import COLUMNS, matching, relation
from queries.warehouse.tables import UNKNOWN

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_EPOCH: Final = date(1970, 1, 1).toordinal()
_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class Signals:
    """The days on which something was heard of each unit, sorted by unit and day, each day once.

    Args:
        units: the names, sorted; a unit may have no day.
        unit: the place in `units` of each signal day, shape (signals,).
        day: its ordinal in the reporting zone, shape (signals,).
    """

    units: tuple[str, ...]
    unit: Ints
    day: Ints

    @classmethod
    def of(cls, names: pa.Array, days: Ints, units: Iterable[str] = ()) -> "Signals":
        """Signals from pairs of a name and an ordinal, in any order and however often.

        Args:
            names: text, shape (pairs,).
            days: ordinals, shape (pairs,).
            units: names to list even if they have no signal.
        """
        coded = names.dictionary_encode()
        found: list[str] = coded.dictionary.to_pylist()
        every = tuple(sorted({*found, *units}))
        place = {name: at for at, name in enumerate(every)}
        unit = np.array([place[name] for name in found], dtype=np.int64)[coded.indices.to_numpy()]
        return cls(every, *_distinct(unit, np.asarray(days, dtype=np.int64)))

    def before(self, day: int) -> "Signals":
        """What was known of the same units on the morning of a day, an ordinal."""
        chosen = self.day < day
        return Signals(self.units, self.unit[chosen], self.day[chosen])


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whose revenue was heard from before a slot.

    Args:
        slot: the day after the window's last day.
        vertical: the slice; None is the company.
        accounts: accounts with revenue in the twelve full months before the slot.
        revenue: their revenue in these months, in the reporting currency.
        answered: that of accounts with an answer to a relationship survey in the window before the slot.
    """

    slot: date
    vertical: str | None
    accounts: int
    revenue: float
    answered: float


def account_signals(conn: Connection, where: Conditions, scope: Scope, as_of: datetime) -> Signals:
    """The days with an inbound contact or an answered response of each account.

    Args:
        conn: the warehouse.
        where: conditions on columns of the relation `contact`. Those on `vertical` and `account.*` choose accounts by
            the newest that is known of them at `as_of`: moving to another vertical or tier is no silence. Others choose
            contacts, and answers where the relation `response` has all these columns too: `direction = "in"` leaves
            out the answers, which we asked for, and hears only who came to us.
        scope: what may be read.
        as_of: aware UTC.

    Raises:
        EarshotError: `contact` has no such column.
    """
    members = tuple(c for c in where if _is_of_account(c.column))
    of_rows = tuple(c for c in where if not _is_of_account(c.column))
    kinds = [_inbound(of_rows, scope, as_of)]
    if {c.column for c in of_rows} <= COLUMNS["response"]:
        kinds.append(_answers(of_rows, scope, as_of))
    if members:
        chosen = _members(members, as_of)
        kinds = [kind.where(kind.selected_columns[0].in_(chosen)) for kind in kinds]
    return _signals(conn, union(*kinds))


def account_verticals(conn: Connection, accounts: Collection[str]) -> Mapping[str, str]:
    """The newest known vertical of each account: by its history, else by its newest fact. Absent where unknown."""
    known = _account(None, with_facts=True)
    query = select(known.c.account_id, known.c.vertical).where(
        known.c.account_id.in_(sorted(accounts)), known.c.vertical.is_not(None)
    )
    return {row.account_id: row.vertical for row in conn.execute(query)}


def instrument_signals(conn: Connection, scope: Scope, as_of: datetime) -> Signals:
    """The days with an invitation or an answer of each instrument; instruments never sent are listed without a day."""
    rows = relation("response", as_of, ("instrument", "day", "responded_day", *_SEGMENT))
    seen = and_(scope.where(rows), rows.c.instrument.is_not(None))
    invited = select(rows.c.instrument.label("unit"), rows.c.day).where(seen)
    answered = select(rows.c.instrument, rows.c.responded_day).where(seen, rows.c.responded_day.is_not(None))
    return _signals(conn, union(invited, answered), conn.scalars(select(tables.instrument.c.instrument)))


def instrument_cadences(conn: Connection) -> Mapping[str, timedelta]:
    """How often each instrument is to be sent, by its newest version (wording date, then version).

    One that is sent after an event, or whose cadence cannot be read, is absent.
    """
    c = tables.instrument.c
    rows = conn.execute(select(c.instrument, c.cadence, c.wording_changed_at, c.version))
    ordered = sorted(rows, key=lambda row: (row.wording_changed_at or date.min, row.version))
    read = {row.instrument: cadence_of(row.cadence or "") for row in ordered}
    return {name: length for name, length in read.items() if length is not None}


def source_signals(conn: Connection, as_of: datetime) -> Signals:
    """The days with a contact, an invitation, an answer, a journey's start or a defect of each source, by event day."""
    parts = [_source_days(name, column, as_of) for name, column in _SOURCE_DAYS]
    return _signals(conn, union(*parts))


_SEGMENT: Final = ("account_id", "vertical", "touchpoint")
_SOURCE_DAYS: Final = (
    ("contact", "day"),
    ("response", "day"),
    ("response", "responded_day"),
    ("journey", "day"),
    ("defect", "day"),
)


def _source_days(name: str, column: str, as_of: datetime) -> Select[Any]:
    rows = relation(name, as_of, ("source", column))
    day = rows.c[column]
    return select(rows.c.source.label("unit"), day.label("day")).where(day.is_not(None)).distinct()


def _is_of_account(column: str) -> bool:
    return column == "vertical" or column.startswith("account.")


def _inbound(where: Conditions, scope: Scope, as_of: datetime) -> Select[Any]:
    asked = (condition.column for condition in where)
    rows = relation("contact", as_of, ("direction", "day", *_SEGMENT, *asked))
    chosen = (rows.c.direction == "in", matching(where, rows), scope.where(rows))
    return select(rows.c.account_id.label("unit"), rows.c.day).where(*chosen)


def _answers(where: Conditions, scope: Scope, as_of: datetime) -> Select[Any]:
    asked = (condition.column for condition in where)
    rows = relation("response", as_of, ("status", "responded_day", *_SEGMENT, *asked))
    answered = (rows.c.status == "answered", rows.c.responded_day.is_not(None))
    chosen = (*answered, matching(where, rows), scope.where(rows))
    return select(rows.c.account_id.label("unit"), rows.c.responded_day.label("day")).where(*chosen)


def _members(where: Conditions, as_of: datetime) -> Select[Any]:
    """The accounts that meet conditions on what is newest of them."""
    known = _account(as_of, with_facts=any(condition.column == "vertical" for condition in where))
    return select(known.c.account_id).where(matching(where, known))


def _account(as_of: datetime | None, *, with_facts: bool) -> Subquery:
    """Every account with its newest vertical and `account.*` columns."""
    account, history = tables.account, _newest_history(as_of)
    own = history.c.account_id == account.c.account_id
    named = [history.c[name.removeprefix("account.")].label(name) for name in _OF_ACCOUNT]
    joined = account.outerjoin(history, own)
    vertical: ColumnElement[Any] = history.c.vertical
    if with_facts:
        facts = _fact_verticals(history, as_of)
        joined = joined.outerjoin(facts, facts.c.account_id == account.c.account_id)
        vertical = func.coalesce(vertical, facts.c.vertical)
    return select(account.c.account_id, vertical.label("vertical"), *named).select_from(joined).subquery("known")


_OF_ACCOUNT: Final = tuple(sorted(name for name in COLUMNS["contact"] if name.startswith("account.")))


def _newest_history(as_of: datetime | None) -> Subquery:
    """One row an account: the last validity that had begun, as the facts read it."""
    table = tables.account_history
    order = (table.c.valid_from.desc(), table.c.source.desc())
    turn = func.row_number().over(partition_by=table.c.account_id, order_by=order)
    rows = select(*table.c, turn.label("turn"))
    begun = rows.where(table.c.valid_from <= as_of.date()) if as_of else rows
    line = begun.subquery("line")
    return select(line).where(line.c.turn == 1).subquery("newest_history")


def _fact_verticals(history: Subquery, as_of: datetime | None) -> Subquery:
    """The vertical of the newest fact of accounts whose history names none."""
    named = select(history.c.account_id).where(history.c.vertical.is_not(None))
    facts = union_all(*(_dated(name, at, as_of) for name, at in _EVENTS)).subquery("fact")
    vertical = newest_value(facts.c.vertical, facts.c.at).label("vertical")
    query = select(facts.c.account_id, vertical).where(facts.c.account_id.not_in(named)).group_by(facts.c.account_id)
    return query.subquery("fact_vertical")


_EVENTS: Final = (("contact", "occurred_at"), ("response", "invited_at"))


def _dated(name: str, at: str, as_of: datetime | None) -> Select[Any]:
    rows = relation(name, as_of, ("account_id", "vertical", at))
    return select(rows.c.account_id, rows.c.vertical, rows.c[at].label("at"))


def _signals(conn: Connection, query: Select[Any] | CompoundSelect[Any], units: Iterable[str] = ()) -> Signals:
    found = fetch_arrow(conn, query)
    names = found.column(0).combine_chunks().cast(pa.string())
    return Signals.of(names, _ordinals(found.column(1)), units)


def _ordinals(days: pa.ChunkedArray) -> Ints:
    plain: Ints = days.combine_chunks().cast(pa.date32()).cast(pa.int32()).to_numpy(zero_copy_only=False)
    return plain.astype(np.int64) + _EPOCH


def _distinct(unit: Ints, day: Ints) -> tuple[Ints, Ints]:
    """Each pair once, sorted: as single numbers, which sort ten times as fast as pairs do."""
    span = int(day.max(initial=0)) + 1
    both = np.sort(unit * span + day)
    both = both[np.diff(both, prepend=-1) > 0]
    return both // span, both % span


# How often a survey is to be sent, in the words people use.

_WORDS: Final[Mapping[str, timedelta]] = {
    "daily": timedelta(1),
    "weekly": timedelta(7),
    "fortnightly": timedelta(14),
    "biweekly": timedelta(14),
    "monthly": timedelta(31),
    "quarterly": timedelta(92),
    "half-yearly": timedelta(184),
    "semi-annually": timedelta(184),
    "twice a year": timedelta(184),
    "yearly": timedelta(366),
    "annually": timedelta(366),
    "annual": timedelta(366),
    "once a year": timedelta(366),
}
_EVERY: Final = re.compile(r"(?:every )?([0-9]{1,4})? ?(day|week|month|quarter|year)s?")
_ISO: Final = re.compile(r"p(?=[0-9])(?:([0-9]+)y)?(?:([0-9]+)m)?(?:([0-9]+)w)?(?:([0-9]+)d)?")
_UNIT_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_UNIT_DAYS: Final = {"day": 1, "week": 7}


def cadence_of(text: str) -> timedelta | None:
    """The longest time between two invitations that a cadence allows; None where it names no time.

    Reads `quarterly` and its like, `every 3 months`, durations such as `91d`, and ISO 8601 periods such as `P3M`.
    A month is as long as the longest run of so many months.
    """
    said = " ".join(text.lower().split())
    if said in _WORDS:
        return _WORDS[said]
    if (period := _ISO.fullmatch(said)) is not None:
        years, months, weeks, days = (int(part or 0) for part in period.groups())
        return _span(12 * years + months, 7 * weeks + days)
    if (every := _EVERY.fullmatch(said)) is not None:
        count, unit = int(every[1] or 1), every[2]
        return _span(count * _UNIT_MONTHS.get(unit, 0), count * _UNIT_DAYS.get(unit, 0))
    return _plain(said)


def _span(months: int, days: int) -> timedelta | None:
    years, rest = divmod(months, _MONTHS)
    whole = days + 366 * years + (floor(30.6 * rest + 1) if rest else 0)
    return timedelta(whole) if whole else None


def _plain(text: str) -> timedelta | None:
    try:
        return parse_duration(text) or None
    except ValueError:
        return None


# Whose revenue answers.


def revenue_coverage(
    conn: Connection,
    window: timedelta,
    slots: Sequence[date],
    as_ofs: Sequence[datetime],
    by: Literal["vertical", "company"],
    scope: Scope,
    currency: str | None = None,
) -> tuple[Coverage, ...]:
    """For every slot and slice with revenue, how much of it is with accounts that answered a relationship survey.

    Two reads serve all slots. An account that changed its vertical has its revenue, month by month, in both; an answer
    counts for all of its revenue.

    Args:
        conn: the warehouse.
        window: whole days before the slot in which an answer counts.
        slots: the days after the windows' last days.
        as_ofs: when each slot is read, aware UTC, shape (slots,); none before its slot begins.
        by: one slice for each vertical, or one for the company.
        scope: what may be read. Relationship surveys have no touchpoint: who may see some touchpoints only, sees none.
        currency: the reporting currency; other currencies are turned into it at their month's rate.

    Raises:
        EarshotError: amounts in several currencies, of which one has no rate.
    """
    if not slots or scope.touchpoints is not None:
        return ()
    money, answers = _money(conn, scope, max(as_ofs), currency), _answered(conn, scope, max(as_ofs))
    sliced = money if by == "vertical" else replace(money, verticals=(None,), vertical=np.zeros_like(money.vertical))
    return tuple(one for slot in slots for one in _coverage(sliced, answers, slot, window))


@dataclass(frozen=True, slots=True)
class _Money:
    """Revenue by account, month (ordinal of its first day) and vertical; arrays of the same shape."""

    accounts: tuple[str, ...]
    verticals: tuple[str | None, ...]
    account: Ints
    month: Ints
    vertical: Ints
    amount: Floats


def _money(conn: Connection, scope: Scope, as_of: datetime, currency: str | None) -> _Money:
    rows = relation("revenue", as_of, ("account_id", "month", "vertical", "amount", "currency"))
    c = tables.fx_rate.c
    rate = select(c.currency, c.month, func.max(c.rate).label("rate")).group_by(c.currency, c.month).subquery("rate")
    same = and_(rate.c.currency == rows.c.currency, rate.c.month == rows.c.month)
    keys = (rows.c.account_id, rows.c.month, rows.c.vertical, rows.c.currency, rate.c.rate)
    amount = func.sum(rows.c.amount).label("amount")
    query = (
        select(*keys, amount)
        .select_from(rows.outerjoin(rate, same))
        .where(scope.where(rows))
        .group_by(*keys)
        .order_by(*keys)
    )
    return _converted(fetch_arrow(conn, query), currency)


def _converted(found: pa.Table, currency: str | None) -> _Money:
    """Amounts in the reporting currency. Without one named, a single currency needs no rate."""
    currencies: list[str | None] = found["currency"].to_pylist()
    home = currency or (currencies[0] if len(set(currencies)) == 1 else None)
    pairs = list(zip(currencies, found["rate"].to_pylist(), strict=True))
    if unrated := sorted({code for code, rate in pairs if rate is None and code is not None} - {home}):
        raise EarshotError(f"revenue in {', '.join(unrated)} has no rate for some month; add it to fx_rate")
    factors = [1.0 if rate is None or code == currency else rate for code, rate in pairs]
    names = found["account_id"].combine_chunks().cast(pa.string()).dictionary_encode()
    verticals: list[str] = sorted({name or UNKNOWN for name in found["vertical"].to_pylist()})
    place = {name: at for at, name in enumerate(verticals)}
    vertical = np.array([place[name or UNKNOWN] for name in found["vertical"].to_pylist()], dtype=np.int64)
    amounts = np.array(found["amount"].to_pylist(), dtype=np.float64) * np.array(factors, dtype=np.float64)
    account = names.indices.to_numpy().astype(np.int64)
    return _Money(
        tuple(names.dictionary.to_pylist()), tuple(verticals), account, _ordinals(found["month"]), vertical, amounts
    )


def _answered(conn: Connection, scope: Scope, as_of: datetime) -> Signals:
    rows = relation("response", as_of, ("status", "kind", "responded_day", "account_id", "vertical"))
    answered = (rows.c.status == "answered", rows.c.kind == "relationship", rows.c.responded_day.is_not(None))
    days = select(rows.c.account_id.label("unit"), rows.c.responded_day.label("day"))
    return _signals(conn, days.where(*answered, scope.where(rows)).distinct())


def _coverage(money: _Money, answers: Signals, slot: date, window: timedelta) -> Iterable[Coverage]:
    until = slot.replace(day=1)
    since = until.replace(year=until.year - 1)
    first, end = (slot - window).toordinal(), slot.toordinal()
    recent = answers.unit[(answers.day >= first) & (answers.day < end)]
    heard = {answers.units[place] for place in np.unique(recent).tolist()}
    has_answered = np.array([name in heard for name in money.accounts], dtype=np.bool_)
    inside = (money.month >= since.toordinal()) & (money.month < until.toordinal()) & (money.amount != 0)
    slice_, account, amount = money.vertical[inside], money.account[inside], money.amount[inside]
    size = len(money.verticals)
    revenue, answered = (np.bincount(slice_, of, size) for of in (amount, amount * has_answered[account]))
    pairs = np.unique(slice_ * len(money.accounts) + account) // max(len(money.accounts), 1)
    for place in np.unique(pairs).tolist():
        n = int(np.count_nonzero(pairs == place))
        yield Coverage(slot, money.verticals[place], n, float(revenue[place]), float(answered[place]))
