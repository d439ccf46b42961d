"""The state: what has been evaluated, opened, sent and decided. Ids and counts only: names stay in the warehouse.

Instants are naive UTC. Ids are text (uuid5), so that the same finding has the same id whoever computes it.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import (
    Column,
    Date,
    DateTime,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
)
from sqlalchemy.pool import StaticPool

from queries.engine import journal, shared

state: Final = MetaData()

rule_version = Table(
    "rule_version",
    state,
    Column("hash", String, primary_key=True),
    Column("rule", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("author", String),
    Column("stored_at", DateTime, nullable=False),
)

eval_slot = Table(
    "eval_slot",
    state,
    Column("rule", String, primary_key=True),
    Column("slot", Date, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("rule_hash", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("evaluated_at", DateTime, nullable=False),
)

instance = Table(
    "instance",
    state,
    Column("rule", String, primary_key=True),
    Column("slice", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("health", String, nullable=False),
    Column("slot", Date),
    Column("body", Text, nullable=False),
    Column("incident_id", String),
)

incident = Table(
    "incident",
    state,
    Column("id", String, primary_key=True),
    Column("rule", String, nullable=False),
    Column("rule_hash", String, nullable=False),
    Column("slice", String, nullable=False),
    Column("class", String, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("route", String, nullable=False),
    Column("ladder", Text, nullable=False),
    Column("vertical", String),
    Column("touchpoint", String),
    Column("account_id", String),
    Column("state", String, nullable=False),
    Column("episode", Integer, nullable=False),
    Column("opened_at", DateTime, nullable=False),
    Column("slot", Date, nullable=False),
    Column("resolved_at", DateTime),
    Column("acknowledged_at", DateTime),
    Column("acknowledged_by", String),
    Column("next_step", Integer, nullable=False),
    Column("next_step_at", DateTime),
    Column("value", Double),
    Column("n", Integer),
    Column("origin", String, nullable=False),
    Column("open_key", String, unique=True),
    Column("version", Integer, nullable=False),
    Index("incident_by_state", "state", "opened_at"),
)
"""`open_key` is `rule|slice` while the incident is open and null afterwards: one open incident a slice. Each change of
an incident raises `version` by one and appends the event whose `seq` is the new version."""

incident_event = Table(
    "incident_event",
    state,
    Column("incident_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("kind", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("author", String),
    Column("generation", Integer),
    Column("sample", Text),
)

outbox = Table(
    "outbox",
    state,
    Column("id", String, primary_key=True),
    Column("incident_id", String, nullable=False),
    Column("episode", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("target", String, nullable=False),
    Column("channel", String),
    Column("state", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempted_at", DateTime),
    Column("due_at", DateTime, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("sent_at", DateTime),
    Column("ts", String),
    Column("error", String),
    Index("outbox_by_due", "state", "due_at"),
)
"""`target` is a route's name; `channel` is where the first attempt went, so that a retry looks in the same place.
`attempts` is the fence: only the process whose claim made it so may record the outcome."""

slack_root = Table(
    "slack_root",
    state,
    Column("incident_id", String, primary_key=True),
    Column("target", String, primary_key=True),
    Column("channel", String, nullable=False),
    Column("ts", String, nullable=False),
    Column("posted_version", Integer, nullable=False),
    Column("version", Integer, nullable=False),
)
"""An incident's root message: the incident's version when it was posted, and the version it shows now."""

lease = Table(
    "lease",
    state,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("until", DateTime, nullable=False),
)

heartbeat = Table(
    "heartbeat",
    state,
    Column("name", String, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("note", String, nullable=False),
)

silence = Table(
    "silence",
    state,
    Column("id", String, primary_key=True),
    Column("matchers", Text, nullable=False),
    Column("reason", String, nullable=False),
    Column("author", String, nullable=False),
    Column("starts_at", DateTime, nullable=False),
    Column("ends_at", DateTime, nullable=False),
)

action = Table(
    "action",
    state,
    Column("id", String, primary_key=True),
    Column("incident_id", String),
    Column("vertical", String),
    Column("touchpoint", String),
    Column("metric", String),
    Column("what", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("started_on", Date, nullable=False),
    Column("due_on", Date),
    Column("expected_effect", Double),
    Column("done_at", DateTime),
    Column("recorded_at", DateTime, nullable=False),
    Column("author", String, nullable=False),
)

decision = Table(
    "decision",
    state,
    Column("month", Date, primary_key=True),
    Column("vertical", String, primary_key=True),
    Column("issue", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("owner", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("author", String, nullable=False),
    Column("at", DateTime, nullable=False),
)
"""What a review meeting decided about a key issue; the newest `seq` holds. `vertical` `*` is the company's review."""

override = Table(
    "override",
    state,
    Column("month", Date, primary_key=True),
    Column("vertical", String, primary_key=True),
    Column("at", DateTime, primary_key=True),
    Column("author", String, nullable=False),
    Column("reason", String, nullable=False),
)

vote = Table(
    "vote",
    state,
    Column("incident_id", String, primary_key=True),
    Column("author", String, primary_key=True),
    Column("useful", Integer, nullable=False),
    Column("at", DateTime, nullable=False),
)


def open_state(folder: Path, url: str | None = None) -> Engine:
    """The state's engine with its tables made: SQLite in `folder`, or the database at `url`."""
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
    engine = shared(url) if url else journal(folder / "state.db")
    state.create_all(engine)
    return engine


def passing_state() -> Engine:
    """A state that lives as long as its engine: a backtest's."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    state.create_all(engine)
    return engine
