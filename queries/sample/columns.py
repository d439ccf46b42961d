"""Arrow columns from whole arrays, and Parquet files from Arrow columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from pyarrow import parquet

from queries.sample.draws import DAY, Bools, Ints

Columns = Mapping[str, Any]


def ids(prefix: str, numbers: Ints, width: int = 10, absent: Bools | None = None) -> Any:
    """Keys such as J0000000042, null where `absent`."""
    size, row = len(numbers), len(prefix) + width
    letters = np.empty((size, row), dtype=np.uint8)
    letters[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    rest = numbers.astype(np.int64, copy=True)
    for column in range(row - 1, len(prefix) - 1, -1):
        rest, digit = np.divmod(rest, 10)
        letters[:, column] = digit + ord("0")
    offsets = np.arange(size + 1, dtype=np.int32) * np.int32(row)
    text = pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(letters))
    return text if absent is None else pc.if_else(pa.array(~absent), text, pa.scalar(None, pa.string()))


def labels(codes: ArrayLike, names: Sequence[str]) -> Any:
    """Dictionary-encoded text: the name of each code, null for a negative one."""
    index = np.asarray(codes, dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(index, mask=index < 0), pa.array(list(names), pa.string()))


def instants(at: Ints, absent: Bools | None = None) -> Any:
    return pa.array(at.view("datetime64[us]"), mask=absent)


def dates_of(at: Ints, absent: Bools | None = None) -> Any:
    """Dates of instants that are midnights."""
    return pa.array((at // DAY).astype(np.int32), mask=absent).cast(pa.date32())


def smalls(values: NDArray[Any], absent: Bools | None = None) -> Any:
    return pa.array(values.astype(np.int16), mask=absent)


def numbers(values: NDArray[Any], absent: Bools | None = None) -> Any:
    return pa.array(values.astype(np.float64), mask=absent)


def flags(values: Bools, absent: Bools | None = None) -> Any:
    return pa.array(values, mask=absent)


def texts(values: Sequence[str | None]) -> Any:
    return pa.array(list(values), pa.string())


class Files:
    """One growing Parquet file a table. They take their names when all of them are whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, name: str, columns: Columns) -> None:
        """Add rows to the file of a table; the first call fixes its columns."""
        table = pa.table(dict(columns))
        if name not in self._open:
            few = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
            options = {"compression": "snappy", "use_dictionary": few, "store_schema": False}
            self._open[name] = parquet.ParquetWriter(self._part(name), table.schema, **options)
        self._open[name].write_table(table)

    def _part(self, name: str) -> Path:
        return self._folder / f"{name}.parquet.part"

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        for file in self._open.values():
            file.close()
        for name in self._open:
            part = self._part(name)
            part.replace(part.with_suffix("")) if kind is None else part.unlink(missing_ok=True)
