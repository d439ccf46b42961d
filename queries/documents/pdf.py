"""A document as a PDF that everybody can read: PDF/UA-1 (ISO 14289-1), set by Typst with fonts of its own."""

import json
import re
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import font_source_sans_pro
import typst

from queries.documents.paper import Block, DocumentError, LineChart, Paper

MOST_PAGES: Final = 2
SIZES: Final = (9.5, 9.0, 8.5, 8.0, 7.5)
"""Of the text in points: the largest at which the document has its pages."""
_TEMPLATE: Final = Path(__file__).with_name("paper.typ")
_FONTS: Final = Path(font_source_sans_pro.__file__).parent / "files"
_MISSING: Final = re.compile(r'the text `?"(.+?)"`? could not be displayed')
_NO_GLYPH: Final = "\N{WHITE SQUARE}"
_LETTERS: Final = "Letters that the document's fonts do not have stand as □."


def pdf(paper: Paper, page: str) -> bytes:
    """The document on `a4` or `us-letter` paper. What does not fit on two pages in small type continues on a third."""
    text = json.dumps({**_plain(paper), "foot": paper.dateline}, ensure_ascii=False, default=str)
    lacking = set[str]()
    while True:
        try:
            return _set(text, page)
        except typst.TypstError as error:
            # A page has its reader's own fonts; a document has those that it carries, and none has every letter.
            missing = {*"".join(_MISSING.findall(str(error)))} - lacking
            if not missing:
                raise DocumentError(f"the document cannot be set: {error}") from error
            if not lacking:
                text = text.replace('"foot": "', f'"foot": "{_LETTERS} ', 1)
            lacking |= missing
            text = text.translate({ord(letter): _NO_GLYPH for letter in missing})


def _set(text: str, page: str) -> bytes:
    for size in SIZES:
        inputs = {"paper": text, "page": page, "size": str(size)}
        compiler = typst.Compiler(_TEMPLATE, font_paths=_fonts(), ignore_system_fonts=True, sys_inputs=inputs)
        if int(json.loads(compiler.query("<pages>", field="value", one=True))) <= MOST_PAGES:
            break
    return cast("bytes", compiler.compile(format="pdf", pdf_standards=["ua-1"]))


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[str(_FONTS)])


def _plain(paper: Paper) -> dict[str, Any]:
    sections = [
        {**asdict(section), "blocks": [_block(block) for block in section.blocks if not isinstance(block, LineChart)]}
        for section in paper.sections
    ]
    return {**asdict(replace(paper, sections=(), sheets=())), "sections": sections}


def _block(block: Block) -> dict[str, Any]:
    return {"kind": type(block).__name__, **asdict(block)}
