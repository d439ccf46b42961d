"""Documents that are forwarded: a review, its minutes or an account's sheet as PDF, slides or workbook.

May import queries.review, queries.accounts and what stands below them. What a document says is decided in a `Paper`,
made of the one frozen value that the page shows; the forms only set it.
"""

from queries.documents import review_words
from queries.documents.forms import FORMS, Look, rendered
from queries.documents.minutes_paper import minutes_paper
from queries.documents.paper import DocumentError, Paper
from queries.documents.read_review import HEADROOM, FreshReadings, read_review
from queries.documents.review_paper import review_paper, sparkline
from queries.documents.sheet_paper import sheet_paper

__all__ = [
    "FORMS",
    "HEADROOM",
    "DocumentError",
    "FreshReadings",
    "Look",
    "Paper",
    "minutes_paper",
    "read_review",
    "rendered",
    "review_paper",
    "review_words",
    "sheet_paper",
    "sparkline",
]
