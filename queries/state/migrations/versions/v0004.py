"""What could not be evaluated: a rule or one of its slices, why, and since when."""

from typing import Final

from alembic import op
from sqlalchemy import Column, DateTime, PrimaryKeyConstraint, String

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    """Make the table of rules that could not be evaluated."""
    op.create_table(
        "rule_error",
        Column("rule", String(), nullable=False),
        Column("slice", String(), nullable=False),
        Column("reason", String(), nullable=False),
        Column("since", DateTime(), nullable=False),
        PrimaryKeyConstraint("rule", "slice"),
    )
