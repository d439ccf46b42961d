"""The reviews that were closed, each with its document."""

from typing import Final

from alembic import op
from sqlalchemy import Column, Date, DateTime, Integer, PrimaryKeyConstraint, String, Text

revision: Final = "0008"
down_revision: Final = "0007"


def upgrade() -> None:
    """Make the table of closed reviews."""
    op.create_table(
        "closed_review",
        Column("month", Date(), nullable=False),
        Column("review", String(), nullable=False),
        Column("scope", String(), nullable=False),
        Column("closed_at", DateTime(), nullable=False),
        Column("author", String(), nullable=False),
        Column("present", String(), nullable=False),
        Column("generation", Integer(), nullable=False),
        Column("document", Text(), nullable=False),
        Column("erased_at", DateTime()),
        PrimaryKeyConstraint("month", "review"),
    )
