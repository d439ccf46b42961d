"""Open the state: make its tables, or bring those of an older program up to this one's."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.pool import StaticPool

from config import EarshotError, refuse_irregular
from queries.engine import journal, one_at_a_time, shared
from queries.state.tables import HEAD, VERSIONS, incident, state

FILE: Final = "state.db"


class NewerStateError(EarshotError):
    """The state belongs to a newer program."""


def open_state(folder: Path, url: str | None = None) -> Engine:
    """The state's engine with its tables made and up to date: SQLite in `folder`, or the database at `url`.

    Raises:
        NewerStateError: a newer program has upgraded it.
        NotOurTableError: something else in the database has the name of one of its tables.
    """
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            refuse_irregular(folder / FILE)
    engine = shared(url) if url else journal(folder / FILE)
    try:
        _bring_up(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _bring_up(engine: Engine) -> None:
    """Make the tables, or bring those of an older version up to this one. Processes that start together wait."""
    # A look that locks nothing first: every command opens the state, and nearly always there is nothing to do.
    with engine.connect().execution_options(reading=True) as conn:
        if _version(conn) == HEAD:
            return
    with engine.begin() as conn:
        one_at_a_time(conn, "earshot state")
        # Asked once more: another process may have brought it up while this one waited.
        version = _version(conn)
        if version is None and not inspect(conn).has_table(incident.name):
            # A new state needs no migration, and alembic takes longer to import than all of this takes.
            state.create_all(conn)
            conn.execute(text(f"create table {VERSIONS} (version_num varchar(32) not null primary key)"))
            conn.execute(text(f"insert into {VERSIONS} values (:head)"), {"head": HEAD})
        elif version != HEAD:
            _upgrade(conn, version)


def _version(conn: Connection) -> str | None:
    """The version that a state says it has; None for one that is new, or older than versions."""
    if not inspect(conn).has_table(VERSIONS):
        return None
    return conn.execute(text(f"select version_num from {VERSIONS}")).scalar_one_or_none()


def _upgrade(conn: Connection, version: str | None) -> None:
    from queries.state import migrations  # noqa: PLC0415 - alembic takes long to import and is seldom needed

    if version is not None and version > HEAD:
        raise NewerStateError(
            f"the state is of version {version}, newer than this program's {HEAD}; upgrade the program"
        )
    if version == migrations.UNRELEASED:
        # Alembic refuses a number that it has no file for. Without one it begins with the first version, which leaves
        # the tables that are there as they are.
        conn.execute(text(f"delete from {VERSIONS}"))
    migrations.upgrade(conn)


def passing_state() -> Engine:
    """A state that lives as long as its engine: a backtest's."""
    # In memory every connection has a database of its own: all must share one.
    engine = create_engine("sqlite://", poolclass=StaticPool)
    state.create_all(engine)
    return engine
