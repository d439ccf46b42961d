"""Rows on a terminal, as a table, CSV or JSON."""

import csv
import io
import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from queries.metrics.formatting import csv_cell

echo: Final = partial(print, flush=True)
FORMATS: Final = ("table", "csv", "json")


def print_table(rows: Sequence[Sequence[Any]], names: Sequence[str], form: str) -> None:
    """Print rows under their names in one of FORMATS."""
    if form == "json":
        echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1, ensure_ascii=False))
    elif form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([names, *([csv_cell(value) for value in row] for row in rows)])
        echo(out.getvalue(), end="")
    else:
        _table([names, *([_short(value) for value in row] for row in rows)])


def _short(value: Any) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= 48 else f"{plain[:47]}…"


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
