"""The words that rules of several kinds have in common. Pure."""

from collections.abc import Mapping
from typing import Any

from config.models import Metric
from queries.metrics.formatting import count, figure, half_width, interval

Sample = Mapping[str, Any]
"""A reading as it is stored with an incident."""


def figure_with_interval(metric: Metric, sample: Sample, sure: str = "95% sure: ") -> str:
    """The figure with its interval and n. `sure` is what stands before the interval's ends."""
    half = half_width(sample.get("low"), sample.get("high"))
    ends = interval(metric, sample.get("low"), sample.get("high"))
    value = f"{figure(metric, sample.get('value'), half)}{f' ({sure}{ends})' if ends else ''}"
    return f"{metric.label}: {value}, n = {count(rows_behind(sample))}"


def sentence_start(words: str) -> str:
    """As a sentence begins."""
    return words[:1].upper() + words[1:]


def rows_behind(sample: Sample) -> int:
    """How many rows a figure is made of."""
    return round(sample["tally"][0]) if "tally" in sample else 0
