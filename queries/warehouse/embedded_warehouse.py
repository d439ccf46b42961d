"""The warehouse on this machine: a DuckDB file for each generation, published by a rename."""

import fcntl
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Connection, Engine, text
from watchdog.events import DirMovedEvent, FileMovedEvent, FileSystemEventHandler
from watchdog.observers import Observer

from config.errors import EarshotError
from config.files import refuse_irregular
from queries.engine import MEMORY_LIMIT, READING_LIMIT, attached, connected, embedded, reading, rewrite
from queries.warehouse.generations import (
    NOTHING_LOADED,
    Generation,
    NewGeneration,
    NoWarehouseError,
    Pin,
    make_tables,
    pinned,
)
from queries.warehouse.staging import Stage

log: Final = logging.getLogger("queries")

KEPT: Final = 2
"""How many generations stay on disk besides those still read."""


class DamagedWarehouseError(EarshotError):
    """The files of the warehouse do not belong together."""


class EmbeddedWarehouse:
    """DuckDB, one file per generation, published by a rename. Readers open files that never change."""

    def __init__(self, folder: Path, memory_limit: str = MEMORY_LIMIT, reading_limit: str = READING_LIMIT) -> None:
        self.folder, self.memory_limit, self.reading_limit = folder, memory_limit, reading_limit
        self._engines: dict[int, Engine] = {}
        self._generations: dict[int, Generation] = {}
        self._readers: dict[int, int] = {}
        self._guard = threading.Lock()

    @contextmanager
    def pin(self) -> Iterator[Pin]:
        """Hold the current generation's file for as long as the block runs."""
        number, hold = self._take()
        try:
            with reading(self._engine(number)) as conn:
                # Its file never changes: whoever pins it next, as each run of a page does, need not ask again.
                if number not in self._generations:
                    self._generations[number] = pinned(conn).generation
                yield Pin(conn, self._generations[number])
        finally:
            self._let_go(number)
            hold.close()

    @contextmanager
    def draft(self, say: Callable[[str], None] = print) -> Iterator[NewGeneration]:
        """Copy the current file, change the copy, and publish it when the block ends without an error."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _writer_lock(self.folder / "lock", say):
            self._sweep()
            try:
                yield from self._drafted(self.current() + 1)
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
            shutil.copyfile(self._file(number - 1), file)
        engine = embedded(file, read_only=False, memory_limit=self.memory_limit)
        try:
            with connected(engine) as conn:
                make_tables(conn)
                conn.commit()
                file.chmod(0o600)
                draft = NewGeneration(conn, number, lambda empty: self._staged(conn, number, empty))
                yield draft
                conn.commit()
            # Else the file's newest rows lie in a .wal beside it, which the rename would leave behind.
            if draft.kept:
                _checkpoint(engine)
        finally:
            engine.dispose()
        if draft.kept and draft.erasing:
            anew = file.with_suffix(".anew.duckdb")
            rewrite(file, anew, self.memory_limit)
            anew.chmod(0o600)
            _remove(file)
            file = anew
        if draft.kept:
            self._publish(file, number)
        if draft.kept and draft.erasing:
            self.purge()

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
        _remove(file)

    def current(self) -> int:
        """The number of the generation readers are given, 0 before the first load."""
        pointer = self.folder / "current"
        try:
            refuse_irregular(pointer)
            return int(pointer.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise DamagedWarehouseError(f"{pointer} holds no number; {self._repair()}") from error

    def close(self) -> None:
        """Dispose of every engine."""
        with self._guard:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()

    def file(self, number: int) -> Path:
        """Where a generation lies, or would."""
        return self._file(number)

    def adopt(self, source: Path, number: int) -> None:
        """Serve a copy of a file as that generation, and no other one. Nothing may run meanwhile."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _writer_lock(self.folder / "lock", lambda _: None):
            draft = self.folder / f"draft-{number}.duckdb"
            shutil.copyfile(source, draft)
            draft.chmod(0o600)
            self._publish(draft, number)
            self.purge()

    # Names carry the generation: DuckDB's instance cache answers for a path that was swapped with the old file.
    def _file(self, number: int) -> Path:
        return self.folder / f"generation-{number}.duckdb"

    def _pin_file(self, number: int) -> Path:
        return self.folder / f"generation-{number}.pin"

    def _publish(self, file: Path, number: int) -> None:
        """The pointer moves last: whatever dies before it leaves the old generation served."""
        # What is not on the disk before the rename may be missing behind a new name after a power cut.
        _fsync(file)
        file.rename(self._file(number))
        pointer = self.folder / "current.new"
        pointer.write_text(str(number), encoding="ascii")
        _fsync(pointer)
        pointer.rename(self.folder / "current")
        _fsync(self.folder)

    def _take(self) -> tuple[int, IO[str]]:
        """Note the generation as read here and, by a shared lock on its pin file, for other processes."""
        missing = 0
        while number := self.current():
            if number == missing:
                raise DamagedWarehouseError(f"{self._file(number)} is missing; {self._repair()}")
            hold = _opened(self._pin_file(number), "a")
            fcntl.flock(hold, fcntl.LOCK_SH)
            # The writer may have removed it after the pointer was read: then there is a newer one to take.
            if self._file(number).exists():
                refuse_irregular(self._file(number))
                with self._guard:
                    self._readers[number] = self._readers.get(number, 0) + 1
                return number, hold
            hold.close()
            missing = number
        raise NoWarehouseError(NOTHING_LOADED)

    def _repair(self) -> str:
        """What to do where the pointer is wrong: it names the newest generation that is there, or a backup."""
        numbers = [int(file.stem.rpartition("-")[2]) for file in self.folder.glob("generation-*.duckdb")]
        backup = "put a backup back (`python -m queries restore`)"
        return f"write {max(numbers)} into {self.folder / 'current'}, or {backup}" if numbers else backup

    def _engine(self, number: int) -> Engine:
        with self._guard:
            if number not in self._engines:
                self._engines[number] = embedded(self._file(number), read_only=True, memory_limit=self.reading_limit)
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
        """Remove what a killed load left, and generations that are neither new nor read. Only the writer may."""
        for left in (*self.folder.glob("draft-*"), *self.folder.glob("current.new")):
            _remove(left)
        for place in self.folder.glob("spill-*-*"):
            process, owner = place.name.split("-")[1:3]
            if owner == "draft" or not _runs(int(process)):
                shutil.rmtree(place, ignore_errors=True)
        newest = self.current()
        for file in self.folder.glob("generation-*.duckdb"):
            number = int(file.stem.removeprefix("generation-"))
            if number > newest or number <= newest - KEPT:
                self._remove_unread(number)

    def _remove_unread(self, number: int) -> None:
        """A reader who comes while the lock is held finds no file afterwards, and takes the current generation."""
        with _opened(self._pin_file(number), "a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            _remove(self._file(number))
            _remove(self._pin_file(number))

    def purge(self) -> None:
        """Remove every generation but the newest, read or not: what was erased must be gone."""
        newest = self.current()
        for file in self.folder.glob("generation-*.duckdb"):
            if file != self._file(newest):
                _remove(file)


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
