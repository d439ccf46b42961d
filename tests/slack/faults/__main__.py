"""The whole matrix, as the page that the docs show: `python -m tests.slack.faults > docs/explanation/faults.md`.

Takes half an hour; `--random SECONDS` says how long workers are killed at random moments at its end.
"""

import sys
import time
from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from typing import Final, TypeVar

from tests.counterparts import postgres, slack
from tests.slack.faults import naive
from tests.slack.faults.ground import Count
from tests.slack.faults.matrix import (
    DATABASES,
    FAULTS,
    HELD,
    OPEN,
    POINTS,
    WORKERS,
    Bench,
    Case,
    Frozen,
    Ran,
    bench,
    run,
    run_flood,
    run_folding,
    run_frozen,
    run_random,
    whole,
)
from triggers.messages.delivery import CrashPoint

SEEDS: Final = (1, 2)
AT_RANDOM: Final = 120
WHAT: Final = {
    CrashPoint.CHOSEN: "before the claim",
    CrashPoint.CLAIMING: "claimed, not committed",
    CrashPoint.CLAIMED: "the claim committed",
    CrashPoint.WRITING: "the lease checked, before the call",
    CrashPoint.ANSWERED: "the call over, nothing recorded",
    CrashPoint.RECORDING: "recorded, not committed",
    CrashPoint.RECORDED: "the record committed",
    CrashPoint.LOOKING: "before looking for an earlier attempt",
    CrashPoint.LOOKED: "looked, nothing recorded",
    CrashPoint.FOLDING: "folded into a digest, not committed",
    CrashPoint.FOLDED: "the digest committed",
}
T = TypeVar("T")
Results = list[tuple[Case, int]]


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.slack.faults")
    parser.add_argument("--random", type=float, default=300.0)
    asked = parser.parse_args()
    with slack.running() as counterpart, postgres.running() as cluster, bench(counterpart, cluster.database) as on:
        print("\n".join(_page(on, asked.random)))


def _page(on: Bench, random_s: float) -> Iterator[str]:
    began = time.monotonic()
    runs = [(database, workers, *_whole(on, database, workers)) for database, workers in product(DATABASES, WORKERS)]
    results = [result for *_, found in runs for result in found]
    yield from _HEAD
    yield from _by_setting([(database, workers, rans) for database, workers, rans, _ in runs])
    yield from _grid("fault of the call", _by(results, lambda case: case.fault), FAULTS)
    yield from _grid("killed (`kill -9`)", _by(results, _where), [*map(_where, _points()), "only others were"])
    yield from _folding([(f, d, w, _told(f"fold {f}", partial(run_folding, on, d, f, w))) for f, d, w in _folds()])
    yield from _flood(on)
    yield from _naive(on)
    yield from _frozen(on)
    yield from _random(on, random_s)
    yield f"\nMeasured in {(time.monotonic() - began) / 60:.0f} minutes on two shared cores."


_HEAD: Final = (
    "# Nothing lost, nothing said twice: measured",
    "",
    "Workers that deliver messages are killed at each numbered point of their work while Slack fails in each of",
    "ten ways. Slack is a program that we did not write (npm `emulate`); what it shows at the end is counted there,",
    "by the outbox id in each message's metadata. *Lost* is a message that it does not show, *duplicated* one that",
    "it shows more than once. The HTTP time-out is 1 s, the quiet period 2 s. `python -m tests.slack.faults`",
    "writes this page; `make prove` runs the same.",
    "",
    "Each pair of point and fault occurs twice with each database and number of workers, together with messages",
    "that meet a fault while others' workers die.",
)


def _whole(on: Bench, database: str, workers: int) -> tuple[list[Ran], Results]:
    rans, results = list[Ran](), Results()
    for seed in SEEDS:
        cases = whole(seed)
        ran = _told(f"{database}, {workers}", partial(run, on, database, cases, workers))
        rans.append(ran)
        results += zip(cases, ran.times, strict=True)
    return rans, results


def _told(name: str, do: Callable[[], T]) -> T:
    done = do()
    print(name, done, file=sys.stderr, flush=True)
    return done


def _points() -> Iterable[Case]:
    return (Case(point, "") for point in POINTS)


def _where(case: Case) -> str:
    return f"{case.point}: {WHAT[case.point]}" if case.point else "only others were"


def _by_setting(runs: list[tuple[str, int, list[Ran]]]) -> Iterator[str]:
    yield from (
        "",
        "| database | workers | messages | kills | posts | lost | duplicated |",
        "| --- | --- |" + " ---: |" * 5,
    )
    for database, workers, rans in runs:
        total = sum((ran.count for ran in rans), Count(0, 0, 0))
        kills, posts = sum(ran.kills for ran in rans), sum(ran.posted for ran in rans)
        counts = f"{total.messages:,} | {kills:,} | {posts:,} | {total.lost} | {total.duplicated}"
        yield f"| {database} | {workers} | {counts} |"
    everything = sum((ran.count for *_, rans in runs for ran in rans), Count(0, 0, 0))
    yield f"| **all** | | **{everything.messages:,}** | | | **{everything.lost}** | **{everything.duplicated}** |"


def _by(results: Results, name: Callable[[Case], str]) -> dict[str, Count]:
    found = defaultdict[str, Count](lambda: Count(0, 0, 0))
    for case, times in results:
        found[name(case)] += Count(1, times == 0, times > 1)
    return found


def _grid(head: str, counts: dict[str, Count], names: Iterable[str]) -> Iterator[str]:
    yield from ("", f"| {head} | messages | lost | duplicated |", "| --- |" + " ---: |" * 3)
    for name in names:
        one = counts[name]
        yield f"| {name} | {one.messages:,} | {one.lost} | {one.duplicated} |"


def _folds() -> Iterator[tuple[str, str, int]]:
    yield from product(FAULTS, DATABASES, WORKERS)


def _folding(runs: list[tuple[str, str, int, Ran]]) -> Iterator[str]:
    total = sum((ran.count for *_, ran in runs), Count(0, 0, 0))
    kills, twice = sum(ran.kills for *_, ran in runs), total.duplicated
    folding, folded = (_where(Case(point, "")) for point in (CrashPoint.FOLDING, CrashPoint.FOLDED))
    yield from (
        "",
        "## More than a channel takes",
        "",
        "Twenty incidents at once for two channels with room for three each: the rest goes into one digest a channel.",
        f"Workers die at point {folding}, and at point {folded}.",
        "Each fault meets the digest's own post.",
        "",
        f"{len(runs)} runs, {total.messages:,} incidents, {kills} kills: {total.lost} lost, {twice} told twice.",
    )


def _flood(on: Bench) -> Iterator[str]:
    yield from (
        "",
        "Ten thousand incidents at once, three workers, two channels with room for 60 an hour each. Slack refuses",
        "(429) what comes within a second of the message before in its channel.",
        "",
        "| database | posts | last digest after | shortest distance | 429 | memory a worker | lost | twice |",
        "| --- |" + " ---: |" * 7,
    )
    for database in DATABASES:
        found = _told(f"flood {database}", partial(run_flood, on, database, 10_000, 60))
        times = f"{found.digest_s:.1f} s | {found.shortest_s:.2f} s | {found.refused} | {found.mib} MiB"
        lost, twice = found.ran.count.lost, found.ran.count.duplicated
        yield f"| {database} | {found.ran.posted} | {times} | {lost} | {twice} |"


def _naive(on: Bench) -> Iterator[str]:
    cases = [Case(point, fault) for point in (CrashPoint.WRITING, CrashPoint.ANSWERED) for fault in FAULTS]
    yield from ("", "## The same harness, and what others do", "")
    yield "One worker on SQLite, killed before and after the call, with each fault once."
    yield from ("", "| strategy | messages | lost | duplicated |", "| --- |" + " ---: |" * 3)
    for name in (*naive.STRATEGIES, "outbox"):
        found = _told(name, partial(run, on, "SQLite", cases, 1, name)).count
        yield f"| {name} | {found.messages} | {found.lost} | {found.duplicated} |"


def _frozen(on: Bench) -> Iterator[str]:
    yield from _FROZEN
    for database, end in product(DATABASES, ("stop", "stop, then kill")):
        found = [
            _told(f"frozen {database} {end}", partial(run_frozen, on, database, points, end))
            for points in (OPEN * 2, HELD)
        ]
        yield _frozen_row(database, end, found)


_FROZEN: Final = (
    "",
    "## Frozen in the middle",
    "",
    "Workers are stopped (SIGSTOP) at each point until long after their lease, while others take over, and then go",
    "on. No fence can hold back a call whose lease was checked before the freeze: it posts a second time. The",
    "worker sees that it was replaced and takes its message back; where it dies before, the sweep does, which runs",
    "every 20 s.",
    "",
    "| database | then | frozen | posted twice | there when all were done | removed by one sweep | left | lost |",
    "| --- | --- |" + " ---: |" * 6,
)


def _frozen_row(database: str, end: str, found: list[Frozen]) -> str:
    total = Counter[str]()
    for one in found:
        total.update(frozen=one.ran.stops, twice=one.posted_twice, before=one.before, swept=one.swept)
        total.update(left=one.after.duplicated, lost=one.after.lost)
    then = "goes on" if end == "stop" else "goes on, and dies as soon as it posted"
    figures = " | ".join(str(total[name]) for name in ("frozen", "twice", "before", "swept", "left", "lost"))
    return f"| {database} | {then} | {figures} |"


_OUTAGES: Final = (
    "",
    "## Outages of the state",
    "",
    "`tests/test_outages.py` crashes PostgreSQL (and starts it again), fills the disk, makes every write to it fail,",
    "and has somebody else keep SQLite locked, in between and inside the transactions of a message: at points 1, 2,",
    "3, 5, 6 and 7, with three failed turns before the outage is over. The same is done to the whole process,",
    "`python -m triggers run`, for four seconds between two messages. Each time every message is told once, and nobody",
    "helps: what failed is tried again by the next turn, and what may have been sent is looked for first.",
)


def _random(on: Bench, seconds: float) -> Iterator[str]:
    began, rans = time.monotonic(), list[Ran]()
    while time.monotonic() - began < seconds:
        database = DATABASES[len(rans) % len(DATABASES)]
        rans.append(_told("random", partial(run_random, on, database, 3, 60.0, AT_RANDOM)))
    total, kills = sum((ran.count for ran in rans), Count(0, 0, 0)), sum(ran.kills for ran in rans)
    yield from (*_OUTAGES, "", "## Killed at any moment", "")
    yield (
        f"Three workers, killed at random moments for {seconds / 60:.0f} minutes, with half of all posts failing: "
        f"{total.messages:,} messages, {kills:,} kills, {total.lost} lost, {total.duplicated} duplicated."
    )


if __name__ == "__main__":
    main()
