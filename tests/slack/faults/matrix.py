"""The fault matrix: which message meets which fault and which death, on every database, with one and three workers."""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise, product
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Engine

from tests.counterparts import proxy as faults
from tests.counterparts.postgres import NewDatabase
from tests.counterparts.proxy import Call, Fault, FaultProxy
from tests.counterparts.slack import TOKEN, Slack
from tests.slack.faults.ground import ROUTES, Count, Ground, count, fill, times
from tests.slack.faults.worker import FROZEN_S, Asked
from triggers.messages import DuplicateRemover
from triggers.messages.channel_budget import SPACING
from triggers.messages.delivery import CrashPoint
from triggers.slack.client import Slack as Client

REFUSED: Final = "connection refused"
FAULTS: Final[Mapping[str, Fault | None]] = {
    "response dropped after the store": faults.dropped(),
    "reset after the store": faults.reset(stored=True),
    "hang past the time-out": faults.hang(1.4, stored=True),
    "truncated body": faults.truncated(),
    "200 with HTML": faults.html(stored=True),
    "late commit": faults.late(1.2),
    "500 after the store": faults.server_error(500, stored=True),
    "internal_error that was stored": faults.slack_error("internal_error", stored=True),
    "429 with Retry-After": faults.rate_limited(1),
    REFUSED: None,
}
UNSENT: Final = frozenset({"429 with Retry-After", REFUSED})
"""After these nobody looks. A message that must die while looking is first reset before it is stored."""

POINTS: Final = tuple(point for point in CrashPoint if point < CrashPoint.FOLDING)
HELD: Final = (CrashPoint.CLAIMING, CrashPoint.RECORDING)
"""Frozen there a worker keeps a transaction open: others wait for it, and do not take over."""

OPEN: Final = tuple(point for point in POINTS if point not in HELD)
FOLDS: Final = (CrashPoint.FOLDING, CrashPoint.FOLDED)
DATABASES: Final = ("SQLite", "PostgreSQL")
WORKERS: Final = (1, 3)


@dataclass(frozen=True, slots=True)
class Case:
    """What one message goes through. Without a point its worker is not killed for it, only for others."""

    point: CrashPoint | None
    fault: str

    def faults(self) -> tuple[Fault | None, ...]:
        """Of its posts, in order."""
        fault = FAULTS[self.fault]
        before: tuple[Fault, ...] = ()
        if self.fault in UNSENT and self.point in (CrashPoint.LOOKING, CrashPoint.LOOKED):
            before = (faults.reset(stored=False),)
        return (*before, fault)


PAIRS: Final = tuple(Case(point, fault) for point, fault in product(POINTS, FAULTS))


def whole(seed: int) -> tuple[Case, ...]:
    """Every pair of point and fault, and with each two messages that meet a fault while others' workers die."""
    dice = random.Random(seed)
    found = [*PAIRS, *(Case(None, dice.choice(list(FAULTS))) for _ in range(2 * len(PAIRS)))]
    dice.shuffle(found)
    return tuple(found)


def parts(seed: int) -> dict[tuple[str, int], tuple[Case, ...]]:
    """Every pair of point and fault once, dealt over databases and numbers of workers so that all pairs occur."""
    dice = random.Random(seed)
    settings = list(product(DATABASES, WORKERS))
    dealt = defaultdict[tuple[str, int], list[Case]](list)
    for i, point in enumerate(POINTS):
        names = list(FAULTS)
        dice.shuffle(names)
        for j, fault in enumerate(names):
            dealt[settings[(i + j) % len(settings)]].append(Case(point, fault))
    return {setting: tuple(cases) for setting, cases in dealt.items()}


@dataclass(frozen=True, slots=True)
class Bench:
    """What runs take place on: Slack behind a proxy, a maker of databases, and the process that forks workers."""

    slack: Slack
    proxy: FaultProxy
    new_database: NewDatabase | None
    server: subprocess.Popen[str]

    def ask(self, asked: Asked) -> dict[str, Any]:
        print(json.dumps(asdict(asked)), file=_pipe(self.server.stdin), flush=True)
        line = _pipe(self.server.stdout).readline()
        if not line:
            raise RuntimeError("the workers' process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @contextmanager
    def ground(self, database: str) -> Iterator[tuple[Ground, Engine]]:
        """An empty state, and an empty Slack that does nothing wrong."""
        self.slack.reset()
        self.proxy.calls.clear()
        self.proxy.choose = lambda _: None
        with tempfile.TemporaryDirectory(prefix="earshot-faults-") as folder:
            if database == "SQLite":
                yield from _opened(Ground(Path(folder), None))
                return
            if self.new_database is None:
                raise RuntimeError("no PostgreSQL")
            with self.new_database() as url:
                yield from _opened(Ground(Path(folder), url))


def _opened(ground: Ground) -> Iterator[tuple[Ground, Engine]]:
    states = ground.make()
    try:
        yield ground, states
    finally:
        states.dispose()


@contextmanager
def bench(slack: Slack, new_database: NewDatabase | None) -> Iterator[Bench]:
    command = [sys.executable, "-m", "tests.slack.faults.worker"]
    with (
        faults.before(slack.base_url) as proxy,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            _pipe(server.stdout).readline()  # it has imported everything
            yield Bench(slack, proxy, new_database, server)
        finally:
            _pipe(server.stdin).close()
            server.wait(30)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did, and what Slack shows after it."""

    count: Count
    kills: int
    stops: int
    posted: int
    seconds: float
    times: tuple[int, ...]


def run(bench_: Bench, database: str, cases: Sequence[Case], workers: int, strategy: str = "outbox") -> Ran:
    """Every case is one message. Returns when nothing is owed any more."""
    with bench_.ground(database) as (ground, states):
        messages = fill(states, len(cases))
        of = dict(zip(messages, cases, strict=True))
        bench_.proxy.choose = _planned({id_: case.faults() for id_, case in of.items()})
        points = {id_: int(case.point) for id_, case in of.items() if case.point}
        refused = [id_ for id_, case in of.items() if case.fault == REFUSED]
        asked = Asked(str(ground.folder), ground.url, bench_.proxy.base_url, strategy, "kill", points, refused, workers)
        return _ran(bench_, states, messages, bench_.ask(asked))


def run_folding(bench_: Bench, database: str, fault: str, workers: int) -> Ran:
    """Twenty incidents for two channels with room for three: one dies while it folds, the other just after.

    The fault meets the first message that is posted to each channel: the digest.
    """
    with bench_.ground(database) as (ground, states):
        messages = fill(states, 20)
        met = Counter[str]()

        def choose(call: Call) -> Fault | None:
            channel = str(call.body.get("channel"))
            if call.method != "chat.postMessage" or met[channel]:
                return None
            met[channel] += 1
            return FAULTS[fault]

        bench_.proxy.choose = choose
        points = dict(zip(ROUTES.values(), map(int, FOLDS), strict=True))
        asked = Asked(str(ground.folder), ground.url, bench_.proxy.base_url, points=points, workers=workers, hourly=3)
        return _ran(bench_, states, messages, bench_.ask(asked))


@dataclass(frozen=True, slots=True)
class Frozen:
    """A run of frozen workers: what Slack showed when all were done, and after one sweep."""

    ran: Ran
    posted_twice: int
    before: int
    swept: int
    after: Count


def run_frozen(bench_: Bench, database: str, points: Sequence[CrashPoint], end: str) -> Frozen:
    """A worker is frozen at each point past its lease, while two others take over; then it goes on, or dies."""
    with bench_.ground(database) as (ground, states):
        messages = fill(states, len(points))
        plan = dict(zip(messages, map(int, points), strict=True))
        bench_.proxy.choose = _planned(
            {id_: (faults.reset(stored=False),) for id_, point in plan.items() if point >= CrashPoint.LOOKING}
        )
        patience = FROZEN_S + 1 if set(points) <= set(HELD) else 30.0
        place = (str(ground.folder), ground.url, bench_.proxy.base_url)
        asked = Asked(*place, end=end, points=plan, workers=3, patience_s=patience)
        ran = _ran(bench_, states, messages, bench_.ask(asked))
        posts = Counter(outbox_of(call) for call in bench_.proxy.calls if call.method == "chat.postMessage")
        faulted = sum(point >= CrashPoint.LOOKING for point in points)
        client = Client(TOKEN, bench_.slack.base_url, 5)
        swept = DuplicateRemover(states, client, lambda: datetime.now(UTC)).remove()
        after = count(bench_.slack, states, messages)
        return Frozen(ran, sum(n > 1 for n in posts.values()) - faulted, ran.count.duplicated, swept, after)


@dataclass(frozen=True, slots=True)
class Flood:
    """Everything at once, at the pace of one message a second and channel.

    Args:
        ran: what was told, and how.
        refused: calls within a second of the one before in their channel, which Slack answers with 429.
        digest_s: when the last channel's digest was posted, in seconds.
        shortest_s: between two messages of a channel, as they arrived.
        mib: the most memory that a worker took.
    """

    ran: Ran
    refused: int
    digest_s: float
    shortest_s: float
    mib: int


def run_flood(bench_: Bench, database: str, messages: int, hourly: int, workers: int = 3) -> Flood:
    """So many incidents at once. Slack refuses what comes within a second of the message before in its channel."""
    with bench_.ground(database) as (ground, states):
        ids = fill(states, messages)
        own = frozenset(ids)
        arrived, refused, lock = defaultdict[str, list[tuple[float, str]]](list), list[float](), threading.Lock()

        def choose(call: Call) -> Fault | None:
            if call.method not in ("chat.postMessage", "chat.update"):
                return None
            with lock:
                now, channel = time.monotonic(), arrived[str(call.body["channel"])]
                is_early = bool(channel) and now - channel[-1][0] < 1.0
                if is_early:
                    refused.append(now)
                else:
                    channel.append((now, str(outbox_of(call))))
            return faults.rate_limited(1) if is_early else None

        bench_.proxy.choose, began = choose, time.monotonic()
        asked = Asked(
            str(ground.folder),
            ground.url,
            bench_.proxy.base_url,
            workers=workers,
            hourly=hourly,
            spacing_s=SPACING.total_seconds(),
        )
        answer = bench_.ask(asked)
        first = [next(at - began for at, id_ in of if id_ not in own) for of in arrived.values()]
        gaps = [b[0] - a[0] for of in arrived.values() for a, b in pairwise(of)]
        ran = _ran(bench_, states, ids, answer)
        return Flood(ran, len(refused), max(first), min(gaps), answer["mib"])


def run_random(bench_: Bench, database: str, workers: int, seconds: float, messages: int = 40) -> Ran:
    """Half of all posts fail somehow, and workers are killed at random moments."""
    dice = random.Random(7)
    with bench_.ground(database) as (ground, states):
        ids = fill(states, messages)
        some = [fault for fault in FAULTS.values() if fault]
        bench_.proxy.choose = lambda call: (
            dice.choice(some) if call.method == "chat.postMessage" and dice.random() < 0.5 else None
        )
        asked = Asked(str(ground.folder), ground.url, bench_.proxy.base_url, workers=workers, random_s=seconds)
        return _ran(bench_, states, ids, bench_.ask(asked))


def _planned(plan: Mapping[str, Sequence[Fault | None]]) -> Any:
    """The faults of each message's posts, in order."""
    met = Counter[str]()

    def choose(call: Call) -> Fault | None:
        if call.method != "chat.postMessage":
            return None
        id_ = str(outbox_of(call))
        met[id_] += 1
        planned = plan.get(id_, ())
        return planned[met[id_] - 1] if met[id_] <= len(planned) else None

    return choose


def outbox_of(call: Call) -> str | None:
    """The outbox id that a post carries."""
    raw = call.body.get("metadata") or {}
    kept = json.loads(raw) if isinstance(raw, str) else raw
    found = kept.get("event_payload", {}).get("outbox")
    return str(found) if found else None


def _ran(bench_: Bench, states: Engine, messages: tuple[str, ...], answer: Mapping[str, Any]) -> Ran:
    bench_.proxy.settle()
    found, often = count(bench_.slack, states, messages), times(bench_.slack, states, messages)
    posted = bench_.proxy.count("chat.postMessage")
    told = tuple(often[id_] for id_ in messages)
    return Ran(found, answer["kills"], answer["stops"], posted, answer["seconds"], told)


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError
    return stream
