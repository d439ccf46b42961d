"""A source's input files, found, checked and copied to where its SELECTs may read them."""

import csv
import errno
import json
import os
import re
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from config import EarshotError, refuse_stray
from config.models import Source, SourceInput
from queries.loading.text_files import copy_text, line_ends

_OTHER_DELIMITERS: Final = {";": ";", "\t": "\\t", "|": "|", ",": ","}
_WIDEST: Final = 16 << 20
_SEPARATOR: Final = re.compile(r'"?sep=.?"?\s*$', re.IGNORECASE)
"""What Excel writes above the header to tell itself the delimiter."""

_LOOKED_AT: Final = 20
"""Rows below a header that tell whether it is one."""

_SEARCHED: Final = 1 << 28
"""How many bytes of files are searched for the lines of refused rows: some seconds' worth."""

_RARE: Final = 8
"""In how many rows a value may stand that still tells a line from the others."""


@dataclass(frozen=True, slots=True)
class Private:
    """One input file and its private copy."""

    original: Path
    copy: Path


@dataclass(frozen=True, slots=True)
class Offer:
    """An input ready to be read: `scan` is the SELECT behind the table of its name."""

    name: str
    files: tuple[Private, ...]
    scan: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Header:
    """A CSV file's column names, and the blank lines before them."""

    names: tuple[str, ...]
    skip: int


def offer(source: Source, data: Path, private: Path, say: Callable[[str], None]) -> tuple[Offer, ...]:
    """Check every input of `source` below `data` and copy it into the folder `private`.

    Raises:
        EarshotError: a file is missing, is no file, or is not what source.toml says; or no space is left.
    """
    if not data.is_dir():
        raise EarshotError(f"{data} is not a folder; point --data at the folder with the source's files")
    offers = []
    with duckdb.connect(config={"memory_limit": "512MB"}) as conn:
        for name, wanted in source.inputs.items():
            originals = _find(name, wanted.file, data)
            files = tuple(Private(file, private / f"{name}-{i}.{wanted.format}") for i, file in enumerate(originals))
            say(f"checking {wanted.file} ({sum(file.stat().st_size for file in originals) / 1e6:,.1f} MB)")
            warnings = [warning for file in files for warning in _copy(file, wanted)]
            offers.append(Offer(name, files, _SCANS[wanted.format](conn, files, wanted, warnings), tuple(warnings)))
    return tuple(offers)


def lines_of(source: Source, data: Path, rows: Sequence[frozenset[str]]) -> list[str]:
    """Where each row stands in the source's text files, such as `orders.csv:5`: where most of its values stand.

    Empty where no line can be told from the others, or the files are too large to be searched.
    """
    shared = Counter(chain.from_iterable(rows))
    rows_of: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        for value in row:
            if value and shared[value] <= _RARE:
                rows_of.setdefault(value, []).append(number)
    # One value in common says little, unless there is but one.
    best = [min(2, len(row)) for row in rows]
    places: list[list[str]] = [[] for _ in rows]
    texts = [(name, wanted) for name, wanted in source.inputs.items() if rows and wanted.format != "parquet"]
    files = [(file, wanted) for name, wanted in texts for file in _find(name, wanted.file, data)]
    if sum(file.stat().st_size for file, _ in files) > _SEARCHED:
        return ["" for _ in rows]
    for file, wanted in files:
        for line, values in _records(file, wanted):
            for number in {number for value in values if value in rows_of for number in rows_of[value]}:
                alike = len(rows[number] & values)
                if alike > best[number]:
                    best[number], places[number] = alike, []
                if alike == best[number]:
                    places[number].append(f"{file.relative_to(data)}:{line}")
    return [" or ".join(lines) if len(lines) <= _RARE else "" for lines in places]


def _records(file: Path, wanted: SourceInput) -> Iterator[tuple[int, frozenset[str]]]:
    """The line and the values of every record of a text file."""
    with file.open(encoding=wanted.encoding, newline="", errors="replace") as text:
        if wanted.format == "jsonl":
            for number, line in enumerate(text, start=1):
                values = json.loads(line).values() if line.strip() else ()
                yield number, frozenset(str(value).strip() for value in values)
            return
        deque(islice(text, wanted.skip), maxlen=0)
        reader = _reader(text, wanted)
        next(reader, None)
        number = wanted.skip + reader.line_num + 1
        for record in reader:
            yield number, frozenset(value.strip() for value in record)
            number = wanted.skip + reader.line_num + 1


def _find(name: str, pattern: str, data: Path) -> tuple[Path, ...]:
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise EarshotError(f"input {name}: {pattern!r} leaves the data folder; write a path below it")
    files = tuple(sorted(data.glob(pattern)))
    if not files:
        near = get_close_matches(pattern, [file.name for file in data.iterdir()], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "put it there or correct source.toml"
        raise EarshotError(f"input {name}: there is no {pattern!r} in {data}; {hint}")
    for file in files:
        refuse_stray(file, data)
        if not file.is_file():
            raise EarshotError(f"input {name}: {file} is a folder; name a file, or all of them as '{pattern}/*.csv'")
    return files


def _copy(file: Private, wanted: SourceInput) -> tuple[str, ...]:
    """Make the private copy of a file. Returns warnings."""
    try:
        if wanted.format != "parquet":
            return copy_text(file.original, wanted.encoding, file.copy)
        # A hard link costs nothing; across disks, or where linking is not allowed, it takes a copy.
        try:
            os.link(file.original.resolve(), file.copy)
        except OSError:
            shutil.copyfile(file.original, file.copy)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise no_space(file.copy.parent) from error
        raise EarshotError(f"{file.original} cannot be read ({error.strerror}); check its permissions") from error
    return ()


def no_space(folder: Path) -> EarshotError:
    """What to say when the private copies do not fit."""
    return EarshotError(f"no space left in {folder.parent}; free some, or set TMPDIR to a folder on a larger disk")


def _csv(conn: duckdb.DuckDBPyConnection, files: Sequence[Private], wanted: SourceInput, warnings: list[str]) -> str:
    headers = {file: _header(file, wanted, warnings) for file in files}
    having = Counter(name.casefold() for header in headers.values() for name in header.names)
    for name, number in having.items():
        if number < len(files):
            where = f"{wanted.file}: column {name!r} is in {number} of {len(files)} files"
            warnings.append(f"{where}; the others have it empty")
    # DuckDB reads many files with one header only: those that differ in their columns or their order are read apart.
    groups: dict[_Header, list[Private]] = {}
    for file, header in headers.items():
        groups.setdefault(header, []).append(file)
    scans = []
    for header, group in groups.items():
        # Every column is text: what DuckDB's sniffer took for a number would lose its leading zeros.
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header.names)
        marks = f"delim = {literal(wanted.delimiter)}, quote = '\"', escape = {literal(wanted.escape)}"
        # Left to itself DuckDB takes 32 lines of the widest for each file at once: too much for two files.
        size = f"max_line_size = {_WIDEST}, buffer_size = {2 * _WIDEST}"
        where = f"{_paths(group)}, auto_detect = false, header = true, skip = {header.skip}, {marks}, {size}"
        read = f"read_csv({where}, columns = {{{columns}}}"
        if short := list(_short_rows(conn, f"{read}, ignore_errors = true, store_rejects = true)", group)):
            warnings += short
            read += ", null_padding = true, parallel = false"  # side by side it cannot pad where values hold line ends
        scans.append(f"select * from {read})")
    return " union all by name ".join(scans)


def _short_rows(conn: duckdb.DuckDBPyConnection, scan: str, files: Sequence[Private]) -> Iterator[str]:
    """A warning for each file with rows that end before the header does, as Excel and form tools write them."""
    with suppress(duckdb.Error):  # whatever else is wrong is said where the rows are read
        conn.execute(f"select count(*) from {scan}").fetchall()
    said = conn.execute(
        "select file_path, count(distinct line), min(line_byte_position) from reject_errors "
        "join reject_scans using (scan_id, file_id) where error_type = 'MISSING COLUMNS' "
        f"and list_contains({_paths(files)}, file_path) group by file_path"
    ).fetchall()
    originals = {str(file.copy): file.original for file in files}
    for path, rows, position in said:
        line = 1 + line_ends(Path(path), position)
        some = "a row ends" if rows == 1 else f"{rows:,} rows end"
        yield f"{originals[path]}:{line}: {some} before the header does; missing columns are left empty"


def _reader(lines: Iterable[str], wanted: SourceInput) -> Any:
    csv.field_size_limit(_WIDEST)
    escape = None if wanted.escape == '"' else wanted.escape
    return csv.reader(lines, delimiter=wanted.delimiter, escapechar=escape)


def _header(file: Private, wanted: SourceInput, warnings: list[str]) -> _Header:
    with file.copy.open(encoding="utf-8", newline="") as text:
        lines = islice(enumerate(text), wanted.skip, None)
        line, skip = next(
            ((line, n) for n, line in lines if line.strip("\r\n") and not _SEPARATOR.match(line)), ("", 0)
        )
        if not line:
            raise EarshotError(f"{file.original} is empty; a CSV file begins with a line of column names")
        reader = _reader(chain([line], text), wanted)
        try:
            names = next(reader)
            rows = [(skip + reader.line_num, len(row)) for row in islice(reader, _LOOKED_AT) if row]
        except csv.Error as error:
            raise EarshotError(f"{file.original}:{skip + 1}: the header cannot be read ({error})") from error
    where = f"{file.original}:{skip + 1}"
    other = next((d for d in _OTHER_DELIMITERS if d in names[0]), None)
    if len(names) == 1 and other:
        raise EarshotError(
            f"{where}: {wanted.delimiter!r} gives a single column, {names[0][:80]!r}; "
            f'set delimiter = "{_OTHER_DELIMITERS[other]}" for this input'
        )
    widths = Counter(columns for _, columns in rows)
    enough = max(2, widths[len(names)])
    wide = next((line for line, columns in rows if columns > len(names) and widths[columns] >= enough), None)
    if wide:
        raise EarshotError(
            f"{where}: the header has {_columns(len(names))}, and line {wide} has more; "
            f"if that line is the header, set skip = {wide - 1} for this input"
        )
    distinct = _distinct(names)
    for name, called in zip(names, distinct, strict=True):
        if name.strip() and called != name.strip():
            warnings.append(f"{where}: column {name.strip()!r} appears again; in SELECTs it is called {called!r}")
    return _Header(distinct, skip)


def _columns(number: int) -> str:
    return "one column" if number == 1 else f"{number} columns"


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Stripped names. A column without one (a row number, a trailing delimiter) is called by its place.

    A name that stands there again is counted on: comment, comment_2, comment_3.
    """
    taken = {name.strip().casefold() for name in names}
    called: list[str] = []
    for place, written in enumerate(names, start=1):
        name = written.strip() or f"column{place}"
        if name.casefold() in {other.casefold() for other in called}:
            name = next(n for n in (f"{name}_{i}" for i in count(2)) if n.casefold() not in taken)
        taken.add(name.casefold())
        called.append(name)
    return tuple(called)


def _once(where: Path, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise EarshotError(f"{where}: column {name!r} appears twice; give each column its own name")
        seen.add(name.casefold())


def _parquet(
    _conn: duckdb.DuckDBPyConnection, files: Sequence[Private], _wanted: SourceInput, _warnings: list[str]
) -> str:
    for file in files:
        try:
            _once(file.original, pq.read_schema(file.copy).names)
        except (pa.ArrowInvalid, OSError) as error:
            raise EarshotError(
                f"{file.original} is not a Parquet file; export it again or correct its format"
            ) from error
    return f"select * from read_parquet({_paths(files)}, union_by_name = true)"


def _jsonl(
    conn: duckdb.DuckDBPyConnection, files: Sequence[Private], _wanted: SourceInput, _warnings: list[str]
) -> str:
    """Keys become text columns; the keys of all lines are looked at, since a line may lack any of them."""
    names: dict[str, None] = {}
    keys_of = "case json_type(json) when 'OBJECT' then json_keys(json) else [null] end"
    for file in files:
        statement = f"select distinct unnest({keys_of}) from read_ndjson_objects({literal(str(file.copy))})"
        try:
            keys = [row[0] for row in conn.execute(statement).fetchall()]
        except duckdb.Error as error:
            raise _not_json(file) or EarshotError(f"{file.original}: {first_line(error)}") from error
        if not keys:
            raise EarshotError(f"{file.original} is empty; a JSON lines file has one object a line")
        if None in keys:
            raise _not_json(file) or EarshotError(f"{file.original} contains an object without keys")
        names.update(dict.fromkeys(sorted(keys)))
    _once(files[0].original, list(names))
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return f"select * from read_json({_paths(files)}, format = 'newline_delimited', columns = {{{columns}}})"


def _not_json(file: Private) -> EarshotError | None:
    """The first line that is no object. Looked for only when there is one: Python reads JSON slowly."""
    with file.copy.open(encoding="utf-8") as text:
        for number, line in enumerate(text, start=1):
            try:
                value = json.loads(line) if line.strip() else {}
            except ValueError as error:
                return EarshotError(f"{file.original}:{number}: not JSON ({error}); write one object a line")
            if not isinstance(value, dict):
                return EarshotError(f"{file.original}:{number}: not a JSON object; write one object a line")
    return None


_SCANS: Final[dict[str, Callable[[duckdb.DuckDBPyConnection, Sequence[Private], SourceInput, list[str]], str]]] = {
    "csv": _csv,
    "parquet": _parquet,
    "jsonl": _jsonl,
}


def literal(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def first_line(error: Exception | str) -> str:
    """What a DuckDB error says, without its advice."""
    return str(error).split("\n", 1)[0]


def _paths(files: Sequence[Private]) -> str:
    return "[" + ", ".join(literal(str(file.copy)) for file in files) + "]"
