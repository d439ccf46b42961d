"""Which cells of a table must not be shown, so that none with too few people is read from it, or worked out from it.

Cell suppression (Cox 1980, "Suppression methodology and statistical disclosure control"): primary, of what comes from
too few people; complementary, of as little else as keeps a total less its other parts from giving that away.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import Final

import numpy as np

Cell = tuple[str | None, ...]
"""The value of each dimension; None is all of them together, a total."""

_EXACT: Final = 1e-7


def suppressed(people: Mapping[Cell, int], least: int) -> frozenset[Cell]:
    """The cells to leave out, of a table with all its totals.

    A total and its parts along one dimension are a line. In no line is a single cell left out; and where a total
    stands, those left out under it are either all there is, or one of them alone comes from enough people.

    Args:
        people: how many each cell comes from, totals among the cells; 0 where nobody needs protection.
        least: how many are enough.
    """
    hidden = {cell for cell, number in people.items() if 0 < number < least}
    primary = frozenset(hidden)
    if not hidden:
        return primary
    lines = _lines(people)
    while True:
        # From the largest totals down: what a part needs is then decided before the parts of that.
        while any(_complete(line, people, hidden, least) for line in lines):
            pass
        derived = _derived(people, hidden) & primary
        if not derived:
            return frozenset(hidden)
        beside = (cell for _, parts in lines if derived & set(parts) for cell in parts if cell not in hidden)
        more = _smallest(beside, people, least)
        # Where nothing can be put beside it, only the total of everything is safe.
        hidden |= {more} if more else {cell for cell in people if any(cell)}
        if more is None:
            return frozenset(hidden)


_Line = tuple[Cell, list[Cell]]


def _lines(people: Collection[Cell]) -> list[_Line]:
    parts = defaultdict[tuple[int, Cell], list[Cell]](list)
    for cell in people:
        for place, value in enumerate(cell):
            if value is not None:
                parts[place, (*cell[:place], None, *cell[place + 1 :])].append(cell)
    lines = [(total, cells) for (_, total), cells in parts.items()]
    return sorted(lines, key=lambda line: (-line[0].count(None), _order(line[0])))


def _order(cell: Cell) -> list[str]:
    return [value or "" for value in cell]


def _complete(line: _Line, people: Mapping[Cell, int], hidden: set[Cell], least: int) -> bool:
    """Leave out one cell more where a line needs it; whether it did."""
    total, parts = line
    under = [cell for cell in parts if cell in hidden]
    if total in hidden:
        needs = not under and any(people[cell] for cell in parts)
    else:
        needs = bool(under) and (len(under) == 1 or all(people[cell] < least for cell in under))
    if not needs:
        return False
    more = _smallest((cell for cell in parts if cell not in hidden), people, least)
    if more is None and len(under) == 1:
        # The only part is the total: both say the same.
        more = total
    if more is None:
        return False
    hidden.add(more)
    return True


def _smallest(cells: Iterable[Cell], people: Mapping[Cell, int], least: int) -> Cell | None:
    enough = (cell for cell in cells if people[cell] >= least)
    return min(enough, key=lambda cell: (people[cell], _order(cell)), default=None)


def _derived(people: Collection[Cell], hidden: Collection[Cell]) -> set[Cell]:
    """The cells left out that are a sum of what is shown all the same: lines can be combined."""
    atoms = [cell for cell in hidden if None not in cell]
    if len(next(iter(hidden))) < 2 or not atoms:
        return set()
    places = {cell: i for i, cell in enumerate(sorted(atoms))}
    sums = dict[Cell, list[int]]()
    for atom, place in places.items():
        for total in product(*((value, None) for value in atom)):
            sums.setdefault(total, []).append(place)
    shown = [of for cell, of in sums.items() if cell in people and cell not in hidden]
    if not shown:
        return set()
    known = np.zeros((len(shown), len(atoms)))
    for row, of in enumerate(shown):
        known[row, of] = 1
    _, size, basis = np.linalg.svd(known, full_matrices=False)
    basis = basis[size > _EXACT]
    found = set[Cell]()
    for cell in hidden:
        wanted = np.zeros(len(atoms))
        wanted[sums.get(cell, [])] = 1
        if wanted.any() and np.abs(wanted @ basis.T @ basis - wanted).max() < _EXACT:
            found.add(cell)
    return found
