"""The files of the embedded warehouse: one for each generation, the pointer to the one served, and how it is moved.

A pointer that is lost or wrong is never guessed around, since what it does not name would be removed: readers and
writers are refused, and `python -m queries repair` sets it anew.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from config import EarshotError, refuse_irregular
from queries.engine import READING_LIMIT, disposing, embedded, reading
from queries.warehouse import tables
from queries.warehouse.generations.generation import latest

REPAIR: Final = "python -m queries repair"

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")


class BrokenWarehouseError(EarshotError):
    """The warehouse's files are not as a load leaves them."""


@dataclass(frozen=True, slots=True)
class GenerationFiles:
    """The folder they are in, which only who holds the writer's lock may change.

    `memory_limit` is that of the readers: DuckDB refuses to open in one process a file twice with different limits.
    """

    folder: Path
    memory_limit: str = READING_LIMIT

    # Names carry the generation: DuckDB's instance cache answers for a path that was swapped with the old file.
    def file(self, number: int) -> Path:
        """Where a generation lies, or would."""
        return self.folder / f"generation-{number}.duckdb"

    def pin_file(self, number: int) -> Path:
        """What its readers hold a shared lock on."""
        return self.folder / f"generation-{number}.pin"

    @property
    def pointer(self) -> Path:
        """It names the generation that readers are given."""
        return self.folder / "current"

    @property
    def _announced(self) -> Path:
        """Names the generation that is about to be served: a file that it does not name was served once."""
        return self.folder / "current.new"

    @property
    def _alone(self) -> Path:
        """Names the generation beside which no other may stay."""
        return self.folder / "alone"

    @property
    def _tombstones(self) -> Path:
        return self.folder / "erased.json"

    def numbers(self) -> list[int]:
        """The generations that have a file, the newest first."""
        names = (file.stem.removeprefix("generation-") for file in self.folder.glob("generation-*.duckdb"))
        return sorted((int(name) for name in names if _NUMBER.fullmatch(name)), reverse=True)

    def current(self) -> int:
        """The number that the pointer says, 0 before the first load. Raises BrokenWarehouseError where it is wrong."""
        number = _number_in(self.pointer)
        if number is not None:
            return number
        if self.pointer.exists():
            raise self.broken(f"{self.pointer} does not name a generation")
        announced = _number_in(self._announced)
        if set(self.numbers()) <= {announced}:
            return 0
        # A first load may have moved the pointer since it was looked for.
        if self.pointer.exists():
            return self.current()
        raise self.broken(f"{self.pointer} is missing")

    def served(self) -> int:
        """`current`, as a writer must be sure of it: its file is there, and none that was served later.

        Raises:
            BrokenWarehouseError: with what is wrong, and the way on.
        """
        number = self.current()
        if number and not self.file(number).exists():
            raise self.missing(number)
        later = set(self.numbers()) - {_number_in(self._announced)} if _number_in(self._alone) != number else set()
        if max(later, default=0) > number:
            raise self.broken(f"{self.pointer} names generation {number}, but {max(later)} exists")
        return number

    def missing(self, number: int) -> BrokenWarehouseError:
        """What is said where the pointer names a file that is not there."""
        return self.broken(f"{self.pointer} names generation {number}, but {self.file(number)} is missing")

    def broken(self, what: str) -> BrokenWarehouseError:
        """What is wrong, as an error that names the way on."""
        whole = self.newest_whole()
        if whole is None:
            way = "no generation is intact: restore a backup (`python -m queries restore`), or remove `current` and "
            way += f"`generation-*` in {self.folder} and load every source again"
        else:
            way = f"the newest intact generation is {whole}; run `{REPAIR}` to use it"
        return BrokenWarehouseError(f"{what}; nothing was removed; {way}")

    def newest_whole(self) -> int | None:
        """The newest generation whose file opens and says that it is that one."""
        for number in self.numbers():
            with suppress(BrokenWarehouseError):
                self._read(self.file(number), number)
                return number
        return None

    def publish(self, draft: Path, number: int, rows: Mapping[str, int], *, alone: bool) -> None:
        """Serve a file as that generation: the one way for whatever makes one. Its engine must be disposed.

        Whatever is refused or dies before the pointer moves leaves the generation before served and untouched.

        Args:
            draft: in the same folder.
            number: the generation that its newest row names.
            rows: how many rows each of its tables must have.
            alone: whether no other generation may stay, read or not: what was erased must be gone.

        Raises:
            BrokenWarehouseError: the file is not whole.
        """
        # What is not on the disk before the rename may be missing behind a new name after a power cut.
        _fsync(draft)
        found, erased = self._read(draft, number)
        if found != rows:
            differs = sorted(name for name in rows.keys() | found.keys() if rows.get(name) != found.get(name))
            raise BrokenWarehouseError(
                f"{draft} lacks rows of {', '.join(differs)}; the previous generation stays in use: free some space "
                "and run it again"
            )
        self._keep_tombstones(erased)
        if alone:
            _write(self._alone, str(number))
        _write(self._announced, str(number))
        # A log that somebody else left beside that name would be played into the file.
        _log_of(self.file(number)).unlink(missing_ok=True)
        draft.rename(self.file(number))
        _fsync(self.folder)
        self._announced.rename(self.pointer)
        _fsync(self.folder)
        self.finish()

    def finish(self) -> None:
        """Remove every other generation, where the one served is to be alone; also after a kill in between."""
        if (alone := _number_in(self._alone)) is None:
            return
        if alone == self.served():
            for number in self.numbers():
                if number != alone:
                    self.remove(number)
            for damaged in self.folder.glob("damaged-*"):
                remove(damaged)
        self._alone.unlink()

    def remove(self, number: int) -> None:
        """Remove a generation's file."""
        remove(self.file(number))
        self.pin_file(number).unlink(missing_ok=True)

    def repair(self) -> int:
        """Serve the newest whole generation; newer ones are set aside as `damaged-N.duckdb`. Returns its number.

        Raises:
            BrokenWarehouseError: no generation is whole.
        """
        whole = self.newest_whole()
        if whole is None:
            raise self.broken(f"{self.folder} holds {len(self.numbers())} generations")
        for number in self.numbers():
            if number > whole:
                self.file(number).rename(self.folder / f"damaged-{number}.duckdb")
        _write(self._announced, str(whole))
        self._announced.rename(self.pointer)
        _fsync(self.folder)
        return whole

    def tombstones(self) -> dict[str, str]:
        """What was ever erased: hashes, with when (ISO, naive UTC). Beside the generations, to outlive them all.

        Raises:
            BrokenWarehouseError: the file is damaged.
        """
        try:
            refuse_irregular(self._tombstones)
            kept = json.loads(self._tombstones.read_text(encoding="ascii"))
            return {key: datetime.fromisoformat(at).isoformat() for key, at in kept.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            advice = "remove it: the newest generation has the same content"
            raise BrokenWarehouseError(f"{self._tombstones} is damaged; {advice}") from error

    def _keep_tombstones(self, erased: Mapping[str, str]) -> None:
        kept = self.tombstones()
        if erased.items() <= kept.items():
            return
        part = self._tombstones.with_suffix(".new")
        _write(part, json.dumps({**kept, **erased}, indent=0, sort_keys=True))
        part.rename(self._tombstones)

    def _read(self, file: Path, number: int) -> tuple[dict[str, int], dict[str, str]]:
        """The rows of each table of a file that is whole, and its tombstones. Raises BrokenWarehouseError."""
        # The newest rows of a file with a log beside it are in the log, which does not get its name.
        if _log_of(file).exists():
            raise BrokenWarehouseError(f"{file} was not written completely; run the load again")
        try:
            refuse_irregular(file)
            with (
                disposing(embedded(file, read_only=True, memory_limit=self.memory_limit)) as engine,
                reading(engine) as conn,
            ):
                newest, rows = latest(conn), count_rows(conn)
                erased = conn.execute(select(tables.erased)).all() if tables.erased.name in rows else ()
        except (DBAPIError, OSError) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error.strerror
            raise BrokenWarehouseError(f"{file} cannot be read ({str(reason).splitlines()[0]})") from error
        if newest is None or newest.number != number:
            raise BrokenWarehouseError(f"{file} holds generation {newest.number if newest else 0}, not {number}")
        return rows, {row.hash: row.at.isoformat() for row in erased}


def count_rows(conn: Connection) -> dict[str, int]:
    """How many rows each table of a DuckDB file has."""
    names = conn.scalars(
        text("select table_name from duckdb_tables() where not temporary and database_name = current_database()")
    )
    counts = " union all ".join(f"select '{name}', count(*) from \"{name}\"" for name in names.all())
    return {name: int(number) for name, number in conn.execute(text(counts))} if counts else {}


def remove(file: Path) -> None:
    """Remove a DuckDB file, and the log that a killed writer left beside it."""
    for name in (file, _log_of(file)):
        name.unlink(missing_ok=True)


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.wal")


def _number_in(file: Path) -> int | None:
    """The number that a file holds; None where it is not there, or holds something else."""
    try:
        refuse_irregular(file)
        said = file.read_bytes().decode("ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return int(said) if _NUMBER.fullmatch(said) else None


def _write(file: Path, content: str) -> None:
    file.write_text(content, encoding="ascii")
    file.chmod(0o600)
    _fsync(file)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
