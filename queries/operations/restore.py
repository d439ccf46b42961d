"""Put the warehouse and the state back as a backup holds them, so that nothing is sent twice and no one erased returns.

Everything is made ready beside the present stores: what was erased since the backup is erased there again, and messages
that may have been sent since are marked, to be looked for in Slack. Only then do the stores change places. Until then
the present ones are served and untouched; once it has begun, nothing opens them before it is finished.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from sqlalchemy import Engine, inspect, select
from sqlalchemy.exc import DBAPIError

from config import EarshotError
from config.models import Catalog
from config.settings import Settings
from queries.engine import aware, disposing, journal, shared
from queries.messages import mark_restored
from queries.operations.backup import (
    JOURNAL,
    NAME,
    STATE_DUMP,
    WAREHOUSE_DUMP,
    Manifest,
    NotNowError,
    Say,
    check_files,
    hash_file,
    read_manifest,
    tombstones,
)
from queries.operations.database_copy import (
    aside,
    bring_in,
    clear_aside,
    fsync,
    holders,
    others_connected,
    undump_aside,
)
from queries.operations.erase import finish_erasures, intend, noted_keys
from queries.state import VERSIONS, erasure, heartbeat, incident, state
from queries.stores import RESTORING, SWITCHING, Stores, open_stores, open_warehouse
from queries.warehouse import (
    CANONICAL,
    BrokenWarehouseError,
    EmbeddedWarehouse,
    Kind,
    NoWarehouseError,
    hash_of,
    tables,
)

ALIVE: Final = timedelta(seconds=30)
"""A process that said so long ago that it lives may still run."""


class StillThereError(EarshotError):
    """What was erased is in what a restore made ready. It must not be served."""


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
        StillThereError: something erased is still in what was made ready; nothing has changed.
    """
    made, of = read_manifest(folder), hash_file(folder / NAME)
    check_files(folder, made)
    _refuse_other_kinds(settings, made)
    _refuse_running(settings, now)
    beside = settings.data / RESTORING
    if (beside / SWITCHING).exists():
        begun = json.loads((beside / SWITCHING).read_text(encoding="utf-8"))
        _switch(settings, with_warehouse=begun["with_warehouse"])
        say("the interrupted restore is finished")
        if begun["of"] == of:
            return
    if not replace and (there := _what_is_there(settings)):
        raise NotNowError(f"{there}; anything recorded since the backup of {made.made_at:%Y-%m-%d %H:%M} UTC "
                          "would be lost: add --replace")  # fmt: skip
    erased, keys = _erased(settings, made, newer, say)
    with open_stores(_put_beside(settings, folder, made)) as stores:
        with stores.writing() as conn:
            waiting = mark_restored(conn, now)
        keys |= set(_still_there(stores, erased))
        intend(stores.warehouse, stores.states, sorted(keys), now)
        missing = erased.keys() - tombstones(stores.warehouse).keys()
        marks = {hash_: datetime.fromisoformat(erased[hash_]) for hash_ in missing}
        finish_erasures(stores.warehouse, stores.states, catalog, now, say, marks)
        if left := _still_there(stores, erased):
            raise StillThereError(
                f"{len(left)} erased keys are still in the restored data; keep the backup and report this"
            )
    with_warehouse = bool(made.warehouse) or not _present_generation(settings)
    note = {"of": of, "with_warehouse": with_warehouse}
    (beside / f"{SWITCHING}.part").write_text(json.dumps(note), encoding="utf-8")
    fsync(beside / f"{SWITCHING}.part")
    (beside / f"{SWITCHING}.part").rename(beside / SWITCHING)
    fsync(beside)
    _switch(settings, with_warehouse=with_warehouse)
    say(f"restored as of {made.made_at:%Y-%m-%d %H:%M:%S} UTC; {waiting} messages are first looked up in Slack")


def discard_unfinished(settings: Settings) -> None:
    """Remove what a restore that was stopped had made ready: it may hold what is being erased now.

    One that runs is left alone, and so is one whose stores are changing places.
    """
    beside = settings.data / RESTORING
    if beside.exists() and not (beside / SWITCHING).exists() and not holders(beside):
        for url in _urls(settings):
            clear_aside(url)
        shutil.rmtree(beside)


def _urls(settings: Settings) -> set[str]:
    return {url.get_secret_value() for url in (settings.state.url, settings.warehouse.url) if url}


def _refuse_other_kinds(settings: Settings, made: Manifest) -> None:
    kinds = {
        "EARSHOT_STATE__URL": (made.state == "postgresql", settings.state.url),
        "EARSHOT_WAREHOUSE__URL": (made.warehouse == "postgresql", settings.warehouse.url),
    }
    for name, (was_shared, url) in kinds.items():
        if was_shared != (url is not None) and not (name == "EARSHOT_WAREHOUSE__URL" and not made.warehouse):
            todo = "set" if was_shared else "do not set"
            raise NotNowError(f"the backup holds {made.state} and {made.warehouse or 'no warehouse'}; {todo} {name}")


def _refuse_running(settings: Settings, now: datetime) -> None:
    if processes := holders(settings.data):
        raise NotNowError(
            f"processes {', '.join(map(str, processes))} have files in {settings.data} open; stop them first"
        )
    if any(others_connected(url) for url in _urls(settings)):
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
            raise NotNowError(f"{name} was running {age:.0f} s ago; stop it and wait half a minute")


def _what_is_there(settings: Settings) -> str:
    """The stores that a restore would replace, in words; empty where there is none."""
    stores = []
    if number := _present_generation(settings):
        stores.append(f"a warehouse at generation {number}")
    with _present_state(settings) as engine:
        if engine is not None and inspect(engine).has_table(heartbeat.name):
            stores.append("a state")
    return f"there is {' and '.join(stores)} already" if stores else ""


def _present_generation(settings: Settings) -> int:
    """The newest generation as it lies there, 0 where nothing was loaded."""
    with closing(open_warehouse(settings)) as warehouse:
        try:
            with warehouse.pin() as pin:
                return pin.generation.number
        except NoWarehouseError:
            return 0


@contextmanager
def _present_state(settings: Settings) -> Iterator[Engine | None]:
    """The state as it lies there, neither made nor upgraded. None where there is none."""
    file, url = settings.data / JOURNAL, settings.state.url
    if url is None and not file.exists():
        yield None
        return
    with disposing(shared(url.get_secret_value()) if url else journal(file)) as engine:
        yield engine


def _erased(
    settings: Settings, made: Manifest, newer: Path | None, say: Say
) -> tuple[dict[str, str], set[tuple[Kind, str]]]:
    """The tombstones of everything that is known to have been erased, and the keys whose erasure is not finished."""
    erased, keys = {**made.erased, **(read_manifest(newer).erased if newer else {})}, set[tuple[Kind, str]]()
    try:
        with closing(open_warehouse(settings)) as warehouse:
            # Kept beside the generations: also where none of them can be read.
            erased |= warehouse.files.tombstones() if isinstance(warehouse, EmbeddedWarehouse) else {}
            erased |= tombstones(warehouse)
    except (BrokenWarehouseError, DBAPIError, OSError) as error:
        say(f"the present warehouse cannot be read ({type(error).__name__}): erasures since the backup are unknown")
    try:
        with _present_state(settings) as engine:
            if engine is not None and inspect(engine).has_table(erasure.name):
                with engine.connect() as conn:
                    keys.update(noted_keys(conn))
    except DBAPIError as error:
        say(f"the present state cannot be read ({type(error).__name__}): unfinished erasures are unknown")
    return erased, keys


def _put_beside(settings: Settings, folder: Path, made: Manifest) -> Settings:
    """The backup's stores beside the present ones, and the settings by which they are opened there."""
    beside = settings.data / RESTORING
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700, parents=True)
    for address in _urls(settings):
        clear_aside(address)
    script = beside / "dump.sql"
    if made.warehouse == "postgresql" and (url := settings.warehouse.url):
        undump_aside(url.get_secret_value(), tables.warehouse.tables, folder / WAREHOUSE_DUMP, script)
    elif made.warehouse == "duckdb":
        warehouse = EmbeddedWarehouse(beside / "warehouse")
        warehouse.adopt(folder / warehouse.files.file(made.generation).name, made.generation)
    if url := settings.state.url:
        undump_aside(url.get_secret_value(), (*state.tables, VERSIONS), folder / STATE_DUMP, script)
    else:
        shutil.copyfile(folder / JOURNAL, beside / JOURNAL)
        (beside / JOURNAL).chmod(0o600)
    places: dict[str, object] = {"data": beside}
    for name in ("state", "warehouse"):
        options = getattr(settings, name)
        if options.url:
            places[name] = options.model_copy(update={"url": SecretStr(aside(options.url.get_secret_value()))})
    return settings.model_copy(update=places)


def _still_there(stores: Stores, erased: Mapping[str, str]) -> list[tuple[Kind, str]]:
    """The keys in both stores that were erased. A tombstone is a hash: which key it is of shows only by hashing."""
    kinds: tuple[Kind, ...] = ("account", "person")
    with stores.reading() as conn:
        accounts = conn.execute(select(incident.c.account_id).distinct()).scalars()
        keys: set[tuple[Kind, str]] = {("account", key) for key in accounts if key}
    with suppress(NoWarehouseError), stores.pinned() as pin:
        for kind, table in product(kinds, CANONICAL):
            if f"{kind}_id" in table.c:
                present = pin.conn.execute(select(table.c[f"{kind}_id"]).distinct()).scalars()
                keys.update((kind, key) for key in present if key)
    return sorted(key for key in keys if hash_of(*key) in erased)


def _switch(settings: Settings, *, with_warehouse: bool) -> None:
    """Put what is ready in the place of the present stores. Whatever was done before is not done again."""
    beside, present = settings.data / RESTORING, settings.data / "warehouse"
    names: dict[str, list[str]] = {}
    if url := settings.state.url:
        names.setdefault(url.get_secret_value(), []).extend((*state.tables, VERSIONS))
    elif (beside / JOURNAL).exists():
        # The old file's log beside the new file would be played into it when it is opened.
        for name in (f"{JOURNAL}-wal", f"{JOURNAL}-shm"):
            (settings.data / name).unlink(missing_ok=True)
        (beside / JOURNAL).replace(settings.data / JOURNAL)
    if url := settings.warehouse.url:
        names.setdefault(url.get_secret_value(), []).extend(tables.warehouse.tables if with_warehouse else ())
    elif with_warehouse and (beside / "warehouse").exists():
        if present.exists():
            present.rename(beside / "replaced")
        (beside / "warehouse").rename(present)
    for address, replaced in names.items():
        bring_in(address, replaced)
    fsync(settings.data)
    for name in ("replaced", "warehouse"):
        shutil.rmtree(beside / name, ignore_errors=True)
    # Last: as long as it is there, this is done again.
    (beside / SWITCHING).unlink()
    shutil.rmtree(beside)
