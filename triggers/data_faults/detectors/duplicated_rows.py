"""Rows that came twice."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy import special

from triggers.data_faults.detectors.history import ALPHA, Cell, DataFault, RowHistory, daily_by, everywhere

_DOUBLED: Final = 0.1  # of a day's rows
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
    """Days on which far more rows came twice than on other days."""
    seen, rows = cell.daily[: look.end], cell.whole[: look.end] / look.profile.sampled
    share = seen / np.maximum(rows, 1)
    usual = max(float(np.median(share[rows > 0])) if (rows > 0).any() else 0.0, _USUAL)
    # The part that came twice is large, and no chance were it the usual part.
    tails = special.gammainc(np.maximum(seen, 1e-9), np.maximum(usual * rows, 1e-9))
    is_odd = (seen >= _LEAST_DOUBLED) & (share >= _DOUBLED + usual) & (tails < ALPHA / (looks * look.end))
    days = np.flatnonzero(is_odd[look.concern :]) + look.concern
    if not len(days):
        return None
    first, last = int(days[0]), int(days[-1])
    sample = f", of one in {look.profile.sampled} looked at" if look.profile.sampled > 1 else ""
    figures = f"{seen[days].sum():.0f} of {rows[days].sum():.0f} rows on {len(days)} days{sample}"
    what = f"{look.profile.table} rows{cell.called} came twice between {look.day(first)} and {look.day(last)}"
    reason = f"{what}, equal in all but the id: {figures}"
    return look.found("duplicated-rows", cell.names, first, reason, last + 1)
