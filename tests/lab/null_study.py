"""`python -m tests.lab.null_study`: how often rules cry wolf where nothing changed, and how soon they find a change.

40 segments over three years of weeks, 10 to 400 rows a week; 60 accounts each, a few of them large. The rows of one
account may be alike; the design effect is measured from them, quarter by quarter, as a load does it.
"""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from math import inf, sqrt
from pathlib import Path
from statistics import median
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.random import Generator, default_rng
from pydantic import TypeAdapter
from scipy import special

from config.models import ChartRule, Goal, Metric, RateRule, Rule
from queries.metrics.design_effects import EVERY_VERTICAL, DesignEffect, DesignEffects, ratio
from queries.statistics.estimates import Floats
from triggers.evaluation import EvaluatedRule, EvaluationInput, StateChange
from triggers.evaluation.kinds import Inputs, Windows, bonferroni, kind_of, verdicts
from triggers.evaluation.kinds.chart import freeze
from triggers.evaluation.metric_rules import panel
from triggers.evaluation.replay import replay
from triggers.lab.calibrate import calibrate
from triggers.lab.simulation import Ints, PeriodCounts, period_counts
from triggers.rules import Cadence, Slice, Subject, version
from triggers.rules.subject import cube_requests

PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "false-alarms.md"
FIRST: Final = date(2023, 1, 2)
WEEK: Final = timedelta(days=7)
WEEKS: Final = 156
QUARTER: Final = 13
SEGMENTS: Final = 40
ACCOUNTS: Final = 60
DECLARED: Final = 1.0
BASES: Final = (0.02, 0.05, 0.20)
ALIKE: Final = (0.0, 0.05, 0.1, 0.2)
SIZES: Final[Ints] = np.geomspace(10, 400, SEGMENTS).round().astype(np.int64)
SHIFTS: Final = (1.25, 1.5, 2.0, 3.0)
BASELINE: Final = 26
SEEDS: Final = 200
HALF: Final = 26
"""Weeks that a shift may take to be found."""

METRIC: Final = Metric.model_validate(
    {
        "name": "defect-rate",
        "label": "Journeys with a defect",
        "shape": "share",
        "table": "journey",
        "dated_by": "ended_at",
        "good": "down",
        "unit": "%",
        "count": {"defective": True},
        "min_n": 10,
    }
)
_RULE: Final[TypeAdapter[Any]] = TypeAdapter(Rule)
_CHART: Final = {"kind": "chart", "recover": 0.5, "baseline": {"first": f"{BASELINE * 7}d"}}
KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "threshold": {"kind": "threshold"},
    "threshold, 4 weeks, twice": {"kind": "threshold", "window": "28d", "consecutive": 2},
    "goal, 4 weeks": {"kind": "goal", "window": "28d"},
    "change, 4 weeks to the 4 before": {"kind": "change", "baseline": "previous", "recover": 0, "window": "28d"},
    "change, 4 weeks to others": {"kind": "change", "baseline": "others", "recover": 0, "window": "28d"},
    "gap, 4 weeks": {"kind": "gap", "against": {"metric": METRIC.name}, "recover": 0, "window": "28d"},
    "p-chart": {**_CHART, "method": "p"},
    "EWMA": {**_CHART, "method": "ewma", "newest_weight": 0.2, "window": "182d"},
    "CUSUM": {**_CHART, "method": "cusum", "window": "182d"},
    "g-chart": {**_CHART, "method": "g", "events": 3, "window": "182d"},
}


def subject(kind: str, base: float, **changes: Any) -> Subject:
    """A rule of a kind that watches segments whose usual share is `base`."""
    own: dict[str, Any] = {"threshold": {"limit": base, "recover": 0.9 * base}, "goal": {"recover": -0.1 * base}}
    body = {
        "name": "watched",
        "metric": METRIC.name,
        "by": ["vertical"],
        "window": "7d",
        "every": "7d",
        "floor": 0.5 * base if kind == "CUSUM" else 0,
        "false_alarms_per_year": DECLARED,
        "keep_firing": "0d",
        "severity": 2,
        "route": "analysts",
        "owner": "cx-analyst",
    }
    body |= {**own.get(str(KINDS[kind]["kind"]), {}), **KINDS[kind], **changes}
    rule: RateRule = _RULE.validate_python(body)
    metrics = (METRIC, METRIC) if rule.kind == "gap" else (METRIC,)
    goals = (Goal(metric=METRIC.name, value=base, valid_from=FIRST),) if rule.kind == "goal" else ()
    of = version(rule, metrics, goals)
    cadence = Cadence(rule.window, rule.every, timedelta(0), ZoneInfo("UTC"))
    return Subject(rule, metrics, cube_requests(rule, metrics, metrics, of.hash), cadence, of)


@dataclass(frozen=True, slots=True)
class World:
    """Segments of several seeds: their counts, those of a second figure, and the design effects known at a slot."""

    counts: PeriodCounts
    other: PeriodCounts
    quarters: tuple[DesignEffects, ...] = ()
    seeds: int = 1

    def effects(self, slot: date) -> DesignEffects:
        """Those of the quarter that ended last."""
        ended = (slot - FIRST) // WEEK // QUARTER
        return self.quarters[min(ended, len(self.quarters)) - 1] if ended and self.quarters else {}

    def basis(self, of: Subject, since: int = 0, until: int = WEEKS) -> EvaluationInput:
        """What a rule is judged on in the slots of these weeks."""
        rule = of.rule
        frozen = freeze(rule, self.counts, FIRST, FIRST + WEEK * WEEKS) if isinstance(rule, ChartRule) else None  # type: ignore[arg-type]
        first = BASELINE if frozen else 2 * rule.window // WEEK
        slots = tuple(FIRST + WEEK * i for i in range(max(first, since) + 1, until + 1))
        other = self.other if rule.kind == "gap" else None
        return EvaluationInput(slots, Inputs(self.counts, self.effects, other, None, frozen), {})


@lru_cache(maxsize=4)
def world(base: float, alike: float, seeds: range, change: float = 1.0, since: int = WEEKS) -> World:
    """Draw what chance alone moves; from week `since` on the share of the first figure is `change` times `base`."""
    truth = np.where(np.arange(WEEKS) < since, base, base * change)
    sides = [[_drawn(truth if i == 0 else np.full(WEEKS, base), alike, seed, i) for seed in seeds] for i in (0, 1)]
    slices = [(f"{seed}.{segment:02}",) for seed in seeds for segment in range(SEGMENTS)]
    counts = [period_counts(FIRST, 7, slices, np.concatenate([hits for hits, _ in side], axis=1)) for side in sides]
    known = [effects for _, effects in sides[0]]
    quarters = tuple(dict(pair for one in known for pair in one[quarter].items()) for quarter in range(len(known[0])))
    return World(counts[0], counts[1], quarters, len(seeds))


def _drawn(
    truth: Floats, alike: float, seed: int, side: int
) -> tuple[Floats, list[dict[tuple[str, str], DesignEffect]]]:
    """Tallies (weeks, segments, 5) of one seed and the effects of each quarter."""
    chance = default_rng([seed, side, round(1000 * alike), round(1e6 * float(truth.sum()))])
    cell = np.repeat(np.arange(WEEKS * SEGMENTS), np.tile(SIZES, WEEKS))
    week, segment = np.divmod(cell, SEGMENTS)
    account = _LARGE[chance.integers(0, len(_LARGE), len(cell))]
    share = _propensities(float(truth[0]), alike, chance)[segment, account] * (truth[week] / truth[0])
    hit = chance.random(len(cell)) < share
    tallies = np.zeros((WEEKS, SEGMENTS, 5))
    tallies[..., 0] = SIZES
    tallies[..., 1] = np.bincount(cell, weights=hit, minlength=WEEKS * SEGMENTS).reshape(WEEKS, SEGMENTS)
    place = (week // QUARTER * SEGMENTS + segment) * ACCOUNTS + account
    shape = WEEKS // QUARTER, SEGMENTS, ACCOUNTS
    n = np.bincount(place, minlength=np.prod(shape)).reshape(shape).astype(np.float64)
    y = np.bincount(place, weights=hit, minlength=np.prod(shape)).reshape(shape)
    return tallies, [_measured(n[q], y[q], seed) for q in range(shape[0])] if alike else [{} for _ in range(shape[0])]


_LARGE: Final[Ints] = np.repeat(
    np.arange(ACCOUNTS), np.ceil(4096 * (w := 1 / np.arange(1, ACCOUNTS + 1) ** 0.7) / w.sum()).astype(np.int64)
)
"""An account for each of some thousand tickets: the largest holds a tenth of the rows."""


def _propensities(base: float, alike: float, chance: Generator) -> Floats:
    shape = SEGMENTS, ACCOUNTS
    if not alike:
        return np.full(shape, base)
    strength = (1 - alike) / alike
    return np.asarray(chance.beta(base * strength, (1 - base) * strength, shape))


def _measured(n: Floats, y: Floats, seed: int) -> dict[tuple[str, str], DesignEffect]:
    """The design effects of one quarter (segments, accounts), and of all segments together."""
    rows = [(f"{seed}.{i:02}", n[i], y[i]) for i in range(SEGMENTS)]
    rows.append((EVERY_VERTICAL, n.ravel(), y.ravel()))
    return {(METRIC.name, name): _effect(sizes, hits) for name, sizes, hits in rows}


def _effect(n: Floats, y: Floats) -> DesignEffect:
    moments = float((n > 0).sum()), float(n.sum()), float(y.sum()), float(y.sum())
    return DesignEffect(
        ratio(*moments, float((y * y).sum()), float((y * n).sum()), float((n * n).sum())), round(n.sum())
    )


@dataclass(frozen=True, slots=True)
class Rate:
    """False alarms of a rule a year, and their standard error."""

    found: float
    error: float


def alarms(of: Subject, judged: EvaluatedRule, seeds: int) -> Rate:
    """The incidents that a rule opens in what was drawn."""
    found = np.zeros(seeds)
    names = {seed: i for i, seed in enumerate(dict.fromkeys(s[0].split(".")[0] for s in judged.panel.slices))}
    for finding in opened(of, judged):
        found[names[finding.reading.slice[0].split(".")[0]]] += 1
    years = len(judged.panel.slots) / 52
    mean = float(found.mean()) / years
    return Rate(mean, max(float(found.std()), sqrt(float(found.mean()))) / years / sqrt(seeds))


def opened(of: Subject, judged: EvaluatedRule) -> tuple[StateChange, ...]:
    """The openings of a rule's incidents."""
    return tuple(f for f in replay(of, judged, {}, of.cadence.as_of)[1] if f.event.change == "opened")


def gated(of: Subject, found: Windows, alpha: float) -> EvaluatedRule:
    """A panel at an alpha."""
    sure = np.full(len(found.slots), alpha)
    return EvaluatedRule(found, sure, verdicts(of.rule, found, sure))


def panel_of(of: Subject, basis: EvaluationInput, alpha: float = 0.001) -> Windows:
    """The panel of a rule."""
    return panel(of, basis.given, basis.slots, np.full(len(basis.slots), alpha))


def alpha_of(of: Subject, base: float, alike: float) -> float:
    """What `python -m triggers check` would find for a company that no other part of the study looks at."""
    if kind_of(of.rule).uncalibrated:
        seen = np.ones((1, SEGMENTS), dtype=bool)
        return float(bonferroni(of.rule, of.cadence.a_year, seen)[0])
    found = calibrate(of, world(base, alike, range(10_000, 10_001)).basis(of), datetime(2026, 1, 1, tzinfo=UTC))
    assert found is not None
    return found.calibration.alpha


def false_alarms(kind: str, base: float, drawn: World, alpha: float) -> Rate:
    """The false alarms of a kind of rule at its alpha."""
    of = subject(kind, base)
    worlds = split(drawn) if kind.endswith("others") else (drawn,)
    rates = [alarms(of, gated(of, panel_of(of, w.basis(of), alpha), alpha), w.seeds) for w in worlds]
    if len(rates) == 1:
        return rates[0]
    found = np.array([rate.found for rate in rates])
    return Rate(float(found.mean()), sqrt(sum(rate.error**2 for rate in rates)) / len(rates))


def split(drawn: World) -> Iterator[World]:
    """Seed by seed: segments are held against those of their own."""
    for i in range(drawn.seeds):
        kept = slice(i * SEGMENTS, (i + 1) * SEGMENTS)
        one, two = (replace(c, slices=c.slices[kept], sums=c.sums[:, kept]) for c in (drawn.counts, drawn.other))
        yield World(one, two, drawn.quarters)


def plain(kind: str, base: float, drawn: World) -> Rate:
    """The same without a gate: plain comparisons, and a three-sigma chart in place of the others."""
    of = subject(kind, base)
    if isinstance(of.rule, ChartRule):
        of = subject("p-chart", base)
        return alarms(of, gated(of, sigmas(panel_of(of, drawn.basis(of)), base), _THREE), drawn.seeds)
    bare = subject(kind, base, gate="none")
    worlds = split(drawn) if kind.endswith("others") else (drawn,)
    rates = [alarms(bare, gated(bare, panel_of(bare, w.basis(bare)), 1.0), w.seeds) for w in worlds]
    return Rate(sum(r.found for r in rates) / len(rates), 0.0)


def sigmas(found: Windows, base: float) -> Windows:
    """A chart that counts standard deviations of the normal law around its baseline, as most do."""
    share = found.held
    spread = np.sqrt(np.maximum(share * (1 - share), 1e-9) / np.maximum(found.counts[..., 0], 1))
    z = (found.value - share) / spread
    return _as(found, np.asarray(special.ndtr(-z)), z <= 0)


def bare_limit(found: Windows, base: float) -> Windows:
    """A plain threshold: the value itself orders the weeks."""
    return _as(found, 1 - found.value, found.value <= base)


def _as(found: Windows, p: Floats, safe: Any) -> Windows:
    return replace(found, p=p, suspect=found.enough, safe=safe)


_THREE: Final = float(special.ndtr(-3.0))


@dataclass(frozen=True, slots=True)
class Found:
    """How a planted shift was found: the share of segments within half a year, and the median delay in weeks."""

    share: float
    delay: float


METHODS: Final = ("plain threshold", "three-sigma chart", *(kind for kind in KINDS if not kind.endswith("others")))


@dataclass(slots=True)
class Power:
    """Methods tuned to the same number of false alarms, and what they find."""

    base: float
    seeds: int
    least: int = 0
    _limits: dict[str, float] = field(default_factory=dict)

    def tuned(self, method: str) -> float:
        """The alpha that makes a method open `DECLARED` false alarms a year on the null of this study."""
        if method not in self._limits:
            null = world(self.base, 0.0, range(500, 500 + self.seeds))
            of, at = self._panels(method, null)
            self._limits[method] = _tuned(of, at, self.seeds, is_fixed=method != "CUSUM")
        return self._limits[method]

    def found(self, method: str, change: float, seeds: int = 5) -> Found:
        """How soon a change to `change` times the share is found."""
        since = BASELINE + QUARTER
        drawn = world(self.base, 0.0, range(900, 900 + seeds), change, since)
        alpha = self.tuned(method)
        of, at = self._panels(method, drawn, since, since + HALF)
        delays = dict[Slice, float]()
        for finding in opened(of, gated(of, at(alpha), alpha)):
            delays.setdefault(finding.reading.slice, (finding.reading.slot - FIRST) / WEEK - since)
        watched = [s for s in drawn.counts.slices if SIZES[int(s[0].split(".")[1])] >= self.least]
        all_ = [delays.get(s, inf) for s in watched]
        return Found(sum(d <= HALF for d in all_) / len(all_), median(all_))

    def _panels(self, method: str, drawn: World, since: int = BASELINE, until: int = WEEKS) -> Any:
        """The rule, and its panel at an alpha; made once where it does not depend on it."""
        kind = {"plain threshold": "threshold", "three-sigma chart": "p-chart"}.get(method, method)
        of = subject(kind, self.base)
        basis = drawn.basis(of, since, until)
        if method == "CUSUM":
            return of, partial(panel_of, of, basis)
        found = panel_of(of, basis)
        if method == "plain threshold":
            found = bare_limit(found, self.base)
        if method == "three-sigma chart":
            found = sigmas(found, self.base)
        return of, lambda _: found


def _tuned(of: Subject, at: Any, seeds: int, *, is_fixed: bool) -> float:
    """By halving: the place among the smallest p, or for a CUSUM the logarithm of alpha."""
    if not is_fixed:
        return _halved(1e-5, 1e-2, lambda alpha: alarms(of, gated(of, at(alpha), alpha), seeds).found)
    found: Windows = at(0.0)
    ordered = np.unique(found.p[found.suspect])
    low, high = 0, len(ordered) - 1
    while high - low > 1:
        middle = (low + high) // 2
        few = alarms(of, gated(of, found, float(ordered[middle])), seeds).found <= DECLARED
        low, high = (middle, high) if few else (low, middle)
    return float(ordered[low])


def _halved(low: float, high: float, rate: Any) -> float:
    for _ in range(7):
        middle = sqrt(low * high)
        low, high = (middle, high) if rate(middle) <= DECLARED else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class Study:
    """How much is drawn: the seeds of the null tables, of their plain columns and of the power table."""

    seeds: int = SEEDS
    bare: int = 4
    power: int = 10

    def nulls(
        self, bases: tuple[float, ...], alikes: tuple[float, ...]
    ) -> Iterator[tuple[float, float, str, Rate, Rate]]:
        """Base, likeness, kind, false alarms a year with the gate, and without."""
        for base in bases:
            for alike in alikes:
                batches = [range(i, min(i + _BATCH, self.seeds)) for i in range(0, self.seeds, _BATCH)]
                few = world(base, alike, range(self.bare))
                alphas = {kind: alpha_of(subject(kind, base), base, alike) for kind in KINDS}
                rates: dict[str, list[tuple[int, Rate]]] = {kind: [] for kind in KINDS}
                for batch in batches:
                    drawn = world(base, alike, batch)
                    for kind in KINDS:
                        rates[kind].append((drawn.seeds, false_alarms(kind, base, drawn, alphas[kind])))
                for kind in KINDS:
                    yield base, alike, kind, pooled(rates[kind]), plain(kind, base, few)


def pooled(rates: list[tuple[int, Rate]]) -> Rate:
    """The rate of several batches of seeds."""
    total = sum(seeds for seeds, _ in rates)
    error = sqrt(sum((seeds * rate.error) ** 2 for seeds, rate in rates)) / total
    return Rate(sum(seeds * rate.found for seeds, rate in rates) / total, error)


_BATCH: Final = 20


def null_table(study: Study) -> Iterator[str]:
    """A row for each kind and base rate: with each likeness the false alarms a year, and those of plain comparisons."""
    found: dict[tuple[str, float], list[tuple[Rate, Rate]]] = {}
    for base, _, kind, rate, bare in study.nulls(BASES, ALIKE):
        found.setdefault((kind, base), []).append((rate, bare))
    names = [f"{alike:g}" for alike in ALIKE]
    yield f"| kind | base rate | {' | '.join(names)} | plain, {' / '.join(names)} |"
    yield f"|---|---|{'---|' * len(ALIKE)}---|"
    for kind in KINDS:
        for base in BASES:
            pairs = found[kind, base]
            cells = " | ".join(f"{rate.found:.2f}" for rate, _ in pairs)
            yield f"| {kind} | {base:.0%} | {cells} | {' / '.join(f'{bare.found:.0f}' for _, bare in pairs)} |"


def power_table(study: Study, base: float = 0.05) -> Iterator[str]:
    """A row for each method, a column for each size of shift."""
    power = Power(base, study.power)
    yield f"| method | {' | '.join(f'{base:.0%} to {base * change:.2%}' for change in SHIFTS)} |"
    yield f"|---|{'---|' * len(SHIFTS)}"
    for method in METHODS:
        cells = (power.found(method, change) for change in SHIFTS)
        yield f"| {method} | {' | '.join(_cell(found) for found in cells)} |"


def _cell(found: Found) -> str:
    delay = f"{found.delay:.0f} weeks" if found.delay < inf else "-"
    return f"{found.share:.0%}, {delay}"


def write(study: Study) -> None:
    """Write the tables into the page, between their marks."""
    text = PAGE.read_text("utf-8")
    for name, rows in (("null", null_table(study)), ("power", power_table(study))):
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, mark, after = rest.partition(f"<!-- /{name} -->")
        text = before + f"<!-- {name} -->\n" + "\n".join(rows) + "\n" + mark + after
    PAGE.write_text(text, "utf-8")


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = ArgumentParser(prog="python -m tests.lab.null_study", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the null tables")
    asked = parser.parse_args()
    study = replace(Study(), seeds=asked.seeds)
    if asked.write:
        write(study)
        return
    for row in (*null_table(study), *power_table(study)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
