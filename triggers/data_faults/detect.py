"""Data that deceives, told from the data alone: eight ways in which figures move though nothing happened to customers.

Each detector looks at counts of rows by day, never at scores or shares of good and bad, so a real change of those is no
artefact. It asks for two things at once: an exact tail below ALPHA over all it looks at, and a size that matters.
Only days before `until` are read, and rows are dated by their own event.

Sources: conditional binomial test of two Poisson counts (Przyborowski & Wilenski 1940), dispersion by successive
differences (von Neumann 1941), chi square with Pearson's dispersion (McCullagh & Nelder 1989, section 4.5), the chance
that two Poisson counts are equal (Skellam 1946), Welch 1947, falling levels by pooling neighbours (Ayer et al. 1955).
"""

from collections.abc import Callable, Collection, Iterator
from datetime import date
from typing import Final

from queries.monitoring.row_profiles import Profile
from triggers.data_faults.detectors.collection_change import collection_changes
from triggers.data_faults.detectors.copied_period import copied_periods
from triggers.data_faults.detectors.duplicated_rows import duplicated_rows
from triggers.data_faults.detectors.history import DataFault, RowHistory, row_history
from triggers.data_faults.detectors.padded_promise import padded_promises
from triggers.data_faults.detectors.publication_lag import publication_lags
from triggers.data_faults.detectors.right_censoring import right_censoring
from triggers.data_faults.detectors.sampling_change import sampling_changes
from triggers.data_faults.detectors.swapped_dates import swapped_dates

_DETECTORS: Final[tuple[Callable[[RowHistory], Iterator[DataFault]], ...]] = (
    publication_lags,
    right_censoring,
    collection_changes,
    sampling_changes,
    copied_periods,
    duplicated_rows,
    swapped_dates,
    padded_promises,
)


def detect(profile: Profile, since: date, until: date) -> tuple[DataFault, ...]:
    """Everything wrong that concerns the window [since, until) and the half year it may be compared with.

    Args:
        profile: of one table; its days from `until` on are not read.
        since: the window's first day.
        until: the day after its last one.
    """
    look = row_history(profile, since, until)
    found = [artefact for detector in _DETECTORS for artefact in detector(look)] if look else []
    return tuple(artefact for artefact in found if not _follows(artefact, found))


def _follows(artefact: DataFault, found: Collection[DataFault]) -> bool:
    """Whether a silence is nothing but rows that are still on their way, or that stand under a wrong date."""
    if artefact.kind != "collection-change":
        return False
    moved = (a for a in found if a.kind in ("publication-lag", "swapped-dates"))
    overlapping = (a for a in moved if a.since < artefact.until and artefact.since < a.until)
    return any(a.vertical in (None, artefact.vertical) for a in overlapping)
