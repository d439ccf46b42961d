"""Evaluate the rules on the decline of accounts, from what was known of their months in each slot."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from config.models import Conditions, Rule
from queries.metrics import AccountMonths, MonthlyRevenue, month_of, read_account_months
from queries.monitoring.activity import accounts_where
from queries.statistics.falls import NEWEST, YEAR, Falls, falls
from queries.warehouse import EVERYTHING
from triggers.evaluation.kinds import kind_of, verdicts
from triggers.evaluation.kinds.decline import Decline
from triggers.evaluation.quiet_rules import among, watch_panel
from triggers.evaluation.replay import EvaluatedRule
from triggers.rules import Bools, Moment, Task

Floats = NDArray[np.float64]

LOOKS: Final = 24
"""How often a year each account is looked at: its revenue and its share, when a month becomes known."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What a slot knows and makes of it. Arrays have the shape (accounts,)."""

    months: MonthlyRevenue
    of: tuple[Falls, Falls]
    surest: NDArray[np.int64]
    fall: float
    n: Floats
    value: Floats
    suspect: Bools
    enough: Bools
    p: Floats
    safe: Bools
    alpha: float

    def details(self, account: int) -> Mapping[str, Any]:
        """The figures of an account in the last month before its fall and in the newest, and of the year before."""
        if account >= len(self.surest):  # nothing is known of it any more
            return {}
        newest, falls_of = int(self.of[0].newest[account]), self.of[self.surest[account]]
        held, share = self.months.held[account], self.months.share[account]
        earlier = (held, share)[self.surest[account]][: max(newest + 1 - NEWEST, 0)]
        usual = np.flatnonzero(earlier >= (1 - self.fall) * falls_of.highest[account])
        if not len(usual):
            return {}
        before = int(usual[-1])
        year = held[max(before + 1 - YEAR, 0) : before + 1]
        return {
            "months": [month_of(self.months.first + place).isoformat() for place in (before, newest)],
            "amounts": [_number(held[place]) or 0.0 for place in (before, newest)],
            "shares": [_number(share[place]) for place in (before, newest)],
            "year": _number(year.sum()) if len(year) == YEAR else None,
            "currency": self.months.currency,
        }


@dataclass(frozen=True, slots=True)
class DeclineRuleEvaluator:
    """Reads what rules on the decline of accounts are judged on."""

    conn: Connection
    moment: Moment
    read: dict[Conditions, AccountMonths] = field(default_factory=dict)

    def judged(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, tuple[date, ...], EvaluatedRule]]:
        """Each task with its slots and what it makes of them."""
        for task in tasks:
            kind = _as_decline(task.subject.rule)
            if kind and (task.slots or task.first_run):
                yield self._one(task, kind)

    def _one(self, task: Task, kind: Decline) -> tuple[Task, tuple[date, ...], EvaluatedRule]:
        months, known = self._months(kind.rule.where), dict[tuple[int, int], _Known]()
        slots = task.due(month_of(int(months.month.min())) if len(months.month) else None, self.moment.now)
        states = list[_Known]()
        for slot in slots:
            as_of = task.subject.cadence.as_of(slot)
            state = months.state(as_of)
            if state not in known:
                known[state] = _known(kind, months.at(as_of))
            states.append(known[state])

        def column(name: str, kind: Any = np.float64) -> Any:
            found = np.array([getattr(one, name) for one in states], dtype=kind)
            return found.reshape(len(slots), len(months.accounts))

        gate = {"p": column("p"), **{name: column(name, np.bool_) for name in ("suspect", "enough", "safe")}}
        value, units = column("value"), tuple((account,) for account in months.accounts)
        panel = watch_panel(slots, units, column("n"), value, np.full(value.shape, np.nan), **gate)
        panel = replace(panel, bad=value - kind.rule.fall, details=lambda row, place: states[row].details(place))
        judged, alpha = among(panel, task), np.array([one.alpha for one in states], dtype=np.float64)
        return task, slots, EvaluatedRule(judged, alpha, verdicts(kind.rule, judged, alpha))

    def _months(self, where: Conditions) -> AccountMonths:
        """The months of the accounts that a rule is about, read once."""
        if where not in self.read:
            chosen = accounts_where(self.conn, where, self.moment.now)
            self.read[where] = read_account_months(
                self.conn, EVERYTHING, self.moment.now, None, lambda table: table.c.account_id.in_(chosen)
            )
        return self.read[where]


def _as_decline(rule: Rule) -> Decline | None:
    kind = kind_of(rule)
    return kind if isinstance(kind, Decline) else None


def _known(kind: Decline, months: MonthlyRevenue) -> _Known:
    """Revenue and share of wallet, each against its own past; the surer of the two counts."""
    of, rule = (falls(months.held, kind.rule.min_n), falls(months.share, kind.rule.min_n)), kind.rule
    fall, since = (np.array([getattr(one, name) for one in of]) for name in ("fall", "since"))
    judged = np.isfinite(fall)
    # Without revenue nothing says what a share is worth.
    enough = judged[0]
    alpha = min(1.0, rule.false_alarms_per_year / (LOOKS * max(int(enough.sum()), 1)))
    worth = np.nan_to_num(fall, nan=-1.0) * YEAR * np.nan_to_num(of[0].level)
    suspect = judged & enough & (np.nan_to_num(fall, nan=-1.0) >= rule.fall) & (worth >= rule.floor)
    p = np.ones(fall.shape)
    for figure, one in enumerate(of):
        if (places := np.flatnonzero(suspect[figure])).size:
            p[figure, places] = one.by_chance(places, alpha)
    surest = np.where(suspect.any(axis=0), np.argmin(p, axis=0), np.argmax(np.nan_to_num(since, nan=-np.inf), axis=0))
    value = np.where(enough, np.take_along_axis(since, surest[None], axis=0)[0], np.nan)
    safe = enough & (np.nan_to_num(np.fmax(*since), nan=1.0) < rule.recover)
    n = np.isfinite(months.held).sum(axis=1).astype(np.float64)
    gate = (suspect.any(axis=0), enough, p.min(axis=0), safe)
    return _Known(months, of, surest, rule.fall, n, value, *gate, alpha)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
