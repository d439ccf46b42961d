"""Sampling that changes: who is asked, and who answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import scipy

from queries.monitoring.row_profiles import Profile
from queries.statistics.estimates import Floats
from triggers.data_faults.detectors.history import (
    ALPHA,
    BEFORE,
    DataFault,
    RowHistory,
    daily_by,
    first_full_week,
    sides,
)

_MOVED: Final = 0.15
_LEAST_BEFORE: Final = 50  # people
_LEAST_SINCE: Final = 20
_ASKED: Final = {"person.role": "role", "account.tier": "tier", "instrument_version": "instrument version"}
_DONE: Final = {"invited": "is invited", "answered": "answers"}


@dataclass(frozen=True, slots=True)
class _Group:
    """Daily counts of the people of one vertical and survey kind by one attribute: shape (days, names)."""

    vertical: str
    column: str
    done: str
    names: tuple[str, ...]
    daily: Floats


def sampling_changes(look: RowHistory) -> Iterator[DataFault]:
    """At most one a vertical: the clearest of its columns."""
    found: dict[str, tuple[float, DataFault]] = {}
    groups = [g for g in _groups(look.profile) if np.count_nonzero(g.daily[: look.end].any(axis=0)) > 1]
    alpha = ALPHA / max(1, len(groups))
    for group in groups:
        shift = _mix_shift(look, group)
        if shift and shift[0] < alpha and shift[0] < found.get(group.vertical, (2.0,))[0]:
            found[group.vertical] = shift
    yield from (artefact for _, artefact in found.values())


@lru_cache(maxsize=16)
def _groups(profile: Profile) -> tuple[_Group, ...]:
    groups: list[_Group] = []
    for done, people in profile.people.items():
        for column in _ASKED:
            cells = daily_by(people, ("vertical", "kind", column))
            for vertical, kind in sorted({key[:2] for key in cells}):
                names = tuple(key[2] for key in cells if key[:2] == (vertical, kind))
                if len(names) > 1:
                    daily = np.stack([cells[vertical, kind, name] for name in names], axis=1)
                    groups.append(_Group(vertical, column, done, names, daily))
    return tuple(groups)


def _mix_shift(look: RowHistory, group: _Group) -> tuple[float, DataFault] | None:
    """The tail of the largest change of mix, and its name, where it is large enough to matter."""
    weekly = look.weekly(group.daily)
    splits = np.arange(max(look.concerned, first_full_week(weekly.sum(axis=1)) + 4), look.weeks - 1)
    if not len(splits):
        return None
    before, after = sides(weekly, splits)
    chi2 = _chi_square(before, after)
    best = int(np.argmax(chi2))
    past, now, split = before[best], after[best], int(splits[best])
    shares = now / max(now.sum(), 1) - past / max(past.sum(), 1)
    if np.abs(shares).sum() / 2 < _MOVED or past.sum() < _LEAST_BEFORE or now.sum() < _LEAST_SINCE:
        return None
    noise = _pearson(weekly[max(0, split - BEFORE) : split])
    p = float(scipy.special.chdtrc(max(1, int((past + now > 0).sum()) - 1), chi2[best] / noise))
    at = int(np.argmax(np.abs(shares)))
    was, is_ = past[at] / past.sum(), now[at] / now.sum()
    who = f"{group.names[at]} ({_ASKED[group.column]})"
    figures = f"{was:.0%} of {past.sum():.0f} before, {is_:.0%} of {now.sum():.0f} since"
    since = look.week(split)
    what = f"a different mix of people {_DONE[group.done]} in {group.vertical} from about {look.day_words(since)}"
    return p, look.found("sampling-change", (("vertical", group.vertical),), since, f"{what}: {who} {figures}")


def _chi_square(before: Floats, after: Floats) -> Floats:
    both = before + after
    n, m = before.sum(axis=1, keepdims=True), after.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (before * m - after * n) ** 2 / (both * n * m)
    return np.asarray(np.nan_to_num(terms).sum(axis=1), dtype=np.float64)


def _pearson(weekly: Floats) -> float:
    """How much more the mix varies from week to week than it would by chance; at least 1."""
    n, shares = weekly.sum(axis=1, keepdims=True), weekly.sum(axis=0) / max(weekly.sum(), 1)
    expected = n * shares
    used = expected > 0
    degrees = (int((n > 0).sum()) - 1) * (int((shares > 0).sum()) - 1)
    return max(1.0, float(((weekly - expected)[used] ** 2 / expected[used]).sum()) / degrees) if degrees > 0 else 1.0
