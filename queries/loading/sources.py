"""A source: a folder with a source.toml and one SELECT per canonical table, and whether it may come in as it is."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sqlalchemy import Connection, Table, select, union

from config import EarshotError, refuse_irregular
from config.models import Source
from config.reading import read_source
from queries.loading.quarantine import Rejected
from queries.warehouse import CANONICAL, Generation, quarantine, sample_sources


@dataclass(frozen=True, slots=True)
class Select:
    """The analyst's SELECT for one canonical table."""

    table: Table
    file: Path
    sql: str


def open_source(name: str, config: Path) -> tuple[Source, Path]:
    """The source called `name` below `config`/sources, or in the folder `name`, and that folder.

    Raises:
        EarshotError: there is no such folder, or its source.toml is wrong.
    """
    folder = find_source(name, config)
    return read_source(folder), folder


def find_source(name: str, config: Path) -> Path:
    """The folder of a source given by name or by path. Raises EarshotError with the nearest name there is."""
    named = config / "sources" / name
    folder = Path(name) if os.sep in name or not named.is_dir() else named
    if (folder / "source.toml").is_file():
        return folder
    if folder.is_dir():
        raise EarshotError(f"{folder} has no source.toml; name a source's folder")
    names = sorted(file.parent.name for file in (config / "sources").glob("*/source.toml"))
    raise EarshotError(f"there is no source {name!r}; {_instead(name, names)}")


def selects(folder: Path) -> tuple[Select, ...]:
    """The SELECTs of a source's folder, parents before children.

    Raises:
        EarshotError: there is none, or a file is named after no table.
    """
    tables = {table.name: table for table in CANONICAL}
    files = {file.stem: file for file in sorted(folder.glob("*.sql"))}
    for stem, file in files.items():
        if stem not in tables:
            raise EarshotError(f"{file}: there is no table {stem!r}; {_instead(stem, list(tables))}")
    if not files:
        raise EarshotError(f"{folder} has no .sql file; write one SELECT per table, such as contact.sql")
    chosen = []
    for name in (name for name in tables if name in files):
        try:
            refuse_irregular(files[name])
            sql = files[name].read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise EarshotError(f"{files[name]} cannot be read ({error}); make it a readable UTF-8 file") from error
        chosen.append(Select(tables[name], files[name], sql))
    return tuple(chosen)


def _instead(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(names)}" if names else "the folder config/sources is empty"


class LoadRefusedError(EarshotError):
    """The load would spoil the warehouse, and was stopped before anybody saw it; `rows` are those that were wrong."""

    def __init__(self, message: str, rows: Sequence[Rejected] = ()) -> None:
        super().__init__(message)
        self.rows = rows


def sources(conn: Connection) -> frozenset[str]:
    """The sources that have rows in the warehouse."""
    every = union(*(select(table.c.source).distinct() for table in (*CANONICAL, quarantine)))
    return frozenset(conn.scalars(every))


def samples_to_leave(conn: Connection, source: Source, present: frozenset[str], *, replace: bool) -> frozenset[str]:
    """The samples that go before a source comes: a real source and the sample never mix, figures of both mean nothing.

    Raises:
        LoadRefusedError: the sample would join real data, or real data the sample without being told to replace it.
    """
    samples = present & sample_sources(conn)
    if source.sample:
        if real := sorted(present - samples):
            there = ", ".join(real)
            raise LoadRefusedError(
                f"the warehouse holds {there}; to see the sample, set EARSHOT_DATA to another folder"
            )
        return frozenset()
    if samples and not replace:
        raise LoadRefusedError(
            f"the warehouse holds the sample company; add --replace-sample to replace it with {source.name}"
        )
    return samples


def reporting_zone(source: Source, wanted: str | None, before: Generation | None, staying: frozenset[str]) -> str:
    """The zone of the days: the setting, else that of the first source ever loaded.

    Days are made while a source is read, so another zone needs every source again.

    Raises:
        LoadRefusedError: rows that this load does not replace have the days of another zone.
    """
    zone = wanted or (before.zone if before and staying else source.zone)
    if before is None or before.zone == zone or not staying:
        return zone
    # A snapshot brings all of its rows again, and their days with them.
    if staying == {source.name} and source.mode == "snapshot":
        return zone
    drops = " && ".join(f"python -m queries drop {name}" for name in sorted(staying))
    message = f"the warehouse counts days in {before.zone}, not {zone}; set zone back, or run {drops} and load again"
    raise LoadRefusedError(message)
