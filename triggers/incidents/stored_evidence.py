"""A reading as it is stored with its event: enough to compute the figures again. Pure."""

from math import isfinite
from typing import Any

from config.models import RateRule
from queries.statistics.differences import gap_interval
from queries.statistics.estimates import Tally, estimate
from triggers.evaluation import EvaluatedWindow, StateChange
from triggers.evaluation.kinds import kind_of
from triggers.rules import Subject


def stored_evidence(subject: Subject, finding: StateChange) -> dict[str, Any]:
    """A reading as it is stored with its event: enough to compute the figures again."""
    reading, rule = finding.reading, subject.rule
    return {
        "slice": finding.slice,
        "since": (reading.slot - rule.period).isoformat(),
        "until": reading.slot.isoformat(),
        "as_of": finding.event.at.isoformat(),
        "tally": _as_list(reading.tally),
        "value": reading.value,
        "bad": reading.bad,
        "held": reading.held,
        "deff": reading.deffs[0],
        "p": reading.p,
        "alpha": reading.alpha,
        "rule_hash": subject.hash,
        **rule.limits,
        **reading.details,
        **(_figures(subject, reading) if isinstance(rule, RateRule) else {}),
    }


def _figures(subject: Subject, reading: EvaluatedWindow) -> dict[str, Any]:
    """The metric with its interval, and what it was measured from with the interval of the difference."""
    found = estimate(subject.metric, reading.tally, reading.deffs[0])
    ends = (None, None) if subject.is_quantile else (found.low, found.high)
    known: dict[str, Any] = {"metric": subject.metrics[0].name, "low": ends[0], "high": ends[1]}
    if reading.right is None:
        return known
    gap = gap_interval(subject.metric, reading.tally, reading.right, *reading.deffs)
    low, high = (end if isfinite(end) else None for end in gap)
    other = {"tally": _as_list(reading.right), "deff": reading.deffs[1], "low": low, "high": high}
    return {**known, "against": {**other, "label": kind_of(subject.rule).comparator(subject)}}


def _as_list(tally: Tally) -> list[float]:
    return [tally.n, tally.plus, tally.minus, tally.total, tally.squares]
