"""PDF, slides and workbook, read back by other libraries: they say what the review says, and anybody can read them."""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import openpyxl
import pikepdf
import pypdf
import pytest
from pptx import Presentation
from pptx.util import Inches

from queries.documents import DocumentError, Look, Paper, minutes_paper, rendered, review_paper
from queries.documents.paper import Item, TableCell, items_table
from queries.metrics import SEVERITY_WORDS
from queries.review import Issue, Review
from queries.state import Action
from tests.dashboard.test_review import MONTHS, NOW, made, series

PLAIN: Final = Look()
NAMES: Final = (
    "שלום תעשיות",
    "بنك السلام",
    "Łódź Ελλάδα Москва",
    "A name of a vertical that is far too long for any column " * 3,
)


def action(what: str, **known: Any) -> Action:
    at = NOW.replace(tzinfo=None)
    return replace(Action("a1", what, "Ana Keller", date(2026, 11, 3), at, "ana", due_on=date(2026, 12, 1)), **known)


@pytest.fixture(scope="module")
def review() -> Review:
    """Two verticals miss a goal; of one issue something was decided."""
    made_ = made(
        series((0.9, 0.9, 0.9, 0.7)),
        series((0.93, 0.94, 0.92, 0.95), vertical="Payments"),
        series((0.8, 0.81, 0.8, 0.72), vertical="Wealth"),
        series((0.9, 0.9, 0.9, 0.85), vertical=""),
    )
    first, *rest = made_.issues
    assert rest
    decided = replace(first, decision=action("=2+5 engineers on Tuesday"), decided_on=date(2026, 11, 3))
    return replace(made_, issues=(decided, *rest), undecided=0, months=MONTHS)


def text_of(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages).split())


def shown(slides: bytes) -> Iterator[str]:
    for slide in Presentation(io.BytesIO(slides)).slides:
        for shape in slide.shapes:
            if shape.has_table:
                yield from (cell.text for row in shape.table.rows for cell in row.cells)
            elif shape.has_text_frame:
                yield shape.text_frame.text


def sheets_of(book: bytes) -> dict[str, list[list[Any]]]:
    read = openpyxl.load_workbook(io.BytesIO(book))
    return {sheet.title: [[cell.value for cell in row] for row in sheet.iter_rows()] for sheet in read.worksheets}


# They say what the review says


def test_every_form_shows_the_reviews_figures(review: Review) -> None:
    paper = review_paper(review, "EUR", ("Closed on 20 November 2026 by Ana.",))
    pdf, slides = text_of(rendered(paper, "pdf", PLAIN)), " ".join(shown(rendered(paper, "pptx", PLAIN)))
    book = sheets_of(rendered(paper, "xlsx", PLAIN))
    for issue in review.issues:
        for said in (issue.what, issue.figure, issue.against, SEVERITY_WORDS[issue.severity]):
            assert said in pdf
            assert said in slides
        assert any(issue.figure in row and issue.what in row for row in book["Key issues"])
    for said in ("Closed on 20 November 2026 by Ana.", "2.00 M EUR", "+5.3%", "misses, 70%", "meets, 95%"):
        assert said in pdf
        assert said in slides
    assert review.headline in pdf
    assert review.headline in slides
    rows = {row[0]: row for row in book["Promises kept by vertical"]}
    assert rows["Wealth"][1:3] == [pytest.approx(0.72), "68 to 75%"]
    assert rows["Energy"][3:5] == [600, 0.9]
    assert book["Financials"][1][:3] == ["Energy", 2_000_000, pytest.approx(0.1 / 1.9)]
    figures = [row for row in book["Figures"] if row[0] == "Energy"]
    assert [row[4] for row in figures] == [0.9, 0.9, 0.9, 0.7]
    assert ["Generation of the data", "3"] in [row[:2] for row in book["About"]]
    assert book["Definitions"][1][:3] == ["Promises kept", "promise-kept", "share"]


def test_nothing_that_was_typed_is_a_formula(review: Review) -> None:
    paper = review_paper(review, "EUR")
    book = openpyxl.load_workbook(io.BytesIO(rendered(paper, "xlsx", PLAIN)))
    (cell,) = (
        cell
        for sheet in book.worksheets
        for row in sheet.iter_rows()
        for cell in row
        if str(cell.value).startswith("=")
    )
    assert (cell.value, cell.data_type) == ("=2+5 engineers on Tuesday", "s")


def test_what_is_locked_is_in_no_form(review: Review) -> None:
    paper = review_paper(replace(review, undecided=2), "EUR")
    pdf, slides = text_of(rendered(paper, "pdf", PLAIN)), " ".join(shown(rendered(paper, "pptx", PLAIN)))
    assert "Locked: 2 key issues need an owner and a decision first." in pdf
    assert "Locked: 2 key issues" in slides
    assert "2.00 M" not in pdf + slides
    assert "Financials" not in sheets_of(rendered(paper, "xlsx", PLAIN))


def test_the_minutes_say_what_was_decided(review: Review) -> None:
    pdf = text_of(rendered(minutes_paper(review, ()), "pdf", PLAIN))
    for said in ("Not closed yet.", "=2+5 engineers on Tuesday", "Ana Keller", "due 1 December 2026"):
        assert said in pdf
    assert pdf.count("Nothing was decided.") == len(review.issues) - 1


# Anybody can read them


def elements(of: pikepdf.Object) -> Iterator[pikepdf.Dictionary]:
    kids: Any = of.get("/K", [])
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and "/S" in kid:
            yield kid
            yield from elements(kid)


@pytest.mark.parametrize("page", ["a4", "us-letter"])
def test_a_pdf_is_for_everybody(review: Review, page: Any) -> None:
    """As PDF/UA-1 (ISO 14289-1) asks: tagged, titled, in a language, with words for each drawing."""
    file = rendered(review_paper(review, "EUR"), "pdf", Look(page))
    with pikepdf.open(io.BytesIO(file)) as pdf:
        with pdf.open_metadata() as metadata:
            assert metadata["pdfuaid:part"] == "1"
        root = pdf.Root
        assert bool(root.MarkInfo.Marked)
        assert str(root.Lang) == "en"
        assert bool(root.ViewerPreferences.DisplayDocTitle)
        every = [*elements(root.StructTreeRoot)]
        names = [str(one.S) for one in every]
        drawings = [one for one in every if str(one.S) == "/Figure"]
        assert len(drawings) >= 4
        assert all(str(one.get("/Alt", "")) for one in drawings)
        assert names.count("/TH") >= names.count("/Table") * 4
        levels = [int(name[2]) for name in names if name[:2] == "/H" and name[2:].isdigit()]
        assert levels[0] == 1
        assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
        assert len(pdf.pages) <= 2
        width, height = (595, 842) if page == "a4" else (612, 792)
        assert [round(float(end)) for end in pdf.pages[0].MediaBox[2:]] == [width, height]
        fonts = [font for one in pdf.pages for font in one.Resources.Font.values()]
        assert fonts
        for font in fonts:
            of = font.DescendantFonts[0].FontDescriptor
            assert {"/FontFile2", "/FontFile3"} & {*of.keys()}


def test_slides_have_tables_and_charts_of_their_own(review: Review) -> None:
    deck = Presentation(io.BytesIO(rendered(review_paper(review, "EUR"), "pptx", PLAIN)))
    shapes = [shape for slide in deck.slides for shape in slide.shapes]
    (chart,) = (shape.chart for shape in shapes if shape.has_chart)
    lines = {series.name: [*series.values] for series in chart.plots[0].series}
    assert lines["Energy"] == [0.9, 0.9, 0.9, 0.7]
    assert lines["Goal"] == [0.9] * 4
    assert sum(shape.has_table for shape in shapes) >= 3
    assert all(slide.shapes.title.text_frame.text for slide in deck.slides)
    assert 4 <= len(deck.slides) <= 6
    assert [shape for shape in shapes if shape.left < 0 or shape.left + shape.width > deck.slide_width] == []
    tables = [shape for shape in shapes if shape.has_table]
    assert [shape for shape in tables if shape.top + shape.height > deck.slide_height] == []


def test_slides_are_modelled_on_the_companys(review: Review, tmp_path: Path) -> None:
    """Its size and its layouts; what it shows as an example is left out."""
    own, paper = Presentation(), review_paper(review, "EUR")
    own.slide_width = Inches(11)
    own.slides.add_slide(own.slide_layouts[0]).shapes.title.text = "An example"
    own.save(str(tmp_path / "own.pptx"))
    deck = Presentation(io.BytesIO(rendered(paper, "pptx", Look(template=tmp_path / "own.pptx"))))
    assert deck.slide_width == Inches(11)
    assert "An example" not in {slide.shapes.title.text_frame.text for slide in deck.slides}
    (tmp_path / "bad.pptx").write_bytes(b"nothing of the kind")
    for name in ("bad.pptx", "none.pptx"):
        with pytest.raises(DocumentError, match=name):
            rendered(paper, "pptx", Look(template=tmp_path / name))


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_length_and_direction_are_set(review: Review, name: str) -> None:
    paper = review_paper(renamed(review, name), "EUR")
    pdf = rendered(paper, "pdf", PLAIN)
    with pikepdf.open(io.BytesIO(pdf)) as read, read.open_metadata() as metadata:
        assert metadata["pdfuaid:part"] == "1"
        assert len(read.pages) <= 3
    if name.isascii() or "Łódź" in name:
        assert "".join(name.split())[:40] in "".join(text_of(pdf).split())
    assert name in " ".join(shown(rendered(paper, "pptx", PLAIN)))
    assert any(row[0] == name for row in sheets_of(rendered(paper, "xlsx", PLAIN))["Against the goals"])


@pytest.mark.parametrize("name", ["銀行 日本", "Tick ☑ and 😀", "\x07bell\x0b"])
def test_letters_that_no_font_has_are_told_of(review: Review, name: str) -> None:
    """The rest of the document is as it would be, and what a spreadsheet or a slide can show stays."""
    paper = review_paper(renamed(review, name), "EUR")
    pdf = text_of(rendered(paper, "pdf", PLAIN))
    assert review.issues[0].what in pdf
    if name.isprintable():
        assert "Letters that the document's fonts do not have stand as □." in pdf
        assert name in " ".join(shown(rendered(paper, "pptx", PLAIN)))
    for form in ("pptx", "xlsx"):
        assert rendered(paper, form, PLAIN)


def renamed(review: Review, name: str) -> Review:
    issues = tuple(replace(issue, where=name) for issue in review.issues)
    standings = tuple(replace(s, vertical=name if s.vertical == "Energy" else s.vertical) for s in review.standings)
    return replace(review, issues=issues, standings=standings)


def test_a_month_with_nothing_in_it_is_a_document_all_the_same() -> None:
    paper = review_paper(replace(made(), money=()), "EUR")
    assert "None: no incident was open and no goal was missed." in text_of(rendered(paper, "pdf", PLAIN))
    assert [*shown(rendered(paper, "pptx", PLAIN))]
    assert [*sheets_of(rendered(paper, "xlsx", PLAIN))] == ["About", "Figures", "Definitions"]


def test_many_issues_and_actions_stay_within_two_pages(review: Review) -> None:
    """The type becomes smaller before a third page begins."""
    paper = review_paper(replace(review, issues=_many(review.issues[0], 8)), "EUR")
    with pikepdf.open(io.BytesIO(rendered(paper, "pdf", PLAIN))) as pdf:
        assert len(pdf.pages) == 2


def test_a_workbook_has_every_action_of_an_issue() -> None:
    facts = (("Effect", TableCell("improved")), ("Effect", TableCell("cannot tell yet")))
    (row,) = items_table("Key issues", [Item(1, "Late", "Energy", "71%", (), facts)]).rows
    assert row[-1].text == "improved; cannot tell yet"


def _many(issue: Issue, number: int) -> tuple[Issue, ...]:
    days = (issue.since - timedelta(days=of) for of in range(number))
    return tuple(replace(issue, id=f"{of}", since=day) for of, day in enumerate(days))


def test_sheets_have_names_that_spreadsheets_take(review: Review) -> None:
    paper = review_paper(review, "EUR")
    odd = tuple(replace(sheet, name=name) for sheet, name in zip(paper.sheets, ("a/b:c[d]*?" * 9,) * 2, strict=True))
    names = [*sheets_of(rendered(replace(paper, sheets=odd), "xlsx", PLAIN))]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(len(name) <= 31 for name in names)
    assert isinstance(paper, Paper)
