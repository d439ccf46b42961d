"""Rows on a terminal, as a table, CSV or JSON: what every command prints its rows with."""

import csv
import io
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, TextIO

FORMATS: Final = ("table", "csv", "json")
WIDEST: Final = 48


def printable(text: str) -> str:
    """A text without what would move a terminal's cursor, colour it or turn its letters round: that is spelt out.

    Names come from files of others: an escape sequence in one could rewrite what the terminal shows.
    """
    return _spelt(text, lambda letter: ascii(letter)[1:-1])


def echo(line: str) -> None:
    """Print for people to read."""
    _put(sys.stdout, printable(line))


def complain(line: str) -> None:
    """Say on standard error what is wrong."""
    _put(sys.stderr, printable(line))


def emit(text: str) -> None:
    """Print for a program to read: to the letter, unless it goes to a terminal."""
    _put(sys.stdout, printable(text) if sys.stdout.isatty() else text)


def as_json(rows: object) -> str:
    """JSON with letters as they are; what is not printable is spelt out as JSON does."""
    text = json.dumps(rows, default=str, indent=1, ensure_ascii=False, allow_nan=False)
    return _spelt(text, lambda letter: json.dumps(letter)[1:-1])


def _spelt(text: str, spell: Callable[[str], str]) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else spell(letter) for letter in text)


def _put(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    # A service manager reads a pipe, and a long command is watched while it works.
    stream.flush()


def print_table(rows: Sequence[Sequence[Any]], names: Sequence[str], form: str) -> None:
    """Print rows under their names in one of FORMATS."""
    if form == "json":
        emit(as_json([dict(zip(names, row, strict=True)) for row in rows]))
    elif form == "csv":
        emit(as_csv(names, rows))
    else:
        lines = [tuple(names)]
        for row in rows:
            texts = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in row)
            lines.append(
                tuple("" if value is None else on_one_line(text) for value, text in zip(row, texts, strict=True))
            )
        for line in aligned(lines):
            echo(line.rstrip())


def as_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lines of comma-separated cells under a header; texts that a spreadsheet would run are quoted."""
    from queries.metrics import csv_cell  # noqa: PLC0415 - statistics take a second to import

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([csv_cell(value) for value in row] for row in (names, *rows))
    return out.getvalue().removesuffix("\n")


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> Iterator[str]:
    """Lines whose columns are as wide as their longest text; `right` are the columns of figures."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        yield "  ".join(text.rjust(width) if place in right else text.ljust(width) for place, (text, width) in cells)


def on_one_line(text: str, widest: int = WIDEST) -> str:
    """A text of the data in one cell of a terminal, without what would move its cursor."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= widest else f"{plain[: widest - 1]}…"
