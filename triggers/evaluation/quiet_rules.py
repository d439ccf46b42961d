"""Evaluate the rules on what is quiet: accounts, instruments, sources, and the revenue that is heard from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from config.models import Conditions, QuietRule, Rule
from queries.monitoring.activity import (
    Signals,
    account_signals,
    account_verticals,
    instrument_cadences,
    instrument_signals,
    source_signals,
)
from queries.monitoring.revenue_coverage import revenue_coverage
from queries.warehouse import EVERYTHING
from triggers.evaluation.kinds import Delays, Windows, alpha_of, overdue_instruments, stale, unit_silences, verdicts
from triggers.evaluation.replay import EvaluatedRule
from triggers.rules import ROUNDING, Moment, Slice, Task

Floats = NDArray[np.float64]


def as_quiet(rule: Rule) -> QuietRule | None:
    """A rule that hears something; None where it reads a metric or finds cases."""
    return rule if isinstance(rule, QuietRule) else None


@dataclass(frozen=True, slots=True)
class QuietRuleEvaluator:
    """Reads what quiet rules are judged on."""

    conn: Connection
    moment: Moment
    known: dict[tuple[str, Conditions], Signals] = field(default_factory=dict)

    def judged(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, tuple[date, ...], EvaluatedRule]]:
        """Each task with its slots and what it makes of them."""
        for task in tasks:
            rule = as_quiet(task.subject.rule)
            if rule and (task.slots or task.first_run):
                yield self._one(task, rule)

    def verticals(self, accounts: Sequence[str]) -> Mapping[str, str]:
        """The vertical of each account."""
        return account_verticals(self.conn, accounts) if accounts else {}

    def _one(self, task: Task, rule: QuietRule) -> tuple[Task, tuple[date, ...], EvaluatedRule]:
        if rule.of == "coverage":
            return self._covered(task, rule)
        heard = self.heard(rule)
        slots = self.slots(task, heard)
        return task, slots, self.judge(task, rule, heard, slots)

    def judge(self, task: Task, rule: QuietRule, heard: Signals, slots: Sequence[date]) -> EvaluatedRule:
        """What a rule on an account, an instrument or a source makes of what was heard."""
        panel, alpha = self._account(rule, heard, slots) if rule.of == "account" else self._late(rule, heard, slots)
        known = among(panel, task)
        return EvaluatedRule(known, alpha, verdicts(rule, known, alpha))

    def slots(self, task: Task, heard: Signals) -> tuple[date, ...]:
        """The slots of a task, whose first run begins with the first day on which anything was heard."""
        first = date.fromordinal(int(heard.day.min())) if len(heard.day) else None
        return task.due(first, self.moment.now)

    def heard(self, rule: QuietRule) -> Signals:
        """The signals that a rule on an account, an instrument or a source listens to."""
        return self._heard(rule.of, rule.where if rule.of == "account" else ())

    def _heard(self, of: str, where: Conditions = ()) -> Signals:
        """Each is read once."""
        if (of, where) not in self.known:
            self.known[of, where] = self._read(of, where)
        return self.known[of, where]

    def _read(self, of: str, where: Conditions) -> Signals:
        if of == "account":
            return account_signals(self.conn, where, EVERYTHING, self.moment.now)
        if of == "instrument":
            return instrument_signals(self.conn, EVERYTHING, self.moment.now)
        return source_signals(self.conn, self.moment.now)

    @staticmethod
    def _account(rule: QuietRule, heard: Signals, slots: Sequence[date]) -> tuple[Windows, Floats]:
        """A silence that is long for its own rhythm; it ends with the next signal."""
        days = _ordinals(slots)
        found = unit_silences(heard, days, rule.window.days)
        least = rule.at_least.days if rule.at_least else 0
        enough = (found.n >= (rule.min_n or 1)) | (found.silent >= rule.window.days)
        enough &= np.isfinite(found.p) & np.isfinite(found.silent)
        p, suspect, safe = np.where(enough, found.p, 1.0), enough & (found.silent >= least), found.silent < least
        # A long silence leaves few gaps to know a rhythm by; that it is over is heard all the same.
        enough |= safe
        alpha = np.array([alpha_of(rule.false_alarms_per_year, heard, int(day)) for day in days])
        units = tuple((unit,) for unit in heard.units)
        rest = {"suspect": suspect, "enough": enough, "p": p, "safe": safe}
        return watch_panel(slots, units, found.n, found.silent, found.expected, **rest), alpha

    def _late(self, rule: QuietRule, heard: Signals, slots: Sequence[date]) -> tuple[Windows, Floats]:
        """A silence beyond what is allowed."""
        if rule.at_least is None:
            raise TypeError(rule.name)
        days = _ordinals(slots)
        found = (
            overdue_instruments(heard, instrument_cadences(self.conn), rule.at_least, days)
            if rule.of == "instrument"
            else stale(heard, rule.at_least, days)
        )
        return _delayed(slots, found), np.ones(len(slots))

    def _covered(self, task: Task, rule: QuietRule) -> tuple[Task, tuple[date, ...], EvaluatedRule]:
        """The part of the revenue that is heard from, against the limit."""
        first = self.slots(task, self._heard("source"))
        cadence, by = task.subject.cadence, "vertical" if rule.by else "company"
        way: Literal["vertical", "company"] = "vertical" if by == "vertical" else "company"
        as_ofs = [cadence.as_of(slot) for slot in first]
        rows = revenue_coverage(self.conn, rule.window, first, as_ofs, way, EVERYTHING) if first else ()
        units = tuple(sorted({_unit(rule, row.vertical) for row in rows} | set(task.instances)))
        shape = (len(first), len(units))
        n, share = np.zeros(shape, dtype=np.int64), np.full(shape, np.nan)
        places = {slot: i for i, slot in enumerate(first)}, {unit: i for i, unit in enumerate(units)}
        for row in rows:
            at = places[0][row.slot], places[1][_unit(rule, row.vertical)]
            n[at], share[at] = row.accounts, row.answered / row.revenue if row.revenue else np.nan
        panel = _short_of(rule, first, units, n, share)
        alpha = np.ones(len(first))
        return task, first, EvaluatedRule(panel, alpha, verdicts(rule, panel, alpha))


def _unit(rule: QuietRule, vertical: str | None) -> Slice:
    return (vertical or "unknown",) if rule.by else ()


def _ordinals(slots: Sequence[date]) -> Any:
    return np.array([slot.toordinal() for slot in slots], dtype=np.int64)


def _delayed(slots: Sequence[date], found: Delays) -> Windows:
    allowed = np.broadcast_to(found.allowed, found.silent.shape)
    enough = np.isfinite(found.silent) & np.isfinite(allowed)
    suspect, safe = enough & found.late, found.silent <= allowed
    n, p = np.isfinite(found.silent).astype(np.int64), np.where(suspect, 0.0, 1.0)
    units = tuple((unit,) for unit in found.units)
    return watch_panel(slots, units, n, found.silent, allowed, suspect=suspect, enough=enough, p=p, safe=safe)


def _short_of(rule: QuietRule, slots: Sequence[date], units: tuple[Slice, ...], n: Any, share: Floats) -> Windows:
    limit, recover = rule.limit or 0.0, rule.recover or 0.0
    enough = (n >= (rule.min_n or 1)) & np.isfinite(share)
    suspect, safe = enough & (share < limit - ROUNDING), share >= recover - ROUNDING
    held, p = np.full(share.shape, limit), np.where(suspect, 0.0, 1.0)
    panel = watch_panel(slots, units, n, share, held, suspect=suspect, enough=enough, p=p, safe=safe)
    return replace(panel, bad=-panel.bad)  # less is worse


def watch_panel(
    slots: Sequence[date], units: tuple[Slice, ...], n: Any, value: Floats, held: Floats, **rest: Any
) -> Windows:
    """Longer is worse. `rest` is what the gate looks at."""
    counts = np.zeros((*value.shape, 5))
    counts[..., 0] = np.maximum(n, np.isfinite(value))
    known: dict[str, Any] = {"value": value, "held": held, "bad": value - held, "deffs": np.ones(value.shape)}
    return Windows(tuple(slots), units, counts, **known, **rest)


def among(panel: Windows, task: Task) -> Windows:
    """The panel with a column for every unit that is remembered, also where nothing was ever heard of it again."""
    gone = tuple(sorted(set(task.instances) - set(panel.slices)))
    if not gone:
        return panel
    width = ((0, 0), (0, len(gone)))

    def wider(part: Any, fill: Any) -> Any:
        return np.pad(part, (*width, (0, 0)) if part.ndim == 3 else width, constant_values=fill)

    nan, blind = float("nan"), {"suspect": False, "enough": False, "safe": False, "p": 1.0, "counts": 0.0, "deffs": 1.0}
    arrays = {
        name: wider(getattr(panel, name), blind.get(name, nan))
        for name in Windows.__dataclass_fields__
        if isinstance(getattr(panel, name), np.ndarray)
    }
    return replace(panel, slices=(*panel.slices, *gone), **arrays)
