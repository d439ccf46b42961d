"""A document as a workbook: every table on a sheet of its own, numbers as numbers, and what they rest on first."""

import io
import re
from collections.abc import Iterator
from datetime import date
from typing import Any, Final

import xlsxwriter

from queries.documents.paper import Lines, Note, Paper, Table, TableCell, tables

_FORBIDDEN: Final = re.compile(r"[\[\]:*?/\\']")
LONGEST_NAME: Final = 31
"""Of a sheet, in letters."""
WIDEST, NARROWEST = 48, 9
"""Of a column, in letters."""


def workbook(paper: Paper) -> bytes:
    """The document as XLSX."""
    out = io.BytesIO()
    # Text stays text: no formula, no link and no number is made of what somebody typed.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(out, options)
    book.set_properties({"title": paper.title, "author": "Earshot"})
    made: dict[str, Any] = {}

    def form(text: str = "General", **more: Any) -> Any:
        key = f"{text} {sorted(more.items())}"
        if key not in made:
            made[key] = book.add_format({"num_format": text, "font_name": "Calibri", "valign": "top", **more})
        return made[key]

    _about(book.add_worksheet("About"), paper, form)
    names = {"about"}
    for table in _all(paper):
        sheet = book.add_worksheet(_name(table.name, names))
        sheet.freeze_panes(1, 1)
        for across, name in enumerate(table.head):
            sheet.write_string(0, across, name, form(bold=True, bottom=1, text_wrap=True))
        for down, row in enumerate(table.rows, start=1):
            for across, cell in enumerate(row):
                _write(sheet, down, across, cell, form)
        for across, width in enumerate(_widths(table)):
            sheet.set_column(across, across, width)
        if table.rows:
            sheet.autofilter(0, 0, len(table.rows), len(table.head) - 1)
    book.close()
    return out.getvalue()


def _all(paper: Paper) -> Iterator[Table]:
    for section in paper.sections:
        yield from (_without_pictures(table) for table in tables(section))
    yield from paper.sheets


def _without_pictures(table: Table) -> Table:
    """A column of nothing but drawings is none of a workbook's."""
    kept = [at for at in range(len(table.head)) if any(row[at].text or row[at].value is not None for row in table.rows)]
    head = tuple(table.head[at] for at in kept)
    return Table(table.name, head, tuple(tuple(row[at] for at in kept) for row in table.rows))


def _about(sheet: Any, paper: Paper, form: Any) -> None:
    sheet.write_string(0, 0, paper.title, form(bold=True, font_size=14))
    sheet.write_string(1, 0, paper.headline, form())
    lines = [*paper.about]
    for section in paper.sections:
        for block in section.blocks:
            said = block.lines if isinstance(block, Lines) else (block.text,) if isinstance(block, Note) else ()
            lines += [(section.title, line) for line in said]
    for down, (name, text) in enumerate(lines, start=3):
        sheet.write_string(down, 0, name, form(font_color="#605C54"))
        sheet.write_string(down, 1, text, form())
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, 90)


def _write(sheet: Any, down: int, across: int, cell: TableCell, form: Any) -> None:
    colors = {"bad": "#A63A14", "good": "#1D6091"}
    tone = {"font_color": colors[cell.tone]} if cell.tone in colors else {}
    if isinstance(cell.value, date):
        sheet.write_datetime(down, across, cell.value, form(cell.form, **tone))
    elif cell.value is not None:
        sheet.write_number(down, across, cell.value, form(cell.form, **tone))
    elif cell.text:
        sheet.write_string(down, across, cell.text, form(text_wrap=len(cell.text) > WIDEST, **tone))


def _name(wanted: str, taken: set[str]) -> str:
    """A name that spreadsheets take for a sheet, and that no other sheet has."""
    name = _FORBIDDEN.sub(" ", wanted).strip()[:LONGEST_NAME].strip() or "Table"
    number = 1
    while name.casefold() in taken:
        number += 1
        name = f"{name[: LONGEST_NAME - 4].rstrip('0123456789 ')} {number}"
    taken.add(name.casefold())
    return name


def _widths(table: Table) -> Iterator[int]:
    for across, name in enumerate(table.head):
        longest = max((len(row[across].text) for row in table.rows), default=0)
        yield min(max(longest + 2, len(name) // 2 + 2, NARROWEST), WIDEST)
