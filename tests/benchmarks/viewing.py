"""Pages a second at the server, over websockets: viewers who run a page again and again.

Run as `python -m tests.benchmarks.viewing CONTACTS [SECONDS [RUNS]]`. The review stands beside eight plain Altair
charts and beside an empty page, each in a process of its own that imports Streamlit alone: with its options as they
are, and (uncollected) without its collection after each run. They take turns, so that a noisy moment meets them all.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from shutil import copytree
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final
from urllib.request import urlopen

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from queries.loading.publish import GenerationKey, record_generation
from queries.warehouse import EmbeddedWarehouse, LoadReport
from tests.benchmarks.process import ROOT
from tests.benchmarks.sizes import NOW, data

VIEWERS: Final = (1, 10, 50)
ROUNDS: Final = 5
GENERATIONS: Final = 50
RUNS: Final = 10_000
SESSIONS: Final = 200
SMALL: Final = 400
"""The message that ends a run is smaller; what is larger need not be understood to be counted."""


@dataclass(frozen=True, slots=True)
class Server:
    """A page that is being served."""

    port: int
    process: int

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    @property
    def worked(self) -> float:
        """Seconds of processor time so far."""
        stat = Path(f"/proc/{self.process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Pace:
    """Runs a second, the seconds that each of them took, and the processor's seconds that one cost the server."""

    rate: float
    times: tuple[float, ...]
    work: float


async def _view(port: int, until: float, most: int, times: list[float]) -> None:
    """One viewer: opens a session, and runs its page again and again."""
    run = BackMsg()
    run.rerun_script.query_string = ""
    address, protocol = f"ws://127.0.0.1:{port}/_stcore/stream", Subprotocol("streamlit")
    async with connect(address, subprotocols=[protocol], max_size=None, compression=None, open_timeout=60) as page:
        while not times or (len(times) < most and time.perf_counter() < until):
            began = time.perf_counter()
            await page.send(run.SerializeToString())
            async for answer in page:
                is_small = isinstance(answer, bytes) and len(answer) < SMALL
                if is_small and ForwardMsg.FromString(answer).WhichOneof("type") == "script_finished":
                    break
            times.append(time.perf_counter() - began)


def pace(server: Server, viewers: int, seconds: float) -> Pace:
    """So many viewers for so many seconds."""

    async def together() -> Pace:
        began, worked = time.perf_counter(), server.worked
        times = [list[float]() for _ in range(viewers)]
        await asyncio.gather(*(_view(server.port, began + seconds, sys.maxsize, own) for own in times))
        taken = tuple(taken for own in times for taken in own)
        elapsed, work = time.perf_counter() - began, server.worked - worked
        return Pace(len(taken) / elapsed, taken, work / len(taken))

    return asyncio.run(together())


def come_and_go(server: Server, sessions: int, runs: int) -> None:
    """So many sessions, ten at a time, each with so many runs."""

    async def visitor() -> None:
        for _ in range(sessions // 10):
            await _view(server.port, float("inf"), runs, [])

    async def together() -> None:
        await asyncio.gather(*(visitor() for _ in range(10)))

    asyncio.run(together())


def publish_again(folder: Path, server: Server) -> None:
    """A new generation of the same data, looked at by one viewer."""
    warehouse = EmbeddedWarehouse(folder / "warehouse")
    with warehouse.pin() as pin:
        last = pin.generation
    with warehouse.draft() as draft:
        basis = GenerationKey(last.zone, last.calendar_hash, last.metrics_hash)
        record_generation(draft.conn, draft.number, basis, last.source, LoadReport(last.source).json(), NOW)
    warehouse.close()
    pace(server, 1, 0.01)


@contextmanager
def serving(words: Iterable[str], environ: Mapping[str, str]) -> Iterator[Server]:
    """A server that is up and has been looked at; `{port}` in its words and variables is a free one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {**os.environ, **{name: value.format(port=port) for name, value in environ.items()}}
    command, quiet = [sys.executable, *(word.format(port=port) for word in words)], subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=quiet, stderr=quiet) as process:
        try:
            server = Server(port, process.pid)
            _await(server)
            pace(server, 2, 3)
            yield server
        finally:
            process.terminate()


def _await(server: Server) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            urlopen(f"http://127.0.0.1:{server.port}/_stcore/health", timeout=5).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


@contextmanager
def everything(folder: Path) -> Iterator[dict[str, Server]]:
    """The review, and what it is measured beside."""
    place = Path(__file__).parent
    alone, empty = str(place / "streamlit_alone.py"), str(place / "empty_page.py")
    commands = {
        "review": ["-m", "dashboard"],
        "charts": [alone, str(place / "plain_page.py"), "{port}", "as-is"],
        "empty": [alone, empty, "{port}", "as-is"],
        "uncollected": [alone, empty, "{port}", "never"],
    }
    environ = {"EARSHOT_DATA": str(folder), "EARSHOT_DASHBOARD__PORT": "{port}"}
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(words, environ)) for name, words in commands.items()}


def report(folder: Path, seconds: float, runs: int) -> None:
    """Print rates and times beside one another, then what new generations and many sessions do to the review."""
    with everything(folder) as servers:
        _table("as started", servers, seconds)
        for _ in range(GENERATIONS):
            publish_again(folder, servers["review"])
        _table(f"after {GENERATIONS} new generations", servers, seconds)
        _endure(servers, runs, seconds)


def _table(when: str, servers: Mapping[str, Server], seconds: float) -> None:
    print(f"  {when}, load {os.getloadavg()[0]:.1f}", flush=True)
    for viewers in VIEWERS:
        paces: dict[str, list[Pace]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, server in servers.items():
                paces[name].append(pace(server, viewers, seconds))
        empty = median(one.rate for one in paces["empty"])
        for name, rounds in paces.items():
            rate, times = median(one.rate for one in rounds), sorted(taken for one in rounds for taken in one.times)
            middle, slow = median(times) * 1000, times[ceil(0.99 * len(times)) - 1] * 1000
            work = median(one.work for one in rounds) * 1000
            speed = f"{rate:6.1f} pages/s, {rate / empty:5.2f} of the empty page's, {work:5.1f} ms of processor time"
            delay = f"p50 {middle:6.0f}, p99 {slow:6.0f} ms"
            print(f"    {viewers:>2} viewers {name:<12}{speed}  {delay}  {servers[name].megabytes:4.0f} MB")


def _endure(servers: Mapping[str, Server], runs: int, seconds: float) -> None:
    """Runs by sessions that come and go; the rate is told beside the empty page's, for the machine has its moods."""
    review, empty = servers["review"], servers["empty"]
    for part in range(5):
        if part:
            come_and_go(review, SESSIONS // 4, runs // SESSIONS)
        pairs = [(pace(review, 10, seconds).rate, pace(empty, 10, seconds).rate) for _ in range(ROUNDS)]
        rate, ratio = median(one for one, _ in pairs), median(one / other for one, other in pairs)
        done = f"{part * (runs // 4):>6,} runs, {part * (SESSIONS // 4):>3} sessions"
        print(
            f"    {done}: {rate:6.1f} pages/s, {ratio:.2f} of the empty page's, {review.megabytes:4.0f} MB", flush=True
        )


if __name__ == "__main__":
    size, seconds, runs = (*sys.argv[1:], *("2", str(RUNS))[len(sys.argv) - 2 :])
    with TemporaryDirectory() as place:  # the new generations are this benchmark's own; others read that data, too
        report(copytree(data(int(size)), Path(place) / "data"), float(seconds), int(runs))
