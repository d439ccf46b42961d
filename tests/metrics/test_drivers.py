"""A change is split without a rest; what carries it is found, and where nothing does nothing is said."""

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from queries.statistics.drivers import Split, Window, split, split_by_account

Floats = NDArray[np.float64]
DIMENSIONS: Final = {"team": 4, "product": 2, "channel": 5, "touchpoint": 8}
CODES: Final = np.array([0.4, 0.3, 0.2, 0.1])
USUAL: Final = 0.09
BROKEN: Final = 0.34


def window(account: Any, cell: Any, score: Floats, shape: tuple[int, int], *, only_bad: bool = False) -> Window:
    """Rows, summed; with `only_bad` only rows with a score have a cell."""
    n, y, size, total, squares = (np.zeros(shape), np.zeros(shape), *(np.zeros((shape[0], 1)) for _ in range(3)))
    some = score > 0 if only_bad else np.ones(len(score), dtype=np.bool_)
    np.add.at(n, (account[some], cell[some]), 1.0)
    np.add.at(y, (account[some], cell[some]), score[some])
    for sums, part in ((size, np.ones(len(score))), (total, score), (squares, score**2)):
        np.add.at(sums[:, 0], account, part)
    return Window(size, total, squares, n, y)


def level(rows: Window) -> float:
    return float(rows.total.sum() / rows.size.sum())


rows = st.tuples(st.integers(1, 40), st.integers(1, 6), st.integers(1, 5), st.booleans(), st.booleans())


@settings(deadline=None)
@given(st.data(), rows)
def test_the_parts_of_all_cells_are_the_change(data: st.DataObject, shape: tuple[int, int, int, bool, bool]) -> None:
    """Whatever the scores are, and also where a window lacks a cell or an account."""
    many, accounts, cells, is_share, has_before = shape
    scores = st.integers(0, 1) if is_share else st.integers(-100, 100)

    def drawn() -> tuple[Any, Any, Floats]:
        size = data.draw(st.integers(1, many))
        of = (st.integers(0, accounts - 1), st.integers(0, cells - 1), scores)
        account, cell, score = (data.draw(arrays.arrays(np.int64, size, elements=one)) for one in of)
        return account, cell, score.astype(np.float64)

    given_rows = [drawn() for _ in range(2 if has_before else 1)]
    now, *before = (window(*one, (accounts, cells)) for one in given_rows)
    change = level(now) - (level(before[0]) if before else 7.0)
    found = [split(now, before[0] if before else None, 7.0), split_by_account(now, before[0] if before else None, 7.0)]
    if is_share:
        bad, *past = (window(*one, (accounts, cells), only_bad=True) for one in given_rows)
        if level(bad):
            found.append(split(bad, past[0] if past else None, 7.0, of_bad_rows=True))
    for one in found:
        assert one.part.sum() == pytest.approx(change, abs=1e-9)
        assert all(np.isfinite(part).all() for part in (one.mix, one.rate, one.even, one.half, one.p))
        assert ((one.p >= 0) & (one.p <= 1)).all()


def test_what_grew_is_mix_and_what_got_worse_is_rate() -> None:
    """Kitagawa by hand: the bad half grows from 10 to 30 of 40 rows, and goes from 4 in 10 to 6 in 10."""
    account = np.arange(40) % 10
    cells = [(np.arange(40) < n).astype(np.int64) for n in (30, 10)]
    scores = [np.zeros(40), np.zeros(40)]
    scores[0][:18], scores[1][:4] = 1.0, 1.0
    now, before = (window(account, cell, score, (10, 2)) for cell, score in zip(cells, scores, strict=True))
    found = split(now, before)
    middle = (18 + 4) / 80
    assert found.mix == pytest.approx([-0.5 * (0 - middle), 0.5 * (0.5 - middle)])
    assert found.rate == pytest.approx([0.0, 0.5 * 0.2])


def breach(dice: Generator, *, has_cause: bool, alike: float = 0.1, is_late: bool = False) -> Any:
    """A window with `BROKEN` of its rows bad, and the three before it with `USUAL`; accounts differ in size and care.

    A cause is one cell of at most a third of the rows, in which 60% of what is bad beyond the usual lies.
    """
    accounts, many = int(dice.integers(20, 41)), int(dice.integers(100, 201))
    sizes, care = dice.dirichlet(np.ones(accounts)), dice.beta(1 / alike - 1, 1 / alike - 1, accounts) * 2
    of, regions = (
        {name: dice.dirichlet(np.full(k, 4.0)) for name, k in DIMENSIONS.items()},
        dice.integers(3, size=accounts),
    )
    drawn = list[tuple[Any, dict[str, Any], Floats]]()
    for n in (many, 3 * many):
        account = dice.choice(accounts, n, p=sizes)
        cells = {name: dice.choice(k, n, p=of[name]) for name, k in DIMENSIONS.items()}
        cells |= {"region": regions[account], "code": dice.choice(4, n, p=CODES)}
        drawn.append((account, cells, (dice.random(n) < USUAL * care[account]).astype(np.float64)))
    account, cells, bad = drawn[0]
    extra, cause = round((BROKEN - USUAL) * many), None
    good = np.flatnonzero(bad == 0)
    while has_cause and cause is None:
        name = str(dice.choice([*DIMENSIONS, "region", "code"]))
        cell, need = int(dice.integers(1 if name == "code" else 0, int(cells[name].max()) + 1)), round(0.6 * extra)
        inside = good[cells[name][good] == cell] if name != "code" else good
        if name != "code" and not need <= len(inside) <= len(good) / 3:
            continue
        one = dice.choice(inside, need, replace=False)
        rest = good[~np.isin(good, one)] if name == "code" else good[cells[name][good] != cell]
        bad[one], cause = 1.0, (name, cell)
        bad[dice.choice(rest, min(extra - need, len(rest)), replace=False)] = 1.0
        if name == "code":
            cells["code"][one] = cell
    if not has_cause:
        bad[dice.random(many) < (BROKEN - USUAL) / (1 - USUAL) * care[account]] = 1.0
    found = dict[str, Split]()
    for name in cells:
        size, only = (accounts, int(max(each[1][name].max() for each in drawn)) + 1), name == "code"
        now, before = (window(a, c[name], s, size, only_bad=only) for a, c, s in drawn)
        found[name] = split(now, None if is_late else before, 0.12, of_bad_rows=only)
    found["account"] = split_by_account(now, None if is_late else before, 0.12)
    return found, cause


def first(found: dict[str, Split]) -> tuple[str, int] | None:
    """What stands out farthest beyond an even spread."""
    known = [
        (one.part[i] - one.even[i], (name, int(i)))
        for name, one in found.items()
        for i in np.flatnonzero(one.stands_out)
    ]
    return max(known)[1] if known else None


@pytest.mark.parametrize("is_late", [False, True], ids=["against the weeks before", "against the limit"])
@pytest.mark.parametrize("many", [20, pytest.param(200, marks=pytest.mark.proof)])
def test_without_a_cause_it_is_spread_evenly(many: int, is_late: bool) -> None:  # noqa: FBT001
    said = [first(breach(default_rng((7, seed)), has_cause=False, is_late=is_late)[0]) for seed in range(many)]
    assert said.count(None) >= 0.92 * many - (0 if many > 20 else 1)


@pytest.mark.parametrize("many", [20, pytest.param(200, marks=pytest.mark.proof)])
def test_a_cell_that_carries_most_of_it_comes_first(many: int) -> None:
    found = [breach(default_rng((8, seed)), has_cause=True) for seed in range(many)]
    assert sum(first(parts) == cause for parts, cause in found) >= 0.8 * many - (0 if many > 20 else 1)


def test_one_account_that_explains_most_of_it_stands_out() -> None:
    account, score = np.repeat(np.arange(30), 6), np.zeros(180)
    score[(np.arange(180) % 12) == 0] = 1.0
    score[account == 3] = 1.0
    now = window(account, account, score, (30, 30))
    before = window(account, account, (np.arange(180) % 12 == 0).astype(np.float64), (30, 30))
    found = split_by_account(now, before)
    assert np.flatnonzero(found.stands_out).tolist() == [3]
    assert found.part[3] / found.part.sum() > 0.9
