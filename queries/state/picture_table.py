"""The state's table of pictures."""

from sqlalchemy import Column, DateTime, Index, Integer, String, Table

from queries.state.tables import SAID, state

picture = Table(
    "picture",
    state,
    Column("incident_id", String, primary_key=True),
    Column("target", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", DateTime, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("file", String),
    Column("upload_url", String),
    Column("alt", String, info=SAID),
    Column("error", String),
    Index("picture_by_due", "state", "due_at"),
)
"""The picture of an incident's root message: how far it has come, and the channel's own name for its file, which is
written down before the file exists. `attempts` is the fence, as in the outbox."""
