"""A source made for one test, and what its sandbox says about its rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from config.models import Source, SourceInput
from queries.loading.sandbox import staged

FAR_LATER: Final = datetime(2199, 12, 31, tzinfo=UTC).replace(tzinfo=None)
"""When sources are read whose dates do not matter."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """The rows of each table of a source, and everything that was said."""

    tables: dict[str, list[Row]]
    warnings: list[str]
    said: list[str]

    def reasons(self, table: str) -> list[str | None]:
        return [row["reason"] for row in self.tables[table]]

    def values(self, table: str, column: str) -> list[Any]:
        return [row[column] for row in self.tables[table]]


def read(source: Source, folder: Path, data: Path, zone: str | None = None, now: datetime = FAR_LATER) -> Read:
    said: list[str] = []
    with staged(source, folder, data, zone or source.zone, now, said.append) as staging:
        tables = {item.table: _rows(item.rows.read_all().to_pylist()) for item in staging}
        return Read(tables, staging.warnings, said)


def _rows(rows: list[Row]) -> list[Row]:
    """In a stable order: batches come as they are ready."""
    return sorted(rows, key=lambda row: tuple(str(value) for value in row.values()))


def offered(
    folder: Path,
    selects: Mapping[str, str],
    files: Mapping[str, bytes | str],
    zone: str = "UTC",
    reporting: str | None = None,
    now: datetime = FAR_LATER,
    **inputs: Any,
) -> Read:
    """Read a source whose inputs are `files` (name.format to content) through `selects` (table to SQL)."""
    source = write_source(folder, selects, files, zone, **inputs)
    return read(source, folder / "source", folder / "data", reporting, now)


def write_source(
    folder: Path, selects: Mapping[str, str], files: Mapping[str, bytes | str], zone: str = "UTC", **inputs: Any
) -> Source:
    (folder / "source").mkdir(exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    for table, sql in selects.items():
        (folder / "source" / f"{table}.sql").write_text(sql, encoding="utf-8")
    for name, content in files.items():
        (folder / "data" / name).write_bytes(content.encode() if isinstance(content, str) else content)
    described = {
        Path(name).stem: SourceInput(**({"file": name, "format": Path(name).suffix[1:]} | inputs)) for name in files
    }
    return Source(name="made", zone=zone, mode="append", inputs=described)
