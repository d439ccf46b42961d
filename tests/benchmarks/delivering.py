"""From a committed load to the message, and what the outbox costs beside a bare loop of slack_sdk.

Run as `python -m tests.benchmarks.delivering [LOADS [MESSAGES]]`.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, Final

from pydantic import SecretStr
from slack_sdk import WebClient

from config.models import Catalog
from config.reading import read_catalog
from config.settings import CHECKOUT, Settings, SlackSettings
from queries.state import open_incidents, open_state
from queries.warehouse import COLUMNS, EVERYTHING, EmbeddedWarehouse, tables
from tests.counterparts import postgres as postgresql
from tests.counterparts import proxy, slack
from tests.counterparts.proxy import Call, FaultProxy
from tests.counterparts.slack import CHANNELS, TOKEN, Slack
from tests.slack.faults.ground import ROUTES, FixedCards, count, fill
from tests.slack.faults.matrix import bench
from tests.slack.faults.worker import Asked
from tests.support.company import Rows, publish, rows_of, weeks
from tests.support.installation import RULE, configure
from triggers.messages import Ids
from triggers.messages.card import incident_message
from triggers.processes.run import POLL_S, Runner
from triggers.slack.blocks import metadata, render

OPEN: Final = (1, 100, 1000)
CHANNEL: Final = CHANNELS["service-quality"]
AGO: Final = timedelta(days=20)
"""So old that a first run opens an incident and tells nobody."""

SEVERE: Final = """
[[rule]]
name = "fires"
label = "Something burnt"
kind = "event"
table = "defect"
dated_by = "occurred_at"
where = { code = "fire" }
severity = 2
route = "delivery"
owner = "delivery-lead"
"""


@dataclass
class Company:
    """A company with so many open incidents; each load brings one more severe case."""

    folder: Path
    environ: dict[str, str]
    catalog: Catalog
    warehouse: EmbeddedWarehouse
    rows: Rows
    arrived: list[float] = field(default_factory=list)

    def load(self) -> float:
        """Returns when it was committed, by the monotonic clock."""
        now = datetime.now(UTC).replace(tzinfo=None)
        self.rows[tables.defect].append(_case(len(self.rows[tables.defect]), now - timedelta(minutes=5)))
        publish(self.warehouse, self.catalog, self.rows, now=now)
        return time.monotonic()

    def wait(self, number: int, process: "subprocess.Popen[bytes] | None" = None) -> float:
        """When the message of that number arrived."""
        until = time.monotonic() + 60
        while len(self.arrived) < number:
            if time.monotonic() > until or (process and process.poll() is not None):
                message = f"message {number} did not arrive"
                raise RuntimeError(message)
            time.sleep(0.002)
        return self.arrived[number - 1]

    def note(self, call: Call) -> None:
        if call.method == "chat.postMessage" and "Something burnt" in str(call.body.get("text")):
            self.arrived.append(time.monotonic())


def _case(number: int, at: datetime) -> dict[str, Any]:
    of = {"source": "made", "account_id": "Retail-0", "vertical": f"V{number % 8}", "loaded_at": at}
    of |= {"journey_id": None}
    return {**of, "id": f"case-{number}", "code": "fire", "occurred_at": at, "day": at.date(), "first_loaded_at": at}


@contextmanager
def company(number: int, base_url: str) -> Iterator[Company]:
    """So many incidents are open, and nothing is owed."""
    with tempfile.TemporaryDirectory(prefix="earshot-delivering-") as name:
        folder, now = Path(name), datetime.now(UTC)
        environ = configure(folder, CHANNEL, RULE + SEVERE)
        environ |= {"EARSHOT_SLACK__TOKEN": TOKEN, "EARSHOT_SLACK__BASE_URL": base_url}
        made_of = read_catalog(folder / "config", COLUMNS)
        first = now.date() - timedelta(days=now.weekday(), weeks=24)
        rows = rows_of(weeks(first, (2,) * 22))
        rows[tables.defect].extend(_case(i, now.replace(tzinfo=None) - AGO) for i in range(number))
        warehouse = EmbeddedWarehouse(folder / "warehouse")
        publish(warehouse, made_of, rows, now=now.replace(tzinfo=None))
        yield Company(folder, environ, made_of, warehouse, rows)
        warehouse.close()


def latencies(number: int, loads: int, through: FaultProxy) -> tuple[list[float], list[float]]:
    """Seconds from commit to arrival: of a tick and its deliveries alone, and of a process that watches."""
    with company(number, through.base_url) as made:
        through.choose = made.note
        alone = _alone(made, number, loads)
        with _watching(made) as process:
            dice = random.Random(number)
            watched = [_one(made, loads + turn + 1, process, dice.uniform(0, POLL_S)) for turn in range(loads)]
        return alone, watched


def _one(made: Company, number: int, process: "subprocess.Popen[bytes]", pause: float) -> float:
    """The pause parts the load from the moments at which the process looks."""
    time.sleep(pause)
    committed = made.load()
    return made.wait(number, process) - committed


def _alone(made: Company, number: int, loads: int) -> list[float]:
    settings = Settings(
        config=made.folder / "config",
        data=made.folder,
        slack=SlackSettings(token=SecretStr(TOKEN), base_url=made.environ["EARSHOT_SLACK__BASE_URL"]),
    )
    states, found = open_state(made.folder), list[float]()
    runner = Runner(settings, made.catalog, made.warehouse, states, lambda: datetime.now(UTC))
    runner.once()
    with states.connect() as conn:
        there = len(open_incidents(conn, EVERYTHING))
    assert there >= number, (there, number)
    for turn in range(loads):
        committed = made.load()
        runner.once()
        found.append(made.wait(turn + 1) - committed)
        time.sleep(1.2)  # the channel takes one message a second
    states.dispose()
    return found


@contextmanager
def _watching(made: Company) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "triggers", "run"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, **made.environ}, **quiet) as process:
        time.sleep(8)  # it has started, and ticked once
        try:
            yield process
        finally:
            process.terminate()


def bare(of: Slack, number: int) -> float:
    """Seconds for so many messages by slack_sdk alone, one after the other."""
    of.reset()
    with tempfile.TemporaryDirectory(prefix="earshot-delivering-") as folder:
        states = open_state(Path(folder))
        fill(states, 1)
        with states.connect() as conn:
            words = render(incident_message(FixedCards().card(conn, open_incidents(conn, EVERYTHING)[0].id)))
        states.dispose()
    client, places = WebClient(token=TOKEN, base_url=of.base_url, timeout=10, retry_handlers=[]), tuple(ROUTES.values())
    began = time.monotonic()
    for i in range(number):
        kept = metadata(Ids(str(i), str(i)))
        client.chat_postMessage(
            channel=places[i % 2], text=words.text, blocks=[dict(block) for block in words.blocks], metadata=kept
        )
    return time.monotonic() - began


def throughput(of: Slack, number: int) -> Iterator[tuple[str, int, float]]:
    """Database, workers, and seconds until nothing is owed: as many messages, without pacing."""
    with _cluster() as new_database, bench(of, new_database) as made:
        for database in ("SQLite", *(["PostgreSQL"] if new_database else [])):
            for workers in (1, 3):
                with made.ground(database) as (ground, states):
                    messages = fill(states, number)
                    place = (str(ground.folder), ground.url, of.base_url)
                    answer = made.ask(Asked(*place, workers=workers))
                    counted = count(of, states, messages)
                    assert (counted.lost, counted.duplicated, counted.owed) == (0, 0, 0), counted
                yield database, workers, float(answer["seconds"])


@contextmanager
def _cluster() -> Iterator[postgresql.NewDatabase | None]:
    if postgresql.missing():
        yield None
        return
    with postgresql.running() as cluster:
        yield cluster.database


def report(loads: int, messages: int) -> None:
    """Print both."""
    if why := slack.missing():
        print(f"  left out: {why}")
        return
    with slack.running() as counterpart:
        with proxy.before(counterpart.base_url) as through:
            for number in OPEN:
                counterpart.reset()
                alone, watched = latencies(number, loads, through)
                print(f"  {number:>5} open  tick and delivery {_said(alone)}   `run` {_said(watched)}", flush=True)
        plain = bare(counterpart, messages)
        print(f"  {messages} messages: slack_sdk alone {messages / plain:5.0f}/s", flush=True)
        for database, workers, seconds in throughput(counterpart, messages):
            rate = f"{messages / seconds:5.0f}/s, ratio {plain / seconds:.2f}"
            print(f"    {database:<10} {workers} worker{'s' if workers > 1 else ' '}  {rate}", flush=True)


def _said(seconds: list[float]) -> str:
    """The median, and the value that 99% do not exceed."""
    ordered = sorted(seconds)
    return f"median {median(ordered) * 1000:6.0f} ms, p99 {ordered[ceil(0.99 * len(ordered)) - 1] * 1000:6.0f} ms"


if __name__ == "__main__":
    report(*(int(word) for word in [*sys.argv[1:], *("20", "300")[len(sys.argv) - 1 :]]))
