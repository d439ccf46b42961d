"""What a rule counts, slice by slice, in any span of days."""

from datetime import date, timedelta
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.models import Condition
from queries.metrics import Coded, Cube
from queries.state import slice_key, slice_values
from triggers.rules import History, slice_history
from triggers.rules.counts import is_plain

MONDAY: Final = date(2026, 3, 2)
DAY: Final = timedelta(days=1)
Row = tuple[date, str, str, int, int]
ROWS: Final[list[Row]] = [
    (MONDAY, "Retail", "visit", 10, 1),
    (MONDAY, "Retail", "call", 5, 5),
    (MONDAY + DAY, "Retail", "visit", 10, 2),
    (MONDAY + 9 * DAY, "Energy", "visit", 7, 7),
]


def coded(values: list[str]) -> Coded:
    known = sorted(set(values))
    return Coded(np.array([known.index(value) for value in values], dtype=np.int64), tuple(known))


def cube(rows: list[Row]) -> Cube:
    """Rows of (day, vertical, touchpoint, n, plus)."""
    days = np.array([row[0].toordinal() for row in rows], dtype=np.int64)
    dims = {name: coded([str(row[i]) for row in rows]) for i, name in ((1, "vertical"), (2, "touchpoint"))}
    tally = np.array([[row[3], row[4], 0, 0, 0] for row in rows], dtype=np.float64).reshape(-1, 5)
    return Cube(days, dims, {"defect-rate": tally})


def window(counts: History, since: date, until: date) -> list[list[float]]:
    """n and plus of each slice in one span."""
    found: list[list[float]] = counts.spans([since], [until])[0, :, :2].tolist()
    return found


def test_windows_add_up_days_and_dimensions() -> None:
    found = slice_history(cube(ROWS), "defect-rate", ("vertical",))
    assert found.slices == (("Energy",), ("Retail",))
    assert window(found, MONDAY, MONDAY + 7 * DAY) == [[0, 0], [25, 8]]
    assert window(found, MONDAY + DAY, MONDAY + 10 * DAY) == [[7, 7], [10, 2]]
    assert window(found, MONDAY - 99 * DAY, MONDAY) == [[0, 0], [0, 0]]


def test_two_dimensions_make_a_slice_of_each_pair_that_has_rows() -> None:
    found = slice_history(cube(ROWS), "defect-rate", ("touchpoint", "vertical"))
    assert found.slices == (("call", "Retail"), ("visit", "Energy"), ("visit", "Retail"))
    assert window(found, MONDAY, MONDAY + 99 * DAY) == [[5, 5], [7, 7], [20, 3]]


def test_a_filter_on_a_dimension_chooses_cells() -> None:
    only = (Condition(column="touchpoint", any_of=("visit",)),)
    found = slice_history(cube(ROWS), "defect-rate", (), only)
    assert window(found, MONDAY, MONDAY + 99 * DAY) == [[27, 10]]


def test_a_filter_that_no_cell_has_leaves_nothing() -> None:
    only = (Condition(column="touchpoint", any_of=("parcel",)),)
    assert slice_history(cube(ROWS), "defect-rate", ("vertical",), only).slices == ()


def test_a_known_slice_has_a_place_without_rows() -> None:
    found = slice_history(cube([]), "defect-rate", ("vertical",), known=(("Retail",),))
    assert found.spans([MONDAY], [MONDAY + DAY]).tolist() == [[[0.0] * 5]]


def test_days_can_be_left_out_of_some_slices() -> None:
    found = slice_history(cube(ROWS), "defect-rate", ("vertical",))
    blank = np.zeros((10, 2), dtype=bool)
    blank[0, 1] = True  # Retail's Monday
    assert window(found.without(blank), MONDAY, MONDAY + 99 * DAY) == [[7, 7], [10, 2]]
    assert window(found, MONDAY, MONDAY + 99 * DAY) == [[7, 7], [25, 8]]


CELLS: Final = st.tuples(
    st.integers(0, 60).map(lambda i: MONDAY + i * DAY),
    st.sampled_from(["Retail", "Energy", "unknown"]),
    st.sampled_from(["visit", "call"]),
    st.integers(0, 99),
    st.integers(0, 99),
)


@given(st.lists(CELLS, max_size=40), st.integers(-5, 70), st.integers(0, 40), st.booleans())
def test_a_span_holds_what_adding_up_its_rows_gives(rows: list[Row], since: int, length: int, whole: bool) -> None:  # noqa: FBT001
    by = () if whole else ("vertical",)
    found = slice_history(cube(rows), "defect-rate", by)
    start, end = MONDAY + since * DAY, MONDAY + (since + length) * DAY
    for slice_, (n, plus) in zip(found.slices, window(found, start, end), strict=True):
        held = [row for row in rows if start <= row[0] < end and (whole or row[1] == slice_[0])]
        assert (n, plus) == (sum(row[3] for row in held), sum(row[4] for row in held))


@pytest.mark.parametrize(
    ("condition", "plain"),
    [
        (Condition(column="vertical", any_of=("a", "b")), True),
        (Condition(column="kept", any_of=(True,)), False),  # a truth is no text of a cube
        (Condition(column="severity", at_least=3), False),
        (Condition(column="vertical", any_of=("a",), known=True), False),
    ],
)
def test_which_filters_choose_cells(condition: Condition, plain: bool) -> None:  # noqa: FBT001
    assert is_plain(condition) == plain


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_a_slices_text_can_be_read_back(values: list[str]) -> None:
    by = tuple(f"column_{i}" for i in range(len(values)))
    assert slice_values(slice_key(by, tuple(values))) == dict(zip(by, values, strict=True))
