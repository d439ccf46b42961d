"""What readers expected of a month's figures before they saw them."""

from typing import Final

from alembic import op
from sqlalchemy import Column, Date, DateTime, Double, Integer, PrimaryKeyConstraint, String

revision: Final = "0011"
down_revision: Final = "0010"


def upgrade() -> None:
    """Make the table of guesses."""
    op.create_table(
        "guess",
        Column("person", String(), nullable=False),
        Column("month", Date(), nullable=False),
        Column("review", String(), nullable=False),
        Column("metric", String(), nullable=False),
        Column("scope", String(), nullable=False),
        Column("guessed", Double()),
        Column("value", Double(), nullable=False),
        Column("low", Double()),
        Column("high", Double()),
        Column("generation", Integer(), nullable=False),
        Column("at", DateTime(), nullable=False),
        PrimaryKeyConstraint("person", "month", "review", "metric"),
    )
