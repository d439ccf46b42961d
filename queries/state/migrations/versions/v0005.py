"""The pictures of root messages, and how far each has come."""

from typing import Final

from alembic import op
from sqlalchemy import Column, DateTime, Integer, PrimaryKeyConstraint, String

revision: Final = "0005"
down_revision: Final = "0004"


def upgrade() -> None:
    """Make the table of pictures."""
    op.create_table(
        "picture",
        Column("incident_id", String(), nullable=False),
        Column("target", String(), nullable=False),
        Column("state", String(), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("due_at", DateTime(), nullable=False),
        Column("created_at", DateTime(), nullable=False),
        Column("file", String()),
        Column("upload_url", String()),
        Column("alt", String()),
        Column("error", String()),
        PrimaryKeyConstraint("incident_id", "target"),
    )
    op.create_index("picture_by_due", "picture", ["state", "due_at"])
