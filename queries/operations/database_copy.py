"""Copy the stores as they are at one moment, and put such a copy in place: DuckDB, SQLite and PostgreSQL."""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import inspect, make_url, text

from config import EarshotError
from queries.engine import disposing, shared

ASIDE: Final = "earshot_restoring"
"""The schema of the tables that a restore makes ready."""


class DumpError(EarshotError):
    """A store cannot be copied or put back."""


def copy_journal(source: Path, to: Path) -> None:
    """Copy a SQLite file that others write to meanwhile, by SQLite's own online backup.

    Raises:
        DumpError: it cannot be read, or its copy is damaged.
    """
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as here,
            closing(sqlite3.connect(to)) as there,
        ):
            here.backup(there)
            (sound,) = there.execute("pragma quick_check").fetchone()
    except sqlite3.Error as error:
        raise DumpError(f"{source} cannot be copied ({error})") from error
    if sound != "ok":
        raise DumpError(f"{source} is damaged ({sound}); keep it and restore an older backup")


def dump(url: str, tables: Iterable[str], to: Path) -> None:
    """Dump tables of a PostgreSQL database, all as of one moment. Those that do not exist are left out."""
    named = [f"--table={name}" for name in sorted(tables)]
    _run("pg_dump", ["--format=custom", "--no-owner", "--no-privileges", f"--file={to}", *named], url)


def aside(url: str) -> str:
    """The address of the same database by which the tables set aside are found in place of the served ones."""
    place = make_url(url)
    before = place.query.get("options", "")
    options = f"{before if isinstance(before, str) else ' '.join(before)} -csearch_path={ASIDE}"
    return place.update_query_dict({"options": options.strip()}).render_as_string(hide_password=False)


def clear_aside(url: str) -> None:
    """Drop what was set aside, and make room for more."""
    with disposing(shared(url)) as engine, engine.begin() as conn:
        conn.execute(text(f"drop schema if exists {ASIDE} cascade"))
        conn.execute(text(f"create schema {ASIDE}"))


def undump_aside(url: str, names: Iterable[str], source: Path, script: Path) -> None:
    """Set the tables of a dump aside, of whatever version they are; those that are served stay as they are.

    A dump puts its tables where it found them. So the served ones make room for it and come back, all in the
    transaction that fills the dump's: nobody ever sees these in their place.

    Args:
        url: the database.
        names: of the tables that the dump may hold.
        source: the dump.
        script: where its statements are written meanwhile.
    """
    home, tables = _home(url), list(names)
    _run("pg_restore", ["--no-owner", "--no-privileges", f"--file={script}", str(source)])
    away, back = "earshot_away", [f'alter table if exists earshot_away."{name}" set schema {home}' for name in tables]
    before = [f"create schema {away}", *(f'alter table if exists {home}."{name}" set schema {away}' for name in tables)]
    after = [f'alter table if exists {home}."{name}" set schema {ASIDE}' for name in tables]
    steps = ["--command=" + "; ".join(before), f"--file={script}", "--command=" + "; ".join([*after, *back])]
    how = ["--no-psqlrc", "--quiet", "--single-transaction", "--variable=ON_ERROR_STOP=1"]
    _run("psql", [*how, *steps, f"--command=drop schema {away}"], url)
    script.unlink()


def bring_in(url: str, names: Iterable[str]) -> None:
    """Serve what was set aside in place of these tables, at once. Nothing happens where nothing is aside."""
    home = _home(url)
    with disposing(shared(url)) as engine, engine.begin() as conn:
        if ASIDE not in inspect(conn).get_schema_names():
            return
        for name in names:
            conn.execute(text(f'drop table if exists {home}."{name}" cascade'))
            conn.execute(text(f'alter table if exists {ASIDE}."{name}" set schema {home}'))
        conn.execute(text(f"drop schema {ASIDE} cascade"))


def _home(url: str) -> str:
    """The schema of the served tables, quoted."""
    with disposing(shared(url)) as engine, engine.connect() as conn:
        schema: str = conn.execute(text("select current_schema()")).scalar_one()
        return conn.dialect.identifier_preparer.quote(schema)


def fsync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def others_connected(url: str) -> int:
    """How many other connections a PostgreSQL database has, without those that are about to end."""
    query = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    query += " and backend_type = 'client backend'"
    # A transaction sees these statistics as they were when it first asked.
    with disposing(shared(url)) as engine, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        return len(_lasting(lambda: tuple(conn.execute(text(query)).scalars())))


def holders(folder: Path) -> tuple[int, ...]:
    """The other processes of this machine that have a file below a folder open, as far as the system says.

    Those that are about to end do not count.
    """
    return _lasting(lambda: _holders(folder.resolve()))


def _lasting(ask: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
    """What is still there after two seconds: programs and connections of a killed process outlive it by a moment."""
    for _ in range(20):
        if not ask():
            return ()
        time.sleep(0.1)
    return ask()


def _holders(inside: Path) -> tuple[int, ...]:
    others = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_open = any(inside in link.readlink().parents for link in (process / "fd").iterdir())
        except OSError:  # it ended, or is somebody else's
            continue
        if is_open and int(process.name) != os.getpid():
            others.append(int(process.name))
    return tuple(sorted(others))


def _run(program: str, words: list[str], url: str | None = None) -> None:
    """A PostgreSQL program, on a database. The password goes by the environment: the words can be seen by everybody."""
    executable = shutil.which(program)
    if executable is None:
        raise DumpError(f"{program} is not installed; install PostgreSQL's client programs")
    command, secret = [executable, *words], dict[str, str]()
    if url is not None:
        place = make_url(url)
        plain = place.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
        command.insert(1, f"--dbname={plain}")
        secret = {"PGPASSWORD": str(place.password)} if place.password else {}
    done = subprocess.run(command, env={**os.environ, **secret}, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise DumpError(f"{program} failed ({said})")
