"""The forms that a document can have."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from config import EarshotError
from config.settings import DocumentSettings
from queries.documents.paper import Paper

FORMS: Final = {
    "pdf": "application/pdf",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""What the ending of a file's name is for a browser (RFC 2046)."""


class DocumentError(EarshotError):
    """A document that cannot be made."""


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
    # Each form brings a library of its own: who never asks for one does not wait for it.
    if form == "pdf":
        from queries.documents.pdf import pdf  # noqa: PLC0415

        return pdf(paper, look.page)
    if form == "pptx":
        from queries.documents.slides import slides  # noqa: PLC0415

        return slides(paper, look.template)
    from queries.documents.workbook import workbook  # noqa: PLC0415

    return workbook(paper)
