"""An action names the function of the company that is responsible for it."""

from typing import Final

from alembic import op
from sqlalchemy import Column, String

revision: Final = "0010"
down_revision: Final = "0009"


def upgrade() -> None:
    """Tell of an action who in the company is responsible; of those there are it is not known."""
    op.add_column("action", Column("function", String, nullable=True))
