"""No figure tells of fewer people than the floor: not by itself, not by subtraction, not by asking twice."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import Connection

from config.models import Condition, Privacy
from queries.metrics import Ask, Grain, measure
from queries.statistics.suppression import Cell, suppressed
from queries.warehouse import EVERYTHING, Scope
from tests.metrics.test_metrics import AFTER, METRICS
from tests.support.handmade import Row, Rows, warehouse

LEAST: Final = 5
VERTICALS: Final = ("North", "South", "West", "East")
TOUCHPOINTS: Final = ("visit", "call", "mail")
MONTHS: Final = (date(2025, 10, 1), date(2025, 11, 1), date(2025, 12, 1))
SINCE, UNTIL = MONTHS[0], date(2026, 1, 1)
ANSWERED: Final = METRICS["responses"]
READER: Final = Scope(privacy=Privacy(people=LEAST))

Group = frozenset[int]
"""The numbers of the answers that a figure is made of."""


def answers(rng: np.random.Generator) -> list[Row]:
    """Few enough that many cells are below the floor, some persons twice, some answers without a person."""
    sizes = rng.integers(0, 14, len(VERTICALS))
    rows: list[Row] = []
    for vertical, size in zip(VERTICALS, sizes, strict=True):
        for _ in range(int(size) * 4):
            account, person = f"{vertical}{rng.integers(4)}", int(rng.integers(4))
            at = datetime(2025, 10, 1, 12) + timedelta(days=int(rng.integers(0, 92)))  # noqa: DTZ001 - naive UTC
            rows.append(
                {
                    "id": f"R{len(rows)}",
                    "account_id": account,
                    "person_id": f"{account}-{person}" if person else None,
                    "vertical": vertical,
                    "touchpoint": TOUCHPOINTS[int(rng.integers(len(TOUCHPOINTS)))],
                    "instrument": "named" if rng.random() < 0.1 else "survey",
                    "kind": "relationship",
                    "status": "answered",
                    "scale": "nps",
                    "score": int(rng.integers(0, 11)),
                    "invited_at": at - timedelta(days=1),
                    "responded_at": at,
                }
            )
    return rows


def people(rows: list[Row], group: Group, exempt: tuple[str, ...] = ()) -> int:
    """How many somebody who counts by hand finds: persons, or accounts where nobody is named."""
    of = [rows[i] for i in group if rows[i]["instrument"] not in exempt]
    return max(len({r["account_id"] for r in of}), len({r["person_id"] for r in of} - {None}))


def where(**values: str) -> tuple[Condition, ...]:
    return tuple(Condition(column=column, any_of=(value,)) for column, value in values.items())


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[[int], tuple[list[Row], Connection]]]:
    """A warehouse of random answers, by its seed."""
    open_ = []

    def make(seed: int) -> tuple[list[Row], Connection]:
        rows = answers(np.random.default_rng(seed))
        accounts = sorted({row["account_id"] for row in rows})
        of: Rows = {"account": [{"account_id": a, "name": a} for a in accounts], "response": rows}
        engine = warehouse(tmp_path / f"{seed}.duckdb", of, "UTC")
        open_.append((engine, engine.connect()))
        return rows, open_[-1][1]

    yield make
    for engine, conn in open_:
        conn.close()
        engine.dispose()


def period(row: Row, grain: Grain) -> date:
    day: date = row["responded_at"].date()
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return SINCE if grain == "all" else day.replace(day=1)


def groups(rows: list[Row], ask: Ask) -> dict[tuple[date, tuple[str, ...]], Group]:
    found: dict[tuple[date, tuple[str, ...]], set[int]] = {}
    for i, row in enumerate(rows):
        if all(row[c.column] in (c.any_of or ()) for c in ask.where):
            found.setdefault((period(row, ask.grain), tuple(row[name] for name in ask.by)), set()).add(i)
    return {key: frozenset(group) for key, group in found.items()}


def shown(
    conn: Connection, rows: list[Row], ask: Ask, scope: Scope, exempt: tuple[str, ...] = ()
) -> tuple[set[Group], set[Group]]:
    """The groups whose figures are shown, and those that are private; what is shown is right."""
    said, private, of = set(), set(), groups(rows, ask)
    for point in measure(conn, ANSWERED, ask, scope, AFTER):
        group = of.get((point.period, point.by), frozenset())
        if scope.verticals is not None:
            group = frozenset(i for i in group if rows[i]["vertical"] in scope.verticals)
        if point.status == "private":
            assert (point.n, point.value, point.low, point.high) == (0, None, None, None)
            private.add(group)
        elif group:
            assert point.n == len(group)
            assert people(rows, group, exempt) not in range(1, LEAST)
            said.add(group)
    return said, private


def derived(known: set[Group], wanted: Group) -> bool:
    """Whether the figure of a group is a sum and difference of known ones."""
    atoms = sorted(set().union(wanted, *known))
    table = np.array([[i in group for group in sorted(known, key=sorted)] for i in atoms], dtype=float)
    of = np.array([i in wanted for i in atoms], dtype=float)
    return bool(np.abs(table @ np.linalg.lstsq(table, of, rcond=None)[0] - of).max() < 1e-7)


def differences(known: set[Group]) -> Iterator[Group]:
    for one, other in product(known, known):
        if other < one:
            yield one - other


# What a table tells.


def test_no_cell_under_the_floor_is_shown_or_found_by_subtraction_in_its_table(
    made: Callable[[int], tuple[list[Row], Connection]], *, prove: bool
) -> None:
    withheld = beside = tables = 0
    for seed in range(50 if prove else 5):
        rows, conn = made(seed)
        rng = np.random.default_rng(seed)
        for _ in range(40):
            column = str(rng.choice(["vertical", "touchpoint"]))
            other = {"vertical": "touchpoint", "touchpoint": "vertical"}[column]
            value = rows[int(rng.integers(len(rows)))][other] if rows and rng.random() < 0.4 else None
            grain: Any = rng.choice(["week", "month", "all"])
            exempt = ("named",) if rng.random() < 0.3 else ()
            scope = Scope(privacy=Privacy(people=LEAST, exempt=exempt))
            total = Ask((), str(grain), SINCE, UNTIL, where(**{other: value}) if value else ())  # type: ignore[arg-type]
            table = Ask((column,), total.grain, SINCE, UNTIL, total.where)
            known, private = shown(conn, rows, table, scope, exempt)
            known |= shown(conn, rows, total, scope, exempt)[0]
            for group in private:
                few = people(rows, group, exempt) < LEAST
                withheld, beside = withheld + few, beside + (not few)
                assert not (few and derived(known, group))
            for group in differences(known):
                assert people(rows, group, exempt) not in range(1, LEAST)
            tables += 1
    assert tables == (2000 if prove else 200)
    # The tables are such that there is something to protect, and something that protects it.
    assert withheld > tables
    assert beside > tables / 10


def cube(rng: np.random.Generator, width: int) -> dict[Cell, int]:
    """A table of `width` dimensions with all its totals; nobody is in two cells."""
    sizes = rng.integers(1, 5, width)
    atoms = {tuple(map(str, c)): int(rng.integers(0, 16)) for c in product(*map(range, sizes)) if rng.random() < 0.8}
    found: dict[Cell, int] = {}
    for atom, number in atoms.items():
        for cell in product(*((value, None) for value in atom)):
            found[cell] = found.get(cell, 0) + number
    return found


def test_nothing_is_found_in_a_table_of_several_dimensions_with_all_its_totals(*, prove: bool) -> None:
    rng = np.random.default_rng(5)
    beside = 0
    for _ in range(2000 if prove else 200):
        table = cube(rng, int(rng.integers(1, 4)))
        hidden = suppressed(table, LEAST)
        atoms = [cell for cell in table if None not in cell]

        def of(cell: Cell, atoms: list[Cell] = atoms) -> Group:
            return frozenset(
                i for i, a in enumerate(atoms) if all(v in {None, w} for v, w in zip(cell, a, strict=True))
            )

        known = {of(cell) for cell in table if cell not in hidden}
        few = {cell for cell, number in table.items() if 0 < number < LEAST}
        assert few <= hidden
        assert [cell for cell in few if derived(known, of(cell))] == []
        beside += len(hidden - few)
    assert beside


# What a general manager can ask, one thing after the other.


def fixed_filters(rows: list[Row], conn: Connection, reader: Scope) -> tuple[set[Group], set[Group]]:
    """Everything that the pages offer a reader by month: of all they see, of a vertical, of a touchpoint."""
    known: set[Group] = set()
    private: set[Group] = set()
    for vertical, touchpoint in product((None, *VERTICALS), (None, *TOUCHPOINTS)):
        for by in ((), ("vertical",)):
            ask = Ask(by, "month", SINCE, UNTIL, where(touchpoint=touchpoint) if touchpoint else ())
            said, not_said = shown(conn, rows, ask, reader.narrowed(vertical))
            known, private = known | said, private | not_said
    return known, private


@pytest.mark.parametrize("verticals", [None, {"North"}, {"South", "West"}], ids=["all", "one", "two"])
def test_asking_twice_with_the_filters_of_the_pages_finds_nothing(
    made: Callable[[int], tuple[list[Row], Connection]], verticals: set[str] | None, *, prove: bool
) -> None:
    found = 0
    for seed in range(1000, 1020 if prove else 1002):
        rows, conn = made(seed)
        reader = Scope("gm", None if verticals is None else frozenset(verticals), privacy=READER.privacy)
        known, private = fixed_filters(rows, conn, reader)
        for group in private:
            if people(rows, group) < LEAST:
                found += 1
                assert not derived(known, group)
        for group in differences(known):
            assert people(rows, group) not in range(1, LEAST)
    assert found


# What is no table of people.


def test_what_is_not_about_people_has_no_floor(made: Callable[[int], tuple[list[Row], Connection]]) -> None:
    _, conn = made(1)
    for name, metric in METRICS.items():
        if metric.table not in {"response", "contact"}:
            reader = measure(conn, metric, Ask(), READER, AFTER)
            assert reader == measure(conn, metric, Ask(), EVERYTHING, AFTER), name


def test_rules_are_judged_on_exact_figures(made: Callable[[int], tuple[list[Row], Connection]]) -> None:
    rows, conn = made(2)
    points = measure(conn, ANSWERED, Ask(("vertical", "touchpoint"), "week", SINCE, UNTIL), EVERYTHING, AFTER)
    assert sum(point.n for point in points) == len(rows)


def test_one_person_who_answers_often_is_one_person(tmp_path: Path) -> None:
    rows = answers(np.random.default_rng(3))
    often = [{**rows[0], "id": f"X{i}", "person_id": "one", "account_id": "North0"} for i in range(80)]
    engine = warehouse(tmp_path / "often.duckdb", {"response": often}, "UTC")
    with engine.connect() as conn:
        (point,) = measure(conn, ANSWERED, Ask(grain="all"), READER, AFTER)
        assert point.status == "private"
        exempt = Scope(privacy=Privacy(people=LEAST, exempt=("survey", "named")))
        (point,) = measure(conn, ANSWERED, Ask(grain="all"), exempt, AFTER)
        assert (point.status, point.n) == ("ok", 80)
    engine.dispose()
