"""Back up the warehouse and the state, and put both back so that nothing is sent twice.

The state is copied before the warehouse: the rules never know of a generation that the backup does not hold. What was
erased since the backup is erased again, and messages that may have been sent since are looked for in Slack.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from config.errors import EarshotError
from config.models import Catalog
from config.settings import Settings
from queries.engine import disposing, journal, shared
from queries.instants import aware, naive
from queries.loading.publish import derive, generation_key, record_generation
from queries.messages.restores import mark_restored
from queries.operations.database_copy import copy_journal, dump, holders, others_connected, undump
from queries.operations.erase import BY, forget
from queries.operations.manifest import Manifest, check_files, hash_file, read_manifest, write_manifest
from queries.state import open_state
from queries.state.tables import VERSIONS, heartbeat, incident, state
from queries.stores import open_states, open_stores, open_warehouse
from queries.warehouse import (
    EmbeddedWarehouse,
    Kind,
    LoadReport,
    NoWarehouseError,
    Pin,
    Warehouse,
    hash_of,
    latest,
    nothing_touched,
)
from queries.warehouse import tables as warehouse_tables

JOURNAL, STATE_DUMP, WAREHOUSE_DUMP = "state.db", "state.dump", "warehouse.dump"
ALIVE: Final = timedelta(seconds=30)
"""A process that said so long ago that it lives may still run."""

RESTORING: Final = "restoring"
"""The folder, inside the data folder, of a restore that is not finished."""

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
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700, parents=True)
    # The state first: copied after the warehouse, it could know of a generation that the backup does not hold.
    state_kind = _copy_state(settings, part)
    with closing(open_warehouse(settings)) as warehouse:
        kind, generation, tombstones = _copy_warehouse(settings, warehouse, part)
    files = {file.name: hash_file(file) for file in sorted(part.iterdir())}
    made = Manifest(now, state_kind, kind, generation, files, tombstones)
    write_manifest(part, made)
    if folder.exists():
        folder.rmdir()
    # By one rename: a backup that was interrupted is never taken for a whole one.
    part.rename(folder)
    what = f"generation {made.generation}" if made.generation else "no warehouse, for nothing is loaded,"
    say(f"{what} and the state as of {now:%Y-%m-%d %H:%M:%S} UTC are in {folder}")
    return made


def _copy_state(settings: Settings, folder: Path) -> str:
    if url := settings.state.url:
        dump(url.get_secret_value(), (VERSIONS, *state.tables), folder / STATE_DUMP)
        return "postgresql"
    if not (settings.data / JOURNAL).exists():
        raise NotNowError(f"there is no state in {settings.data}; nothing is there to be backed up")
    copy_journal(settings.data / JOURNAL, folder / JOURNAL)
    return "sqlite"


def _copy_warehouse(settings: Settings, warehouse: Warehouse, folder: Path) -> tuple[str, int, Mapping[str, str]]:
    try:
        with warehouse.pin() as pin:
            tombstones, number = _erased(pin.conn), pin.generation.number
            # A generation's file never changes, and the pin keeps it from being removed: a plain copy is whole.
            if isinstance(warehouse, EmbeddedWarehouse):
                shutil.copyfile(warehouse.file(number), folder / warehouse.file(number).name)
                return "duckdb", number, tombstones
    except NoWarehouseError:
        return "", 0, {}
    # What is dumped may be a newer generation than the pin's: it is whole, too.
    if url := settings.warehouse.url:
        dump(url.get_secret_value(), warehouse_tables.warehouse.tables, folder / WAREHOUSE_DUMP)
    return "postgresql", number, tombstones


def _erased(conn: Connection) -> dict[str, str]:
    table = warehouse_tables.erased.c
    return {row.hash: row.at.isoformat() for row in conn.execute(select(table.hash, table.at))}


def restore(
    settings: Settings,
    folder: Path,
    catalog: Catalog,
    now: datetime,
    say: Say,
    *,
    newer: Path | None = None,
    replace: bool = False,
) -> None:
    """Put both stores back as a backup holds them. One that was stopped half-way is finished by running it again.

    Args:
        settings: where the stores go; of the same kinds as those that were backed up.
        folder: the backup.
        catalog: what the warehouse is computed by, where something must be erased again.
        now: aware UTC.
        say: told what was done.
        newer: another backup, whose erasures are done again, too.
        replace: whether stores that are there may go.

    Raises:
        BadBackupError: the folder holds no whole backup.
        NotNowError: a process runs, the settings name other kinds of stores, or there are stores already.
    """
    made = read_manifest(folder)
    check_files(folder, made)
    _refuse_other_kinds(settings, made)
    _refuse_running(settings, now)
    unfinished = (settings.data / RESTORING).exists()
    if not replace and not unfinished and (there := _what_is_there(settings)):
        raise NotNowError(f"{there}; what was recorded since the backup of {made.made_at:%Y-%m-%d %H:%M} UTC would go: "
                          "add --replace")  # fmt: skip
    tombstones = _tombstones(settings, made, newer, say)
    _put_warehouse(settings, folder, made)
    waiting = _put_state(settings, folder, now)
    shutil.rmtree(settings.data / RESTORING)
    say(f"restored as of {made.made_at:%Y-%m-%d %H:%M:%S} UTC; {waiting} messages are looked for in Slack first")
    _erase_again(settings, tombstones, catalog, now, say)


def _refuse_other_kinds(settings: Settings, made: Manifest) -> None:
    kinds = {
        "EARSHOT_STATE__URL": (made.state == "postgresql", settings.state.url),
        "EARSHOT_WAREHOUSE__URL": (made.warehouse == "postgresql", settings.warehouse.url),
    }
    for name, (was_shared, url) in kinds.items():
        if was_shared != (url is not None) and not (name == "EARSHOT_WAREHOUSE__URL" and not made.warehouse):
            todo = "set" if was_shared else "do not set"
            raise NotNowError(f"the backup is of {made.state} and {made.warehouse or 'no warehouse'}; {todo} {name}")


def _refuse_running(settings: Settings, now: datetime) -> None:
    if processes := holders(settings.data):
        raise NotNowError(
            f"processes {', '.join(map(str, processes))} have files in {settings.data} open; stop them first"
        )
    urls = {url.get_secret_value() for url in (settings.state.url, settings.warehouse.url) if url}
    if any(others_connected(url) for url in urls):
        raise NotNowError("the database has other connections; stop every process of Earshot first")
    # A process on another machine, with the files on a shared disk, shows by its heartbeat alone.
    with _present_state(settings) as engine:
        if engine is None or not inspect(engine).has_table(heartbeat.name):
            return
        with engine.connect() as conn:
            beats = conn.execute(select(heartbeat.c.name, heartbeat.c.at)).all()
    for name, at in beats:
        if now - aware(at) < ALIVE:
            age = max((now - aware(at)).total_seconds(), 0)
            raise NotNowError(f"{name} said {age:.0f} s ago that it runs; stop it, and wait half a minute")


def _what_is_there(settings: Settings) -> str:
    """The stores that a restore would replace, in words; empty where there is none."""
    stores = []
    with _present_warehouse(settings) as pin:
        if pin is not None:
            stores.append(f"a warehouse at generation {pin.generation.number}")
    with _present_state(settings) as engine:
        if engine is not None and inspect(engine).has_table(heartbeat.name):
            stores.append("a state")
    return f"there is {' and '.join(stores)} already" if stores else ""


@contextmanager
def _present_warehouse(settings: Settings) -> Iterator[Pin | None]:
    """The newest generation as it lies there. None where nothing was loaded."""
    with closing(open_warehouse(settings)) as warehouse, ExitStack() as stack:
        try:
            pin = stack.enter_context(warehouse.pin())
        except NoWarehouseError:
            pin = None
        yield pin


@contextmanager
def _present_state(settings: Settings) -> Iterator[Engine | None]:
    """The state as it lies there, neither made nor upgraded. None where there is none."""
    file, url = settings.data / JOURNAL, settings.state.url
    if url is None and not file.exists():
        yield None
        return
    with disposing(shared(url.get_secret_value()) if url else journal(file)) as engine:
        yield engine


def _tombstones(settings: Settings, made: Manifest, newer: Path | None, say: Say) -> dict[str, str]:
    """Everything that is known to have been erased, kept aside until it is erased again."""
    tombstones = {**made.erased, **(read_manifest(newer).erased if newer else {})}
    # Kept beside the stores until the restore is finished: the warehouse that knew them may be gone by then.
    aside = settings.data / RESTORING / "erased.json"
    if aside.exists():
        tombstones |= json.loads(aside.read_text(encoding="utf-8"))
    try:
        with _present_warehouse(settings) as pin:
            tombstones |= _erased(pin.conn) if pin else {}
    except (DBAPIError, OSError) as error:
        say(f"the present warehouse cannot be read ({type(error).__name__}): what was erased since is not known")
    aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside.write_text(json.dumps(tombstones), encoding="utf-8")
    return tombstones


def _put_warehouse(settings: Settings, folder: Path, made: Manifest) -> None:
    if made.warehouse == "postgresql" and (url := settings.warehouse.url):
        undump(url.get_secret_value(), warehouse_tables.warehouse, (), folder / WAREHOUSE_DUMP)
    elif made.warehouse == "duckdb":
        warehouse = EmbeddedWarehouse(settings.data / "warehouse")
        warehouse.adopt(folder / warehouse.file(made.generation).name, made.generation)


def _put_state(settings: Settings, folder: Path, now: datetime) -> int:
    """Returns how many messages wait. The state is marked as restored before anything can run on it."""
    if url := settings.state.url:
        undump(url.get_secret_value(), state, (VERSIONS,), folder / STATE_DUMP)
        return _mark(open_states(settings), now)
    beside = settings.data / RESTORING
    shutil.copyfile(folder / JOURNAL, beside / JOURNAL)
    waiting = _mark(open_state(beside), now)
    (beside / JOURNAL).chmod(0o600)
    # The old file's log beside the new file would be played into it when it is opened.
    for name in (f"{JOURNAL}-wal", f"{JOURNAL}-shm"):
        (settings.data / name).unlink(missing_ok=True)
    (beside / JOURNAL).replace(settings.data / JOURNAL)
    return waiting


def _mark(states: Engine, now: datetime) -> int:
    with disposing(states), states.begin() as conn:
        return mark_restored(conn, now)


def _erase_again(settings: Settings, tombstones: Mapping[str, str], catalog: Catalog, now: datetime, say: Say) -> None:
    """What was erased stays erased: later than the backup, or between the copies of state and warehouse."""
    if not tombstones:
        return
    with open_stores(settings) as stores:
        _entomb(stores.warehouse, tombstones, catalog, now, say)
        with stores.pinned() as pin, stores.reading() as conn:
            keys: set[tuple[Kind, str]] = {("account", key) for key in _keys(pin.conn, "account_id")}
            keys |= {("person", key) for key in _keys(pin.conn, "person_id")}
            accounts = conn.execute(select(incident.c.account_id).distinct()).scalars()
            keys |= {("account", key) for key in accounts if key}
        for kind, key in sorted(keys):
            # A tombstone is a hash: which keys it stands for shows only by hashing those that are there.
            if hash_of(kind, key) in tombstones:
                forget(stores.warehouse, stores.states, kind, key, catalog, now, say)


def _entomb(warehouse: Warehouse, tombstones: Mapping[str, str], catalog: Catalog, now: datetime, say: Say) -> None:
    """Have later loads leave out what the backup did not know to be erased."""
    with warehouse.draft(say) as draft:
        present, before = _erased(draft.conn), latest(draft.conn)
        missing = [(hash_, at) for hash_, at in tombstones.items() if hash_ not in present]
        new = [{"hash": hash_, "at": datetime.fromisoformat(at)} for hash_, at in missing]
        if not new or before is None:
            draft.discard()
            return
        draft.conn.execute(insert(warehouse_tables.erased), new)
        derive(draft.conn, catalog, nothing_touched(draft.conn))
        record_generation(
            draft.conn, draft.number, generation_key(before.zone, catalog), BY, LoadReport(BY).json(), naive(now)
        )


def _keys(conn: Connection, name: str) -> set[str]:
    tables = [table for table in warehouse_tables.CANONICAL if name in table.c]
    return {key for table in tables for key in conn.execute(select(table.c[name]).distinct()).scalars() if key}
