"""Back up the warehouse and the state, while everything runs.

The state is copied before the warehouse: the rules never know of a generation that the backup does not hold.
"""

import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from config.errors import EarshotError
from config.settings import Settings
from queries.operations.database_copy import copy_journal, dump
from queries.operations.manifest import JOURNAL, STATE_DUMP, WAREHOUSE_DUMP, Manifest, hash_file, write_manifest
from queries.state.tables import VERSIONS, state
from queries.stores import open_warehouse
from queries.warehouse import EmbeddedWarehouse, NoWarehouseError, Warehouse, tables

Say = Callable[[str], None]


class NotNowError(EarshotError):
    """A backup or a restore must not be done here and now."""


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
        raise NotNowError(f"{folder} holds something; name a new folder")
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
    what = f"generation {made.generation}" if made.generation else "no warehouse, for nothing is loaded,"
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
        raise NotNowError(f"there is no state in {settings.data}; nothing is there to be backed up")
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
