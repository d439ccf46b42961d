"""Where a review meeting went on without deciding."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, select

from config import EarshotError
from queries.state.actions import COMPANY
from queries.state.closed_reviews import refuse_closed
from queries.state.tables import override as table


class OverrideError(EarshotError):
    """An override that cannot be recorded."""


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody opened the financials with issues undecided, and why."""

    author: str
    reason: str
    at: datetime


def overrides(conn: Connection, month: date, vertical: str | None) -> tuple[Override, ...]:
    """Every override of a review, oldest first."""
    query = select(table).where(table.c.month == month, table.c.vertical == (vertical or COMPANY)).order_by(table.c.at)
    return tuple(Override(row.author, row.reason, row.at) for row in conn.execute(query))


def record_override(conn: Connection, month: date, vertical: str | None, override: Override) -> None:
    """Open the financials of a review all the same. The reason is kept.

    Raises:
        OverrideError: no reason is given.
        ClosedReviewError: the review is closed.
    """
    if not override.reason.strip():
        raise OverrideError("opening the financials early needs a reason; write one")
    refuse_closed(conn, month, vertical or COMPANY)
    conn.execute(
        table.insert().values(
            month=month,
            vertical=vertical or COMPANY,
            at=override.at,
            author=override.author,
            reason=override.reason.strip(),
        )
    )
