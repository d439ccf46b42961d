"""The forms that a document can have."""

from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal
from unicodedata import category

from config.settings import DocumentSettings
from queries.documents.paper import Paper

FORMS: Final = {
    "pdf": "application/pdf",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""What the ending of a file's name is for a browser (RFC 2046)."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a company wants its documents: the paper's size, and the slides on which its own are modelled."""

    page: Literal["a4", "us-letter"] = "a4"
    template: Path | None = None

    @classmethod
    def of(cls, settings: DocumentSettings) -> "Look":
        """As the settings have it."""
        return cls(settings.page, settings.template)


def rendered(paper: Paper, form: str, look: Look) -> bytes:
    """The document as the bytes of a file.

    Args:
        paper: what it says.
        form: one of FORMS.
        look: the company's.

    Raises:
        DocumentError: the company's slides cannot be used.
    """
    paper = _printable(paper)
    # Each form brings a library of its own: who never asks for one does not wait for it.
    if form == "pdf":
        from queries.documents.pdf import pdf  # noqa: PLC0415

        return pdf(paper, look.page)
    if form == "pptx":
        from queries.documents.slides import slides  # noqa: PLC0415

        return slides(paper, look.template)
    from queries.documents.workbook import workbook  # noqa: PLC0415

    return workbook(paper)


def _printable(value: Any) -> Any:
    """The same without control characters: no font draws them, and XML has no place for them."""
    if isinstance(value, str):
        return "".join(letter if letter == "\n" or category(letter) != "Cc" else " " for letter in value)
    if isinstance(value, tuple):
        return tuple(map(_printable, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _printable(getattr(value, each.name)) for each in fields(value)})
    return value
