"""The fault matrix: a seeded part that holds all pairs; with `--prove` all of it. See docs/explanation/faults.md."""

import random
from collections.abc import Iterator
from itertools import product
from typing import Final

import pytest

from tests.counterparts import postgres as postgresql
from tests.counterparts.postgres import Postgres
from tests.counterparts.slack import Slack
from tests.slack.faults.matrix import (
    DATABASES,
    FAULTS,
    HELD,
    OPEN,
    POINTS,
    WORKERS,
    Bench,
    Case,
    bench,
    parts,
    run,
    run_folding,
    run_frozen,
    run_random,
    whole,
)
from triggers.messages.delivery import CrashPoint

SEED: Final = 20261122
FIVE_MINUTES: Final = 300.0
SETTINGS: Final = tuple(product(DATABASES, WORKERS))


WITHOUT: Final = pytest.mark.skipif(bool(postgresql.missing()), reason=str(postgresql.missing()))
ON: Final = {"SQLite": (), "PostgreSQL": (WITHOUT,)}
EACH_DATABASE: Final = [pytest.param(name, marks=marks) for name, marks in ON.items()]
EACH_SETTING: Final = [pytest.param(name, workers, marks=ON[name]) for name, workers in SETTINGS]


@pytest.fixture(scope="module")
def on(request: pytest.FixtureRequest, slack_process: Slack) -> Iterator[Bench]:
    """Slack, its proxy, databases and workers."""
    cluster: Postgres | None = None if postgresql.missing() else request.getfixturevalue("postgres")
    with bench(slack_process, cluster.database if cluster else None) as made:
        yield made


def test_the_part_holds_every_pair() -> None:
    """Of point and fault, and of each of them with each database and each number of workers."""
    dealt = parts(SEED)
    found = [case for cases in dealt.values() for case in cases]
    assert len(found) == len(set(found)) == len(POINTS) * len(FAULTS)
    for place in (0, 1):
        each = [(setting[place], case) for setting, cases in dealt.items() for case in cases]
        pairs = {(value, part) for value, case in each for part in (case.point, case.fault)}
        assert pairs == set(product({setting[place] for setting in SETTINGS}, (*POINTS, *FAULTS)))


@pytest.mark.slow
@pytest.mark.parametrize(("database", "workers"), EACH_SETTING)
def test_killed_at_each_point_under_each_fault(on: Bench, database: str, workers: int, prove: bool) -> None:  # noqa: FBT001
    cases = whole(SEED) if prove else parts(SEED)[database, workers]
    ran = run(on, database, cases, workers)
    told = [(case, times) for case, times in zip(cases, ran.times, strict=True) if times != 1]
    assert told == []
    assert ran.count.owed == 0
    assert ran.kills >= sum(case.point is not None for case in cases) * 0.9  # two may die in one process


@pytest.mark.slow
@pytest.mark.parametrize(("database", "workers"), EACH_SETTING)
def test_killed_while_folding_into_a_digest(on: Bench, database: str, workers: int, prove: bool) -> None:  # noqa: FBT001
    names = list(FAULTS) if prove else [random.Random(f"{SEED}{database}{workers}").choice(list(FAULTS))]
    for fault in names:
        ran = run_folding(on, database, fault, workers)
        assert (fault, ran.count.lost, ran.count.duplicated, ran.count.owed) == (fault, 0, 0, 0)
        assert ran.kills == 2


@pytest.mark.slow
@pytest.mark.parametrize("database", EACH_DATABASE)
@pytest.mark.parametrize("end", ["stop", "stop, then kill"])
def test_frozen_past_the_lease(on: Bench, database: str, end: str, prove: bool) -> None:  # noqa: FBT001
    """Only between the lease check and the call can a thawed worker post again: it is taken back, or swept."""
    for points in (OPEN, HELD) if prove else (OPEN,):
        found = run_frozen(on, database, points, end)
        assert found.ran.stops == len(points)
        assert (found.after.lost, found.after.duplicated, found.after.owed) == (0, 0, 0)
        assert found.posted_twice == (CrashPoint.WRITING in points)
        assert found.before == found.swept == (CrashPoint.WRITING in points and end == "stop, then kill")


@pytest.mark.slow
@pytest.mark.parametrize("database", EACH_DATABASE)
def test_killed_at_any_moment(on: Bench, database: str, prove: bool) -> None:  # noqa: FBT001
    """Half of all posts fail. Five minutes with `--prove`."""
    seconds, done = (FIVE_MINUTES / len(DATABASES) if prove else 4.0), 0.0
    while done < seconds:
        ran = run_random(on, database, 3, seconds, 120 if prove else 30)
        assert (ran.count.lost, ran.count.duplicated, ran.count.owed) == (0, 0, 0)
        assert ran.kills > 3
        done += ran.seconds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "loses", "doubles"),
    [
        ("mark before", True, False),
        ("mark after", False, True),
        ("SDK defaults", False, True),
        ("outbox", False, False),
    ],
)
def test_the_harness_bites(on: Bench, strategy: str, *, loses: bool, doubles: bool) -> None:
    """What others do loses or doubles messages here."""
    names = ("response dropped after the store", "reset after the store", "connection refused", "429 with Retry-After")
    cases = tuple(Case(point, fault) for point, fault in product((CrashPoint.WRITING, CrashPoint.ANSWERED), names))
    ran = run(on, "SQLite", cases, 1, strategy)
    assert (ran.count.lost > 0, ran.count.duplicated > 0) == (loses, doubles)
