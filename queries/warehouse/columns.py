"""Columns of the warehouse's tables.

What one promises beyond its type is kept in `Column.info`:

- `refers`: the table whose key the value must exist in
- `domain`: the values allowed
- `not_before`: the instant in the same row that may not lie after this one
- `known_at`: the instant that makes the value known; read before it, the value is null
- `planned`: the date may lie ahead of the load
- `made`: filled by the load, never by a source
- `day_of`: the instant or date whose day in the reporting zone this is
"""

from typing import Any

from sqlalchemy import Boolean, Column, Date, DateTime, String
from sqlalchemy.sql.schema import SchemaItem


def text_column(name: str, **info: Any) -> Column[str]:
    return column(name, String, info)


def instant_column(name: str, **info: Any) -> Column[Any]:
    return column(name, DateTime, info)


def date_column(name: str, **info: Any) -> Column[Any]:
    return column(name, Date, info)


def day_column(of: str, name: str = "day", **info: Any) -> Column[Any]:
    return column(name, Date, {"made": True, "day_of": of, **info})


def column(name: str, kind: Any, info: dict[str, Any]) -> Column[Any]:
    key, required = info.pop("key", False), info.pop("required", False)
    return Column(name, kind, primary_key=key, nullable=not (key or required), autoincrement=False, info=info)


def lifecycle_columns() -> tuple[SchemaItem, ...]:
    """Where a row came from and when: when its source learnt it, and when it was first and last loaded."""
    return (
        instant_column("recorded_at"),
        instant_column("first_loaded_at", made=True),
        instant_column("loaded_at", made=True),
    )


def segment_columns() -> tuple[SchemaItem, ...]:
    """The fact's own segment, as of the event."""
    return text_column("vertical"), text_column("product"), text_column("region")


def fact_segment_columns() -> tuple[SchemaItem, ...]:
    """The segment of a fact, and whether its vertical came (or is still to come) from the account's history."""
    return *segment_columns(), column("vertical_filled", Boolean, {"made": True})


def source_column() -> Column[str]:
    return text_column("source", key=True, made=True)
