"""Whatever the configuration accepts, a tick survives: rules whose fields are drawn from all that may be written."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.random import Generator
from pydantic import TypeAdapter, ValidationError

from config.models import Rule
from tests.support.company import catalog, noon, rows_of, warehouse, weeks
from tests.support.states import NewState
from triggers.incidents.tick import tick

FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
RULE: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)

DURATIONS: Final = (
    "0d",
    "1m",
    "1d",
    "2d",
    "7d",
    "28d",
    "364d",
    "3650d",
    "520w",
    "36525d",
    "36526d",
    "999999d",
    "999999w",
)
NUMBERS: Final = (0.0, 5e-324, 1e-308, 1e-10, 1e-9, 1e-3, 0.25, 0.999, 1.0, 7.0, 1e12, 1e15, 1e16, 1e308)
WHOLE: Final = (0, 1, 2, 7, 10**12, 10**15, 10**16, 10**20)
DAYS: Final = (
    *(date(1, 1, 1), date(1899, 12, 31), date(1900, 1, 1), date(2025, 9, 1), date(2025, 10, 6), date(2025, 11, 3)),
    *(date(2199, 12, 31), date(2200, 1, 1), date(9999, 12, 31)),
)
USUAL: Final[dict[str, Any]] = {
    "label": "", "by": ["vertical"], "window": "28d", "every": "7d", "false_alarms_per_year": 0.5, "keep_firing": "0d",
    "severity": 2, "route": "delivery", "owner": "delivery-lead",
}  # fmt: skip
RATE: Final[dict[str, Any]] = {**USUAL, "metric": "defect-rate", "floor": 0.05}
CHART: Final[dict[str, Any]] = {**RATE, "kind": "chart", "window": "84d", "recover": 0.5, "baseline": {"first": "42d"}}
KINDS: Final[tuple[dict[str, Any], ...]] = (
    {**RATE, "kind": "threshold", "limit": 0.25, "recover": 0.2},
    {**RATE, "kind": "goal", "recover": 0.0},
    *({**RATE, "kind": "change", "recover": 0.0, "baseline": name} for name in ("previous", "last-year", "others")),
    {**RATE, "kind": "gap", "recover": 0.0, "against": {"metric": "defect-rate"}},
    {**CHART, "method": "p"},
    {**CHART, "method": "ewma", "newest_weight": 0.2},
    {**CHART, "method": "cusum"},
    {**CHART, "method": "g", "events": 2},
    {**USUAL, "by": [], "kind": "quiet", "of": "account", "at_least": "14d", "min_n": 3},
    {**USUAL, "by": [], "kind": "quiet", "of": "source", "at_least": "14d"},
    {**USUAL, "kind": "quiet", "of": "coverage", "limit": 0.5, "recover": 0.6, "min_n": 1},
)
MORE: Final[dict[str, Any]] = {"for": "0d", "settle": "0d", "consecutive": 1, "min_n": 1}


def drawn(kind: dict[str, Any], draw: Generator) -> dict[str, Any]:
    """A rule with one to three fields that are as far out as anything may be."""
    body = dict(kind)
    fields = [name for name, value in {**MORE, **kind}.items() if not isinstance(value, list) and name != "kind"]
    for name in draw.choice(fields, int(draw.integers(1, 4)), replace=False):
        body[name] = _other({**MORE, **kind}[name], draw)
    return body


def _other(value: Any, draw: Generator) -> Any:
    if isinstance(value, str):
        return value if not value[:1].isdigit() else str(draw.choice(DURATIONS))
    if isinstance(value, int):
        return WHOLE[int(draw.integers(len(WHOLE)))]
    if isinstance(value, float):
        return float(draw.choice(NUMBERS))
    if "first" in value and draw.random() < 0.5:
        since, until = sorted(DAYS[int(i)] for i in draw.choice(len(DAYS), 2, replace=False))
        return {"since": since, "until": until}
    return {name: _other(part, draw) for name, part in value.items()}


@pytest.mark.parametrize("seed", [1])
def test_whatever_is_accepted_a_tick_survives(tmp_path: Path, new_state: NewState, seed: int) -> None:
    draw, accepted, refused = np.random.default_rng(seed), list[Any](), 0
    for i in range(520):
        try:
            body = drawn(KINDS[i % len(KINDS)], draw)
            accepted.append(RULE.validate_python(body | {"name": f"r{i}"}))
        except ValidationError:
            refused += 1
    assert len(accepted) > 60 < refused
    assert {rule.kind for rule in accepted} == {kind["kind"] for kind in KINDS}
    config, states = catalog(*accepted), new_state()
    rows = rows_of([week for name in ("V0", "V1") for week in weeks(FIRST, STORY, vertical=name)])
    with warehouse(tmp_path, config, rows) as made, made.pin() as pin:
        for day in (date(2025, 12, 1), date(2026, 1, 19)):
            report = tick(states, pin, config, noon(day) + timedelta(minutes=1))
            assert [(error.where, error.reason) for error in report.errors] == []
            assert report.slots
