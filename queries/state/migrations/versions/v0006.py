"""A severe case whose time is over is closed: it has no figure that could have recovered."""

from typing import Final

from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"


def upgrade() -> None:
    """Call it so where it was recorded as resolved, in the incident and in its history."""
    case = "n = 1 and value is null"
    mine = f"incident_id in (select id from incident where {case})"
    op.execute(f"update incident set state = 'closed' where state = 'resolved' and {case}")
    op.execute(f"update incident_event set kind = 'closed' where kind = 'resolved' and {mine}")
