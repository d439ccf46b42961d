"""What a review decided becomes an action: one record of who does what by when, wherever it was written down."""

from typing import Final
from uuid import NAMESPACE_URL, uuid5

from alembic import op
from sqlalchemy import Column, Date, Integer, String, text

revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    """Tell of an action which issue of which review it decides, and move the decisions there are."""
    for name, kind in (("month", Date()), ("review", String()), ("issue", String()), ("seq", Integer())):
        op.add_column("action", Column(name, kind, nullable=True))
    conn = op.get_bind()
    about = text(
        "select id, vertical, touchpoint from incident where rule || '|' || slice = :issue order by opened_at desc"
    )
    moved = text(
        "insert into action (id, incident_id, vertical, touchpoint, metric, what, owner, started_on, recorded_at,"
        " author, month, review, issue, seq) values (:id, :incident, :vertical, :touchpoint, :metric, :what, :owner,"
        " :day, :at, :author, :month, :review, :issue, :seq)"
    )
    kept = "select month, vertical, issue, seq, owner, decision, author, at, date(at) from decision"
    for month, review, issue, seq, owner, what, author, at, day in conn.execute(text(kept)).all():
        incident, vertical, touchpoint = conn.execute(about, {"issue": issue}).first() or (None, None, None)
        metric, of = issue.removeprefix("goal:").split("|")[:2] if issue.startswith("goal:") else (None, "")
        conn.execute(
            moved,
            {
                "id": str(uuid5(NAMESPACE_URL, f"earshot:decision:{month}|{review}|{issue}|{seq}")),
                "incident": incident,
                "vertical": vertical or of or (None if review == "*" else review),
                "touchpoint": touchpoint,
                "metric": metric,
                "what": what,
                "owner": owner,
                "day": day,
                "at": at,
                "author": author,
                "month": month,
                "review": review,
                "issue": issue,
                "seq": seq,
            },
        )
    op.create_index("action_by_issue", "action", ["month", "review", "issue", "seq"], unique=True)
    op.drop_table("decision")
