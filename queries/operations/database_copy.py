"""Copy the stores as they are at one moment, and put such a copy in place: DuckDB, SQLite and PostgreSQL."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from sqlalchemy import MetaData, make_url, text

from config.errors import EarshotError
from queries.engine import disposing, shared


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
        raise DumpError(f"{source} is damaged ({sound}); keep it, and restore an older backup")


def dump(url: str, tables: Iterable[str], to: Path) -> None:
    """Dump tables of a PostgreSQL database, all as of one moment. Those that do not exist are left out."""
    named = [f"--table={name}" for name in sorted(tables)]
    _run("pg_dump", url, ["--format=custom", "--no-owner", "--no-privileges", f"--file={to}", *named])


def undump(url: str, tables: MetaData, others: Iterable[str], source: Path) -> None:
    """Replace tables of a PostgreSQL database by those of a dump, of whatever version they are.

    Args:
        url: the database.
        tables: dropped first.
        others: names of more tables that are dropped first.
        source: the dump.
    """
    with disposing(shared(url)) as engine, engine.begin() as conn:
        for name in (*(table.name for table in reversed(tables.sorted_tables)), *others):
            conn.execute(text(f"drop table if exists {conn.dialect.identifier_preparer.quote(name)} cascade"))
    how = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    _run("pg_restore", url, [*how, str(source)])


def others_connected(url: str) -> int:
    """How many other connections a PostgreSQL database has."""
    query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    with disposing(shared(url)) as engine, engine.connect() as conn:
        return int(conn.execute(text(f"{query} and backend_type = 'client backend'")).scalar_one())


def holders(folder: Path) -> tuple[int, ...]:
    """The other processes of this machine that have a file below a folder open, as far as the system says."""
    inside, others = folder.resolve(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_open = any(inside in link.readlink().parents for link in (process / "fd").iterdir())
        except OSError:  # it ended, or is somebody else's
            continue
        if is_open and int(process.name) != os.getpid():
            others.append(int(process.name))
    return tuple(sorted(others))


def _run(program: str, url: str, words: list[str]) -> None:
    """A PostgreSQL program on a database. The password goes by the environment: the words can be seen by everybody."""
    executable = shutil.which(program)
    if executable is None:
        raise DumpError(f"{program} is not installed; install PostgreSQL's client programs")
    place = make_url(url)
    plain = place.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    secret = {"PGPASSWORD": str(place.password)} if place.password else {}
    command = [executable, f"--dbname={plain}", *words]
    done = subprocess.run(command, env={**os.environ, **secret}, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise DumpError(f"{program} failed ({said})")
