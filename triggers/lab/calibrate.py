"""How sure a rule must be: the largest alpha that keeps to its declared false alarms where nothing changed.

The outcomes of a rule's slices are drawn again on the slices' own n, many times over; each draw counts as one more
thing to slice by. The rule itself then judges them (`rates.judge`, `gate.verdicts`, `replay.replay`), so windows that
overlap, `for`, `consecutive` and `keep_firing` count as they do live. What is no change:

- threshold and goal: every slice lies exactly at the limit or goal, the worst there is without being beyond it;
- change and gap: both sides have the rate of the two together; against all other verticals, of all of them;
- chart: every slice keeps the rate of its baseline, and the baseline is drawn again too.

Pure: everything is drawn from a seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
from numpy.random import default_rng

from queries.state import Calibration
from queries.statistics.estimates import Floats, garwood
from triggers.evaluation import EvaluatedRule, EvaluationInput, StateChange, evaluate_rule, replay
from triggers.evaluation.kinds import YEAR, kind_of, verdicts
from triggers.lab.simulation_inputs import MOST, SimulationInputs, simulate, simulation_inputs, up_to_date
from triggers.rules import Slice, Subject


@dataclass(frozen=True, slots=True)
class Size:
    """How much is replayed: so many draws of so many years."""

    draws: int
    years: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a null replay found.

    Args:
        calibration: as it is stored.
        declared: the rule's false alarms a year.
        aim: how many of them the replay keeps to: fewer where rows of one account are alike.
        n: the rows in a window of the median slice.
        shift: a change worth finding, in the metric's unit: twice the floor (without one, twice the way to recover).
        power: how likely it is found within a year in the median slice; None where nothing says how large it is.
        past: where the data ends before the newest slot, the newest one that has rows; the year before it is replayed.
    """

    calibration: Calibration
    declared: float
    aim: float
    n: int
    shift: float
    power: float | None
    past: date | None = None

    @property
    def warning(self) -> str | None:
        """What to say where the declared false alarms leave no power."""
        if self.power is None or self.power >= LEAST_POWER:
            return None
        chance = f"a shift of {self.shift:.4g} is found within a year in {self.power:.0%} of cases"
        return (
            f"with {self.declared:g} false alarms a year the rule can hardly detect anything at n = {self.n} "
            f"({chance}): accept more, widen the window or use fewer slices"
        )

    def __str__(self) -> str:
        """The line of `python -m triggers check`."""
        found = self.calibration
        alarms = f"{found.found:.2g} false alarms a year ({found.low:.2g} to {found.high:.2g})"
        where = f"{found.slices} slices with enough rows, median n {self.n}"
        aimed = f" (target {self.aim:g}, because rows of one account are similar)" if self.aim < self.declared else ""
        past = f", in the year to {self.past}, the newest that has data" if self.past else ""
        return f"alpha {found.alpha:.2g}, {alarms} of {self.declared:g} declared{aimed}, {where}{past}"


def calibrate(
    subject: Subject, basis: EvaluationInput, now: datetime, seed: int = 1, size: Size | None = None
) -> Replayed | None:
    """Find a rule's alpha on what it is judged on; None where there is not one slot of data, or nothing to judge.

    Args:
        subject: a rule whose kind has nothing against it (`uncalibrated`).
        basis: its slots and counts; the n of the newest year are replayed.
        now: when, aware UTC.
        seed: of the draws; the same data give the same alpha.
        size: how much is replayed; by default as much as the declared number needs, within a budget of cells.
    """
    if not basis.slots or kind_of(subject.rule).uncalibrated:
        return None
    # Of data that ends in the past the newest year that there is: what follows it has no rows to draw again.
    filled = up_to_date(subject, basis)
    ground = simulation_inputs(subject, replace(basis, slots=filled)) if filled else None
    if ground is None:
        return None
    size = size or _size(ground)
    pictures = tuple(_picture(ground, size, (seed, int(stays)), lasting=stays) for stays in _ways(ground))
    aim = ground.rule.false_alarms_per_year * (CLUSTERED if ground.is_clustered else 1.0)
    alpha, alarms = _largest(ground.start, aim, pictures)
    stored = Calibration(
        rule_hash=subject.hash,
        alpha=alpha,
        found=alarms.found,
        low=alarms.low,
        high=alarms.high,
        years=float(size.draws * size.years),
        slices=len(ground.judged),
        calibrated_at=now,
    )
    past = filled[-1] if filled != basis.slots else None
    return Replayed(stored, ground.rule.false_alarms_per_year, aim, ground.n, *_power(ground, alpha, seed), past)


@dataclass(frozen=True, slots=True)
class Alarms:
    """False alarms a year, all slices together, with a 95% interval."""

    found: float
    low: float
    high: float


def _size(ground: SimulationInputs) -> Size:
    """Enough years to see a hundred of the declared alarms, within a budget of cells."""
    rule = ground.rule
    slots = ground.subject.cadence.a_year
    deep = max(rule.every.days / ground.length, kind_of(rule).looks)
    most = _CELLS / (slots * max(len(ground.slices), 1) * deep)
    wanted = min(_ALARMS / rule.false_alarms_per_year, most)
    return Size(max(round(wanted / _YEARS), _FEWEST), _YEARS)


def _ways(ground: SimulationInputs) -> tuple[bool, ...]:
    """Whether accounts stay alike for a year: both ways where that can matter.

    A breach that must hold is met sooner by accounts that stay. A rule that compares a slice with its own past would
    rightly find it when they change, so there they do not.
    """
    rule = ground.rule
    own_past = kind_of(rule).null in {"baseline", "own past"}
    holds = rule.consecutive > 1 or bool(rule.for_)
    return (False, True) if ground.is_clustered and holds and not own_past else (False,)


def _picture(
    ground: SimulationInputs, size: Size, seed: tuple[int, int], *, lasting: bool = False, worse: float = 0.0
) -> "_Picture":
    """Draw, and let the rule judge it."""
    drawn = simulate(ground, size.draws, size.years, default_rng(seed), lasting=lasting, worse=worse)
    subject = replace(ground.subject, alpha=ground.start)
    return _Picture(subject, evaluate_rule(subject, drawn), size)


@dataclass(frozen=True, slots=True)
class _Picture:
    """One set of draws as the rule judged them; the panel is made once and gated again for each alpha."""

    subject: Subject
    judged: EvaluatedRule
    size: Size

    def findings(self, alpha: float) -> tuple[StateChange, ...]:
        """What the rule finds at an alpha."""
        panel, cadence = self.judged.panel, self.subject.cadence
        sure = np.full(len(panel.slots), alpha)
        gated = EvaluatedRule(panel, sure, verdicts(self.subject.rule, panel, sure))
        return replay(self.subject, gated, {}, cadence.as_of)[1]

    def alarms(self, alpha: float) -> Alarms:
        """Incidents a year, all slices together, of slices that have none open: one that stays open hides no others."""
        opened, free, by_draw = self._opened(alpha)
        count = sum(opened.values())
        years = float(self.size.draws * self.size.years)
        rate = sum(many / free[slice_] for slice_, many in opened.items())
        spread = float(by_draw.var() / by_draw.mean()) if count and len(by_draw) >= _ENOUGH_DRAWS else 1.0
        _, low, high = garwood(count, max(spread, 1.0))
        scale = rate / count if count else 1 / years
        return Alarms(rate, low * scale, high * scale)

    def _opened(self, alpha: float) -> tuple[Mapping[Slice, int], Mapping[Slice, float], Floats]:
        """Incidents by the rule's own slice, the years each slice had none open, and incidents by draw."""
        place, since = len(self.subject.by) - 1, dict[Slice, date]()
        opened, shut = dict[Slice, int](), dict[Slice, float]()
        by_draw = np.zeros(self.size.draws)
        for finding in self.findings(alpha):
            slice_, slot = finding.reading.slice, finding.reading.slot
            if finding.event.change == "opened":
                opened[slice_[:place]] = opened.get(slice_[:place], 0) + 1
                by_draw[int(slice_[place])] += 1
                since[slice_] = slot
            elif finding.event.change in {"resolved", "closed"}:
                _add(shut, slice_[:place], slot - since.pop(slice_))
        end = self.judged.panel.slots[-1] + self.subject.rule.every
        for slice_, slot in since.items():
            _add(shut, slice_[:place], end - slot)
        years = self.size.draws * self.size.years
        return opened, {s: max(years - shut.get(s, 0.0), _LEAST_FREE) for s in opened}, by_draw


def _add(to: dict[Slice, float], slice_: Slice, length: timedelta) -> None:
    to[slice_] = to.get(slice_, 0.0) + length / YEAR


def _largest(start: float, declared: float, pictures: Sequence[_Picture]) -> tuple[float, Alarms]:
    """The largest alpha up to which the false alarms are surely at most those declared, and how many they are.

    `start` holds for tails that are exact: it stays where the replay shows no more than declared, however short it is.
    From there upwards, and not from the top: incidents that never end are few too.
    """

    def worst(alpha: float) -> Alarms:
        return max((picture.alarms(alpha) for picture in pictures), key=lambda alarms: alarms.high)

    alpha, alarms = start, worst(start)
    if alarms.high > declared:
        while alarms.found > declared and alpha > _LEAST:
            alpha /= _STEP
            alarms = worst(alpha)
        return alpha, alarms
    # Twice as large as long as that is kept to, then by smaller steps.
    for factor in (2.0, _STEP, _STEP**0.5):
        while alpha < MOST:
            larger = min(alpha * factor, MOST)
            more = worst(larger)
            if more.high > declared:
                break
            alpha, alarms = larger, more
    return alpha, alarms


def _power(ground: SimulationInputs, alpha: float, seed: int) -> tuple[float, float | None]:
    """A shift worth finding, and how likely it opens an incident within a year in the middle slice."""
    rule, metric = ground.rule, ground.subject.metric
    shift = 2 * (rule.floor or rule.band)
    if not shift:
        return 0.0, None
    worse = (-shift if metric.good == "up" else shift) / metric.factor
    lone = ground.only({ground.middle})
    picture = _picture(lone, Size(_POWER_DRAWS, 1), (seed, _POWER_DRAWS), worse=worse)
    place = len(rule.by) - 1
    opened = (f.reading.slice for f in picture.findings(alpha) if f.event.change == "opened")
    return shift, len({slice_ for slice_ in opened if slice_[:place] == ground.middle}) / _POWER_DRAWS


CLUSTERED: Final = 0.5
"""The part of the declared false alarms that is aimed at where rows of one account are alike.

How alike they are is an estimate too, and it changes from quarter to quarter; the replay takes it for known, and every
account for equally large. Aiming at all that are declared opened up to 1.16 for 1 (`python -m tests.lab.null_study`).
"""

LEAST_POWER: Final = 0.1
_ALARMS: Final = 100
_CELLS: Final = 800_000
_YEARS: Final = 3
_FEWEST: Final = 4
_ENOUGH_DRAWS: Final = 10
_POWER_DRAWS: Final = 100
_LEAST: Final = 1e-12
_STEP: Final = 2**0.5
_LEAST_FREE: Final = 0.02
"""A week of a year."""
