"""SQL functions that the engines know by different names or not at all."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Double, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class epoch(GenericFunction[float]):  # noqa: N801 - SQL functions are written in lower case
    """Seconds since 1970 of a naive UTC instant."""

    type = Double()
    inherit_cache = True


@compiles(epoch, "postgresql")
def _epoch_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"extract(epoch from {compiler.process(element.clauses, **kw)})::double precision"


class micros(GenericFunction[int]):  # noqa: N801
    """Whole microseconds since 1970 of a naive UTC instant: durations that add up exactly, in any order."""

    type = BigInteger()
    inherit_cache = True


@compiles(micros, "duckdb")
def _micros_duckdb(element: Any, compiler: Any, **kw: Any) -> str:
    return f"epoch_us({compiler.process(element.clauses, **kw)})"


@compiles(micros, "postgresql")
def _micros_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"(extract(epoch from {compiler.process(element.clauses, **kw)}) * 1000000)::bigint"


class newest_value(GenericFunction[Any]):  # noqa: N801
    """Of the rows that know the value, the value of the row with the highest order: `newest(value, order)`."""

    inherit_cache = True


@compiles(newest_value, "duckdb")
def _newest_duckdb(element: Any, compiler: Any, **kw: Any) -> str:
    return f"arg_max({compiler.process(element.clauses, **kw)})"


@compiles(newest_value, "postgresql")
def _newest_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    value, order = (compiler.process(part, **kw) for part in element.clauses)
    return f"(array_agg({value} order by {order} desc) filter (where {value} is not null))[1]"


class hash64(GenericFunction[int]):  # noqa: N801
    """A number of 64 bits made of a text, quickly: equal texts have equal ones, different texts nearly always not."""

    type = BigInteger()
    inherit_cache = True


@compiles(hash64, "duckdb")
def _fingerprint_duckdb(element: Any, compiler: Any, **kw: Any) -> str:
    return f"hash({compiler.process(element.clauses, **kw)})"


@compiles(hash64, "postgresql")
def _fingerprint_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"hashtextextended({compiler.process(element.clauses, **kw)}, 0)"


class sha256_hex(GenericFunction[str]):  # noqa: N801
    """SHA-256 of a text in hexadecimal."""

    type = String()
    inherit_cache = True


@compiles(sha256_hex, "duckdb")
def _digest_duckdb(element: Any, compiler: Any, **kw: Any) -> str:
    return f"sha256({compiler.process(element.clauses, **kw)})"


@compiles(sha256_hex, "postgresql")
def _digest_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"encode(sha256(convert_to({compiler.process(element.clauses, **kw)}, 'UTF8')), 'hex')"


class quantile(GenericFunction[float]):  # noqa: N801
    """The exact quantile `q` of a column, interpolated: `quantile(column, q)` with a Python number q."""

    type = Double()
    inherit_cache = False  # q is written into the statement: one made for the median must not serve another q


@compiles(quantile, "duckdb")
def _quantile_duckdb(element: Any, compiler: Any, **kw: Any) -> str:
    value, share = element.clauses
    return f"quantile_cont({compiler.process(value, **kw)}, {float(share.value)!r})"


@compiles(quantile, "postgresql")
def _quantile_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    value, share = element.clauses
    return f"percentile_cont({float(share.value)!r}) within group (order by {compiler.process(value, **kw)})"


def whole(total: ColumnElement[Any]) -> ColumnElement[int]:
    """A sum of integers as BIGINT: DuckDB would make it HUGEINT, which is slow to store and to read."""
    return total.cast(BigInteger)
