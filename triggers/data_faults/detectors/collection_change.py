"""Collection that starts or stops."""

from collections.abc import Iterator
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triggers.data_faults.detectors.history import (
    ALPHA,
    BEFORE,
    NEAR,
    SILENT,
    Cell,
    Cells,
    DataFault,
    RowHistory,
    dispersion,
    every,
    few,
    first_full_week,
    runs,
)

_LEAST_SILENT: Final = 2  # weeks
_BEGINNING: Final = 13  # weeks in which parts may join one after the other: that is how data begins
_MATTERS: Final = 0.02  # share of the rows it is a part of

_Weeks = tuple[int, int]  # [first, last)


def collection_changes(look: RowHistory) -> Iterator[DataFault]:
    """From the largest part to the smallest; what stops as a whole is not said again of its parts."""
    parts = every(look.profile)
    known = max(int(np.count_nonzero(parts.sums[look.end])), 1)  # a part that begins later is no reason to doubt now
    alpha, said = ALPHA / (known * look.weeks), set[tuple[str, str]]()
    for place in _suspects(look, parts, alpha):
        cell = parts.cells[place]
        if said.intersection(cell.names) or ("", "") in said:
            continue
        found = tuple(_silences(look, cell, alpha))
        if found:
            said.update(cell.names[-1:] or (("", ""),))
        yield from found


def _suspects(look: RowHistory, parts: Cells, alpha: float) -> list[int]:
    """The places of the cells whose longest silence, since the data of what they are part of began, is no chance."""
    weekly = np.diff(parts.sums[look.end - 7 * look.weeks : look.end + 1 : 7], axis=0)
    wholes = {id(cell.whole): cell.whole for cell in parts.cells}
    firsts = {key: first_full_week(look.weekly(whole)) for key, whole in wholes.items()}
    first = np.array([firsts[id(cell.whole)] for cell in parts.cells])
    run = longest = np.zeros(weekly.shape[1])
    for week, silent in enumerate(weekly <= _silence(weekly)):
        run = np.where(silent & (week >= first), run + 1, 0.0)
        longest = np.maximum(longest, run)
    suspect = longest * weekly.sum(axis=0) >= -log(alpha) * (look.weeks - longest)
    return np.flatnonzero(suspect & (longest >= _LEAST_SILENT) & (longest < look.weeks)).tolist()


def _silence(weekly: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weekly rows up to which a cell is silent: a small part of those in weeks that have any."""
    usual = weekly.sum(axis=0) / np.maximum((weekly > 0).sum(axis=0), 1)
    return np.asarray(SILENT * usual, dtype=np.float64)


def _silences(look: RowHistory, cell: Cell, alpha: float) -> Iterator[DataFault]:
    weekly, first_week = look.weekly(cell.daily), first_full_week(look.weekly(cell.whole))
    may_start = [column for column, _ in cell.names] not in ([], ["vertical"])
    for first, last in runs(weekly <= _silence(weekly), first_week).tolist():
        if last - first < _LEAST_SILENT or last < look.concerned:
            continue
        if first > first_week:
            found = _stopped(look, cell, (first, last), alpha)
        else:
            found = _started(look, cell, (first_week, last), alpha) if may_start else None
        yield from [found] if found else []


def _stopped(look: RowHistory, cell: Cell, run: _Weeks, alpha: float) -> DataFault | None:
    weekly, (first, last) = look.weekly(cell.daily), run
    near = max(first - NEAR, first_full_week(look.weekly(cell.whole))), first
    usual = max(0, first - BEFORE), first
    if near[1] - near[0] < 4 or not _is_silence(look, cell, (run, near, usual), alpha):
        return None
    # It stops after the last row up to the first day of its first week, or up to that week's end if few rows follow.
    before = np.flatnonzero(cell.daily[: look.week(first)])
    since = int(before[-1]) + 1 if len(before) else look.week(first)
    until = _first_row(look, cell, last)
    if (since if last == look.weeks else max(since, until)) < look.concern:
        return None
    again = "" if last == look.weeks else f" and start again on {look.day_words(until)}"
    seen, expected = weekly[first:last].sum(), weekly[slice(*near)].mean() * (last - first)
    what = f"{look.profile.table} rows{cell.called} stop on {look.day_words(since)}{again}"
    figures = f"{seen:.0f} in {7 * (last - first)} days instead of {expected:.0f} expected"
    return look.found("collection-change", cell.names, since, f"{what}: {figures}", until)


def _started(look: RowHistory, cell: Cell, run: _Weeks, alpha: float) -> DataFault | None:
    last = run[1]
    near = last, min(last + NEAR, look.weeks)
    since = _first_row(look, cell, last)
    if near[1] - near[0] < 2 or last - run[0] < _BEGINNING or since < look.concern:
        return None
    if not _is_silence(look, cell, (run, near, (last, last + BEFORE)), alpha):
        return None
    weekly = look.weekly(cell.daily)
    seen, after = (f"{weekly[slice(*span)].sum():.0f} in the {7 * (span[1] - span[0])} days" for span in (run, near))
    reason = f"{look.profile.table} rows{cell.called} start on {look.day_words(since)}: {seen} before, {after} after"
    return look.found("collection-change", cell.names, since, reason)


def _is_silence(look: RowHistory, cell: Cell, spans: tuple[_Weeks, _Weeks, _Weeks], alpha: float) -> bool:
    """Whether the weeks near a silence have rows that matter, and it has too few by them to be chance.

    Args:
        look: what is looked at.
        cell: whose rows.
        spans: the silence, the weeks near it, and those whose spread is the usual one.
        alpha: how rare it must be.
    """
    weekly, parent = look.weekly(cell.daily), look.weekly(cell.whole)
    run, near, usual = (slice(*span) for span in spans)
    silent, rows = float(weekly[run].sum()), float(weekly[near].sum())
    length = run.stop - run.start
    share = length / (length + near.stop - near.start)
    return rows >= _MATTERS * parent[near].sum() and few(silent, rows, share, dispersion(weekly[usual])) < alpha


def _first_row(look: RowHistory, cell: Cell, week: int) -> int:
    """The first day with rows after the beginning of the last of the silent weeks that `week` ends."""
    begin = look.week(week - 1)
    after = np.flatnonzero(cell.daily[begin : look.end])
    return begin + int(after[0]) if len(after) and week < look.weeks else look.end
