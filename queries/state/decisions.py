"""What a review meeting decided, in order, and where it went on without deciding."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, func, select

from config import EarshotError
from queries.state.tables import decision as table
from queries.state.tables import override as overrides_table

COMPANY = "*"
"""The review of all verticals."""


class DecisionError(EarshotError):
    """A decision that cannot be recorded."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who owns a key issue and what was decided. `at` is naive UTC."""

    issue: str
    owner: str
    decision: str
    author: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody opened the financials with issues undecided, and why."""

    author: str
    reason: str
    at: datetime


def read_decisions(conn: Connection, month: date, vertical: str | None) -> dict[str, Decision]:
    """The decision that holds for each issue of a review: the newest."""
    query = select(table).where(table.c.month == month, table.c.vertical == (vertical or COMPANY)).order_by(table.c.seq)
    return {row.issue: Decision(row.issue, row.owner, row.decision, row.author, row.at) for row in conn.execute(query)}


def overrides(conn: Connection, month: date, vertical: str | None) -> tuple[Override, ...]:
    """Every override of a review, oldest first."""
    table = overrides_table
    query = select(table).where(table.c.month == month, table.c.vertical == (vertical or COMPANY)).order_by(table.c.at)
    return tuple(Override(row.author, row.reason, row.at) for row in conn.execute(query))


def record_decision(conn: Connection, month: date, vertical: str | None, decision: Decision) -> None:
    """Record a decision. Nothing is overwritten: the newest holds.

    Raises:
        DecisionError: the owner or the decision is missing.
    """
    owner, text = decision.owner.strip(), decision.decision.strip()
    if not owner or not text:
        raise DecisionError("an issue needs an owner and a decision; fill in both")
    key = {"month": month, "vertical": vertical or COMPANY, "issue": decision.issue}
    seq = select(func.coalesce(func.max(table.c.seq), 0) + 1).where(
        *(table.c[name] == value for name, value in key.items())
    )
    # Two people who decide at once get one number, and the second is refused by the key: nothing is lost unseen.
    number = conn.execute(seq).scalar_one()
    conn.execute(
        table.insert().values(**key, seq=number, owner=owner, decision=text, author=decision.author, at=decision.at)
    )


def record_override(conn: Connection, month: date, vertical: str | None, override: Override) -> None:
    """Open the financials of a review all the same. The reason is kept.

    Raises:
        DecisionError: no reason is given.
    """
    if not override.reason.strip():
        raise DecisionError("opening the financials early needs a reason; write one")
    conn.execute(
        overrides_table.insert().values(
            month=month,
            vertical=vertical or COMPANY,
            at=override.at,
            author=override.author,
            reason=override.reason.strip(),
        )
    )
