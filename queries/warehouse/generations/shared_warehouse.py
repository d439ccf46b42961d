"""The warehouse of a server: PostgreSQL, where a load is one transaction and a reader keeps its snapshot."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from queries.engine import reading, shared, vacuum
from queries.warehouse import tables
from queries.warehouse.generations.generation import NewGeneration, Pin, latest, make_tables, pinned
from queries.warehouse.staging import Stage

PUBLISHED: Final = "earshot_generation"
"""The channel on which PostgreSQL tells of a committed load."""

NOTICE_S, AGAIN_S = 0.5, 5.0
"""How long a listener waits before it sees whether it is to end, and before it connects again."""

log: Final = logging.getLogger("queries")


class SharedWarehouse:
    """PostgreSQL: a generation is a committed load, and a reader's snapshot is its pin."""

    def __init__(self, url: str) -> None:
        self.engine = shared(url)
        self._ready = False

    @contextmanager
    def pin(self) -> Iterator[Pin]:
        """Hold one snapshot for as long as the block runs."""
        self._prepare()
        with reading(self.engine) as conn:
            yield pinned(conn)

    @contextmanager
    def draft(self, say: Callable[[str], None] = print) -> Iterator[NewGeneration]:
        """One transaction; a second writer waits for the first."""
        self._prepare()
        with self.engine.connect() as conn:
            # Closed at the end, not pooled: the temporary tables go with it.
            conn.detach()
            transaction = conn.begin()
            _wait_for_writer(conn, say)
            found = latest(conn)
            number, is_anew = (found.number if found else 0) + 1, make_tables(conn)
            draft = NewGeneration(conn, number, lambda _: nullcontext(Stage(conn, None)), is_anew=is_anew)
            yield draft
            if draft.kept:
                # Until autovacuum comes by, readers would get plans made for what was there before.
                conn.execute(text("analyze"))
                conn.execute(text(f"notify {PUBLISHED}"))
                transaction.commit()
        if draft.kept and draft.erasing:
            # Else the dead rows stand in the tables until their space is used again.
            vacuum(self.engine, tables.warehouse)

    @contextmanager
    def listening(self, heard: Callable[[], None]) -> Iterator[None]:
        """Hear the database's notice of each commit."""
        ended = threading.Event()
        thread = threading.Thread(target=self._listen, args=(heard, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _listen(self, heard: Callable[[], None], ended: threading.Event) -> None:
        # Its own error comes from `notifies`; SQLAlchemy knows the driver, importing it here would cost every command.
        driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.OperationalError
        while not ended.is_set():
            try:
                with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                    # Closed at the end, not pooled: whoever took it next would be listening.
                    conn.detach()
                    conn.execute(text(f"listen {PUBLISHED}"))
                    native: Any = conn.connection.dbapi_connection
                    heard()  # what was committed before it listened
                    while not ended.is_set():
                        for _ in native.notifies(timeout=NOTICE_S, stop_after=1):
                            heard()
            except (OperationalError, driver_error) as error:
                log.warning("the database tells of no new load for now (%s)", str(error).splitlines()[0])
                ended.wait(AGAIN_S)

    def close(self) -> None:
        """Dispose of the pool."""
        self.engine.dispose()

    def _prepare(self) -> None:
        """Make the tables where there are none, one process at a time; a writer adds to those of an older version."""
        if self._ready:
            return
        with self.engine.begin() as conn:
            conn.execute(text("select pg_advisory_xact_lock(hashtext('earshot tables'))"))
            if not inspect(conn).has_table(tables.generation.name):
                make_tables(conn)
        self._ready = True


_HOLDER: Final = """
    select a.pid, coalesce(nullif(a.application_name, ''), a.usename), a.client_addr, a.xact_start
    from pg_locks l join pg_stat_activity a using (pid)
    where l.relation = 'generation'::regclass and l.mode = 'ExclusiveLock' and l.granted
"""


def _wait_for_writer(conn: Connection, say: Callable[[str], None]) -> None:
    """Serialise writers on a lock of the generation table; it goes with the transaction, whatever happens."""
    if holder := conn.execute(text(_HOLDER)).first():
        who = f"database process {holder[0]} of {holder[1]} at {holder[2] or 'this machine'} since {holder[3]:%H:%M:%S}"
        say(f"another load is running ({who}); waiting for it")
    conn.execute(text("lock table generation in exclusive mode"))
