"""Generations of the warehouse: each load publishes a new one at once, and a reader keeps the one it began with."""

import fcntl
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Final, Protocol

from sqlalchemy import Connection, Engine, select, text

from config.errors import EarshotError
from queries import schema
from queries.engine import embedded, reading, shared

KEPT: Final = 2
"""How many generations stay on disk besides those still read."""


class NoWarehouseError(EarshotError):
    """Nothing has been loaded yet."""


class LockedError(EarshotError):
    """Somebody else is loading."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One published state of the warehouse. `published_at` is naive UTC."""

    number: int
    published_at: datetime
    zone: str
    calendar_hash: str
    metrics_hash: str
    source: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A generation held for one page run or one tick: every read of it sees the same data."""

    conn: Connection
    generation: Generation


class Draft:
    """A generation in the making. Nobody sees it before its block ends; `discard()` leaves the old one in place."""

    def __init__(self, conn: Connection, number: int) -> None:
        self.conn, self.number, self.kept = conn, number, True

    def discard(self) -> None:
        """Publish nothing."""
        self.kept = False


class Warehouse(Protocol):
    """Where canonical rows and rollups live."""

    def pin(self) -> AbstractContextManager[Pin]:
        """Hold the current generation. Raises NoWarehouseError before the first load."""
        ...

    def draft(self, say: Callable[[str], None] = ...) -> AbstractContextManager[Draft]:
        """Make the next generation; waits for another writer and says who it is."""
        ...

    def close(self) -> None:
        """Let go of every connection."""
        ...


def latest(conn: Connection) -> Generation | None:
    """The newest generation this connection sees."""
    table = schema.generation
    row = conn.execute(select(table).order_by(table.c.number.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return Generation(row.number, row.published_at, row.zone, row.calendar_hash, row.metrics_hash, row.source)


def _pinned(conn: Connection) -> Pin:
    found = latest(conn)
    if found is None:
        raise NoWarehouseError("nothing is loaded yet; run `python -m queries load SOURCE --data DIR` or `make run`")
    return Pin(conn, found)


class EmbeddedWarehouse:
    """DuckDB, one file per generation, published by a rename. Readers open files that never change."""

    def __init__(self, folder: Path, memory_limit: str = "1GB") -> None:
        self.folder, self.memory_limit = folder, memory_limit
        self._engines: dict[int, Engine] = {}
        self._readers: dict[int, int] = {}
        self._guard = threading.Lock()

    @contextmanager
    def pin(self) -> Iterator[Pin]:
        """Hold the current generation's file for as long as the block runs."""
        number, hold = self._take()
        try:
            with reading(self._engine(number)) as conn:
                yield _pinned(conn)
        finally:
            hold.close()
            self._let_go(number)

    @contextmanager
    def draft(self, say: Callable[[str], None] = print) -> Iterator[Draft]:
        """Copy the current file, change the copy, and publish it when the block ends without an error."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _writer_lock(self.folder / "lock", say):
            self._sweep()
            current = self.current()
            temporary = self.folder / f"draft-{current + 1}.duckdb"
            try:
                yield from self._drafted(current, temporary)
            finally:
                _remove(temporary)
            self._sweep()

    def _drafted(self, current: int, temporary: Path) -> Iterator[Draft]:
        if current:
            shutil.copyfile(self._file(current), temporary)
        engine = embedded(temporary, read_only=False, memory_limit=self.memory_limit)
        try:
            with engine.begin() as conn:
                schema.warehouse.create_all(conn)
                draft = Draft(conn, current + 1)
                yield draft
            if draft.kept:
                with engine.connect() as conn:
                    conn.execute(text("checkpoint"))
        finally:
            engine.dispose()
        if draft.kept:
            self._publish(temporary, draft.number)

    def current(self) -> int:
        """The number of the generation readers are given, 0 before the first load."""
        try:
            return int((self.folder / "current").read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Dispose of every engine."""
        with self._guard:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()

    def _file(self, number: int) -> Path:
        return self.folder / f"generation-{number}.duckdb"

    def _publish(self, temporary: Path, number: int) -> None:
        _fsync(temporary)
        temporary.rename(self._file(number))
        pointer = self.folder / "current.new"
        pointer.write_text(str(number), encoding="ascii")
        _fsync(pointer)
        pointer.rename(self.folder / "current")
        _fsync(self.folder)

    def _take(self) -> tuple[int, IO[str]]:
        """Note the generation as read here and, by a shared lock on its pin file, for other processes."""
        while number := self.current():
            hold = (self.folder / f"generation-{number}.pin").open("a", encoding="ascii")
            fcntl.flock(hold, fcntl.LOCK_SH)
            if self._file(number).exists():
                with self._guard:
                    self._readers[number] = self._readers.get(number, 0) + 1
                return number, hold
            hold.close()
        raise NoWarehouseError("nothing is loaded yet; run `python -m queries load SOURCE --data DIR` or `make run`")

    def _engine(self, number: int) -> Engine:
        with self._guard:
            if number not in self._engines:
                self._engines[number] = embedded(self._file(number), read_only=True, memory_limit=self.memory_limit)
            return self._engines[number]

    def _let_go(self, number: int) -> None:
        """An engine of an old generation costs memory: dispose of it after its last reader."""
        newest = self.current()
        with self._guard:
            self._readers[number] -= 1
            idle = [n for n in self._engines if n != newest and not self._readers.get(n)]
            for engine in [self._engines.pop(n) for n in idle]:
                engine.dispose()

    def _sweep(self) -> None:
        """Remove what a killed load left, and generations that are neither new nor read."""
        for left in (*self.folder.glob("draft-*"), *self.folder.glob("current.new")):
            _remove(left)
        newest = self.current()
        for file in self.folder.glob("generation-*.duckdb"):
            number = int(file.stem.removeprefix("generation-"))
            if number > newest or (number <= newest - KEPT and not self._is_read(number)):
                _remove(file)
                _remove(self.folder / f"generation-{number}.pin")

    def purge(self) -> None:
        """Remove every generation but the newest, read or not: what was erased must be gone."""
        newest = self.current()
        for file in self.folder.glob("generation-*.duckdb"):
            if file != self._file(newest):
                _remove(file)

    def _is_read(self, number: int) -> bool:
        pin = self.folder / f"generation-{number}.pin"
        if not pin.exists():
            return False
        with pin.open("a", encoding="ascii") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


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
            yield _pinned(conn)

    @contextmanager
    def draft(self, say: Callable[[str], None] = print) -> Iterator[Draft]:
        """One transaction; a second writer waits for the first."""
        self._prepare()
        with self.engine.connect() as conn, conn.begin() as transaction:
            _wait_for_writer(conn, say)
            found = latest(conn)
            draft = Draft(conn, (found.number if found else 0) + 1)
            yield draft
            if not draft.kept:
                transaction.rollback()

    def close(self) -> None:
        """Dispose of the pool."""
        self.engine.dispose()

    def _prepare(self) -> None:
        if not self._ready:
            schema.warehouse.create_all(self.engine)
            self._ready = True


def _wait_for_writer(conn: Connection, say: Callable[[str], None]) -> None:
    """Serialise writers on a lock of the generation table; it goes with the transaction, whatever happens."""
    lock = "lock table generation in exclusive mode"
    found = conn.execute(text("select pid from pg_locks where relation = 'generation'::regclass and mode = 'ExclusiveLock'"))
    if holder := found.scalar():
        say(f"another load is running (database process {holder}); waiting for it")
    conn.execute(text(lock))


@contextmanager
def _writer_lock(file: Path, say: Callable[[str], None]) -> Iterator[None]:
    with file.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            say(f"another load is running ({handle.read().strip() or 'unknown process'}); waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write(f"process {os.getpid()}: {' '.join(sys.argv)[:200]}")
        handle.flush()
        yield


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(file: Path) -> None:
    for name in (file, file.with_name(file.name + ".wal")):
        with suppress(FileNotFoundError):
            name.unlink()
