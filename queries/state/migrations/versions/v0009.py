"""An action is shared with the customer: when, and by whom."""

from typing import Final

from alembic import op
from sqlalchemy import Column, DateTime, String

revision: Final = "0009"
down_revision: Final = "0008"


def upgrade() -> None:
    """Tell of an action when its customer was told of it."""
    for name, kind in (("shared_at", DateTime()), ("shared_by", String())):
        op.add_column("action", Column(name, kind, nullable=True))
