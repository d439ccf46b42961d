"""Seeded draws, whole arrays at a time."""

from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STREAMS: Final = ("company", "journey", "contact", "survey", "defect", "desk", "relationship")

SHARES: Final = {
    "nps": (0.01, 0.01, 0.01, 0.015, 0.025, 0.05, 0.06, 0.14, 0.20, 0.26, 0.22),
    "csat": (0.03, 0.04, 0.07, 0.36, 0.50),
    "ces": (0.03, 0.04, 0.06, 0.12, 0.25, 0.28, 0.22),
    "emotion": (0.04, 0.10, 0.36, 0.35, 0.15),
    "expectation": (0.16, 0.66, 0.18),
}
"""Share of each score where nothing special happens, lowest score first."""


def stream(seed: int, name: str, chunk: int = 0) -> Generator:
    """The draws of one subject in one chunk: independent of every other subject and chunk."""
    return np.random.default_rng([seed, STREAMS.index(name), chunk])


def hashed(numbers: Ints, seed: int, salt: int) -> Floats:
    """Uniform draws in [0, 1) that belong to numbers, so that a row can ask for another row's draw (splitmix64)."""
    x = numbers.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = (x + np.uint64(0x9E3779B97F4A7C15)) ^ (x >> np.uint64(31))
    x = (x ^ (x >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (x >> np.uint64(11)).astype(np.float64) / 2.0**53


def pick(weights: ArrayLike, uniform: Floats) -> Ints:
    """The index that each uniform draw falls on, in proportion to `weights`."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    return np.searchsorted(edges[:-1] / edges[-1], uniform, side="right").astype(np.int64)


def pick_rows(weights: Floats, rows: Ints, uniform: Floats) -> Ints:
    """As `pick`, with the weights that stand in row `rows[i]` of a small table for draw i."""
    edges = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    index = np.zeros(len(rows), dtype=np.int64)
    for column in range(weights.shape[1] - 1):
        index += uniform >= edges[rows, column]
    return index


def levels(rng: Generator, scale: str, shift: Floats) -> Ints:
    """Scores from 0 up: a normal satisfaction with mean `shift`, cut so that shift 0 gives the shares of `scale`."""
    edges = [NormalDist().inv_cdf(share) for share in np.cumsum(SHARES[scale])[:-1].tolist()]
    return np.searchsorted(edges, shift + rng.standard_normal(len(shift)), side="right").astype(np.int64)
