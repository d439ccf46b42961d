"""Workers that are killed or frozen on their way: `python -m tests.slack.faults.worker`.

Reads a line of JSON for each run (see Asked), answers with what it did. Everything is imported once; each worker is a
fork, a kill is a kill -9 at the point itself, a freeze is SIGSTOP until the lease is long over.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg  # noqa: F401 - imported once, not in each fork
from sqlalchemy import Engine

from queries.messages import outbox
from tests.counterparts.slack import TOKEN
from tests.slack.faults import naive
from tests.slack.faults.ground import FixedCards, Ground, config
from triggers.messages import DeliveryWorker, Ids, Message, Posted
from triggers.messages.delivery import CrashPoint
from triggers.slack.client import Slack

TIMEOUT_S: Final = 1.0
FROZEN_S: Final = 5.0
"""Twice the quiet period: by then another worker has taken over and posted."""

BACK_OFF: Final = timedelta(seconds=0.5)
ASK_S: Final = 0.3
NOBODY: Final = "http://127.0.0.1:9/api/"
"""The discard port, where nothing listens: connection refused."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One run.

    Args:
        folder: of the state, and of the marks that a message died.
        url: of PostgreSQL; None is SQLite.
        base_url: Slack's.
        strategy: outbox, or one of the naive ones.
        end: kill, stop, or stop and then kill after posting.
        points: where each message's worker ends, once; a channel's id for the points of folding.
        refused: the messages whose first post finds nobody listening.
        workers: how many at a time.
        hourly: each channel's budget.
        spacing_s: between two messages to one channel.
        random_s: kill workers at random moments for so long, in place of at points.
        patience_s: wake who is frozen after so long, also where others still wait for it.
        most_s: give up after so long.
    """

    folder: str
    url: str | None
    base_url: str
    strategy: str = "outbox"
    end: str = "kill"
    points: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    workers: int = 1
    hourly: int = 100_000
    spacing_s: float = 0.0
    random_s: float = 0.0
    patience_s: float = 30.0
    most_s: float = 300.0

    @property
    def ground(self) -> Ground:
        return Ground(Path(self.folder), self.url)

    def once(self, name: str) -> bool:
        """True for the first process that asks, of all."""
        try:
            os.close(os.open(Path(self.folder) / f"mark-{name}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


class Wire(Slack):
    """Slack, where the first post of some messages finds nobody listening."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(TOKEN, asked.base_url, TIMEOUT_S)
        self._asked, self._nobody = asked, Slack(TOKEN, NOBODY, TIMEOUT_S)

    def send(
        self, place: str, message: Message, ids: Ids, under: str | None = None, *, is_bare: bool = False
    ) -> Posted:
        if ids.outbox in self._asked.refused and self._asked.once(f"refused-{ids.outbox}"):
            return self._nobody.send(place, message, ids, under, is_bare=is_bare)
        return super().send(place, message, ids, under, is_bare=is_bare)


def serve() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        asked = Asked(**json.loads(line))
        states = _warmed(asked)
        print(json.dumps(_Run(asked, states).supervise()), flush=True)
        states.dispose()


def _warmed(asked: Asked) -> Engine:
    """An engine that has compiled what workers ask, without a connection: forks share no socket."""
    states, channels = asked.ground.open(), dict.fromkeys((route.name for route in config(asked.hourly).routes), "C")
    with states.connect() as conn:
        outbox.due_messages(conn, datetime.now(UTC), channels)
        outbox.unsent(conn)
    states.dispose()
    return states


@dataclass
class _Run:
    """The workers of one run, and what became of them."""

    asked: Asked
    states: Engine
    alive: set[int] = field(default_factory=set)
    frozen: dict[int, float] = field(default_factory=dict)
    kills: int = 0
    peak: int = 0
    asked_at: float = 0.0
    stops: int = 0

    def supervise(self) -> dict[str, Any]:
        began, dice = time.monotonic(), random.Random(self.asked.workers)
        for _ in range(self.asked.workers):
            self._spawn()
        kill_at = began + dice.uniform(0.02, 0.4)
        while self.alive:
            self._reap()
            self._thaw()
            now = time.monotonic()
            if now - began < self.asked.random_s and now >= kill_at and self.alive:
                os.kill(dice.choice(sorted(self.alive)), signal.SIGKILL)
                kill_at = now + dice.uniform(0.02, 0.4)
            if now - began > self.asked.most_s:
                self._end()
            time.sleep(0.005)
        return {
            "kills": self.kills,
            "stops": self.stops,
            "seconds": time.monotonic() - began,
            "mib": self.peak // 1024,
        }

    def _spawn(self) -> None:
        pid = os.fork()
        if not pid:
            _work(self.asked, self.states)
        self.alive.add(pid)

    def _reap(self) -> None:
        """Whoever dies or freezes is replaced; who is done is not."""
        for pid in sorted(self.alive):
            done, status, usage = os.wait4(pid, os.WNOHANG | os.WUNTRACED)
            if not done:
                continue
            self.peak = max(self.peak, usage.ru_maxrss)
            if os.WIFSTOPPED(status):
                self.stops += 1
                self.frozen[pid] = time.monotonic()
                self._spawn()
                continue
            self.alive.discard(pid)
            self.frozen.pop(pid, None)
            if os.WIFSIGNALED(status):
                self.kills += 1
                self._spawn()
            elif os.WEXITSTATUS(status):
                message = f"a worker failed with {os.WEXITSTATUS(status)}"
                raise RuntimeError(message)

    def _thaw(self) -> None:
        """Long after the lease, when the others have done everything."""
        now = time.monotonic()
        due = {pid: since for pid, since in self.frozen.items() if now - since > FROZEN_S}
        if not due or now < self.asked_at + ASK_S:
            return
        self.asked_at, is_done = now, not self._owes()
        for pid, since in due.items():
            if is_done or now - since > self.asked.patience_s:
                del self.frozen[pid]
                os.kill(pid, signal.SIGCONT)

    def _owes(self) -> bool:
        with self.states.connect().execution_options(reading=True) as conn:
            found = bool(outbox.unsent(conn))
        self.states.dispose()  # a fork must not share the connection
        return found

    def _end(self) -> None:
        for pid in sorted(self.alive):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.alive.clear()


def _work(asked: Asked, states: Engine) -> None:
    """A worker's whole life. It ends when nothing is owed."""
    status = 1
    try:
        strategy = naive.STRATEGIES.get(asked.strategy)
        if strategy:
            strategy(states, Wire(asked), asked.base_url, _end_of(asked))
        else:
            _deliver(asked, states)
        status = 0
    except Exception:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        os._exit(status)


def _deliver(asked: Asked, states: Engine) -> None:
    slack, now = Wire(asked), lambda: datetime.now(UTC)
    worker = DeliveryWorker(
        states,
        slack,
        FixedCards(),
        config(asked.hourly),
        TIMEOUT_S,
        now,
        lambda pause: time.sleep(pause.total_seconds()),
        timedelta(seconds=asked.spacing_s),
        None,
        _end_of(asked),
        BACK_OFF,
    )
    while True:
        worker.deliver()
        with states.connect().execution_options(reading=True) as conn:
            if not outbox.unsent(conn):
                return
        time.sleep(0.05)


def _end_of(asked: Asked) -> Callable[[int, str], None]:
    """Die or freeze at the message's point; who was frozen there may die as soon as it has posted."""
    mine = set[str]()

    def crash_point(point: int, message: str) -> None:
        if point == CrashPoint.ANSWERED and message in mine and asked.end == "stop, then kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if asked.points.get(message) == point and asked.once(f"{point}-{message}"):
            mine.add(message)
            os.kill(os.getpid(), signal.SIGKILL if asked.end == "kill" else signal.SIGSTOP)

    return crash_point


if __name__ == "__main__":
    serve()
