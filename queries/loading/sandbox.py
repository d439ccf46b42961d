"""An analyst's SELECTs run where they can read their inputs and do nothing else.

Unsandboxed, source SQL read a system file, wrote one and dropped a table. Here it gets a DuckDB of its own, in memory,
that sees a private copy of the inputs and is shut off from everything else before the first SELECT is looked at.
"""

import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config import EarshotError, refuse_irregular
from config.models import Source, duration_text
from queries.loading.contract import Contract, check_columns, offer_text_functions, quoted, sql_type
from queries.loading.inputs import Offer, first_line, literal, no_space, offer
from queries.loading.limits import DEFAULT_LIMITS, MEMORY_LIMIT, Limits, TimeLimit, memory_held
from queries.loading.sources import Select, selects
from queries.loading.suspicions import DayCount, ScaleCount
from queries.loading.time_zones import offer_functions, with_zones_kept
from queries.loading.time_zones import zone as zone_named

Say = Callable[[str], None]

_BATCH: Final = 122_880
"""Rows a batch: DuckDB's own row group."""

_SEALED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "memory_limit": MEMORY_LIMIT,
    "preserve_insertion_order": False,
    # Else FROM reads this program's variables.
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_persistent_secrets": False,
}
_PREFIX: Final = "earshot-"
_LINE: Final = re.compile(r"\bLINE (\d+):")
_CSV_LINE: Final = re.compile(r"CSV Error on Line: (\d+)")
_CSV_COLUMNS: Final = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_CSV_MISTAKES: Final = {
    "unterminated quote": (
        "a quote is not closed where its value ends",
        'double quotes inside a value (""), or set escape to what stands before them',
    ),
    "Maximum line size": ("the line is longer than 16 MB", "most likely a quote before it is not closed"),
}
_CANDIDATES: Final = re.compile(r"^(?:Candidate bindings|Did you mean)[^\n]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Staged:
    """The rows offered for one canonical table.

    `rows` holds every canonical column but those of the load itself (a missing one as typed nulls), the source, the
    days in the reporting zone, `reason` (null: accepted) and `row` (a refused row as JSON, else null).
    """

    table: str
    rows: pa.RecordBatchReader


@dataclass(slots=True)
class Staging:
    """The tables of one source, parents before children: each is read to its end before the next is asked for."""

    tables: Iterator[Staged]
    warnings: list[str] = field(default_factory=list)
    error: EarshotError | None = None

    def __iter__(self) -> Iterator[Staged]:
        return self.tables


@dataclass(frozen=True, slots=True)
class _Sandbox:
    conn: duckdb.DuckDBPyConnection
    offers: tuple[Offer, ...]
    staging: Staging
    say: Say
    time: TimeLimit


@contextmanager
def staged(
    source: Source, folder: Path, data: Path, zone: str, now: datetime, say: Say, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Staging]:
    """The rows of a source, checked against the canonical tables and streamed.

    Args:
        source: what `folder`/source.toml says.
        folder: where the SELECTs are.
        data: where the inputs are.
        zone: the reporting zone, whose dates are the days.
        now: when the source is loaded, naive UTC.
        say: told what is being done, and every warning.
        limits: what the SELECTs may take.

    Raises:
        EarshotError: an input, a SELECT or its columns are not as they must be; also while the rows are read.
    """
    with private_folder() as private:
        offers = offer(source, data, private, say)
        with duckdb.connect(":memory:", config={**_SEALED, "temp_directory": str(private / "spill")}) as conn:
            staging = Staging(iter(()))
            sandbox = _Sandbox(conn, offers, staging, say, TimeLimit(conn, limits.time))
            _warn(sandbox, (warning for made in offers for warning in made.warnings))
            for made in offers:
                try:
                    conn.execute(f"create view {quoted(made.name)} as {made.scan}")
                except duckdb.Error as error:
                    raise _translated(error, sandbox, made.files[0].original) from error
            # No SELECT is looked at before this, not even to learn its columns: that alone would read files.
            _shut_off(conn, private, source.zone)
            with memory_held(limits):
                contracts = [_contract(sandbox, select, source, zone, now) for select in selects(folder)]
                staging.tables = _stage(sandbox, contracts)
                try:
                    yield staging
                except Exception as error:
                    # An error inside a stream reaches the caller in whatever its reader makes of it.
                    if staging.error and error is not staging.error:
                        raise staging.error from error
                    raise


def remove_left_copies() -> None:
    """Remove what loads that were killed had copied of their inputs."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            # Anybody may make a folder of that name there, with a pipe in it that nobody fills.
            if left.is_symlink() or left.stat().st_uid != os.getuid():
                continue
            refuse_irregular(left / "held")
            with (left / "held").open() as hold:
                fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
                rmtree(left, ignore_errors=True)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder only we can read, held by a lock so that what a killed load left is known by its missing holder."""
    remove_left_copies()
    while True:
        with (
            tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name,
            (Path(name) / "held").open("w") as hold,
        ):
            fcntl.flock(hold, fcntl.LOCK_EX)
            # Between the making of the file and its lock another load may have taken the folder for a left one and
            # removed it. Once the lock is ours and the file still there, nobody else can get it.
            if os.fstat(hold.fileno()).st_nlink:
                yield Path(name).resolve()
                return


def _shut_off(conn: duckdb.DuckDBPyConnection, private: Path, zone: str) -> None:
    offer_functions(conn, zone)
    offer_text_functions(conn)
    conn.execute("set enable_progress_bar = false")
    # In this order: after the second nothing outside can be allowed, after the third nothing be changed back.
    conn.execute(f"set allowed_directories = [{literal(str(private))}]")
    conn.execute("set enable_external_access = false")
    conn.execute("set lock_configuration = true")


def _contract(sandbox: _Sandbox, select: Select, source: Source, zone: str, now: datetime) -> tuple[Select, Contract]:
    try:
        kinds = [statement.type for statement in duckdb.extract_statements(select.sql)]
    except duckdb.Error as error:
        raise EarshotError(_placed(error, select.file)) from error
    if kinds != [duckdb.StatementType.SELECT]:
        holds = ", ".join(kind.name for kind in kinds) or "nothing"
        raise EarshotError(f"{select.file}: a source's file must hold one SELECT, not {holds}")
    view = quoted(f"offered {select.table.name}")
    try:
        # On the first line of theirs, so that the lines that DuckDB names are theirs.
        sandbox.conn.execute(f"create view {view} as {select.sql}")
        # Asked of the SELECT itself: in a view the second of two columns of one name has another name.
        columns = sandbox.conn.query(select.sql).columns
        if repeated := next((name for name in columns if columns.count(name) > 1), None):
            raise EarshotError(f"{select.file}: column {repeated!r} appears twice in the SELECT; remove one")
        if (kept := with_zones_kept(sandbox.conn, select.sql)) != select.sql:
            sandbox.conn.execute(f"create or replace view {view} as {kept}")
        described = sandbox.conn.execute(f"describe {view}").fetchall()
    except duckdb.Error as error:
        raise _translated(error, sandbox, select.file) from error
    # DuckDB gives a column the spelling of the file's header, and compares names without their case.
    canonical = {name.casefold(): name for name in select.table.c.keys()}  # noqa: SIM118
    offered = {canonical.get(str(name).casefold(), str(name)): str(kind) for name, kind, *_ in described}
    check_columns(select.table, offered, str(select.file))
    return select, Contract(select.table, source.name, offered, zone_named(source.zone), zone_named(zone), now)


def _stage(sandbox: _Sandbox, contracts: Sequence[tuple[Select, Contract]]) -> Iterator[Staged]:
    for select, contract in contracts:
        statement = contract.select(quoted(f"offered {select.table.name}"))
        try:
            with sandbox.time.running():
                reader = sandbox.conn.execute(statement).to_arrow_reader(_BATCH)
        except duckdb.Error as error:
            raise _failed(error, sandbox, select.file) from error
        counts = {c.name: DayCount(contract.zone) for c in contract.given() if sql_type(c) in {"TIMESTAMP", "DATE"}}
        rows = _watched(reader, counts, sandbox, select, statement)
        yield Staged(select.table.name, pa.RecordBatchReader.from_batches(reader.schema, rows))


def _watched(
    reader: pa.RecordBatchReader, counts: dict[str, DayCount], sandbox: _Sandbox, select: Select, statement: str
) -> Iterator[pa.RecordBatch]:
    scales = ScaleCount()
    try:
        while (batch := _next(reader, sandbox)) is not None:
            for name, count in counts.items():
                count.see(batch.column(name))
            if select.table.name == "response":
                scales.see(batch.column("scale"), batch.column("score"))
            if column := _column_with_nul(batch):
                error = EarshotError(f"{select.file}: {column} contains a NUL character; replace it in the SELECT")
                sandbox.staging.error = error
                raise error
            yield _without_empty(batch)
    except (duckdb.Error, pa.ArrowException, OSError, MemoryError) as broken:
        raise _failed(_cause(broken, statement, sandbox), sandbox, select.file) from broken
    suspicions = (count.suspicion(f"{select.table.name}.{name}") for name, count in counts.items())
    _warn(sandbox, (suspicion for suspicion in suspicions if suspicion))
    _warn(sandbox, (f"{select.table.name}: {suspicion}" for suspicion in scales.suspicions()))


def _next(reader: pa.RecordBatchReader, sandbox: _Sandbox) -> pa.RecordBatch | None:
    with sandbox.time.running():
        return next(iter(reader), None)


def _cause(error: Exception, statement: str, sandbox: _Sandbox) -> Exception:
    """What an interrupted statement failed by.

    Where one of DuckDB's threads fails, the others are interrupted, and now and then the reader is told of that alone.
    Without a stream the statement fails in the same way, and says by what.
    """
    if "INTERRUPT Error" not in str(error) or sandbox.time.is_over:
        return error
    try:
        with sandbox.time.running():
            sandbox.conn.execute(f"select count(columns(*)) from ({statement})")
    except duckdb.Error as cause:
        return cause
    return error


def _without_empty(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with every empty text as null: nothing said is not a value."""
    for place, column in enumerate(batch.columns):
        if pa.types.is_string(column.type) and pc.min(pc.binary_length(column)).as_py() == 0:
            text = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
            batch = batch.set_column(place, batch.schema.field(place), text)
    return batch


def _column_with_nul(batch: pa.RecordBatch) -> str | None:
    """The first text column that holds a NUL character: PostgreSQL cannot store one, and no text means one."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_string(column.type) or not len(column):
            continue
        _, offsets, characters = column.buffers()
        ends = np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4)
        if characters and b"\0" in characters.slice(int(ends[0]), int(ends[-1] - ends[0])).to_pybytes():
            return str(name)
    return None


def _warn(sandbox: _Sandbox, warnings: Iterator[str]) -> None:
    for warning in warnings:
        sandbox.staging.warnings.append(warning)
        sandbox.say(f"warning: {warning}")


def _failed(error: Exception, sandbox: _Sandbox, file: Path) -> EarshotError:
    # While rows are read a LINE is one of our statement around theirs.
    told = error if isinstance(error, MemoryError) else _LINE.sub("", str(error))
    sandbox.staging.error = _translated(told, sandbox, file)
    return sandbox.staging.error


def _translated(error: Exception | str, sandbox: _Sandbox, file: Path) -> EarshotError:
    """An error of DuckDB as one line that names the analyst's file, or the input that is broken."""
    text = str(error)
    if "No space left" in text or "max_temp_directory_size" in text:
        return no_space(Path(tempfile.gettempdir()) / "spill")
    if sandbox.time.is_over:
        said = f"{file}: the SELECTs ran for longer than {duration_text(sandbox.time.limit)}"
        return EarshotError(f"{said}; join and sort less, or raise EARSHOT_WAREHOUSE__SELECT_LIMIT")
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in ("out of memory", "bad_alloc", "malloc")):
        return EarshotError(f"{file}: the SELECT needs more than {MEMORY_LIMIT}; sort or join less at once")
    for made in sandbox.offers:
        for private in made.files:
            if str(private.copy) in text and (line := _CSV_LINE.search(text)):
                if counts := _CSV_COLUMNS.search(text):
                    mistake = f"{counts[2]} columns where the header has {counts[1]}"
                    advice = "correct the line or the input's delimiter"
                else:
                    known = (said for sign, said in _CSV_MISTAKES.items() if sign in text)
                    mistake, advice = next(known, ("the line is no CSV", "correct it, or the delimiter in source.toml"))
                return EarshotError(f"{private.original}:{line[1]}: {mistake}; {advice}")
            text = text.replace(str(private.copy), str(private.original))
    return EarshotError(_placed(text, file))


def _placed(error: Any, file: Path) -> str:
    text = str(error)
    line = _LINE.search(text)
    candidates = _CANDIDATES.search(text)
    said = first_line(text) + (f" ({candidates[0].strip()})" if candidates else "")
    return f"{file}:{line[1]}: {said}" if line else f"{file}: {said}"
