"""Back up under load, destroy everything, restore, go on: nothing is sent twice, and nothing is lost."""

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine, insert, select

from config import EarshotError
from config.models import Catalog
from config.reading import read_catalog
from config.settings import Settings, read_settings
from queries.engine import naive
from queries.messages import last_restore, outbox, record_heartbeat
from queries.operations import forget
from queries.operations.backup import NAME, BadBackupError, NotNowError, backup, read_manifest
from queries.operations.database_copy import holders, others_connected
from queries.operations.restore import restore
from queries.state import ClosedReview, Incident, read_closed_review, read_incidents, record_closed_review
from queries.state import tables as state_tables
from queries.stores import open_states, open_warehouse
from queries.warehouse import COLUMNS, EVERYTHING, Warehouse, tables
from tests.counterparts.postgres import NewDatabase
from tests.counterparts.slack import CHANNELS, Slack
from tests.support.clocks import BY_SLACKS_CLOCK, Now
from tests.support.company import noon, publish, rows_of, weeks
from tests.support.installation import configure
from triggers.processes.run import Runner

ROOT: Final = Path(__file__).parents[2]
NOW: Final = datetime(2026, 6, 1, 9, tzinfo=UTC)
FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
TICKS: Final = tuple(date(2025, 12, 15) + timedelta(weeks=i) for i in range(0, 11, 2))
CHANNEL: Final = CHANNELS["service-quality"]


@dataclass
class Place:
    """An installation: its stores can be opened, destroyed and opened again."""

    folder: Path
    environ: dict[str, str]
    opened: list[tuple[Warehouse, Engine]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return read_settings(self.environ, None)

    @property
    def catalog(self) -> Catalog:
        return read_catalog(self.settings.config, COLUMNS)

    def stores(self) -> tuple[Warehouse, Engine]:
        self.opened.append((open_warehouse(self.settings), open_states(self.settings)))
        return self.opened[-1]

    def close(self) -> None:
        for warehouse, states in self.opened:
            warehouse.close()
            states.dispose()
        self.opened.clear()

    def runner(self, day: date) -> Runner:
        warehouse, states = self.opened[-1] if self.opened else self.stores()
        return Runner(self.settings, self.catalog, warehouse, states, lambda: noon(day))

    def build(self, verticals: int = 6) -> None:
        company = [week for i in range(verticals) for week in weeks(FIRST, STORY, vertical=f"V{i}")]
        warehouse, _ = self.stores()
        publish(warehouse, self.catalog, rows_of(company))

    def until_quiet(self, day: date) -> None:
        for _ in range(60):
            self.runner(day).once()
            with self.opened[-1][1].connect() as conn:
                if not outbox.unsent(conn):
                    return
            time.sleep(0.5)
        raise AssertionError

    def incidents(self) -> list[Incident]:
        with self.opened[-1][1].connect() as conn:
            return sorted(read_incidents(conn, EVERYTHING), key=lambda found: found.id)

    def destroy(self) -> None:
        self.close()
        shutil.rmtree(self.folder / "warehouse", ignore_errors=True)
        for file in self.folder.glob("state.db*"):
            file.unlink()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "here", configure(tmp_path / "here", CHANNEL))
    yield made
    made.close()


def slack_words(slack: Slack) -> dict[str, str]:
    return {
        "EARSHOT_SLACK__TOKEN": slack.token,
        "EARSHOT_SLACK__BASE_URL": slack.base_url,
        "EARSHOT_SLACK__TIMEOUT_S": "1",
    }


class Load(threading.Thread):
    """Ticks and sends, week after week, until it is told to end."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place, self.ended, self.failed = place, threading.Event(), list[Exception]()

    def run(self) -> None:
        try:
            for day in TICKS:
                while not self.ended.is_set():
                    _, sent = self.place.runner(day).once(self.ended.is_set)
                    if sent is not None and not any((sent.sent, sent.found, sent.later)):
                        break
        except Exception as error:  # noqa: BLE001 - the test says so
            self.failed.append(error)


def told(slack: Slack) -> list[str]:
    """The outbox ids of everything in the channel and its threads."""
    roots = slack.history(CHANNEL)
    replies = [reply for root in roots for reply in slack.replies(CHANNEL, root["ts"])]
    return [message["metadata"]["event_payload"]["outbox"] for message in (*roots, *replies)]


def await_messages(slack: Slack, n: int) -> None:
    for _ in range(600):
        if len(told(slack)) >= n:
            return
        time.sleep(0.1)
    raise AssertionError(told(slack))


@pytest.mark.slow
@BY_SLACKS_CLOCK
@pytest.mark.parametrize("kind", ["files", "PostgreSQL"])
def test_backed_up_under_load_destroyed_and_restored(
    place: Place, tmp_path: Path, slack: Slack, new_database: NewDatabase, kind: str, now: Now
) -> None:
    """A thread ticks and sends while the backup is taken, and goes on sending afterwards: that is what is lost."""
    calm = Place(tmp_path / "calm", configure(tmp_path / "calm", CHANNEL))
    with new_database() as url:
        shared = {"EARSHOT_STATE__URL": url, "EARSHOT_WAREHOUSE__URL": url} if kind == "PostgreSQL" else {}
        place.environ |= slack_words(slack) | shared
        place.build()
        load = Load(place)
        load.start()
        await_messages(slack, 4)
        backup(place.settings, tmp_path / "saved", now(), print)
        at_backup = len(told(slack))
        await_messages(slack, at_backup + 4)
        load.ended.set()
        load.join()
        assert load.failed == []
        place.destroy()
        restore(place.settings, tmp_path / "saved", place.catalog, now(), print, replace=bool(shared))
        before = len(told(slack))
        place.stores()
        for day in TICKS:
            place.until_quiet(day)
        found, in_slack = place.incidents(), Counter(told(slack))
        _check_messages(place, in_slack)
        place.close()
    calm.build()
    for day in TICKS:
        calm.runner(day).once()
    assert before >= at_backup + 4
    assert max(in_slack.values()) == 1
    assert [(i.id, i.state, i.value) for i in found] == [(i.id, i.state, i.value) for i in calm.incidents()]
    calm.close()


def _check_messages(place: Place, in_slack: Counter[str]) -> None:
    """Slack holds what the state says was sent, and of each incident its message."""
    with place.opened[-1][1].connect() as conn:
        table = state_tables.outbox.c
        posted = set(conn.execute(select(table.id).where(table.state == "sent", table.kind != "update")).scalars())
        roots = set(conn.execute(select(table.incident_id).where(table.kind == "root")).scalars())
        shown = set(conn.execute(select(state_tables.slack_root.c.incident_id)).scalars())
    assert posted <= set(in_slack)
    assert roots == shown


def test_a_backup_is_whole_and_says_what_it_holds(place: Place, tmp_path: Path) -> None:
    place.build(1)
    place.runner(TICKS[1]).once()
    made = backup(place.settings, tmp_path / "saved", NOW, lambda _: None)
    assert read_manifest(tmp_path / "saved") == made
    assert (made.state, made.warehouse, made.generation) == ("sqlite", "duckdb", 1)
    assert set(made.files) == {"state.db", "generation-1.duckdb"}
    with pytest.raises(NotNowError, match="is not empty; name a new folder"):
        backup(place.settings, tmp_path / "saved", NOW, lambda _: None)
    assert not (tmp_path / "saved.part").exists()


def test_without_a_load_the_state_alone_is_backed_up_and_restored(place: Place, tmp_path: Path) -> None:
    place.stores()
    made = backup(place.settings, tmp_path / "saved", NOW, lambda _: None)
    assert (made.warehouse, set(made.files)) == ("", {"state.db"})
    place.destroy()
    restore(place.settings, tmp_path / "saved", place.catalog, NOW, lambda _: None)
    _, states = place.stores()
    with states.connect() as conn:
        assert last_restore(conn) is not None


def test_nothing_to_be_backed_up_is_said(place: Place, tmp_path: Path) -> None:
    with pytest.raises(NotNowError, match="there is no state"):
        backup(place.settings, tmp_path / "saved", NOW, lambda _: None)


@pytest.fixture
def saved(place: Place, tmp_path: Path) -> Path:
    """A backup of a place that is still there."""
    place.build(1)
    place.runner(TICKS[1]).once()
    backup(place.settings, tmp_path / "saved", NOW, lambda _: None)
    return tmp_path / "saved"


def refusal(place: Place, saved: Path, *, replace: bool = False) -> str:
    with pytest.raises(EarshotError) as raised:
        restore(place.settings, saved, place.catalog, NOW, lambda _: None, replace=replace)
    return str(raised.value)


def test_a_restore_refuses_what_it_would_spoil(place: Place, saved: Path) -> None:
    """Another generation and what was recorded since; a process that runs, by its heartbeat and by its open files."""
    warehouse, states = place.stores()
    publish(warehouse, place.catalog, rows_of(weeks(FIRST, STORY)))
    there = "there is a warehouse at generation 2 and a state already; anything recorded since the backup of "
    assert refusal(place, saved).startswith(f"{there}2026-06-01 09:00 UTC would be lost")
    with states.begin() as conn:
        record_heartbeat(conn, "triggers", "2", NOW - timedelta(seconds=12))
    assert "triggers was running 12 s ago; stop it" in refusal(place, saved, replace=True)
    opens = f"held = open({str(place.folder / 'state.db')!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", opens], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert f"processes {other.pid} have files in" in refusal(place, saved, replace=True)
        other.communicate("\n", timeout=10)


@pytest.mark.parametrize("kind", ["file", "connection"])
def test_a_restore_awaits_what_is_about_to_end(saved: Path, postgres_url: str, kind: str) -> None:
    """The program or the connection of a process that was just killed outlives it by a moment."""
    held = f"open({str(saved / NAME)!r})"
    if kind == "connection":
        held = f"__import__('psycopg').connect({postgres_url.replace('+psycopg', '')!r})"
    program = f"held = {held}; print('open', flush=True); __import__('time').sleep(0.7)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert (others_connected(postgres_url) if kind == "connection" else holders(saved)) in {0, ()}


def test_a_restore_refuses_what_is_no_whole_backup(place: Place, saved: Path, tmp_path: Path) -> None:
    place.destroy()
    with pytest.raises(BadBackupError, match="is not a backup"):
        restore(place.settings, tmp_path / "here", place.catalog, NOW, lambda _: None)
    with (saved / "state.db").open("ab") as file:
        file.write(b"x")
    assert "state.db has changed since the backup" in refusal(place, saved)
    (saved / "state.db").unlink()
    assert "state.db is missing" in refusal(place, saved)
    (saved / NAME).write_text(json.dumps({"format": 9}))
    assert "another version" in refusal(place, saved)


def test_a_restore_refuses_other_kinds_of_stores(place: Place, saved: Path) -> None:
    place.destroy()
    place.environ |= {"EARSHOT_STATE__URL": "postgresql://nobody@127.0.0.1:9/none"}
    assert "do not set EARSHOT_STATE__URL" in refusal(place, saved)


def test_after_a_restore_everything_unfinished_is_looked_for_first(place: Place, saved: Path) -> None:
    place.destroy()
    restore(place.settings, saved, place.catalog, NOW, lambda _: None)
    _, states = place.stores()
    with states.connect() as conn:
        assert {message.state for message in outbox.unsent(conn)} == {"unsure"}
    assert oct((place.folder / "state.db").stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("lost", [False, True], ids=["the warehouse is there", "only a newer backup knows"])
def test_what_was_erased_after_the_backup_stays_erased(
    place: Place, saved: Path, tmp_path: Path, *, lost: bool
) -> None:
    """In the warehouse, in the state, and for every later load."""
    warehouse, states = place.stores()
    with states.begin() as conn:
        conn.execute(insert(state_tables.action).values(_action("call V0-1")))
        at, month = NOW.replace(tzinfo=None), date(2026, 3, 1)
        record_closed_review(conn, ClosedReview(month, "*", "[]", at, "ana", "V0-1 and Ana", 1, '{"review": {}}'))
    backup(place.settings, tmp_path / "middle", NOW, lambda _: None)
    for account in ("V0-1", "never-seen"):
        forget(warehouse, states, "account", account, place.catalog, NOW, lambda _: None)
    backup(place.settings, tmp_path / "newest", NOW, lambda _: None)
    place.close()
    if lost:
        place.destroy()
    newer = tmp_path / "newest" if lost else None
    restore(place.settings, tmp_path / "middle", place.catalog, NOW, lambda _: None, newer=newer, replace=True)
    warehouse, states = place.stores()
    with warehouse.pin() as pin, states.connect() as conn:
        assert "V0-1" not in set(pin.conn.execute(select(tables.journey.c.account_id)).scalars())
        assert len(pin.conn.execute(select(tables.erased.c.hash)).all()) >= 2
        assert conn.execute(select(state_tables.action.c.what)).scalar_one().startswith("call erased-")
        closed = read_closed_review(conn, month, "*")
        assert closed is not None
        assert (closed.author, closed.closed_at, closed.document) == ("ana", at, '{"review": {}}')
        assert re.fullmatch(r"erased-\w+ and Ana", closed.present)


def _action(what: str) -> dict[str, object]:
    return {
        "id": "a1", "what": what, "owner": "ana", "started_on": NOW.date(), "recorded_at": naive(NOW), "author": "ana",
    }  # fmt: skip


def test_the_commands(place: Place, tmp_path: Path) -> None:
    place.build(1)
    place.runner(TICKS[1]).once()
    place.close()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "queries", *words]
        return subprocess.run(command, cwd=ROOT, env=place.environ, capture_output=True, text=True, check=False)

    saved = tmp_path / "saved"
    done = run("backup", "--to", str(saved))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"are in {saved}" in done.stdout
    refused = run("restore", "--from", str(saved))
    assert refused.returncode == 1
    assert "add --replace" in refused.stderr
    restored = run("restore", "--from", str(saved), "--replace")
    assert (restored.returncode, restored.stderr) == (0, "")
    assert "are first looked up in Slack" in restored.stdout
