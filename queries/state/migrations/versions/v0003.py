"""An erasure is noted before it begins, so that one that was stopped is finished by whatever runs next."""

from typing import Final

from alembic import op
from sqlalchemy import Column, DateTime, PrimaryKeyConstraint, String, Text

revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    """Make the table of erasures that are not finished."""
    op.create_table(
        "erasure",
        Column("hash", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        Column("body", Text(), nullable=True),
        PrimaryKeyConstraint("hash"),
    )
