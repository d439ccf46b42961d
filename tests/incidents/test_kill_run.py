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
from queries.scope import EVERYTHING
from queries.state import HistoryEntry, Incident, entries, open_state
from queries.state.incidents import incidents
from tests.counterparts.slack import CHANNELS, Slack
from tests.support.company import catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.installation import configure

KILLS: Final = 20
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
            found = [(i, entries(conn, i.id)) for i in incidents(conn, EVERYTHING)]
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


@pytest.mark.slow
def test_killed_at_twenty_moments_nothing_is_lost_or_doubled(
    process: subprocess.Popen[str], tmp_path: Path, slack: Slack, record_property: Any
) -> None:
    """The same weeks twice, undisturbed and killed again and again, end with the same records and messages."""
    company = [week for i in range(8) for week in weeks(FIRST, STORY, vertical=f"V{i}")]
    with warehouse(tmp_path / "built", catalog(rule()), rows_of(company)):
        pass
    calm, torn = CHANNELS["key-accounts"], CHANNELS["service-quality"]
    with runs(process, tmp_path / "calm", tmp_path / "built", slack, calm) as undisturbed:
        seconds = {day: undisturbed.run(day)["seconds"] for day in TICKS}
        for day in TICKS:
            undisturbed.until_done(day)
    with runs(process, tmp_path / "torn", tmp_path / "built", slack, torn) as disturbed:
        where = _killed(disturbed, seconds, random.Random(2026))
    print("\n".join(f"{number:>3} x {place}" for place, number in Counter(where).most_common()))
    record_property("killed_in", where)
    assert len(where) == KILLS
    assert disturbed.recorded() == undisturbed.recorded()
    assert disturbed.recorded() != []
    assert _told(slack, torn) == _told(slack, calm)


def _killed(of: Runs, seconds: dict[date, float], dice: random.Random) -> list[str]:
    """Kill at random moments of the work of each tick's runs, then let it finish. Returns where the kills fell."""
    where: list[str] = []
    for i, day in enumerate(TICKS):
        wanted = KILLS * (i + 1) // len(TICKS)
        for _ in range(200):
            if len(where) == wanted:
                break
            answer = of.run(day, dice.uniform(0.0, seconds[day]))
            if answer["status"] == -9 and answer["where"]:
                where.append(answer["where"][0])
            else:  # it was quicker than the kill: let the next one find work again
                seconds[day] *= 0.9
        of.until_done(day)
    return where


def _told(slack: Slack, channel: str) -> list[tuple[str, list[str]]]:
    """What the channel shows of each incident, whatever the order of the incidents."""
    found = []
    for message in slack.history(channel):
        replies = [reply["metadata"]["event_payload"]["outbox"] for reply in slack.replies(channel, message["ts"])]
        found.append((message["metadata"]["event_payload"]["outbox"] + message["text"], replies))
    return sorted(found)
