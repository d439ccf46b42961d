"""Rows that came twice."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import scipy

from triggers.data_faults.detectors.history import ALPHA, Cell, DataFault, RowHistory, daily_by, everywhere

_OF_A_DAY: Final = 0.1  # of its rows
_OF_ALL: Final = 0.05  # of the rows of weeks
_LEAST_DOUBLED: Final = 10  # rows
_USUAL: Final = 0.001  # of the rows may equal another by chance, at least


def duplicated_rows(look: RowHistory) -> Iterator[DataFault]:
    """Of all rows, or else of each vertical. A cell's days hold the rows that came twice, its whole all of them."""
    profile = look.profile
    rows = daily_by(profile.slices[0], ("vertical",))
    known = sum(bool(daily[: look.end].any()) for daily in rows.values())
    surplus = {cell[0]: profile.surplus.counts[:, i] for i, cell in enumerate(profile.surplus.cells)}
    total = np.sum([*surplus.values(), np.zeros(profile.days)], axis=0)
    found = _doubled(look, Cell((), total, everywhere(profile).daily), known + 1)
    if found:
        yield found
        return
    for name, more in surplus.items():
        one = _doubled(look, Cell((("vertical", name),), more, rows[(name,)]), known + 1)
        yield from [one] if one else []


def _doubled(look: RowHistory, cell: Cell, looks: int) -> DataFault | None:
    """Days, else weeks, in which far more rows came twice than usual, or too many at all times."""
    span = slice(look.week(0), look.end)
    seen, rows = cell.daily[span], cell.whole[span] / look.profile.sampled
    share = seen / np.maximum(rows, 1)
    usual = max(float(np.median(share[rows > 0])) if (rows > 0).any() else 0.0, _USUAL)
    concern = max(0, look.concern - look.week(0))
    by_week = seen.reshape(-1, 7).sum(axis=1) / np.maximum(rows.reshape(-1, 7).sum(axis=1), 1)
    # What is always so is held against chance alone, and else what is usual is no fault.
    for days, least, expected in ((1, _OF_A_DAY, usual), (len(seen), _OF_ALL, _USUAL), (7, _OF_ALL, usual)):
        twice, all_ = (counts.reshape(-1, days).sum(axis=1) for counts in (seen, rows))
        tails = scipy.special.gammainc(np.maximum(twice, 1e-9), np.maximum(expected * all_, 1e-9))
        is_odd = (twice >= np.maximum(_LEAST_DOUBLED, (least + expected) * all_)) & (
            tails < ALPHA / (looks * len(seen))
        )
        ends = (np.flatnonzero(is_odd) + 1) * days
        spans = [(max(concern, int(end) - days), int(end)) for end in ends if end > concern]
        if spans and (days < len(seen) or np.median(by_week) >= _OF_ALL):
            return _named(look, cell, spans, always=days == len(seen))
    return None


def _named(look: RowHistory, cell: Cell, spans: list[tuple[int, int]], *, always: bool) -> DataFault:
    begin = look.week(0)
    twice, rows = (sum(counts[begin + a : begin + b].sum() for a, b in spans) for counts in (cell.daily, cell.whole))
    first, end = begin + spans[0][0], begin + spans[-1][1]
    sample = f", of one in {look.profile.sampled} looked at" if look.profile.sampled > 1 else ""
    number = f"{twice:.0f} of {rows / look.profile.sampled:.0f} rows on {sum(b - a for a, b in spans)} days{sample}"
    when = (
        f"at all times since {look.day_words(first)}"
        if always
        else f"between {look.day_words(first)} and {look.day_words(end - 1)}"
    )
    reason = f"{look.profile.table} rows{cell.called} were duplicated {when}; they differ only in the id: {number}"
    return look.found("duplicated-rows", cell.names, first, reason, end)
