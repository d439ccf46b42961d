"""Defects of journeys."""

from typing import Final

import numpy as np

from queries.sample.columns import Columns, ids, instants, labels, smalls
from queries.sample.journeys import KEY, Journeys, Lag, World, segment, step_of
from queries.sample.names import FAULT_NAMES, TOUCHPOINTS
from queries.sample.random_draws import Ints, pick, stream
from queries.sample.timeline import DAY, HOUR, bent

_LAG: Final = Lag(0.65, 3.5)
_SECOND: Final = 0.20
_SEVERITY: Final = (0.22, 0.33, 0.28, 0.13, 0.04)
_STUCK: Final = 0.03


def defect_columns(world: World, chunk: int, some: Journeys) -> Columns:
    """One defect at the decisive contact of each defective journey, and of some a second one at its last contact."""
    rng, stop = stream(world.seed, "defect", chunk), world.span.stop
    twice = rng.random(len(some)) < _SECOND
    row = np.concatenate((np.flatnonzero(some.defective), np.flatnonzero(some.defective & twice)))
    second = np.arange(len(row)) >= some.defective.sum()
    some, place = some.at(row), _places(some, row, second)
    even = some.steps[np.arange(len(row)), place]
    occurred = bent(even)
    recorded = np.maximum(_LAG.after(rng, occurred), some.recorded)
    wait = np.exp(0.8 * rng.standard_normal(len(row))) * 2 * DAY
    resolved = np.maximum(bent(even + wait), occurred + HOUR)
    stuck = (rng.random(len(row)) < _STUCK) | (resolved >= stop)
    code = some.kind * 4 + pick((0.4, 0.3, 0.2, 0.1), rng.random(len(row)))
    severity = pick(_SEVERITY, rng.random(len(row))) + 1
    keep = np.flatnonzero(recorded < stop)
    return {
        "id": ids("D", (some.number * 10 + second)[keep], 11),
        "account_id": ids("A", some.account[keep], 4),
        "journey_id": ids("J", some.number[keep]),
        "touchpoint": labels(step_of(some.kind, some.count, place)[keep], TOUCHPOINTS),
        "code": labels(code[keep], FAULT_NAMES),
        "severity": smalls(severity[keep]),
        "occurred_at": instants(occurred[keep]),
        "resolved_at": instants(resolved[keep], stuck[keep]),
        **segment(some.vertical[keep], some.product[keep], some.account[keep]),
        "recorded_at": instants(recorded[keep]),
    }


def _places(some: Journeys, row: Ints, second: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Ints:
    count = some.count[row]
    return np.where(second, count - 1, KEY[some.kind[row], count])
