"""Back up the warehouse and the state, while everything runs; and what a backup holds, with the hash of each file.

The state is copied before the warehouse: the rules never know of a generation that the backup does not hold.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from config import EarshotError, refuse_irregular
from config.settings import Settings
from queries.operations.database_copy import copy_journal, dump
from queries.state import VERSIONS, state
from queries.stores import open_warehouse
from queries.warehouse import EmbeddedWarehouse, NoWarehouseError, Warehouse, tables

NAME: Final = "manifest.json"
FORMAT: Final = 1
JOURNAL, STATE_DUMP, WAREHOUSE_DUMP = "state.db", "state.dump", "warehouse.dump"
_BLOCK: Final = 1 << 20

Say = Callable[[str], None]


class NotNowError(EarshotError):
    """A backup or a restore must not be done here and now."""


class BadBackupError(EarshotError):
    """A folder is no backup, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup.

    Args:
        made_at: when it was begun, aware UTC: it holds everything up to then.
        state: `sqlite` or `postgresql`.
        warehouse: `duckdb` or `postgresql`; empty where nothing was loaded.
        generation: the warehouse's, 0 where nothing was loaded.
        files: the SHA-256 of each file.
        erased: the hashes of what was erased, with when (ISO, naive UTC).
    """

    made_at: datetime
    state: str
    warehouse: str
    generation: int
    files: Mapping[str, str]
    erased: Mapping[str, str]


def backup(settings: Settings, folder: Path, now: datetime, say: Say) -> Manifest:
    """Copy both stores into a new folder, while everything runs.

    Args:
        settings: where the stores are.
        folder: must not exist, or be empty. It appears whole or not at all.
        now: aware UTC.
        say: told what was done.

    Raises:
        NotNowError: the folder holds something, or there is no state.
    """
    if folder.exists() and any(folder.iterdir()):
        raise NotNowError(f"{folder} is not empty; name a new folder")
    part = folder.with_name(f"{folder.name}.part")
    with closing(open_warehouse(settings)) as warehouse:
        while True:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(mode=0o700, parents=True)
            erased = tombstones(warehouse)
            # The state first: copied after the warehouse, it could know of a generation that the backup does not hold.
            state_kind = _copy_state(settings, part)
            kind, generation = _copy_warehouse(settings, warehouse, part)
            # What was erased between the two copies still stands in the first, and nothing would say so.
            if erased == tombstones(warehouse):
                break
    files = {file.name: hash_file(file) for file in sorted(part.iterdir())}
    made = Manifest(now, state_kind, kind, generation, files, erased)
    write_manifest(part, made)
    if folder.exists():
        folder.rmdir()
    # By one rename: a backup that was interrupted is never taken for a whole one.
    part.rename(folder)
    what = f"generation {made.generation}" if made.generation else "no warehouse (nothing is loaded)"
    say(f"{what} and the state as of {now:%Y-%m-%d %H:%M:%S} UTC are in {folder}")
    return made


def tombstones(warehouse: Warehouse) -> dict[str, str]:
    """The hashes of what was erased, with when (ISO, naive UTC); empty before the first load."""
    try:
        with warehouse.pin() as pin:
            return tombstones_of(pin.conn)
    except NoWarehouseError:
        return {}


def tombstones_of(conn: Connection) -> dict[str, str]:
    table = tables.erased.c
    return {row.hash: row.at.isoformat() for row in conn.execute(select(table.hash, table.at))}


def _copy_state(settings: Settings, folder: Path) -> str:
    if url := settings.state.url:
        dump(url.get_secret_value(), (VERSIONS, *state.tables), folder / STATE_DUMP)
        return "postgresql"
    if not (settings.data / JOURNAL).exists():
        raise NotNowError(f"there is no state in {settings.data}; there is nothing to back up")
    copy_journal(settings.data / JOURNAL, folder / JOURNAL)
    return "sqlite"


def _copy_warehouse(settings: Settings, warehouse: Warehouse, folder: Path) -> tuple[str, int]:
    try:
        with warehouse.pin() as pin:
            number = pin.generation.number
            # A generation's file never changes, and the pin keeps it from being removed: a plain copy is whole.
            if isinstance(warehouse, EmbeddedWarehouse):
                shutil.copyfile(warehouse.files.file(number), folder / warehouse.files.file(number).name)
                return "duckdb", number
    except NoWarehouseError:
        return "", 0
    # What is dumped may be a newer generation than the pin's: it is whole, too.
    if url := settings.warehouse.url:
        dump(url.get_secret_value(), tables.warehouse.tables, folder / WAREHOUSE_DUMP)
    return "postgresql", number


def hash_file(file: Path) -> str:
    """The SHA-256 of a file's content."""
    known = sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            known.update(block)
    return known.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it beside its files."""
    raw = {"format": FORMAT, **asdict(manifest), "made_at": manifest.made_at.isoformat()}
    (folder / NAME).write_text(json.dumps(raw, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """A backup's manifest.

    Raises:
        BadBackupError: there is none, or it is of another format.
    """
    try:
        refuse_irregular(folder / NAME)
        raw = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if raw.pop("format") != FORMAT:
            raise BadBackupError(f"{folder}: written by another version of Earshot; restore it with that version")
        return Manifest(**{**raw, "made_at": datetime.fromisoformat(raw["made_at"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadBackupError(
            f"{folder} is not a backup ({NAME}: {type(error).__name__}); name a folder that holds one"
        ) from error


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises BadBackupError where a file is missing or was changed."""
    for name, known in sorted(manifest.files.items()):
        if not (folder / name).is_file():
            raise BadBackupError(f"{folder / name} is missing; use another backup")
        if hash_file(folder / name) != known:
            raise BadBackupError(f"{folder / name} has changed since the backup; use another backup")
