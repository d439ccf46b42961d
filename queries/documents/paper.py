"""A document before it has a form: what stands in it, in order. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from config import EarshotError


class DocumentError(EarshotError):
    """A document that cannot be made."""


Tone = Literal["", "bad", "good", "quiet", "strong"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing as SVG, what it shows in words, and its width and height in pixels."""

    svg: str
    said: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell of a table as it is read.

    `value` is the number or day that it stands for, which a workbook keeps, and `form` how a workbook writes it, in the
    words of spreadsheets (ECMA-376, 18.8.31).
    """

    text: str
    value: float | date | None = None
    form: str = "General"
    tone: Tone = ""
    picture: Drawing | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; the first cell of a row names it. `name` is its sheet's in a workbook, `numbers` the columns
    that are set to the right. `widths` are the columns' shares of the width; empty where each takes what it needs.
    """

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    numbers: tuple[int, ...] = ()
    widths: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One of several of a kind, such as a key issue: its name, its figure, and facts by name."""

    number: int
    title: str
    place: str
    figure: str
    said: tuple[str, ...]
    facts: tuple[tuple[str, TableCell], ...]
    picture: Drawing | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Sentences of their own."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence that must not be overlooked; `is_urgent` where something is wrong."""

    text: str
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class LineChart:
    """Months and what lines show over them, for a chart that can be edited; `form` as a cell has it."""

    title: str
    months: tuple[str, ...]
    lines: tuple[tuple[str, tuple[float | None, ...]], ...]
    form: str


Block = Table | Item | Lines | Note | LineChart


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading. `joins` says that slides show it with the section before."""

    title: str
    blocks: tuple[Block, ...]
    lede: str = ""
    joins: bool = False


@dataclass(frozen=True, slots=True)
class Paper:
    """A whole document. `about` says what it rests on, and `sheets` are tables that only a workbook has room for."""

    title: str
    kicker: str
    headline: str
    dateline: str
    sections: tuple[Section, ...]
    about: tuple[tuple[str, str], ...]
    sheets: tuple[Table, ...] = ()


NOTHING: Final = TableCell("")


def tables(section: Section) -> Iterator[Table]:
    """The tables of a section; items are one, a row each."""
    yield from (block for block in section.blocks if isinstance(block, Table))
    if items := [block for block in section.blocks if isinstance(block, Item)]:
        yield items_table(section.title, items)


def items_table(name: str, items: Iterable[Item]) -> Table:
    """Items as a table: what each is, its figure, and a column for each fact that one of them has."""
    listed = [*items]
    facts = [*dict.fromkeys(name for item in listed for name, _ in item.facts)]
    rows = (
        (
            TableCell(item.title),
            TableCell(item.place),
            TableCell(item.figure),
            TableCell(", ".join(item.said)),
            *(_fact(item, fact) for fact in facts),
        )
        for item in listed
    )
    return Table(name, ("What", "Where", "Figure", "About the figure", *facts), tuple(rows))


def _fact(item: Item, name: str) -> TableCell:
    """A fact as one cell: of two actions both effects stand in it."""
    cells = [cell for known, cell in item.facts if known == name]
    return cells[0] if len(cells) == 1 else TableCell("; ".join(cell.text for cell in cells))
