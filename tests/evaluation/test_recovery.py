"""An incident of a chart can be over: three peaks are three, however sure many cases make the days between them."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pytest

from config.models import ChartRule
from tests.support.company import subject
from triggers.evaluation.kinds import Inputs, kind_of, verdicts
from triggers.evaluation.replay import EvaluatedRule, replay
from triggers.lab.simulation import period_counts
from triggers.rules import FrozenBaseline, Slice

FIRST: Final = date(2025, 1, 6)
WEEK: Final = timedelta(weeks=1)
BASE: Final = 26
PEAKS: Final = (0.07,) * 6 + ((0.25,) * 4 + (0.07,) * 12) * 3


def chart(method: str, **changes: Any) -> ChartRule:
    body = {
        "name": "jump", "kind": "chart", "metric": "defect-rate", "method": method, "baseline": {"first": "182d"},
        "floor": 0.10, "recover": 0.5, "window": "7d", "every": "7d", "false_alarms_per_year": 0.2,
        "keep_firing": "14d", "severity": 3, "route": "delivery", "owner": "delivery-lead",
    }  # fmt: skip
    return ChartRule.model_validate(body | changes)


def changes_of(rule: ChartRule, weeks: Sequence[tuple[int, float]]) -> list[str]:
    """What a chart says of weeks of so many cases with a bad share, after a small baseline of which 5% were bad."""
    tallies = np.zeros((BASE + len(weeks), 1, 5))
    tallies[:BASE, 0, :2] = (40.0, 2.0)
    tallies[BASE:, 0, :2] = [(n, round(n * share)) for n, share in weeks]
    counts, until = period_counts(FIRST, 7, [()], tallies), FIRST + BASE * WEEK
    base = tuple(counts.spans([FIRST], [until])[0, 0].tolist())
    frozen: dict[Slice, FrozenBaseline] = {(): FrozenBaseline(FIRST, until, base)}
    of, slots = subject(rule), [until + WEEK * (i + 1) for i in range(len(weeks))]
    alpha = np.full(len(slots), 0.001)
    panel = kind_of(rule).panel(of, Inputs(counts, lambda _: {}, frozen=frozen), slots, alpha)
    _, found = replay(of, EvaluatedRule(panel, alpha, verdicts(rule, panel, alpha)), {}, of.cadence.as_of)
    return [one.event.change for one in found if one.event.change != "worsened"]


@pytest.mark.parametrize(
    "rule", [chart("p"), chart("ewma", newest_weight=0.4, window="182d")], ids=lambda r: str(r.method)
)
@pytest.mark.parametrize("n", [300, 30_000])
def test_three_peaks_are_three_incidents(rule: ChartRule, n: int) -> None:
    """At 7% after 5% a week of 30,000 cases is no chance, and no more worth anybody's attention than one of 300."""
    assert changes_of(rule, [(n, share) for share in PEAKS]) == ["opened", "resolved"] * 3


def test_what_stays_worth_attention_stays_open() -> None:
    assert changes_of(chart("p"), [(30_000, 0.25)] * 4 + [(30_000, 0.13)] * 20) == ["opened"]


def test_a_day_of_few_cases_clears_nothing() -> None:
    """A p-chart speaks of its last period alone, also where it looks back over more of them."""
    rule = chart("p", window="28d", min_n=30)
    assert changes_of(rule, [(300, 0.25)] * 4 + [(3, 0.0)] * 8) == ["opened"]
    assert changes_of(rule, [(300, 0.25)] * 4 + [(300, 0.0)] * 8) == ["opened", "resolved"]
