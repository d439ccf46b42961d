"""The state of an older version is brought up to this one with all that is in it; nobody forgets a migration."""

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from queries.engine import journal, shared
from queries.messages import outbox
from queries.operations.health import read_health
from queries.state import (
    VERSIONS,
    entries,
    migrations,
    open_state,
    passing_state,
    read_actions,
    read_decisions,
    read_incident,
)
from queries.state import tables as state_tables
from queries.state.database import NewerStateError
from queries.state.tables import HEAD
from queries.warehouse import EVERYTHING
from tests.counterparts.postgres import NewDatabase
from tests.support.answering import answering

VERSIONS_BEFORE: Final = [
    revision.revision
    for revision in ScriptDirectory.from_config(migrations.config()).walk_revisions()
    if revision.revision != HEAD
]
OLDER: Final = Path(__file__).parent / "older_state"
NOW: Final = datetime(2026, 5, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Store:
    """Where a state lies, in a file or in a database."""

    folder: Path
    url: str | None

    def older(self, *, rows: bool = True, stamp: str | None = None) -> None:
        """Make the tables as they were before versions were noted; with a stamp, as when the first one was."""
        script = (OLDER / ("postgresql.sql" if self.url else "sqlite.sql")).read_text()
        script += (OLDER / "rows.sql").read_text() if rows else ""
        if stamp:
            script += f"\ncreate table {VERSIONS} (version_num varchar(32) not null primary key);"
            script += f"\ninsert into {VERSIONS} values ('{stamp}');"
        if self.url:
            with psycopg.connect(self.url.replace("+psycopg", "")) as conn:
                conn.execute(script.encode())
            return
        with closing(sqlite3.connect(self.folder / "state.db")) as conn:
            conn.executescript(script)

    def wipe(self) -> None:
        """Leave nothing of it."""
        if self.url:
            with psycopg.connect(self.url.replace("+psycopg", "")) as conn:
                conn.execute("drop schema public cascade")
                conn.execute("create schema public")
        for file in self.folder.glob("state.db*"):
            file.unlink()

    def raw(self) -> Engine:
        return shared(self.url) if self.url else journal(self.folder / "state.db")

    def open(self) -> Engine:
        return open_state(self.folder, self.url)


Stores = Callable[[], AbstractContextManager[Store]]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "SQLite":
        yield Store(tmp_path, None)
        return
    new_database: NewDatabase = request.getfixturevalue("new_database")
    with new_database() as url:
        yield Store(tmp_path, url)


def missing(engine: Engine) -> str:
    """The operations that would bring the tables up to what the code says, as code; empty where they are."""
    with engine.connect() as conn:
        how = {"compare_type": True, "render_as_batch": True, "target_metadata": state_tables.state}
        context = MigrationContext.configure(conn, opts=how)
        if not compare_metadata(context, state_tables.state):
            return ""
        found = produce_migrations(context, state_tables.state).upgrade_ops
    assert found is not None
    return str(render_python_code(found, render_as_batch=True))


def version(engine: Engine) -> str:
    with engine.connect() as conn:
        return str(conn.execute(text(f"select version_num from {VERSIONS}")).scalar_one())


@pytest.mark.parametrize("stamp", [None, migrations.UNRELEASED])
def test_a_state_of_an_older_version_keeps_all_it_holds(store: Store, stamp: str | None) -> None:
    """And what was owed is still owed, to be sent by the present program."""
    store.older(stamp=stamp)
    engine = store.open()
    assert (version(engine), missing(engine)) == (HEAD, "")
    with engine.connect() as conn:
        found = read_incident(conn, "i1", EVERYTHING)
        assert (found.value, found.snoozed_until, found.assigned_to, found.version) == (0.4, None, None, 1)
        assert [message.id for message in outbox.unsent(conn)] == ["o1"]
        assert conn.execute(select(state_tables.action.c.what)).scalar_one() == "Call the engineer"
        assert conn.execute(select(state_tables.vote.c.useful)).scalar_one() == 1
        assert conn.execute(select(state_tables.instance.c.state)).scalar_one() == "firing"
        assert read_health(conn, NOW).beats["triggers"].note == "3"
    with engine.connect() as conn:
        row = conn.execute(select(state_tables.incident)).one()._mapping
    with pytest.raises(IntegrityError), engine.begin() as conn:  # one open incident a slice: the constraint came along
        conn.execute(insert(state_tables.incident).values(**{**row, "id": "i2"}))
    engine.dispose()


@pytest.mark.parametrize("older", VERSIONS_BEFORE)
def test_a_state_of_each_version_before_is_brought_up_with_all_it_holds(store: Store, older: str) -> None:
    engine = store.raw()
    with engine.begin() as conn:
        migrations.upgrade(conn, older)
        conn.execute(text("insert into heartbeat values ('triggers', '2026-05-05 12:00:00', '3')"))
        conn.execute(text("insert into rule_version values ('h', 'defects', '{}', null, '2026-05-05 12:00:00')"))
    assert version(engine) == older
    engine.dispose()
    opened = store.open()
    assert (version(opened), missing(opened)) == (HEAD, "")
    with opened.connect() as conn:
        assert read_health(conn, NOW).beats["triggers"].note == "3"
        assert conn.execute(select(state_tables.rule_version.c.rule)).scalar_one() == "defects"
    opened.dispose()


def test_a_case_that_was_called_resolved_is_closed(store: Store) -> None:
    """It has no figure that could have recovered; what has one, and did, stays as it is."""
    engine, day = store.raw(), NOW.replace(tzinfo=None)
    row: dict[str, Any] = {
        **dict.fromkeys(("rule", "rule_hash", "slice", "class", "route", "origin"), "x"), "ladder": "[]",
        "severity": 2, "state": "resolved", "episode": 1, "opened_at": day, "slot": NOW.date(), "resolved_at": day,
        "next_step": 1, "version": 2,
    }  # fmt: skip
    known: dict[str, dict[str, Any]] = {"case": {"n": 1, "value": None}, "figure": {"n": 1, "value": 0.4}}
    with engine.begin() as conn:
        migrations.upgrade(conn, "0005")
        for id_, values in known.items():
            conn.execute(insert(state_tables.incident).values(id=id_, **row, **values))
            for seq, kind in enumerate(("opened", "resolved"), start=1):
                event = {"incident_id": id_, "seq": seq, "at": day, "kind": kind, "reason": "r"}
                conn.execute(insert(state_tables.incident_event).values(**event))
    engine.dispose()
    opened = store.open()
    with opened.connect() as conn:
        for id_, word in (("case", "closed"), ("figure", "resolved")):
            assert read_incident(conn, id_, EVERYTHING).state == word
            assert [entry.kind for entry in entries(conn, id_)] == ["opened", word]
    opened.dispose()


def test_what_reviews_decided_becomes_actions_with_every_word(store: Store) -> None:
    """Of an incident, a missed goal and cases of several verticals; decided again, of the company and of a part."""
    engine = store.raw()
    month, at = "2026-04-01", "2026-05-05 12:00:00"
    given = [
        ("*", "defects|vertical=Retail", 1, "ana", "wait"),
        ("*", "defects|vertical=Retail", 2, "ben", "two engineers; 100% %s | 'x'"),
        ("Energy", "goal:promise-kept|Energy|", 1, "cleo", "promise later"),
        ("Energy", "unanswered|", 1, "cleo", "call both"),
        ("*", "goal:promise-kept||", 1, "dan", "tell all"),
    ]
    with engine.begin() as conn:
        migrations.upgrade(conn, "0005")
        conn.execute(text(_AN_INCIDENT))
        conn.execute(
            text(
                "insert into action (id, what, owner, started_on, recorded_at, author) values (:a, :a, :a, :d, :t, :a)"
            ),
            {"a": "a1", "d": "2026-05-05", "t": at},
        )
        for vertical, issue, seq, owner, said in given:
            row = {"m": month, "v": vertical, "i": issue, "n": seq, "o": owner, "d": said, "t": at}
            conn.execute(text("insert into decision values (:m, :v, :i, :n, :o, :d, 'me', :t)"), row)
    engine.dispose()
    opened = store.open()
    with opened.connect() as conn:
        held = {
            **read_decisions(conn, EVERYTHING, date(2026, 4, 1), None),
            **read_decisions(conn, EVERYTHING, date(2026, 4, 1), "Energy"),
        }
        assert {
            issue: (one.owner, one.what, one.incident_id, one.vertical, one.metric) for issue, one in held.items()
        } == {
            "defects|vertical=Retail": ("ben", "two engineers; 100% %s | 'x'", "i1", "Retail", None),
            "goal:promise-kept|Energy|": ("cleo", "promise later", None, "Energy", "promise-kept"),
            "unanswered|": ("cleo", "call both", None, "Energy", None),
            "goal:promise-kept||": ("dan", "tell all", None, None, "promise-kept"),
        }
        assert {(one.started_on, one.recorded_at, one.author) for one in held.values()} == {
            (date(2026, 5, 5), datetime(2026, 5, 5, 12), "me")  # noqa: DTZ001 - the state's instants are naive
        }
        words = conn.execute(select(state_tables.action.c.what)).scalars().all()
        assert sorted(words) == sorted(["a1", *(said for *_, said in given)])
        assert len(read_actions(conn, EVERYTHING)) == len(given)  # one was decided anew
    opened.dispose()


_AN_INCIDENT: Final = """
    INSERT INTO incident (id, rule, rule_hash, slice, class, severity, route, ladder, vertical, state, episode,
        opened_at, slot, next_step, value, n, origin, version)
    VALUES ('i1', 'defects', 'h1', 'vertical=Retail', 'customer', 2, 'delivery', '[]', 'Retail', 'open', 1,
        '2026-05-04 09:00:00', '2026-05-04', 1, 0.4, 50, 'live', 1)
"""


def test_a_new_state_is_that_of_the_newest_version(store: Store) -> None:
    """And is opened again without a change."""
    for _ in range(2):
        engine = store.open()
        assert (version(engine), missing(engine)) == (HEAD, "")
        engine.dispose()


def test_nobody_forgot_a_migration(store: Store) -> None:
    """The tables that the migrations make are those of queries/state/tables.py.

    Where this fails, somebody changed them: add a file to queries/state/migrations/versions with the operations that
    are printed here, and write its number into HEAD in queries/state/tables.py.
    """
    engine = store.raw()
    with engine.begin() as conn:
        migrations.upgrade(conn)
    assert missing(engine) == ""
    engine.dispose()


def test_the_newest_version_is_the_one_that_the_code_names() -> None:
    script = ScriptDirectory.from_config(migrations.config())
    assert script.get_heads() == [HEAD]
    assert script.get_bases() == [migrations.FIRST]


@pytest.mark.parametrize("stamp", [None, migrations.UNRELEASED])
def test_an_older_state_becomes_what_the_migrations_make(store: Store, stamp: str | None) -> None:
    """Table by table, column by column, and so much of it as older programs made is not touched."""
    store.older(rows=False, stamp=stamp)
    engine = store.raw()
    older = tables(engine)
    store.open().dispose()
    upgraded = tables(engine)
    with engine.begin() as conn:
        for name in upgraded:
            conn.execute(text(f"drop table {name}"))
        migrations.upgrade(conn)
    assert tables(engine) == upgraded
    del older["decision"]  # moved
    assert {name: upgraded[name][: len(columns)] for name, columns in older.items()} == older
    engine.dispose()


def tables(engine: Engine) -> dict[str, list[tuple[str, str, bool]]]:
    with engine.connect() as conn:
        seen = inspect(conn)
        return {
            name: [(c["name"], str(c["type"]), bool(c["nullable"])) for c in seen.get_columns(name)]
            for name in seen.get_table_names()
        }


def test_processes_that_start_together_upgrade_it_once(store: Store) -> None:
    store.older()
    failed: list[BaseException] = []
    ready = threading.Barrier(4)

    def start() -> None:
        try:
            ready.wait(10)
            store.open().dispose()
        except BaseException as error:  # noqa: BLE001 - the test says so
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine = store.open()
    assert (failed, version(engine), missing(engine)) == ([], HEAD, "")
    engine.dispose()


def test_processes_that_open_a_new_file_together_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite itself refuses some of those who turn a new file into a write-ahead log at the same moment."""
    together = threading.Barrier(8)

    def opened(folder: Path) -> None:
        engine = journal(folder / "state.db")
        together.wait()
        with engine.connect():
            pass
        engine.dispose()

    with ThreadPoolExecutor(8) as threads:
        for name in map(str, range(100)):  # without waiting one round in twenty fails
            (tmp_path / name).mkdir()
            list(threads.map(opened, [tmp_path / name] * 8))


UPGRADES: Final = """
import os, sys, threading, time
from pathlib import Path
from queries.state import migrations, open_state

migrations.config()
folder, url = sys.argv[1:]

def die(after):
    time.sleep(after)
    os.kill(os.getpid(), 9)

for line in sys.stdin:
    began, child = time.monotonic(), os.fork()
    if not child:
        if line.strip():
            threading.Thread(target=die, args=(float(line),), daemon=True).start()
        open_state(Path(folder), url or None)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, time.monotonic() - began, flush=True)
"""


def test_an_upgrade_that_is_killed_at_any_moment_is_finished_by_the_next(store: Store, *, prove: bool) -> None:
    """All of it or nothing; a kill that comes after the work proves nothing and is not counted."""
    draw, wanted, hits, touched = random.Random(11), 100 if prove else 10, 0, 0
    store.older()
    engine = store.raw()
    older = tables(engine)
    with answering(UPGRADES, str(store.folder), store.url or "") as ask:
        lasts = float(ask("").split()[1])
        newer = tables(engine)
        assert newer != older
        engine.dispose()
        while hits < wanted:
            store.wipe()
            store.older()
            if ask(str(draw.uniform(0, lasts))).startswith("0 "):
                continue
            engine = store.raw()
            assert tables(engine) in (older, newer)
            hits, touched = hits + 1, touched + (tables(engine) == newer)
            store.open().dispose()
            assert (version(engine), tables(engine)) == (HEAD, newer)
            with engine.connect() as conn:
                assert [message.id for message in outbox.unsent(conn)] == ["o1"]
            engine.dispose()
    print(f"{hits} kills inside the upgrade, {touched} of them after its commit")


def test_an_upgrade_that_fails_changes_nothing(store: Store) -> None:
    """Something of another's stands in the way: it is said, and the older program still works."""
    store.older()
    engine = store.raw()
    with engine.begin() as conn:
        conn.execute(text("create table inbound (id varchar)"))
    before = tables(engine)
    with pytest.raises(migrations.NotOurTableError, match="holds a table inbound without kind"):
        store.open()
    assert tables(engine) == before
    engine.dispose()


def test_a_state_of_a_newer_program_is_refused(store: Store) -> None:
    engine = store.open()
    with engine.begin() as conn:
        conn.execute(text(f"update {VERSIONS} set version_num = '9999'"))
    engine.dispose()
    with pytest.raises(NewerStateError, match="the state is of version 9999, newer than this program's"):
        store.open()


def test_a_state_from_between_two_versions_is_completed(store: Store) -> None:
    """A checkout's that was used before versions were noted."""
    engine = store.raw()
    with engine.begin() as conn:
        later = ("letter", "restored", "erasure", "rule_error", "picture", "closed_review", "guess")
        state_tables.state.create_all(conn, [t for t in state_tables.state.sorted_tables if t.name not in later])
        conn.execute(text("drop index incident_by_state"))
        conn.execute(text("alter table incident drop column assigned_to"))
        conn.execute(text("create index incident_by_state on incident (state, opened_at)"))
        conn.execute(text("drop index action_by_issue"))
        for column in ("month", "review", "issue", "seq", "shared_at", "shared_by", "function"):
            conn.execute(text(f"alter table action drop column {column}"))
    engine.dispose()
    opened = store.open()
    assert (version(opened), missing(opened)) == (HEAD, "")
    opened.dispose()


def test_a_passing_state_has_the_same_tables() -> None:
    engine = passing_state()
    assert missing(engine) == ""
    engine.dispose()
