"""A document as slides: its tables and charts are PowerPoint's own, so that whoever gets them can go on with them."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Final

from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION
from pptx.enum.text import MSO_AUTO_SIZE, PP_ALIGN
from pptx.exc import PackageNotFoundError
from pptx.util import Emu, Inches, Pt

from queries.documents.paper import (
    NOTHING,
    Block,
    DocumentError,
    Item,
    LineChart,
    Lines,
    Note,
    Paper,
    Section,
    Table,
    TableCell,
)

_INK, _QUIET = RGBColor(0x22, 0x21, 0x1E), RGBColor(0x60, 0x5C, 0x54)
_COLORS: Final = {
    "bad": RGBColor(0xA6, 0x3A, 0x14),
    "good": RGBColor(0x1D, 0x60, 0x91),
    "quiet": _QUIET,
    "strong": _INK,
    "": _INK,
}
_LINES: Final = ("22211E", "CF5327", "2F80B9", "8A8579", "6A8F3C", "A67C00")
MARGIN, TOP, TITLE, FOOT = 0.6, 0.45, 0.95, 0.55
"""Of a slide, in inches: left and right, above, the title's height, and what is left free at its foot."""
LETTERS: Final = 12.5
"""In an inch, at twelve points."""
TEXT, LOWEST, HIGHEST = 12, 2.1, 4.5
"""The text's size in points, and a chart's height in inches: at least, and at most."""
_BEFORE: Final = {"Since", "Found", "Trend"}
_Row = tuple[tuple[TableCell, ...], float]
"""The cells of a row, and its height in inches."""


def slides(paper: Paper, template: Path | None) -> bytes:
    """The document as PPTX, modelled on a company's slides where there are some.

    Raises:
        DocumentError: the template cannot be read, or has no slide with a title.
    """
    deck = _opened(template)
    groups: list[list[Section]] = []
    for section in paper.sections:
        if section.joins and groups:
            groups[-1].append(section)
        else:
            groups.append([section])
    writer = _Writer(deck, _layout(deck, template), f"{paper.kicker} · {paper.dateline}")
    for number, group in enumerate(groups):
        writer.begin(group[0].title if number else paper.headline)
        for place, section in enumerate(group):
            _section(writer, section, heading=bool(place) or not number)
    deck.core_properties.title, deck.core_properties.author = paper.title, "Earshot"
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def _opened(template: Path | None) -> Any:
    if template is None:
        deck = Presentation()
        deck.slide_width, deck.slide_height = Inches(13.333), Inches(7.5)
        return deck
    try:
        deck = Presentation(str(template))
    except (PackageNotFoundError, ValueError, KeyError, OSError) as error:
        raise DocumentError(f"{template} is no PowerPoint file that can be read ({error})") from error
    # What a template shows as an example is no part of a document.
    listed = deck.slides._sldIdLst  # noqa: SLF001 - the library has no other way
    for slide in [*listed]:
        deck.part.drop_rel(slide.rId)
        listed.remove(slide)
    return deck


def _layout(deck: Any, template: Path | None) -> Any:
    """The layout with a title and least else."""
    titled = [layout for layout in deck.slide_layouts if any(_is_title(one) for one in layout.placeholders)]
    if not titled:
        raise DocumentError(f"{template} has no layout with a title; add one")
    return min(titled, key=lambda layout: len(layout.placeholders))


def _is_title(placeholder: Any) -> bool:
    return bool(placeholder.placeholder_format.idx == 0)


@dataclass(slots=True)
class _Writer:
    """Fills slides from above, and begins another one where something has no room. `down` is in inches."""

    deck: Any
    layout: Any
    foot: str
    title: str = ""
    slide: Any = None
    down: float = 0.0
    wide: float = field(init=False)
    high: float = field(init=False)

    def __post_init__(self) -> None:
        self.wide = self.deck.slide_width / Inches(1) - 2 * MARGIN
        self.high = self.deck.slide_height / Inches(1) - FOOT

    def begin(self, title: str) -> None:
        """Another slide."""
        self.title, self.slide = title, self.deck.slides.add_slide(self.layout)
        for placeholder in [*self.slide.placeholders]:
            if not _is_title(placeholder):
                placeholder._element.getparent().remove(placeholder._element)  # noqa: SLF001
        shape = self.slide.shapes.title
        shape.left, shape.top, shape.width, shape.height = map(Inches, (MARGIN, TOP, self.wide, TITLE))
        shape.text_frame.word_wrap, shape.text_frame.auto_size = True, MSO_AUTO_SIZE.NONE
        shape.text_frame.text = title
        paragraph = shape.text_frame.paragraphs[0]
        paragraph.alignment, paragraph.font.size = PP_ALIGN.LEFT, Pt(24 if len(title) < 90 else 18)
        paragraph.font.bold = True
        self._words(MARGIN, self.high + 0.12, self.wide, [(self.foot, "quiet")], 9)
        self.down = TOP + TITLE + 0.15

    def make_room(self, high: float) -> None:
        """Go on upon another slide where there is less room than that, in inches."""
        if self.down + high > self.high and self.down > TOP + TITLE + 0.2:
            self.begin(self.title if self.title.endswith("(continued)") else f"{self.title} (continued)")

    def lines(self, lines: Sequence[tuple[str, str]], size: int = TEXT, *, bold: bool = False) -> None:
        """Paragraphs, each with its tone."""
        high = sum(_height(text, self.wide, size) for text, _ in lines) + 0.08
        self.make_room(high)
        self._words(MARGIN, self.down, self.wide, lines, size, bold=bold)
        self.down += high

    def _words(
        self, left: float, top: float, wide: float, lines: Iterable[tuple[str, str]], size: int, *, bold: bool = False
    ) -> None:
        box = self.slide.shapes.add_textbox(*map(Inches, (left, top, wide, 0.3)))
        frame = box.text_frame
        frame.word_wrap, frame.margin_left = True, 0
        for number, (text, tone) in enumerate(lines):
            paragraph = frame.paragraphs[0] if not number else frame.add_paragraph()
            paragraph.text, paragraph.font.size, paragraph.font.bold = text, Pt(size), bold
            paragraph.font.color.rgb = _COLORS[tone]

    def table(self, table: Table) -> None:
        """A table of PowerPoint's own, on as many slides as it needs; each begins with the head."""
        shares = _shares(table)
        widths = [share * self.wide for share in shares]
        head = tuple(TableCell(name, tone="quiet") for name in table.head)
        rest = [(row, _row_height(row, widths)) for row in table.rows]
        while rest:
            self.make_room(_row_height(head, widths) + rest[0][1])
            room, taken = self.high - self.down - _row_height(head, widths), list[_Row]()
            while rest and (not taken or rest[0][1] <= room):
                taken.append(rest.pop(0))
                room -= taken[-1][1]
            self._rows([(head, _row_height(head, widths)), *taken], widths, table.numbers)

    def _rows(
        self, rows: Sequence[tuple[tuple[TableCell, ...], float]], widths: list[float], numbers: Iterable[int]
    ) -> None:
        high = sum(height for _, height in rows)
        place = map(Inches, (MARGIN, self.down, self.wide, high))
        made = self.slide.shapes.add_table(len(rows), len(widths), *place).table
        made.horz_banding = False
        for at, width in enumerate(widths):
            made.columns[at].width = Inches(width)
        for down, (row, height) in enumerate(rows):
            made.rows[down].height = Inches(height)
            for across, cell in enumerate(row):
                _fill(made.cell(down, across), cell, is_right=across in numbers, is_head=not down)
        self.down += high + 0.15

    def chart(self, trend: LineChart) -> None:
        """A line chart of PowerPoint's own."""
        self.make_room(LOWEST)
        high = min(self.high - self.down, HIGHEST)
        data = CategoryChartData(number_format="0%" if "%" in trend.form else trend.form)
        data.categories = trend.months
        for name, values in trend.lines:
            data.add_series(name, values)
        place = map(Inches, (MARGIN, self.down, self.wide, high))
        frame = self.slide.shapes.add_chart(XL_CHART_TYPE.LINE, *place, data)
        chart = frame.chart
        frame._element.nvGraphicFramePr.cNvPr.set("descr", f"{trend.title} over {len(trend.months)} months")  # noqa: SLF001
        chart.has_title, chart.has_legend, chart.font.size = False, True, Pt(11)
        chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.RIGHT, False
        chart.value_axis.has_major_gridlines = False
        labels = chart.value_axis.tick_labels
        labels.number_format, labels.number_format_is_linked = "0%" if "%" in trend.form else "0", False
        for series, color in zip(chart.plots[0].series, _LINES, strict=False):
            series.smooth = False
            series.format.line.color.rgb = RGBColor.from_string(color)
            series.format.line.width = Pt(2.25)
        self.down += high + 0.15


def _section(writer: _Writer, section: Section, *, heading: bool) -> None:
    if heading:
        writer.make_room(1.2)
        writer.lines([(section.title, "strong")], 15, bold=True)
    if section.lede:
        writer.lines([(section.lede, "quiet")], 11)
    for block in _joined(section.blocks):
        if isinstance(block, Table):
            writer.table(block)
        elif isinstance(block, LineChart):
            writer.chart(block)
        elif isinstance(block, Lines):
            writer.lines([(line, "") for line in block.lines])
        elif isinstance(block, Note):
            writer.lines([(block.text, "bad" if block.is_urgent else "quiet")])


def _joined(blocks: Iterable[Block]) -> Iterator[Block]:
    """Items as one table, in the place of the first; and no column of nothing but drawings."""
    items = [block for block in blocks if isinstance(block, Item)]
    if items:
        yield _short(items)
    for block in blocks:
        if isinstance(block, Table):
            kept = [at for at in range(len(block.head)) if any(row[at].text for row in block.rows)]
            rows = tuple(tuple(row[at] for at in kept) for row in block.rows)
            numbers = tuple(new for new, at in enumerate(kept) if at in block.numbers)
            widths = tuple(block.widths[at] for at in kept) if block.widths else ()
            yield Table(block.name, tuple(block.head[at] for at in kept), rows, numbers, widths)
        elif not isinstance(block, Item):
            yield block


def _short(items: Iterable[Item]) -> Table:
    """Items in as few columns as a slide has room for."""
    rows = []
    for item in items:
        facts = dict(item.facts)
        told = [item.figure, *item.said]
        decided = "; ".join(f"{name}: {cell.text}" for name, cell in item.facts if name not in _BEFORE)
        rows.append(
            (
                TableCell(str(item.number), tone="quiet"),
                TableCell(f"{item.title}\n{item.place}", tone="strong"),
                TableCell(", ".join(filter(None, told))),
                TableCell("; ".join(facts[name].text for name in ("Since", "Trend") if name in facts), tone="quiet"),
                TableCell(decided, tone="bad" if facts.get("Decision", NOTHING).tone == "bad" else ""),
            )
        )
    return Table(
        "", ("", "What", "Figure", "Since, trend", "Whose, decision"), tuple(rows), (), (0.3, 3, 2.6, 2.2, 2.6)
    )


def _shares(table: Table) -> list[float]:
    """The columns' parts of the width: as told, else by what stands in them."""
    wide = table.widths or [
        max(9 if at else 14, min(40, max((len(row[at].text) for row in table.rows), default=0)), len(name) * 0.8)
        for at, name in enumerate(table.head)
    ]
    return [share / sum(wide) for share in wide]


def _height(text: str, wide: float, size: int = TEXT) -> float:
    """Of a paragraph in inches, as near as can be told without setting it."""
    fits = max(wide * LETTERS * 12 / size, 1)
    return sum(max(ceil(len(line) / fits), 1) for line in text.split("\n")) * size * 1.22 / 72


def _row_height(row: Iterable[TableCell], widths: Iterable[float]) -> float:
    return max(_height(cell.text, wide - 0.2) for cell, wide in zip(row, widths, strict=True)) + 0.1


def _fill(place: Any, cell: TableCell, *, is_right: bool, is_head: bool) -> None:
    place.fill.background()
    place.margin_left = place.margin_right = Inches(0.06)
    place.margin_top = place.margin_bottom = Emu(30000)
    frame = place.text_frame
    frame.text, frame.word_wrap = cell.text, True
    for number, paragraph in enumerate(frame.paragraphs):
        paragraph.alignment = PP_ALIGN.RIGHT if is_right else PP_ALIGN.LEFT
        paragraph.font.size, paragraph.font.color.rgb = Pt(TEXT - 1 if is_head else TEXT), _COLORS[cell.tone]
        paragraph.font.bold = cell.tone == "strong" and not number
