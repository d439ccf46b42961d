"""`kill -9` of a trigger run, at moments inside its work: no incident and no message is lost, and none comes twice."""

import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Any, Final

import pytest

from queries.messages import outbox
from queries.state import HistoryEntry, Incident, entries, open_state, read_incidents
from queries.warehouse import EVERYTHING
from tests.counterparts.slack import CHANNELS, Slack
from tests.support.company import catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.installation import configure

KILLS: Final = 100
"""With --prove; the ordinary run takes six: one in each half of the work of three ticks."""

FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
TICKS: Final = tuple(date(2025, 12, 15) + timedelta(weeks=i) for i in range(0, 11, 2))


@dataclass
class Runs:
    """A process that runs the triggers, and the installation that it runs them on."""

    process: subprocess.Popen[str]
    environ: dict[str, str]
    folder: Path

    def run(self, day: date, after: float | None = None) -> dict[str, Any]:
        words = ["run", "--once", "--now", noon(day).isoformat()]
        line = json.dumps({"words": words, "environ": self.environ, "after": after})
        print(line, file=_pipe(self.process.stdin), flush=True)
        answer: dict[str, Any] = json.loads(_pipe(self.process.stdout).readline())
        return answer

    def until_done(self, day: date) -> None:
        """Run until nothing is owed, as the next tick and the one after it would."""
        for _ in range(20):
            assert self.run(day)["status"] == 0
            if not self.owed():
                return
            time.sleep(0.5)
        raise AssertionError(self.owed())

    def owed(self) -> int:
        states = open_state(self.folder)
        with states.connect() as conn:
            found = len(outbox.unsent(conn))
        states.dispose()
        return found

    def recorded(self) -> list[tuple[Incident, tuple[HistoryEntry, ...]]]:
        states = open_state(self.folder)
        with states.connect() as conn:
            found = [(i, entries(conn, i.id)) for i in read_incidents(conn, EVERYTHING)]
        states.dispose()
        return sorted(found, key=lambda pair: pair[0].id)


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@contextmanager
def runs(process: subprocess.Popen[str], folder: Path, built: Path, slack: Slack, channel: str) -> Iterator[Runs]:
    """An installation with a state of its own, on a copy of the data, that tells a channel of its own."""
    shutil.copytree(built / "warehouse", folder / "warehouse")
    environ = configure(folder, channel) | {
        "EARSHOT_SLACK__TOKEN": slack.token,
        "EARSHOT_SLACK__BASE_URL": slack.base_url,
        "EARSHOT_SLACK__TIMEOUT_S": "1",
    }
    yield Runs(process, environ, folder)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.killed"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.slow(minutes=2)
def test_killed_at_random_moments_nothing_is_lost_or_doubled(
    process: subprocess.Popen[str],
    tmp_path: Path,
    slack: Slack,
    record_property: Any,
    request: pytest.FixtureRequest,
) -> None:
    """The same weeks twice, undisturbed and killed again and again, end with the same records and messages."""
    is_proving = bool(request.config.getoption("--prove"))
    kills = KILLS if is_proving else 6
    company = [week for i in range(8 if is_proving else 2) for week in weeks(FIRST, STORY, vertical=f"V{i}")]
    with warehouse(tmp_path / "built", catalog(rule()), rows_of(company)):
        pass
    calm, torn = CHANNELS["key-accounts"], CHANNELS["service-quality"]
    with runs(process, tmp_path / "calm", tmp_path / "built", slack, calm) as undisturbed:
        took = dict[date, dict[str, Any]]()
        for day in TICKS if is_proving else TICKS[1::2]:
            took[day] = undisturbed.run(day)
            undisturbed.until_done(day)
    with runs(process, tmp_path / "torn", tmp_path / "built", slack, torn) as disturbed:
        landed, runs_killed = _killed(disturbed, took, random.Random(2026), kills)
    phases = Counter("tick" if any(name.endswith(".tick") for name in names) else "delivery" for names in landed)
    print(f"{len(landed)} of {runs_killed} kills landed inside the work: {dict(phases)}")
    print("\n".join(f"{number:>3} x {place}" for place, number in Counter(n[0] for n in landed).most_common()))
    record_property("killed_in", [names[0] for names in landed])
    assert len(landed) == kills
    assert set(phases) == {"tick", "delivery"}, "kills of one half of the work prove nothing of the other"
    assert disturbed.recorded() == undisturbed.recorded()
    assert disturbed.recorded() != []
    assert _told(slack, torn) == _told(slack, calm)


def _killed(of: Runs, took: dict[date, dict[str, Any]], dice: random.Random, kills: int) -> tuple[list[list[str]], int]:
    """Kill at random moments of the work of each tick's runs, then let it finish.

    Half of the kills are aimed at the tick, and half at what follows: most of a run's time is spent waiting for the
    channel's turn. Returns the functions, innermost first, that each kill inside the work fell into, and how many runs
    that took.
    """
    landed: list[list[str]] = []
    tries = 0
    for i, day in enumerate(took):
        for part in ("tick", "seconds"):
            wanted = kills * (2 * i + 1 + (part == "seconds")) // (2 * len(took))
            since, until = (0.0, took[day][part]) if part == "tick" else (took[day]["tick"], took[day][part])
            for _ in range(200):
                if len(landed) == wanted:
                    break
                tries += 1
                answer = of.run(day, dice.uniform(since, until))
                if answer["status"] == -9 and answer["where"]:
                    landed.append(answer["where"])
                else:  # it was quicker than the kill: let the next one find work again
                    since, until = 0.9 * since, 0.9 * until
        of.until_done(day)
    return landed, tries


def _told(slack: Slack, channel: str) -> list[tuple[str, list[str]]]:
    """What the channel shows of each incident, whatever the order of the incidents."""
    found = []
    for message in slack.history(channel):
        replies = [reply["metadata"]["event_payload"]["outbox"] for reply in slack.replies(channel, message["ts"])]
        found.append((message["metadata"]["event_payload"]["outbox"] + message["text"], replies))
    return sorted(found)
