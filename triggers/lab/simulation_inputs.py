"""What draws are made of: each slice's own n, the truth where nothing changes, and how alike its rows are. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import gcd
from typing import Final

import numpy as np
from numpy.random import Generator

from config.models import RateRule
from queries.metrics import DesignEffects
from queries.statistics.estimates import Floats
from triggers.evaluation import EvaluationInput, evaluate_rule
from triggers.evaluation.kinds import YEAR, Inputs, kind_of
from triggers.lab.simulation import Distribution, Ints, PeriodCounts, alike, draw, period_counts, together
from triggers.rules import TALLY, Bools, Counts, FrozenBaseline, Slice, Subject

MOST: Final = 0.05
"""No rule is ever less sure than this."""

DRAW: Final = "draw"
"""The column that tells draws apart."""

NONE: Final = (0.0,) * 5
Moments = tuple[Floats, Floats]
"""Level and rest of a law, by slice; NaN where nothing is known."""


@dataclass(frozen=True, slots=True)
class SimulatedFigure:
    """One figure of a rule: its slices (a gap's with their strata) and their law.

    `n` are the rows of a year, shape (periods, slices); `base` those of a chart's whole baseline, shape (slices,).
    """

    slices: tuple[Slice, ...]
    n: Ints
    base: Ints | None
    law: Distribution


@dataclass(frozen=True, slots=True)
class SimulationInputs:
    """What draws are made of.

    Args:
        subject: the rule, with the draw as one more thing to slice by.
        slices: the rule's own.
        judged: those that have rows enough.
        sides: its figure, and what a gap is measured from.
        effects: the design effects known at the newest slot.
        first: the newest slot of the data; the draws go on from there.
        length: of a period, in days.
        lead: periods before the first slot: a window, what it is compared with, or a baseline.
        start: the alpha that is safe without any replay (Bonferroni).
        n: the rows in a window of the median slice of those judged.
        middle: that slice.
    """

    subject: Subject
    slices: tuple[Slice, ...]
    judged: tuple[Slice, ...]
    sides: tuple[SimulatedFigure, ...]
    effects: DesignEffects
    first: date
    length: int
    lead: int
    start: float
    n: int
    middle: Slice

    @property
    def rule(self) -> RateRule:
        """The rule."""
        return _rate(self.subject)

    @property
    def is_clustered(self) -> bool:
        """Whether rows are alike anywhere."""
        return any(side.law.alike.any() for side in self.sides)

    def only(self, slices: Collection[Slice]) -> "SimulationInputs":
        """Without the other slices, unless they are what these are held against."""
        rule = self.rule
        if kind_of(rule).null == "all verticals together":
            return self
        sides: list[SimulatedFigure] = []
        for side in self.sides:
            own = [i for i, s in enumerate(side.slices) if s[: len(rule.by) - 1] in slices]
            kept = np.array(own, dtype=np.int64)
            base = side.base[kept] if side.base is not None else None
            sides.append(SimulatedFigure(tuple(side.slices[i] for i in own), side.n[:, kept], base, side.law.at(kept)))
        return replace(self, slices=tuple(s for s in self.slices if s in slices), sides=tuple(sides))


def simulation_inputs(subject: Subject, basis: EvaluationInput) -> SimulationInputs | None:
    """Take from the data what draws are made of; None where no slice can be judged.

    Args:
        subject: a rule that reads a metric which can be added up.
        basis: its slots, at least one, and what was counted.
    """
    rule, last = _rate(subject), basis.slots[-1]
    length = gcd(*kind_of(rule).lengths)
    recent, known = _recent(subject, basis), basis.given.effects(last)
    sides = tuple(_sides(subject, basis, recent))
    judged = np.flatnonzero(recent.judged)
    if not len(judged) or not all((side.n > 0).any() for side in sides):
        return None
    n = np.median(recent.counts[:, :, 0], axis=0)
    middle = int(judged[np.argsort(n[judged], kind="stable")[(len(judged) - 1) // 2]])
    seen = max(int(recent.seen[-1].sum()), 1)
    whole = SimulationInputs(
        subject=replace(subject, rule=rule.model_copy(update={"by": (*rule.by, DRAW)})),
        slices=recent.slices,
        judged=tuple(recent.slices[i] for i in judged.tolist()),
        sides=sides,
        effects={key: effect for key, effect in known.items() if key[0] == subject.metric.name and effect.deff > 1},
        first=last,
        length=length,
        lead=kind_of(rule).lead(basis.given.frozen or {}) // length,
        start=min(rule.false_alarms_per_year / (subject.cadence.a_year * seen), MOST),
        n=round(float(n[middle])),
        middle=recent.slices[middle],
    )
    return whole.only(whole.judged)


def up_to_date(subject: Subject, basis: EvaluationInput) -> tuple[date, ...]:
    """The slots up to the last one with a row in the days since the slot before it."""
    every, rows = subject.rule.every, np.zeros(len(basis.slots))
    for counts in _counts(basis):
        rows += counts.spans([slot - every for slot in basis.slots], basis.slots)[:, :, 0].sum(axis=1)
    filled = np.flatnonzero(rows)
    return basis.slots[: int(filled[-1]) + 1] if len(filled) else ()


def _rate(subject: Subject) -> RateRule:
    if not isinstance(subject.rule, RateRule):
        raise TypeError(subject.rule.kind)
    return subject.rule


def _sides(subject: Subject, basis: EvaluationInput, recent: "_Recent") -> Iterator[SimulatedFigure]:
    """Each figure's slices with their law; a slice without a truth has no rows."""
    rule, last = _rate(subject), basis.slots[-1]
    length = gcd(*kind_of(rule).lengths)
    places = {slice_: i for i, slice_ in enumerate(recent.slices)}
    # What is replayed over and over: a year before the newest slot, or what there is, in whole slots.
    days = min(YEAR.days, (last - basis.slots[0] + rule.window).days)
    cycle = max(days // rule.every.days, 1) * rule.every.days // length
    ends = [last - timedelta(days=length * i) for i in reversed(range(cycle))]
    starts = [end - timedelta(days=length) for end in ends]
    base, frozen = None, basis.given.frozen or {}
    if rule.keeps_baseline:
        baselines = [frozen[s].tally[0] if s in frozen else 0.0 for s in basis.given.counts.slices]
        base = np.array(baselines, dtype=np.float64).round().astype(np.int64)
    for counts, (level, rest), deffs in zip(_counts(basis), _truth(subject, basis, recent), recent.deffs, strict=False):
        at = np.array([places[s[: len(rule.by)]] for s in counts.slices], dtype=np.int64)
        known = np.isfinite(level) & np.isfinite(rest)
        rows = np.where(known, np.round(counts.spans(starts, ends)[:, :, 0]).astype(np.int64), 0)
        block, rho = _clusters(
            np.median(deffs, axis=0)[at], rows.mean(axis=0), rule.period.days, rule.every.days, length
        )
        law = Distribution(subject.metric.shape, np.where(known, level, 0.0), np.where(known, rest, 0.0), rho, block)
        yield SimulatedFigure(counts.slices, rows, base, law)


def _counts(basis: EvaluationInput) -> tuple[Counts, ...]:
    other = basis.given.other
    return (basis.given.counts,) if other is None else (basis.given.counts, other)


def _clusters(effect: Floats, rate: Floats, window: int, every: int, length: int) -> tuple[Ints, Floats]:
    """Blocks of one slot's periods, or of a window where so few rows could not be alike enough; lengths in days."""
    whole, step = window // length, every // length
    short, long = (alike(effect, rate * whole, together(block, whole, step)) for block in (step, whole))
    is_short = short <= _ALIKE_ENOUGH
    return np.where(is_short, step, whole).astype(np.int64), np.where(is_short, short, long)


@dataclass(frozen=True, slots=True)
class _Recent:
    """The newest year as the rule sees it.

    Args:
        slices: the rule's own.
        counts: shape (slots, slices, 5).
        deffs: of its figure, and of what a difference is measured from: (slots, slices).
        held: in the newest slot, (slices,).
        seen: as in `Panel`.
        judged: the slices that had rows enough in some slot.
    """

    slices: tuple[Slice, ...]
    counts: Floats
    deffs: tuple[Floats, Floats]
    held: Floats
    seen: Bools
    judged: Bools


def _recent(subject: Subject, basis: EvaluationInput) -> _Recent:
    slots = tuple(slot for slot in basis.slots if slot > basis.slots[-1] - YEAR)
    found = evaluate_rule(replace(subject, alpha=MOST), replace(basis, slots=slots)).panel
    right = found.right_deffs if found.right_deffs is not None else found.deffs
    judged = np.asarray(found.enough.any(axis=0), dtype=bool)
    return _Recent(found.slices, found.counts, (found.deffs, right), found.held[-1], found.seen, judged)


def _truth(subject: Subject, basis: EvaluationInput, recent: _Recent) -> list[Moments]:
    """Of each figure's slices the level and the rest of their law."""
    rule, own = _rate(subject), basis.given.counts.slices
    tallies = [counts.spans([date.min], [basis.slots[-1]])[0] for counts in _counts(basis)]
    null = kind_of(rule).null
    if null == "baseline":
        frozen = basis.given.frozen or {}
        return [_moments(subject, np.array([frozen[s].tally if s in frozen else NONE for s in own]))]
    if null == "both sides together":
        # Each slice with its own rows of both figures.
        sides = [dict(zip(c.slices, t, strict=True)) for c, t in zip(_counts(basis), tallies, strict=True)]
        pooled = [[np.sum([rows.get(s, NONE) for rows in sides], axis=0) for s in side] for side in sides]
        return [_moments(subject, np.array(side)) for side in pooled]
    if null == "all verticals together":
        return [_moments(subject, _of_all_verticals(rule.by.index("vertical"), own, tallies[0]))]
    level, rest = _moments(subject, tallies[0])
    # The worst that is no breach is a figure exactly at what it is held against; only the spread is the slice's own.
    return [(recent.held / subject.metric.factor if null == "as held" else level, rest)]


def _of_all_verticals(place: int, slices: Sequence[Slice], tallies: Floats) -> Floats:
    """Each slice with the rows of all that differ from it in their vertical alone."""
    groups: dict[Slice, Floats] = {}
    keys = [(*s[:place], *s[place + 1 :]) for s in slices]
    for key, tally in zip(keys, tallies, strict=True):
        groups[key] = np.add(groups.get(key, NONE), tally)
    return np.array([groups[key] for key in keys])


def _moments(subject: Subject, tallies: Floats) -> Moments:
    """Level and rest of tallies (slices, 5); NaN without rows."""
    tallies = tallies.reshape(-1, TALLY)
    n = np.where(tallies[:, 0] > 0, tallies[:, 0], np.nan)
    share, minus, mean = tallies[:, 1] / n, tallies[:, 2] / n, tallies[:, 3] / n
    if subject.metric.shape == "mean":
        return mean, np.sqrt(np.maximum(tallies[:, 4] / n - mean**2, 0.0) * n / np.maximum(n - 1, 1))
    if subject.metric.shape == "balance":
        return share - minus, 1 - share - minus
    return share, np.zeros_like(share)


def simulate(
    ground: SimulationInputs, draws: int, years: int, chance: Generator, *, lasting: bool = False, worse: float = 0.0
) -> EvaluationInput:
    """Draw counts, and what else the rule is judged on.

    Args:
        ground: what is drawn.
        draws: how often.
        years: slots of so many years, after the lead.
        chance: where the draws come from.
        lasting: whether what rows have in common stays for a year.
        worse: added to the truth of the middle slice after the lead, in the unit of one row.
    """
    rule, length = ground.rule, ground.length
    slots = tuple(ground.first + rule.every * (i + 1) for i in range(max(YEAR // rule.every, 1) * years))
    many = ground.lead + len(slots) * rule.every.days // length
    begin = ground.first - timedelta(days=length * ground.lead)
    counts: list[PeriodCounts] = []
    for side in ground.sides:
        figure = replace(side, law=_lasting(side, ground)) if lasting else side
        shift = 0.0 if counts else worse
        counts.append(period_counts(begin, length, *_drawn(figure, ground, (draws, many), chance, shift)))
    frozen: Mapping[Slice, FrozenBaseline] | None = None
    if rule.keeps_baseline:
        tallies = zip(counts[0].slices, counts[0].spans([begin], [ground.first])[0].tolist(), strict=True)
        frozen = {s: FrozenBaseline(begin, ground.first, tuple(tally)) for s, tally in tallies if tally[0] > 0}
    other = counts[1] if len(counts) > 1 else None
    return EvaluationInput(slots, Inputs(counts[0], lambda _: ground.effects, other, None, frozen), {})


def _lasting(side: SimulatedFigure, ground: SimulationInputs) -> Distribution:
    """The law with blocks of a year."""
    law, rule, length = side.law, ground.rule, ground.length
    year, window, every = YEAR.days // length, rule.window.days // length, rule.every.days // length
    n = side.n.mean(axis=0) * window
    shares = np.array([together(block, window, every) for block in law.block.tolist()])
    effect = 1 + law.alike * np.maximum(n * shares - 1, 0.0)
    rho = alike(effect, n, together(year, window, every))
    return Distribution(law.shape, law.level, law.rest, rho, np.full_like(law.block, year))


def _drawn(
    side: SimulatedFigure, ground: SimulationInputs, size: tuple[int, int], chance: Generator, worse: float
) -> tuple[tuple[Slice, ...], Floats]:
    """The slices of every draw, and their tallies; `size` is how many draws, and periods."""
    draws, many = size
    by = len(ground.rule.by) - 1
    slices = tuple((*s[:by], str(i), *s[by:]) for i in range(draws) for s in side.slices)
    n = np.tile(_cycled(side, ground, many), (1, draws))
    law = side.law.at(np.tile(np.arange(len(side.slices)), draws))
    if not worse:
        return slices, draw(law, n, chance)
    own = np.array([s[:by] == ground.middle for s in side.slices])
    shift = np.where(np.arange(many)[:, None] >= ground.lead, worse * np.tile(own, draws), 0.0)
    return slices, draw(law, n, chance, shift)


def _cycled(side: SimulatedFigure, ground: SimulationInputs, many: int) -> Ints:
    """The year's rows over and over; a chart's baseline has its own rows, evenly."""
    found = side.n[(np.arange(many) - ground.lead) % len(side.n)]
    if side.base is not None and ground.lead:
        steps = np.arange(ground.lead + 1)[:, None]
        found[: ground.lead] = np.diff(steps * side.base // ground.lead, axis=0)
    return found


_ALIKE_ENOUGH: Final = 0.3
