"""What stands behind an incident: the accounts that made its figure, what else went on, how fresh the data is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, case, func, null, or_, select

from queries.engine import aware, day_of, day_start, naive, whole
from queries.metrics import (
    Ask,
    UnratedRevenueError,
    clock_of,
    count,
    largest_word,
    money_figure,
    private_values,
    rank_of,
    revenue_of,
)
from queries.monitoring.asked_rows import Question, asked, bad_row, has_bad_rows
from queries.monitoring.case_file import CaseFile
from queries.monitoring.drivers import Dimension, Drivers, read_drivers
from queries.monitoring.people import private_accounts
from queries.monitoring.row_profiles import YOUNG
from queries.warehouse import COLUMNS, DAYS, Scope, relation, tables

MOST: Final = 5
"""How many accounts a card names."""


@dataclass(frozen=True, slots=True)
class Contributor:
    """An account's part in a figure: its rows, and those of them that count against the limit (none for a mean)."""

    account_id: str
    name: str
    n: int
    bad: int | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """A condition that held during the window. `until` is None while it holds; instants are aware UTC."""

    name: str
    kind: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class DataFreshness:
    """How new the data is: the generation, when it was loaded (aware UTC), the newest and the oldest day with a row."""

    generation: int
    published_at: datetime
    newest_day: date | None
    oldest_day: date | None = None

    @property
    def young(self) -> tuple[int, int] | None:
        """The weeks of rows that there are, and how many it takes to tell every fault, where they are too few."""
        if self.newest_day is None or self.oldest_day is None:
            return None
        weeks = (self.newest_day - self.oldest_day).days // 7 + 1
        return (weeks, YOUNG) if weeks < YOUNG else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an incident's card adds to its figures.

    `accounts` counts all that have a part in the figure, `affected` are those whose rows count against it;
    `last_contact` is when a single one was last heard of, `case` its severe case, `revenue` what those affected buy;
    `drivers` say where a breach comes from; `withheld` is whether accounts are left out of both for privacy.
    """

    contributors: tuple[Contributor, ...]
    accounts: int
    bad: int | None
    overlaps: tuple[Overlap, ...]
    freshness: DataFreshness
    last_contact: date | None = None
    affected: tuple[str, ...] = ()
    case: CaseFile | None = None
    revenue: str = ""
    drivers: Drivers | None = None
    withheld: bool = False


def with_revenue(conn: Connection, evidence: Evidence, currency: str, scope: Scope, as_of: datetime) -> Evidence:
    """The evidence with what the accounts affected buy in a year, or why nobody can say."""
    n = len(evidence.affected)
    if evidence.withheld and scope.privacy and n < scope.privacy.people:
        # What so few buy would say who they are.
        return evidence
    try:
        worth = sum(revenue_of(conn, evidence.affected, currency, scope, as_of).values())
        rank = rank_of(conn, evidence.affected[0], currency, scope, as_of) if worth and n == 1 else None
    except UnratedRevenueError as error:
        return replace(evidence, revenue=f"Not known: {error}")
    whose = "this account" if n == 1 else f"the {count(n)} accounts affected"
    words = f"{money_figure(worth, currency)} in the last twelve months from {whose}"
    if rank and rank.of > 1:
        words += f", the {largest_word(rank.place)} of {count(rank.of)} accounts in {rank.vertical}"
    return replace(evidence, revenue=words) if worth else evidence


def gather(
    conn: Connection, question: Question, place: tuple[str | None, str | None], scope: Scope, as_of: datetime
) -> Evidence:
    """The evidence behind a rate.

    Args:
        conn: one generation of the warehouse.
        question: which rows.
        place: the incident's vertical and touchpoint, where it has one.
        scope: whose accounts may be named; rows outside it are left out of the accounts, not of the figure.
        as_of: nothing later is read, aware UTC.
    """
    accounts, private = _accounts(conn, question, scope, as_of), private_accounts(conn, question, scope, as_of)
    drivers = read_drivers(conn, question, scope, as_of)
    bad = sum(c.bad or 0 for c in accounts) if has_bad_rows(question.metric) else None
    affected = tuple(c.account_id for c in accounts if c.bad is None or c.bad)
    return Evidence(
        _named(conn, [c for c in accounts if c.account_id not in private][:MOST]),
        len(accounts),
        bad,
        overlaps(conn, question.since, question.until, place, as_of),
        data_freshness(conn, question.metric.table, as_of),
        drivers=_without_private(conn, question, drivers, private, scope, as_of) if drivers else None,
        affected=affected,
        withheld=bool(private),
    )


def _without_private(
    conn: Connection, question: Question, drivers: Drivers, accounts: Collection[str], scope: Scope, as_of: datetime
) -> Drivers:
    """Where a breach comes from, without the values that are from too few people, now or before, nor these accounts."""
    windows = [(question.since, question.until), *([drivers.earlier] if drivers.earlier else [])]

    def hidden(name: str) -> frozenset[str]:
        asks = (Ask((name,), "all", since, until, question.conditions) for since, until in windows)
        return frozenset().union(*(private_values(conn, question.metric, ask, scope, as_of) for ask in asks))

    # What only defects have is of journeys, and these are no people.
    own = [one for one in drivers.dimensions if one.name in COLUMNS[question.metric.table] - {"account_id"}]
    private = {"account_id": accounts, **{one.name: hidden(one.name) for one in own}}
    left = tuple(_without(one, private.get(one.name, ())) for one in drivers.dimensions)
    return replace(drivers, dimensions=tuple(one for one in left if one.cells), withheld=left != drivers.dimensions)


def _without(one: Dimension, hidden: Collection[str]) -> Dimension:
    cells = tuple(cell for cell in one.cells if cell.value not in hidden)
    if len(cells) == len(one.cells):
        return one
    # What stands out may be what is left out: nobody may say then that the rest is spread evenly.
    return replace(one, cells=cells, is_weighed=one.is_weighed and any(cell.stands_out for cell in cells))


def gather_case(
    conn: Connection, table: str, account: str | None, day: date, place: tuple[str | None, str | None], as_of: datetime
) -> Evidence:
    """The evidence behind one severe case: its account, and what else held on that day."""
    accounts = (Contributor(account, account, 1, 1),) if account else ()
    during = overlaps(conn, day, date.fromordinal(day.toordinal() + 1), place, as_of)
    known = (len(accounts), len(accounts), during, data_freshness(conn, table, as_of))
    heard = last_contact(conn, account, as_of) if account else None
    return Evidence(_named(conn, accounts), *known, heard, (account,) if account else ())


def last_contact(conn: Connection, account: str, as_of: datetime) -> date | None:
    """The day on which an account last came to us of itself; None where it never did."""
    rows = relation("contact", as_of, ("account_id", "direction", "day"))
    newest = select(func.max(rows.c.day)).where(rows.c.account_id == account, rows.c.direction == "in")
    found: date | None = conn.execute(newest).scalar()
    return found


def _accounts(conn: Connection, question: Question, scope: Scope, as_of: datetime) -> tuple[Contributor, ...]:
    """The accounts with a part in the figure, those with most bad rows first."""
    metric = question.metric
    rows, chosen = asked(question, scope, as_of, {"account_id"})
    bad = whole(func.sum(case((bad_row(metric, rows), 1), else_=0))) if has_bad_rows(metric) else null()
    query = select(rows.c.account_id, func.count().label("n"), bad.label("bad")).where(chosen)
    groups = conn.execute(query.group_by(rows.c.account_id)).all()
    accounts = (Contributor(row.account_id, row.account_id, row.n, row.bad) for row in groups)
    return tuple(sorted(accounts, key=lambda c: (-(c.bad if c.bad is not None else c.n), -c.n, c.account_id)))


def _named(conn: Connection, accounts: Sequence[Contributor]) -> tuple[Contributor, ...]:
    table = tables.account
    ids = [c.account_id for c in accounts]
    rows = conn.execute(select(table.c.account_id, table.c.name).where(table.c.account_id.in_(ids)))
    names: dict[str, str] = {row.account_id: row.name for row in rows}
    return tuple(Contributor(c.account_id, names.get(c.account_id, c.account_id), c.n, c.bad) for c in accounts)


def overlaps(
    conn: Connection, since: date, until: date, place: tuple[str | None, str | None], as_of: datetime
) -> tuple[Overlap, ...]:
    """The conditions known at `as_of` that held on a day of [since, until) and concern the place, oldest first."""
    c = tables.condition.c
    zone = clock_of(conn, as_of).zone
    first, end = (naive(day_start(day, zone)) for day in (since, until))
    # An end that lies ahead of `as_of` was not known then: the condition still held for all that anybody knew.
    known_end = case((c.ends_at < naive(as_of), c.ends_at))
    query = select(c.name, c.kind, c.starts_at, known_end.label("ends_at"), c.verticals, c.touchpoints).where(
        c.starts_at < min(end, naive(as_of)),
        or_(c.ends_at.is_(None), c.ends_at > first),
    )
    rows = conn.execute(query.order_by(c.starts_at, c.name)).all()
    return tuple(
        Overlap(row.name, row.kind, aware(row.starts_at), aware(row.ends_at) if row.ends_at else None)
        for row in rows
        if _concerns(row.verticals, place[0]) and _concerns(row.touchpoints, place[1])
    )


def _concerns(named: str | None, place: str | None) -> bool:
    """Whether a comma-separated list names the place; nothing named, or no one place, concerns all."""
    return not named or place is None or place in {part.strip() for part in named.split(",")}


def data_freshness(conn: Connection, table: str, as_of: datetime) -> DataFreshness:
    """How new the data of a relation is."""
    newest = select(tables.generation).order_by(tables.generation.c.number.desc()).limit(1)
    generation = conn.execute(newest).one()
    day = next(iter(DAYS[table].values()))
    rows = relation(table, as_of, (day,))
    newest_day, oldest_day = conn.execute(select(func.max(rows.c[day]), func.min(rows.c[day]))).one()
    loaded = aware(generation.published_at)
    # Clocks of sources may run ahead: no data is newer than its load.
    newest_day = min(newest_day, day_of(loaded, clock_of(conn, as_of).zone)) if newest_day else None
    return DataFreshness(generation.number, loaded, newest_day, oldest_day)
