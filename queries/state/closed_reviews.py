"""Reviews that were closed: the document as the meeting left it. It changes only where something in it is erased."""

from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Final

from sqlalchemy import Column, Connection, Date, DateTime, Integer, String, Table, Text, select

from config import EarshotError
from queries.engine import one_at_a_time
from queries.state.tables import SAID, STAFF, state

DOCUMENT: Final = {"holds": "document"}
closed_review: Final = Table(
    "closed_review",
    state,
    Column("month", Date, primary_key=True),
    Column("review", String, primary_key=True),
    Column("scope", String, nullable=False),
    Column("closed_at", DateTime, nullable=False),
    Column("author", String, nullable=False, info=STAFF),
    Column("present", String, nullable=False, info=SAID),
    Column("generation", Integer, nullable=False),
    Column("document", Text, nullable=False, info=DOCUMENT),
    Column("erased_at", DateTime),
)


class ClosedReviewError(EarshotError):
    """The review is closed: nothing is decided in it any more."""


@dataclass(frozen=True, slots=True)
class ClosedReview:
    """One review as it was closed. Instants are naive UTC.

    Args:
        month: the month that was reviewed.
        review: its vertical, or COMPANY.
        scope: what whoever closed it may see; the document is for readers of the same scope.
        closed_at: when that was.
        author: who closed it.
        present: who was there.
        generation: the generation whose figures it shows.
        document: the review as JSON.
        erased_at: when something was last erased from it.
    """

    month: date
    review: str
    scope: str
    closed_at: datetime
    author: str
    present: str
    generation: int
    document: str
    erased_at: datetime | None = None


def read_closed_review(conn: Connection, month: date, review: str) -> ClosedReview | None:
    """The review of a month as it was closed; None where it is still open."""
    own = (closed_review.c.month == month) & (closed_review.c.review == review)
    row = conn.execute(select(closed_review).where(own)).one_or_none()
    return ClosedReview(*row) if row else None


def held_on(conn: Connection, review: str) -> dict[date, datetime]:
    """When each month's review was closed, by its month; naive UTC."""
    own = select(closed_review.c.month, closed_review.c.closed_at).where(closed_review.c.review == review)
    return {row.month: row.closed_at for row in conn.execute(own)}


def refuse_closed(conn: Connection, month: date | None, review: str | None) -> None:
    """Until the transaction ends the review stays open. Raises ClosedReviewError where it is closed already."""
    # Whoever closes waits for whoever decides, and the other way round: nothing is decided beside the document.
    one_at_a_time(conn, f"earshot review {month} {review}")
    own = (closed_review.c.month == month) & (closed_review.c.review == review)
    if conn.execute(select(closed_review.c.month).where(own)).one_or_none():
        raise ClosedReviewError(f"the review of {month:%B %Y} is closed; decide it in a later month's review")


def record_closed_review(conn: Connection, closed: ClosedReview) -> None:
    """Close a review for ever. Raises ClosedReviewError where it is closed already."""
    refuse_closed(conn, closed.month, closed.review)
    conn.execute(closed_review.insert().values({field.name: getattr(closed, field.name) for field in fields(closed)}))
