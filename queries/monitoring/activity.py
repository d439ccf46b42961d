"""Signs of life: on which days something was heard of an account, an instrument or a source.

Nothing looks ahead: what happened, or became known, at or after `as_of` is absent.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import floor
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Date,
    Select,
    Subquery,
    and_,
    func,
    literal,
    select,
    union,
    union_all,
)

from config.models import Conditions, parse_duration
from queries.engine import day_of, fetch_arrow, naive, newest_value
from queries.metrics import Ints, clock_of, day_ordinals
from queries.warehouse import COLUMNS, Scope, matching, relation, tables

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
        heard: list[str] = coded.dictionary.to_pylist()
        every = tuple(sorted({*heard, *units}))
        places = {name: place for place, name in enumerate(every)}
        unit = np.array([places[name] for name in heard], dtype=np.int64)[coded.indices.to_numpy()]
        day = np.asarray(days, dtype=np.int64)
        # Each pair once, sorted: as single numbers, which sort ten times as fast as pairs do.
        span = int(day.max(initial=0)) + 1
        pairs = np.sort(unit * span + day)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        return cls(every, pairs // span, pairs % span)

    def before(self, day: int) -> "Signals":
        """What was known of the same units on the morning of a day, an ordinal."""
        chosen = self.day < day
        return Signals(self.units, self.unit[chosen], self.day[chosen])


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
    of_account = tuple(c for c in where if c.column == "vertical" or c.column.startswith("account."))
    of_rows = tuple(c for c in where if c not in of_account)
    kinds = [_account_days("contact", "day", ("direction", "in"), of_rows, scope, as_of)]
    if {condition.column for condition in of_rows} <= COLUMNS["response"]:
        kinds.append(_account_days("response", "responded_day", ("status", "answered"), of_rows, scope, as_of))
    if of_account:
        # By what is newest of the account, not by what its old contacts were stamped with: an account that moved to
        # another vertical would seem to fall silent in the one it left.
        members = accounts_where(conn, of_account, as_of)
        kinds = [kind.where(kind.selected_columns[0].in_(members)) for kind in kinds]
    return read_signals(conn, union(*kinds))


def accounts_where(conn: Connection, where: Conditions, as_of: datetime) -> Select[Any]:
    """The accounts that meet conditions on `vertical` and `account.*` by the newest that is known of them."""
    newest = _account(conn, as_of, with_facts=any(condition.column == "vertical" for condition in where))
    return select(newest.c.account_id).where(matching(where, newest))


def account_verticals(conn: Connection, accounts: Collection[str]) -> Mapping[str, str]:
    """The newest known vertical of each account: by its history, else by its newest fact. Absent where unknown."""
    newest = _account(conn, None, with_facts=True)
    query = select(newest.c.account_id, newest.c.vertical).where(
        newest.c.account_id.in_(sorted(accounts)), newest.c.vertical.is_not(None)
    )
    return {row.account_id: row.vertical for row in conn.execute(query)}


def instrument_signals(conn: Connection, scope: Scope, as_of: datetime) -> Signals:
    """The days with an invitation or an answer of each instrument; instruments never sent are listed without a day."""
    rows = relation("response", as_of, ("instrument", "day", "responded_day", *_SEGMENT))
    chosen = and_(scope.where(rows), rows.c.instrument.is_not(None))
    invited = select(rows.c.instrument.label("unit"), rows.c.day).where(chosen)
    answered = select(rows.c.instrument, rows.c.responded_day).where(chosen, rows.c.responded_day.is_not(None))
    # Those that were never sent at all have no row to be found by.
    return read_signals(conn, union(invited, answered), conn.scalars(select(tables.instrument.c.instrument)))


def instrument_cadences(conn: Connection) -> Mapping[str, timedelta]:
    """How often each instrument is to be sent, by its newest version (wording date, then version).

    One that is sent after an event, or whose cadence cannot be read, is absent.
    """
    c = tables.instrument.c
    rows = conn.execute(select(c.instrument, c.cadence, c.wording_changed_at, c.version))
    # The newest version comes last, so it is the one that stays in the mapping.
    ordered = sorted(rows, key=lambda row: (row.wording_changed_at or date.min, row.version))
    read = {row.instrument: cadence_of(row.cadence or "") for row in ordered}
    return {name: length for name, length in read.items() if length is not None}


def source_signals(conn: Connection, as_of: datetime) -> Signals:
    """The days with a contact, an invitation, an answer, a journey's start or a defect of each source, by event day."""
    parts = []
    for name, column in _SOURCE_DAYS:
        rows = relation(name, as_of, ("source", column))
        day = rows.c[column]
        parts.append(select(rows.c.source.label("unit"), day.label("day")).where(day.is_not(None)).distinct())
    # A source whose rows are all gone was heard of last when it was loaded: else its silence would never begin.
    for source, loaded_at in _emptied(conn, as_of).items():
        at = literal(day_of(loaded_at, clock_of(conn, as_of).zone), Date)
        parts.append(select(literal(source).label("unit"), at.label("day")))
    return read_signals(conn, union(*parts))


def _emptied(conn: Connection, as_of: datetime) -> dict[str, datetime]:
    """The sources that were loaded and not dropped, and have no rows: when each was last loaded with rows."""
    table = tables.generation.c
    rows = select(table.published_at, table.summary).where(table.published_at < naive(as_of)).order_by(table.number)
    loaded: dict[str, datetime] = {}
    for published_at, text in conn.execute(rows):
        summary = json.loads(text)
        source, counts = summary.get("source"), summary.get("tables", {}).values()
        # Only a load has stages: what else names a source took it out.
        if not summary.get("stages") or summary.get("sample"):
            loaded.pop(source, None)
        elif source not in loaded or any(count["read"] for count in counts):
            loaded[source] = published_at
    present = conn.scalars(union(*(select(table.c.source).distinct() for table in tables.CANONICAL))).all()
    return {source: at for source, at in loaded.items() if source not in present}


_SEGMENT: Final = ("account_id", "vertical", "touchpoint")
_SOURCE_DAYS: Final = (
    ("contact", "day"),
    ("response", "day"),
    ("response", "responded_day"),
    ("journey", "day"),
    ("defect", "day"),
)


def _account_days(
    name: str, day: str, having: tuple[str, str], where: Conditions, scope: Scope, as_of: datetime
) -> Select[Any]:
    column, value = having
    rows = relation(name, as_of, (column, day, *_SEGMENT, *(condition.column for condition in where)))
    chosen = (rows.c[column] == value, rows.c[day].is_not(None), matching(where, rows), scope.where(rows))
    return select(rows.c.account_id.label("unit"), rows.c[day].label("day")).where(*chosen)


def _account(conn: Connection, as_of: datetime | None, *, with_facts: bool) -> Subquery:
    """Every account with its newest vertical and `account.*` columns."""
    # One row an account: the last validity that had begun, as the facts read it.
    validity = tables.account_history
    order = (validity.c.valid_from.desc(), validity.c.source.desc())
    turn = func.row_number().over(partition_by=validity.c.account_id, order_by=order)
    begun = select(*validity.c, turn.label("turn"))
    if as_of:
        begun = begun.where(validity.c.valid_from <= clock_of(conn, as_of).day())
    line = begun.subquery("line")
    account, history = tables.account, select(line).where(line.c.turn == 1).subquery("newest_history")
    named = [history.c[name.removeprefix("account.")].label(name) for name in _OF_ACCOUNT]
    joined = account.outerjoin(history, history.c.account_id == account.c.account_id)
    vertical: ColumnElement[Any] = history.c.vertical
    # Looking through every fact costs a scan, so it is done only where the vertical is asked for.
    if with_facts:
        facts = _fact_verticals(history, as_of)
        joined = joined.outerjoin(facts, facts.c.account_id == account.c.account_id)
        vertical = func.coalesce(vertical, facts.c.vertical)
    return select(account.c.account_id, vertical.label("vertical"), *named).select_from(joined).subquery("known")


_OF_ACCOUNT: Final = tuple(sorted(name for name in COLUMNS["contact"] if name.startswith("account.")))


def _fact_verticals(history: Subquery, as_of: datetime | None) -> Subquery:
    """The vertical of the newest fact of accounts whose history names none."""
    named = select(history.c.account_id).where(history.c.vertical.is_not(None))
    parts = []
    for name, at in _EVENTS:
        rows = relation(name, as_of, ("account_id", "vertical", at))
        parts.append(select(rows.c.account_id, rows.c.vertical, rows.c[at].label("at")))
    facts = union_all(*parts).subquery("fact")
    vertical = newest_value(facts.c.vertical, facts.c.at).label("vertical")
    query = select(facts.c.account_id, vertical).where(facts.c.account_id.not_in(named)).group_by(facts.c.account_id)
    return query.subquery("fact_vertical")


_EVENTS: Final = (("contact", "occurred_at"), ("response", "invited_at"))


def read_signals(conn: Connection, query: Select[Any] | CompoundSelect[Any], units: Iterable[str] = ()) -> Signals:
    """The signals that a query of names and days finds."""
    pairs = fetch_arrow(conn, query)
    names = pairs.column(0).combine_chunks().cast(pa.string())
    return Signals.of(names, day_ordinals(pairs.column(1)), units)


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
    # The words first: "annual" is no period that a pattern could read.
    if said in _WORDS:
        return _WORDS[said]
    if (period := _ISO.fullmatch(said)) is not None:
        years, months, weeks, days = (int(part or 0) for part in period.groups())
        return _span(12 * years + months, 7 * weeks + days)
    if (every := _EVERY.fullmatch(said)) is not None:
        count, unit = int(every[1] or 1), every[2]
        return _span(count * _UNIT_MONTHS.get(unit, 0), count * _UNIT_DAYS.get(unit, 0))
    try:
        return parse_duration(said) or None
    except ValueError:
        return None


def _span(months: int, days: int) -> timedelta | None:
    years, rest = divmod(months, _MONTHS)
    # The longest run of so many months, so that nobody is late for sending on the same day of each: 31, 62, 92, 123 ...
    total = days + 366 * years + (floor(30.6 * rest + 1) if rest else 0)
    return timedelta(total) if total else None
