"""A crashed PostgreSQL, a full disk, a locked SQLite: nothing is lost, nothing comes twice, and nobody has to help."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.exc import DBAPIError

from config.settings import CHECKOUT
from queries.messages import due_picture, outbox
from queries.state import open_state, read_incidents, tables
from queries.warehouse import EVERYTHING
from tests.counterparts import postgres as postgresql
from tests.counterparts import proxy as faults
from tests.counterparts.human import until
from tests.counterparts.postgres import Server
from tests.counterparts.proxy import FaultProxy
from tests.counterparts.slack import CHANNELS, TOKEN, Slack
from tests.slack.faults import ground
from tests.support.clocks import BY_SLACKS_CLOCK, Now
from tests.support.company import catalog, rows_of, rule, warehouse, weeks
from tests.support.installation import configure
from tests.support.states import NewState
from triggers.__main__ import main
from triggers.messages import DeliveryWorker
from triggers.messages.delivery import CrashPoint
from triggers.slack import client

pytestmark = BY_SLACKS_CLOCK
CHANNEL: Final = CHANNELS["service-quality"]
MESSAGES: Final = 4
DISK_MB: Final = 16
BLOCK: Final = 4096
FAILURES: Final = 3
"""So often delivering fails before the outage is over."""


class Outage(Protocol):
    """Something that keeps a process from its state."""

    def begin(self, process: int) -> None:
        """From now on."""
        ...

    def end(self, process: int) -> None:
        """Until now."""
        ...


@dataclass
class Full:
    """No file of the process can grow or be written to: SQLite takes it for a failing disk."""

    def begin(self, process: int) -> None:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def end(self, process: int) -> None:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@dataclass
class Filled:
    """Not a byte is left on the disk."""

    disk: Path

    def begin(self, process: int) -> None:
        del process
        with (self.disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while ballast.write(b"\0" * BLOCK):
                pass

    def end(self, process: int) -> None:
        del process
        (self.disk / "ballast").unlink()


@dataclass
class Locked:
    """Somebody else writes to the file, and does not come to an end."""

    file: Path
    other: sqlite3.Connection | None = None

    def begin(self, process: int) -> None:
        del process
        self.other = sqlite3.connect(self.file, isolation_level=None, timeout=20)
        self.other.execute("begin immediate")

    def end(self, process: int) -> None:
        del process
        if self.other is not None:
            self.other.close()


@dataclass
class Crashed:
    """The database's server dies, and is started again."""

    server: Server

    def begin(self, process: int) -> None:
        del process
        self.server.crash()

    def end(self, process: int) -> None:
        del process
        self.server.start()


@dataclass
class Trial:
    """Workers that meet an outage at one point of the first message, and go on as `run` does."""

    states: Engine
    slack: Slack
    outage: Outage
    point: CrashPoint
    now: Now
    failures: list[str] = field(default_factory=list)
    is_over: bool = False
    is_on: bool = False

    def deliver(self) -> None:
        """Until nothing is owed. Whatever fails is tried again by the next turn."""
        sender, ended = client.Slack(TOKEN, self.slack.base_url, 1), time.monotonic() + 90
        place = (self.states, sender, ground.FixedCards(), ground.config(), 1.0, self.now)
        pauses: dict[str, Any] = {"wait": lambda pause: time.sleep(pause.total_seconds()), "spacing": timedelta(0)}
        worker = DeliveryWorker(*place, crash_point=self._pass, back_off=timedelta(seconds=0.2), **pauses)
        while time.monotonic() < ended:
            try:
                worker.deliver()
                if not self._owes():
                    return
            except DBAPIError as error:
                self._failed(error)
            time.sleep(0.1)
        raise AssertionError(self.failures)

    def _owes(self) -> bool:
        with self.states.connect().execution_options(reading=True) as conn:
            return bool(outbox.unsent(conn))

    def _pass(self, point: int, _message: str) -> None:
        if point == self.point and not self.is_on and not self.is_over:
            self.is_on = True
            self.outage.begin(os.getpid())

    def _failed(self, error: DBAPIError) -> None:
        self.failures.append(str(error.orig))
        if self.is_on and len(self.failures) >= FAILURES:
            self.outage.end(os.getpid())
            self.is_on, self.is_over = False, True

    def close(self) -> None:
        if self.is_on:
            self.outage.end(os.getpid())
        self.states.dispose()


def prove(trial: Trial) -> None:
    """Each message once, whatever happened in between."""
    messages = ground.fill(trial.states, MESSAGES)
    try:
        trial.deliver()
        assert trial.is_over
        assert ground.count(trial.slack, trial.states, messages) == ground.Count(MESSAGES, 0, 0)
    finally:
        trial.close()


def impatient(folder: Path) -> Engine:
    """SQLite's state, by a process that waits for others for a moment only: what 30 seconds would be to a user."""
    states = open_state(folder)
    states.dispose()
    event.listen(states, "connect", lambda native, _: native.execute("PRAGMA busy_timeout=200"))
    return states


BETWEEN: Final = (CrashPoint.CHOSEN, CrashPoint.CLAIMED, CrashPoint.ANSWERED, CrashPoint.RECORDED)
INSIDE: Final = (CrashPoint.CLAIMING, CrashPoint.RECORDING)
"""Where a transaction is open, and nobody else can hold the lock."""


@pytest.mark.parametrize("point", BETWEEN, ids=lambda point: point.name.lower())
def test_a_locked_state(tmp_path: Path, slack: Slack, point: CrashPoint, now: Now) -> None:
    trial = Trial(impatient(tmp_path), slack, Locked(tmp_path / "state.db"), point, now)
    prove(trial)
    assert all("locked" in failure for failure in trial.failures)


@pytest.mark.parametrize("point", [*BETWEEN, *INSIDE], ids=lambda point: point.name.lower())
def test_a_full_disk(tmp_path: Path, slack: Slack, point: CrashPoint, now: Now) -> None:
    prove(Trial(impatient(tmp_path), slack, Full(), point, now))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Outage]]:
    """A folder on a disk of its own, and how to fill it; where none may be mounted, files that cannot grow."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield folder, Full()
        return
    try:
        yield folder, Filled(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("point", [*BETWEEN, *INSIDE], ids=lambda point: point.name.lower())
def test_no_space_left_on_the_disk(small_disk: tuple[Path, Outage], slack: Slack, point: CrashPoint, now: Now) -> None:
    folder, outage = small_disk
    trial = Trial(impatient(folder), slack, outage, point, now)
    prove(trial)
    if isinstance(outage, Filled):
        assert all("disk is full" in failure for failure in trial.failures)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if why := postgresql.missing():
        pytest.skip(why)
    with postgresql.crashing() as running:
        yield running


@pytest.mark.parametrize("point", [*BETWEEN, *INSIDE], ids=lambda point: point.name.lower())
def test_a_crashed_database(
    tmp_path: Path, slack: Slack, server: Server, point: CrashPoint, new_state: NewState, now: Now
) -> None:
    with server.cluster.database() as url:
        prove(Trial(new_state(tmp_path, url), slack, Crashed(server), point, now))


# The whole process.

AWAY_S: Final = 4.0
VERTICALS: Final = 6


@dataclass
class Watch:
    """`python -m triggers run`, with what it says."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        """Whether a tick met the outage and said so."""
        return any("the tick failed" in line for line in self.said)

    def hear(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)


@contextmanager
def watching(environ: dict[str, str]) -> Iterator[Watch]:
    command = [sys.executable, "-m", "triggers", "run", "--interval", "1"]
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, **environ}, **pipes) as process:
        watch = Watch(process)
        hearing = threading.Thread(target=watch.hear)
        hearing.start()
        try:
            yield watch
            process.send_signal(signal.SIGTERM)
            status = process.wait(60)
        except AssertionError as error:
            error.add_note("".join(watch.said))
            raise
        finally:
            process.kill()
            hearing.join(10)
        assert status == 0, watch.said


RUN: Final = (sys.executable, "-m", "triggers", "run", "--once")
HOURS: Final = 7200.0


def installed(folder: Path, today: date) -> dict[str, str]:
    """A company in which six verticals are in breach today."""
    first = today - timedelta(days=today.weekday(), weeks=20)
    company = [week for i in range(VERTICALS) for week in weeks(first, (4,) * 10 + (45,) * 10, vertical=f"V{i}")]
    environ = configure(folder, CHANNEL)
    with warehouse(folder, catalog(rule()), rows_of(company)):
        pass
    return environ


def connected(slack: Slack, url: str | None) -> dict[str, str]:
    """Where it finds Slack, and its state if that is not in its folder."""
    environ = {"EARSHOT_STATE__URL": url} if url else {}
    slack_ = {"TOKEN": slack.token, "BASE_URL": slack.base_url, "TIMEOUT_S": "1"}
    return environ | {f"EARSHOT_SLACK__{name}": value for name, value in slack_.items()}


def survives(folder: Path, slack: Slack, outage: Outage, today: date, url: str | None = None) -> Watch:
    """The watch meets an outage between two messages; all that was found is told, each once."""
    environ = installed(folder, today) | connected(slack, url)
    states = open_state(folder, url)
    with watching(environ) as watch:
        until(lambda: watch.process.poll() is not None or len(slack.history(CHANNEL)) >= 2, 240)
        outage.begin(watch.process.pid)
        try:
            until(lambda: watch.has_failed or isinstance(outage, Locked), 60)
            time.sleep(AWAY_S)
        finally:
            outage.end(watch.process.pid)
        until(lambda: len(slack.history(CHANNEL)) >= VERTICALS and not _owed(states), 240)
    with states.connect() as conn:
        sent = set(conn.execute(select(tables.outbox.c.id).where(tables.outbox.c.kind == "root")).scalars())
        assert len(read_incidents(conn, EVERYTHING)) == len(sent) >= VERTICALS
    states.dispose()
    shown = Counter(message["metadata"]["event_payload"]["outbox"] for message in slack.history(CHANNEL))
    assert shown == Counter(sent)
    return watch


def _owed(states: Engine) -> bool:
    with states.connect().execution_options(reading=True) as conn:
        return bool(outbox.unsent(conn))


@pytest.mark.dated
def test_six_incidents_wait_to_be_told_on_any_day(tmp_path: Path, today: date, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in installed(tmp_path, today).items():
        monkeypatch.setenv(name, value)
    assert main(["run", "--once"]) == 0
    states = open_state(tmp_path)
    with states.connect() as conn:
        assert len(outbox.unsent(conn)) >= VERTICALS
        assert sum(one.class_ == "customer" for one in read_incidents(conn, EVERYTHING)) == VERTICALS
    states.dispose()


HANGS: Final = (
    "upload",
    pytest.param("files.getUploadURLExternal", marks=pytest.mark.proof),
    pytest.param("files.completeUploadExternal", marks=pytest.mark.proof),
)


@pytest.mark.parametrize("method", HANGS)
def test_a_run_whose_pictures_get_no_answer_tells_everything_and_ends(
    tmp_path: Path, slack: Slack, slack_proxy: FaultProxy, today: date, method: str
) -> None:
    """Each message goes without its picture, which the next run tries again."""
    environ = installed(tmp_path, today) | connected(slack, None) | {"EARSHOT_SLACK__BASE_URL": slack_proxy.base_url}
    slack_proxy.choose = lambda call: faults.hang(HOURS, stored=False) if call.method == method else None
    ended = subprocess.run(RUN, cwd=CHECKOUT, env={**os.environ, **environ}, timeout=300, check=False)
    assert ended.returncode == 0
    assert slack_proxy.count(method) == 1
    told, states = slack.history(CHANNEL), open_state(tmp_path)
    assert len(told) == VERTICALS
    assert not any("slack_file" in block for message in told for block in message.get("blocks", ()))
    assert not _owed(states)
    with states.connect().execution_options(reading=True) as conn:
        assert due_picture(conn, datetime(2126, 1, 1, tzinfo=UTC)) is not None
    states.dispose()


def test_a_watch_ends_while_an_upload_gets_no_answer(
    tmp_path: Path, slack: Slack, slack_proxy: FaultProxy, today: date
) -> None:
    """Every message is told while it hangs."""
    address = {"EARSHOT_SLACK__BASE_URL": slack_proxy.base_url, "EARSHOT_SLACK__TIMEOUT_S": "5"}
    slack_proxy.choose = lambda call: faults.hang(HOURS, stored=False) if call.method == "upload" else None
    with watching(installed(tmp_path, today) | connected(slack, None) | address) as watch:
        until(lambda: watch.process.poll() is not None or slack_proxy.count("upload") > 0, 90)
        until(lambda: len(slack.history(CHANNEL)) >= VERTICALS, 90)
    assert watch.process.returncode == 0


def test_the_watch_outlives_a_lock(tmp_path: Path, slack: Slack, today: date) -> None:
    survives(tmp_path, slack, Locked(tmp_path / "state.db"), today)


def test_the_watch_outlives_a_full_disk(tmp_path: Path, slack: Slack, today: date) -> None:
    watch = survives(tmp_path, slack, Full(), today)
    assert watch.has_failed


def test_the_watch_outlives_a_disk_without_space(small_disk: tuple[Path, Outage], slack: Slack, today: date) -> None:
    watch = survives(small_disk[0], slack, small_disk[1], today)
    assert watch.has_failed


def test_the_watch_outlives_a_crash_of_its_database(tmp_path: Path, slack: Slack, server: Server, today: date) -> None:
    with server.cluster.database() as url:
        watch = survives(tmp_path, slack, Crashed(server), today, url)
    assert watch.has_failed
