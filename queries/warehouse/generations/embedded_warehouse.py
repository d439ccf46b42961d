"""The warehouse on this machine: a DuckDB file for each generation, published by a rename."""

import fcntl
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from time import sleep
from typing import IO, Final

from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.exc import DBAPIError
from watchdog.events import DirMovedEvent, FileMovedEvent, FileSystemEventHandler
from watchdog.observers import Observer

from config import refuse_irregular
from queries.engine import MEMORY_LIMIT, READING_LIMIT, attached, connected, disposing, embedded, reading, rewrite
from queries.warehouse import tables
from queries.warehouse.generations.generation import (
    NOTHING_LOADED,
    Generation,
    NewGeneration,
    NoWarehouseError,
    Pin,
    make_tables,
    pinned,
)
from queries.warehouse.generations.generation_files import GenerationFiles, count_rows, remove
from queries.warehouse.staging import Stage

log: Final = logging.getLogger("queries")

KEPT: Final = 2
"""How many generations stay on disk besides those still read."""

_LOOKS: Final = 10
_LOOK_S: Final = 0.05
"""How often, and how far apart, a reader looks for a file that the pointer names."""


class EmbeddedWarehouse:
    """DuckDB, one file per generation, published by a rename. Readers open files that never change."""

    def __init__(self, folder: Path, memory_limit: str = MEMORY_LIMIT, reading_limit: str = READING_LIMIT) -> None:
        self.folder, self.memory_limit, self.reading_limit = folder, memory_limit, reading_limit
        self.files, self._newest = GenerationFiles(folder, reading_limit), 0
        self._engines: dict[int, Engine] = {}
        self._generations: dict[int, Generation] = {}
        self._readers: dict[int, int] = {}
        self._guard = threading.Lock()

    @contextmanager
    def pin(self) -> Iterator[Pin]:
        """Hold the current generation's file for as long as the block runs.

        Raises:
            NoWarehouseError: before the first load.
            BrokenWarehouseError: the files are not as a load leaves them.
        """
        with ExitStack() as stack:
            number, conn = self._take(stack)
            # Its file never changes: whoever pins it next, as each run of a page does, need not ask again.
            if number not in self._generations:
                self._generations[number] = pinned(conn).generation
            yield Pin(conn, self._generations[number])

    @contextmanager
    def draft(self, say: Callable[[str], None] = print) -> Iterator[NewGeneration]:
        """Copy the current file, change the copy, and publish it when the block ends without an error."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _writer_lock(self.folder / "lock", say):
            self._sweep()
            try:
                yield from self._drafted(self.files.current() + 1)
            finally:
                self._sweep()

    @contextmanager
    def listening(self, heard: Callable[[], None]) -> Iterator[None]:
        """Hear the file system's notice of the pointer's move."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        observer = Observer()
        observer.schedule(_PointerMoves(heard), str(self.folder), event_filter=[FileMovedEvent])
        try:
            observer.start()
        except OSError as error:
            log.warning("%s: the system tells of no new load (%s)", self.folder, error.strerror)
            yield
            return
        try:
            yield
        finally:
            observer.stop()
            observer.join()

    def _drafted(self, number: int) -> Iterator[NewGeneration]:
        file = self.folder / f"draft-{number}.duckdb"
        if number > 1:
            shutil.copyfile(self.files.file(number - 1), file)
        with disposing(embedded(file, read_only=False, memory_limit=self.memory_limit)) as engine:
            with connected(engine) as conn:
                is_anew = make_tables(conn)
                draft = NewGeneration(conn, number, lambda empty: self._staged(conn, number, empty), is_anew=is_anew)
                self._bury(conn)
                conn.commit()
                file.chmod(0o600)
                yield draft
                conn.commit()
                rows = count_rows(conn)
            # Else the file's newest rows lie in a .wal beside it, which the rename would leave behind.
            if draft.kept:
                _checkpoint(engine)
        if draft.kept and draft.erasing:
            anew = file.with_suffix(".anew.duckdb")
            rewrite(file, anew, self.memory_limit)
            anew.chmod(0o600)
            remove(file)
            file = anew
        if draft.kept:
            self.files.publish(file, number, rows, alone=draft.erasing)

    def _bury(self, conn: Connection) -> None:
        """Bring the tombstones that this generation has lost."""
        known = set(conn.scalars(select(tables.erased.c.hash)))
        kept = {key: at for key, at in self.files.tombstones().items() if key not in known}
        if kept:
            conn.execute(
                insert(tables.erased), [{"hash": k, "at": datetime.fromisoformat(at)} for k, at in kept.items()]
            )

    @contextmanager
    def _staged(self, conn: Connection, number: int, empty: bool) -> Iterator[Stage]:  # noqa: FBT001
        """The file is nobody's but the draft's, so what is written to it may be committed in parts."""
        conn.commit()
        if empty:
            yield Stage(conn, None, in_place=True)
            return
        file = self.folder / f"draft-{number}.stage.duckdb"
        with attached(conn.engine, file) as beside:
            file.chmod(0o600)
            yield Stage(beside, "stage.main")
        remove(file)

    def close(self) -> None:
        """Dispose of every engine."""
        with self._guard:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()

    def adopt(self, source: Path, number: int) -> None:
        """Serve a copy of a file as that generation, and no other one. Nothing may run meanwhile."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _writer_lock(self.folder / "lock", lambda _: None):
            draft = self.folder / f"draft-{number}.duckdb"
            shutil.copyfile(source, draft)
            draft.chmod(0o600)
            with disposing(embedded(source, read_only=True)) as engine, reading(engine) as conn:
                rows = count_rows(conn)
            self.files.publish(draft, number, rows, alone=True)

    def repair(self) -> int:
        """Serve the newest whole generation. Returns its number.

        Raises:
            NoWarehouseError: nothing was ever loaded.
            BrokenWarehouseError: no generation is whole.
        """
        if not self.files.numbers():
            raise NoWarehouseError(NOTHING_LOADED)
        with _writer_lock(self.folder / "lock", lambda _: None):
            return self.files.repair()

    def _take(self, stack: ExitStack) -> tuple[int, Connection]:
        """The current generation and a connection to it, held until the stack closes."""
        for _ in range(_LOOKS):
            number = self.files.current()
            if not number:
                raise NoWarehouseError(NOTHING_LOADED)
            with ExitStack() as attempt:
                conn = self._held(number, attempt)
                if conn is not None:
                    stack.push(attempt.pop_all())
                    return number, conn
            sleep(_LOOK_S)
        raise self.files.missing(number)

    def _held(self, number: int, stack: ExitStack) -> Connection | None:
        """Note the generation as read here and, by a shared lock on its pin file, for other processes.

        None where its file is gone: the writer may have removed it after the pointer was read, for a newer one.
        """
        hold = stack.enter_context(_opened(self.files.pin_file(number), "a"))
        fcntl.flock(hold, fcntl.LOCK_SH)
        file = self.files.file(number)
        if not file.exists():
            return None
        refuse_irregular(file)
        stack.callback(self._let_go, number)
        with self._guard:
            self._newest = number
            self._readers[number] = self._readers.get(number, 0) + 1
            if number not in self._engines:
                self._engines[number] = embedded(file, read_only=True, memory_limit=self.reading_limit)
            engine = self._engines[number]
        try:
            return stack.enter_context(reading(engine))
        except DBAPIError as error:
            if not file.exists():
                return None
            reason = str(error.orig).splitlines()[0]
            raise self.files.broken(f"{file} cannot be opened ({reason})") from error

    def _let_go(self, number: int) -> None:
        """An engine of an old generation costs memory: dispose of it after its last reader."""
        with self._guard:
            self._readers[number] -= 1
            idle = [n for n in self._engines if n != self._newest and not self._readers.get(n)]
            for engine in [self._engines.pop(n) for n in idle]:
                engine.dispose()

    def _sweep(self) -> None:
        """Remove what a killed load left, and generations that are neither new nor read. Only the writer may.

        Raises:
            BrokenWarehouseError: which generation is served is in doubt; then nothing is removed.
        """
        newest = self.files.served()
        self.files.finish()
        for number in self.files.numbers():
            if number > newest or number <= newest - KEPT:
                self._remove_unread(number)
        for left in (*self.folder.glob("draft-*"), *self.folder.glob("*.new")):
            remove(left)
        for place in self.folder.glob("spill-*-*"):
            process, owner = place.name.split("-")[1:3]
            if owner == "draft" or not _runs(int(process)):
                shutil.rmtree(place, ignore_errors=True)

    def _remove_unread(self, number: int) -> None:
        """A reader who comes while the lock is held finds no file afterwards, and takes the current generation."""
        with _opened(self.files.pin_file(number), "a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self.files.remove(number)


class _PointerMoves(FileSystemEventHandler):
    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard

    def on_moved(self, event: DirMovedEvent | FileMovedEvent) -> None:
        """A file was renamed: the pointer moves last of all."""
        if os.fsdecode(event.dest_path).endswith("/current"):
            self._heard()


@contextmanager
def _writer_lock(file: Path, say: Callable[[str], None]) -> Iterator[None]:
    with _opened(file, "a+") as handle:
        file.chmod(0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            say(f"another load is running ({handle.read().strip() or 'unknown process'}); waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        # The command without its words: they may name a customer who is being erased.
        handle.write(f"process {os.getpid()}: {' '.join(sys.argv[:2])[:200]}")
        handle.flush()
        yield


def _opened(file: Path, mode: str) -> IO[str]:
    """A file to lock. Opening a pipe in its place would wait for somebody at its other end."""
    with suppress(FileNotFoundError):
        refuse_irregular(file)
    return file.open(mode, encoding="utf-8")


def _checkpoint(engine: Engine) -> None:
    with connected(engine) as conn:
        conn.execute(text("checkpoint"))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
