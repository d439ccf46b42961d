"""Where a breach comes from: its rows by defect code, team, product and so on, against those of the time before."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Subquery,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from config.models import Metric, Rule
from queries.engine import whole
from queries.monitoring.asked_rows import Question, asked, bad_row, day_of_row, has_bad_rows
from queries.statistics.drivers import Window, split, split_by_account
from queries.warehouse import COLUMNS, UNKNOWN, Scope, matching, relation

DIMENSIONS: Final = {
    "code": ("defect code", "defect codes"),
    "team": ("team", "teams"),
    "touchpoint": ("touchpoint", "touchpoints"),
    "product": ("product", "products"),
    "region": ("region", "regions"),
    "channel": ("contact channel", "contact channels"),
    "issue_code": ("issue", "issues"),
    "journey_type": ("journey", "journeys"),
    "vertical": ("vertical", "verticals"),
    "account_id": ("account", "accounts"),
}
"""Columns that a breach is split by, and what people call one value and all of them."""

NONE: Final = "none"
"""Of a bad row: it has no defect."""
_OF_DEFECTS: Final = frozenset({"code", "team", "touchpoint"})
_TIMES, _LEAST, _YEAR = 3, timedelta(weeks=8), timedelta(weeks=52)
_MOST_NAMED: Final = 3
_LONGEST: Final = 80


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a dimension.

    Args:
        value: its name; of an account the id.
        n: its rows in the window, of what only bad rows have the bad ones.
        bad: the bad ones of them, None of a metric that has none.
        part: what it adds to the change, in the metric's unit, higher is worse; with its interval `low` to `high`.
        even: what an even spread makes of it.
        stands_out: whether the part is surely and notably more.
    """

    value: str
    n: int
    bad: int | None
    part: float
    low: float
    high: float
    even: float
    stands_out: bool


@dataclass(frozen=True, slots=True)
class Dimension:
    """A change by the values of one column, those that stand out first, then the commonest."""

    name: str
    cells: tuple[Cell, ...]
    is_weighed: bool

    @property
    def first(self) -> Cell | None:
        """What stands out most, of what has a name."""
        return next((one for one in self.cells if one.stands_out and one.value not in {UNKNOWN, NONE}), None)


@dataclass(frozen=True, slots=True)
class Drivers:
    """A change, or the distance to a limit, by each dimension; `n` and `bad` count the rows of the window.

    `earlier` is what it is measured from; None is the limit. `withheld`: values are left out for privacy.
    """

    change: float
    n: int
    bad: int | None
    earlier: tuple[date, date] | None
    dimensions: tuple[Dimension, ...]
    withheld: bool = False

    def words(self, names: Mapping[str, str]) -> str:
        """Where it comes from, in a sentence; `names` are those of accounts that may be named."""
        named = [(one, cell) for one in self.dimensions if (cell := one.first)]
        if not named:
            weighed = [DIMENSIONS[one.name][1] for one in self.dimensions if one.is_weighed]
            return f"Spread evenly across {_joined(weighed)}" if weighed else ""
        named.sort(key=lambda each: each[1].even - each[1].part)
        said = list[str]()
        for one, cell in named[:_MOST_NAMED]:
            what = f"{DIMENSIONS[one.name][0]} “{cell.value[:_LONGEST]}”"
            if one.name == "account_id":
                what = names.get(cell.value, "one account")
            of = f"{self._share(cell):.0%} of the change" if cell.bad is None else f"{cell.bad:,} of {self.bad:,}"
            said.append(f"{what} ({of}{' bad cases' if cell.bad is not None and not said else ''})")
        return f"{'Mostly' if self._share(named[0][1]) >= 0.5 else 'Above all'} {_joined(said)}"

    def _share(self, cell: Cell) -> float:
        return cell.part / self.change if cell.bad is None else cell.bad / max(self.bad or 0, 1)


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def question_of(
    rule: Rule,
    metric: Metric,
    slot: date,
    by: Mapping[str, str],
    sample: Mapping[str, Any],
    frozen: tuple[date, date] | None = None,
) -> Question:
    """The rows of an incident's newest figure, and what that is measured from.

    That is the incident's frozen baseline, where it has one, whatever stands now; else three windows, and eight weeks
    at least, before the first one in breach; of a rule that looks at the year before, a year earlier. `slot` is the one
    at which it opened, `by` its slice, `sample` its newest figure, and `frozen` the days of its baseline.
    """
    since, until = (date.fromisoformat(sample[end]) for end in ("since", "until"))
    first = slot - (until - since) - (_YEAR if getattr(rule, "baseline", None) == "last-year" else timedelta(0))
    earlier = frozen or (first - max((until - since) * _TIMES, _LEAST), first)
    held = sample.get("held", getattr(rule, "limit", None))
    return Question(metric, since, until, rule.where, tuple(by.items()), earlier, held)


def dimensions_of(metric: Metric) -> frozenset[str]:
    """What a breach of a metric is split by, where its rule does not fix it: its rows' columns, and their defects'."""
    return frozenset(DIMENSIONS) & COLUMNS[metric.table] | (_OF_DEFECTS if _has_defects(metric) else frozenset())


def _has_defects(metric: Metric) -> bool:
    return metric.table == "journey" and has_bad_rows(metric)


def read_drivers(conn: Connection, question: Question, scope: Scope, as_of: datetime) -> Drivers | None:
    """Where a breach comes from, of the rows in scope; None for a median, which has no parts, and without rows.

    Args:
        conn: one generation of the warehouse.
        question: which rows, and what they are measured from.
        scope: rows outside it are not read.
        as_of: nothing later is read, aware UTC.
    """
    metric = question.metric
    if metric.shape not in {"share", "balance", "mean"} or question.earlier is None:
        return None
    own = sorted((dimensions_of(metric) & COLUMNS[metric.table]) - question.fixed - {"account_id"})
    keys = {"id", "source"} if _has_defects(metric) else set[str]()
    span = min(question.since, question.earlier[0]), max(question.until, question.earlier[1])
    rows, chosen = asked(question, scope, as_of, {*own, "account_id", *keys}, span)
    day = rows.c[day_of_row(metric)]
    is_now = and_(day >= question.since, day < question.until)
    is_before = and_(day >= question.earlier[0], day < question.earlier[1])
    # What was asked for spans both windows: where a year lies between them, its days are left out here.
    line = _line(metric, rows, and_(chosen, or_(is_now, is_before)), is_now, {*own, *keys})
    # Of what only bad rows have, a row is told once for each value.
    of_defects = _of_defects(conn, line, as_of) if keys else {}
    return _drivers(question, _by_value(conn, line, own), of_defects)


_Sums = dict[tuple[bool, str, str], tuple[float, ...]]
"""Rows, bad rows, and the sums of scores and of their squares, by window (whether it is the newest), account, value."""


def _line(
    metric: Metric, rows: Subquery, chosen: ColumnElement[bool], is_now: ColumnElement[bool], names: set[str]
) -> Subquery:
    """The rows of both windows, each with its score: what it adds to the figure, higher is worse."""
    factor, is_up = metric.factor, metric.good == "up"
    if has_bad_rows(metric):
        bad: ColumnElement[Any] = case((bad_row(metric, rows), 1), else_=0)
        better = matching(metric.plus if is_up else metric.minus, rows) if metric.shape == "balance" else false()
        score: ColumnElement[Any] = bad * factor - case((better, factor), else_=0.0)
    else:
        bad, score = literal(0), rows.c[str(metric.value)].cast(Double) * (-factor if is_up else factor)
    kept = (rows.c.account_id, *(rows.c[name] for name in sorted(names)))
    query = select(case((is_now, 1), else_=0).label("now"), bad.label("bad"), score.label("score"), *kept)
    return query.where(chosen, score.is_not(None)).subquery("line")


def _by_value(conn: Connection, line: Subquery, own: Sequence[str]) -> dict[str, _Sums]:
    """The rows by each dimension, and by account alone: in one pass."""
    c = line.c
    base, columns = (c.now, c.account_id), [c[name] for name in own]
    sums = (func.count(), whole(func.sum(c.bad)), func.sum(c.score), func.sum(c.score * c.score))
    sets = func.grouping_sets(tuple_(*base), *(tuple_(*base, column) for column in columns))
    left_out = [func.grouping(column) for column in columns]
    found: dict[str, _Sums] = {"account_id": {}, **{name: {} for name in own}}
    for now, account, *rest in conn.execute(select(*base, *columns, *left_out, *sums).group_by(sets)):
        values, missing, tally = rest[: len(own)], rest[len(own) : 2 * len(own)], rest[2 * len(own) :]
        name, value = next(((own[i], values[i]) for i, out in enumerate(missing) if not out), ("account_id", account))
        key = bool(now), str(account), UNKNOWN if value is None else str(value)
        found[name][key] = tuple(map(float, tally))
    return found


def _of_defects(conn: Connection, line: Subquery, as_of: datetime) -> dict[str, _Sums]:
    """The bad journeys by what their defects have. A defect's team is its journey's last one at its touchpoint."""
    d = relation("defect", as_of, ("source", "id", "journey_id", "code", "touchpoint", "occurred_at")).alias("d")
    c = relation("contact", as_of, ("source", "id", "journey_id", "touchpoint", "team", "occurred_at")).alias("c")
    bad = select(line).where(line.c.bad == 1).subquery("bad")
    mine = and_(d.c.source == bad.c.source, d.c.journey_id == bad.c.id)
    at_it = and_(c.c.source == d.c.source, c.c.journey_id == d.c.journey_id, c.c.touchpoint == d.c.touchpoint)
    last = func.row_number().over(
        partition_by=(bad.c.source, bad.c.id, d.c.id), order_by=(c.c.occurred_at.desc(), c.c.id)
    )
    joined = bad.outerjoin(d, mine).outerjoin(c, and_(at_it, c.c.occurred_at <= d.c.occurred_at))
    key = (bad.c.now, bad.c.account_id, bad.c.source, bad.c.id, bad.c.score)
    rows = select(*key, d.c.id.label("defect"), d.c.code, d.c.touchpoint, c.c.team, last.label("place"))
    each = rows.select_from(joined).subquery("each")
    values = dict[str, dict[tuple[Any, ...], set[str]]]()
    for now, account, source, id_, score, defect, *rest, _ in conn.execute(select(each).where(each.c.place == 1)):
        for name, value in zip(("code", "touchpoint", "team"), rest, strict=True):
            said = NONE if defect is None else UNKNOWN if value is None else str(value)
            journeys = values.setdefault(name, {})
            journeys.setdefault((bool(now), str(account), source, id_, float(score)), set()).add(said)
    found = dict[str, _Sums]()
    for name, journeys in values.items():
        sums: _Sums = found.setdefault(name, {})
        for (now, account, *_, score), all_of_it in journeys.items():
            for value in all_of_it:
                part = 1 / len(all_of_it)
                old = sums.get((now, account, value), (0.0, 0.0, 0.0, 0.0))
                added = (part, 1.0, score * part, score * score * part)
                sums[now, account, value] = tuple(x + y for x, y in zip(old, added, strict=True))
    return found


def _drivers(question: Question, by_value: dict[str, _Sums], of_defects: dict[str, _Sums]) -> Drivers | None:
    metric, accounts = question.metric, by_value["account_id"]
    now, before = (
        np.sum([t for key, t in accounts.items() if key[0] is side] or [(0.0,) * 4], axis=0) for side in (True, False)
    )
    if not now[0] or question.earlier is None:
        return None
    level, past = now[2] / now[0], before[2] / max(before[0], 1.0)
    limit = level if question.held is None else question.held
    if metric.good == "up" and question.held is not None:
        limit = metric.factor - limit if metric.shape == "share" else -limit
    is_change = bool(before[0] >= metric.min_n and level > past)
    change = float(level - (past if is_change else limit))
    if change <= 0:
        return None
    bad = round(now[1]) if has_bad_rows(metric) else None
    places = {name: i for i, name in enumerate(sorted({account for _, account, _ in accounts}))}
    asked_for = _Whole(accounts, places, is_change, float(limit), bad is not None)
    every = {**by_value, **of_defects}
    found = (
        _dimension(name, every[name], asked_for, of_bad_rows=name in of_defects) for name in DIMENSIONS if name in every
    )
    return Drivers(
        change,
        round(now[0]),
        bad,
        question.earlier if is_change else None,
        tuple(one for one in found if len(one.cells) > 1),
    )


@dataclass(frozen=True, slots=True)
class _Whole:
    """What all dimensions share: the rows by account, the accounts' places, and what the change is measured from."""

    accounts: _Sums
    places: Mapping[str, int]
    is_change: bool
    limit: float
    has_bad: bool

    def window(self, sums: _Sums, cells: Mapping[str, int], *, is_now: bool) -> Window:
        """The rows of a window."""
        size = np.zeros((len(self.places), 4))
        n, y = np.zeros((len(self.places), len(cells))), np.zeros((len(self.places), len(cells)))
        for (now, account, _), tally in self.accounts.items():
            if now is is_now:
                size[self.places[account]] = tally
        for (now, account, value), tally in sums.items():
            if now is is_now:
                place = self.places[account], cells[value]
                n[place], y[place] = tally[0], tally[2]
        return Window(size[:, :1], size[:, 2:3], size[:, 3:], n, y)


def _dimension(name: str, sums: _Sums, whole_: _Whole, *, of_bad_rows: bool) -> Dimension:
    is_account = name == "account_id"
    cells = whole_.places if is_account else {v: i for i, v in enumerate(sorted({value for _, _, value in sums}))}
    # Accounts are their own cells: a table of all by all would be large, and empty.
    given = [
        whole_.window({} if is_account else sums, {} if is_account else cells, is_now=now) for now in (True, False)
    ]
    now, before = given[0], given[1] if whole_.is_change else None
    if is_account:
        found = split_by_account(now, before, whole_.limit)
    else:
        found = split(now, before, whole_.limit, of_bad_rows=of_bad_rows)
    counted = Counter[str]()
    bad = Counter[str]()
    for (is_now, _, value), tally in sums.items():
        if is_now:
            # A row with two values is a whole row of either, where rows are counted for people.
            counted[value] += round(tally[1 if of_bad_rows else 0])
            bad[value] += round(tally[1])
    made = [
        Cell(
            value,
            counted[value],
            bad[value] if whole_.has_bad else None,
            float(found.part[i]),
            float(found.part[i] - found.half[i]),
            float(found.part[i] + found.half[i]),
            float(found.even[i]),
            bool(found.stands_out[i]),
        )
        for value, i in cells.items()
    ]
    made.sort(
        key=lambda one: (
            not one.stands_out,
            one.even - one.part if one.stands_out else 0,
            -(one.bad or 0),
            -one.n,
            one.value,
        )
    )
    return Dimension(name, tuple(made), is_weighed=bool((found.p < 1).any()))
