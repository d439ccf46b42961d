"""The tables of the first release.

Programs from before it made some of them, in two versions: 0001, which most of them did not note, and this one. Their
states are brought up here, too.
"""

from typing import Any, Final

from alembic import op
from sqlalchemy import (
    Column,
    Date,
    DateTime,
    Double,
    Integer,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    inspect,
)

from queries.state.migrations import NotOurTableError

# The number stays 0002, although nothing comes before it: states of today carry it.
revision: Final = "0002"
down_revision: Final = None


def upgrade() -> None:
    """Make the tables of this version, or what an older program's lack of it."""
    _make(
        "action",
        Column("id", String(), nullable=False),
        Column("incident_id", String(), nullable=True),
        Column("vertical", String(), nullable=True),
        Column("touchpoint", String(), nullable=True),
        Column("metric", String(), nullable=True),
        Column("what", String(), nullable=False),
        Column("owner", String(), nullable=False),
        Column("started_on", Date(), nullable=False),
        Column("due_on", Date(), nullable=True),
        Column("expected_effect", Double(), nullable=True),
        Column("done_at", DateTime(), nullable=True),
        Column("recorded_at", DateTime(), nullable=False),
        Column("author", String(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    _make(
        "decision",
        Column("month", Date(), nullable=False),
        Column("vertical", String(), nullable=False),
        Column("issue", String(), nullable=False),
        Column("seq", Integer(), nullable=False),
        Column("owner", String(), nullable=False),
        Column("decision", String(), nullable=False),
        Column("author", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        PrimaryKeyConstraint("month", "vertical", "issue", "seq"),
    )
    _make(
        "eval_slot",
        Column("rule", String(), nullable=False),
        Column("slot", Date(), nullable=False),
        Column("generation", Integer(), nullable=False),
        Column("rule_hash", String(), nullable=False),
        Column("origin", String(), nullable=False),
        Column("evaluated_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("rule", "slot", "generation"),
    )
    _make(
        "heartbeat",
        Column("name", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        Column("note", String(), nullable=False),
        PrimaryKeyConstraint("name"),
    )
    _make(
        "incident",
        Column("id", String(), nullable=False),
        Column("rule", String(), nullable=False),
        Column("rule_hash", String(), nullable=False),
        Column("slice", String(), nullable=False),
        Column("class", String(), nullable=False),
        Column("severity", Integer(), nullable=False),
        Column("route", String(), nullable=False),
        Column("ladder", Text(), nullable=False),
        Column("vertical", String(), nullable=True),
        Column("touchpoint", String(), nullable=True),
        Column("account_id", String(), nullable=True),
        Column("state", String(), nullable=False),
        Column("episode", Integer(), nullable=False),
        Column("opened_at", DateTime(), nullable=False),
        Column("slot", Date(), nullable=False),
        Column("resolved_at", DateTime(), nullable=True),
        Column("acknowledged_at", DateTime(), nullable=True),
        Column("acknowledged_by", String(), nullable=True),
        Column("next_step", Integer(), nullable=False),
        Column("next_step_at", DateTime(), nullable=True),
        Column("value", Double(), nullable=True),
        Column("n", Integer(), nullable=True),
        Column("origin", String(), nullable=False),
        Column("open_key", String(), nullable=True),
        Column("version", Integer(), nullable=False),
        Column("snoozed_until", DateTime(), nullable=True),
        Column("assigned_to", String(), nullable=True),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("open_key"),
    )
    op.create_index("incident_by_state", "incident", ["state", "opened_at"], if_not_exists=True)
    _make(
        "incident_event",
        Column("incident_id", String(), nullable=False),
        Column("seq", Integer(), nullable=False),
        Column("at", DateTime(), nullable=False),
        Column("kind", String(), nullable=False),
        Column("reason", String(), nullable=False),
        Column("author", String(), nullable=True),
        Column("generation", Integer(), nullable=True),
        Column("sample", Text(), nullable=True),
        PrimaryKeyConstraint("incident_id", "seq"),
    )
    _make(
        "instance",
        Column("rule", String(), nullable=False),
        Column("slice", String(), nullable=False),
        Column("state", String(), nullable=False),
        Column("health", String(), nullable=False),
        Column("slot", Date(), nullable=True),
        Column("body", Text(), nullable=False),
        Column("incident_id", String(), nullable=True),
        PrimaryKeyConstraint("rule", "slice"),
    )
    _make(
        "lease",
        Column("name", String(), nullable=False),
        Column("holder", String(), nullable=False),
        Column("fence", Integer(), nullable=False),
        Column("until", DateTime(), nullable=False),
        PrimaryKeyConstraint("name"),
    )
    _make(
        "outbox",
        Column("id", String(), nullable=False),
        Column("incident_id", String(), nullable=False),
        Column("episode", Integer(), nullable=False),
        Column("kind", String(), nullable=False),
        Column("step", Integer(), nullable=False),
        Column("target", String(), nullable=False),
        Column("channel", String(), nullable=True),
        Column("state", String(), nullable=False),
        Column("version", Integer(), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("attempted_at", DateTime(), nullable=True),
        Column("due_at", DateTime(), nullable=False),
        Column("created_at", DateTime(), nullable=False),
        Column("sent_at", DateTime(), nullable=True),
        Column("ts", String(), nullable=True),
        Column("error", String(), nullable=True),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("outbox_by_due", "outbox", ["state", "due_at"], if_not_exists=True)
    _make(
        "override",
        Column("month", Date(), nullable=False),
        Column("vertical", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        Column("author", String(), nullable=False),
        Column("reason", String(), nullable=False),
        PrimaryKeyConstraint("month", "vertical", "at"),
    )
    _make(
        "rule_version",
        Column("hash", String(), nullable=False),
        Column("rule", String(), nullable=False),
        Column("body", Text(), nullable=False),
        Column("author", String(), nullable=True),
        Column("stored_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("hash"),
    )
    _make(
        "silence",
        Column("id", String(), nullable=False),
        Column("matchers", Text(), nullable=False),
        Column("reason", String(), nullable=False),
        Column("author", String(), nullable=False),
        Column("starts_at", DateTime(), nullable=False),
        Column("ends_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    _make(
        "slack_root",
        Column("incident_id", String(), nullable=False),
        Column("target", String(), nullable=False),
        Column("channel", String(), nullable=False),
        Column("ts", String(), nullable=False),
        Column("posted_version", Integer(), nullable=False),
        Column("version", Integer(), nullable=False),
        PrimaryKeyConstraint("incident_id", "target"),
    )
    _make(
        "vote",
        Column("incident_id", String(), nullable=False),
        Column("author", String(), nullable=False),
        Column("useful", Integer(), nullable=False),
        Column("at", DateTime(), nullable=False),
        PrimaryKeyConstraint("incident_id", "author"),
    )

    _make(
        "baseline",
        Column("rule_hash", String(), nullable=False),
        Column("slice", String(), nullable=False),
        Column("since", Date(), nullable=False),
        Column("until", Date(), nullable=False),
        Column("tally", Text(), nullable=False),
        Column("frozen_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("rule_hash", "slice"),
    )
    _make(
        "calibration",
        Column("rule_hash", String(), nullable=False),
        Column("alpha", Double(), nullable=False),
        Column("found", Double(), nullable=False),
        Column("low", Double(), nullable=False),
        Column("high", Double(), nullable=False),
        Column("years", Double(), nullable=False),
        Column("slices", Integer(), nullable=False),
        Column("calibrated_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("rule_hash"),
    )
    _make(
        "channel_gate",
        Column("channel", String(), nullable=False),
        Column("next_at", DateTime(), nullable=False),
        Column("blocked_until", DateTime(), nullable=False),
        Column("hour_from", DateTime(), nullable=False),
        Column("used", Integer(), nullable=False),
        PrimaryKeyConstraint("channel"),
    )
    _make(
        "counter",
        Column("name", String(), nullable=False),
        Column("n", Integer(), nullable=False),
        PrimaryKeyConstraint("name"),
    )
    _make(
        "digest_part",
        Column("outbox_id", String(), nullable=False),
        Column("digest_id", String(), nullable=False),
        Column("incident_id", String(), nullable=False),
        Column("kind", String(), nullable=False),
        PrimaryKeyConstraint("outbox_id"),
    )
    op.create_index("digest_part_by_digest", "digest_part", ["digest_id"], if_not_exists=True)
    op.create_index("digest_part_by_incident", "digest_part", ["incident_id"], if_not_exists=True)
    _make(
        "escalation",
        Column("incident_id", String(), nullable=False),
        Column("seq", Integer(), nullable=False),
        Column("person", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        Column("told", Integer(), nullable=False),
        PrimaryKeyConstraint("incident_id", "seq", "person"),
    )
    op.create_index("escalation_by_person", "escalation", ["person", "at"], if_not_exists=True)
    _make(
        "inbound",
        Column("id", String(), nullable=False),
        Column("kind", String(), nullable=False),
        Column("body", Text(), nullable=False),
        Column("state", String(), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("received_at", DateTime(), nullable=False),
        Column("done_at", DateTime(), nullable=True),
        Column("incident_id", String(), nullable=True),
        Column("author", String(), nullable=True),
        Column("outcome", String(), nullable=True),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("inbound_by_state", "inbound", ["state", "received_at"], if_not_exists=True)
    _make(
        "letter",
        Column("id", String(), nullable=False),
        Column("kind", String(), nullable=False),
        Column("person", String(), nullable=False),
        Column("about", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    _make(
        "restored",
        Column("at", DateTime(), nullable=False),
        Column("since", DateTime(), nullable=False),
        PrimaryKeyConstraint("at"),
    )


def _make(name: str, *parts: Any) -> None:
    """Make a table, or add the columns that an older one lacks."""
    tables = inspect(op.get_bind())
    if not tables.has_table(name):
        op.create_table(name, *parts)
        return
    present = {column["name"] for column in tables.get_columns(name)}
    for part in parts:
        if isinstance(part, Column) and part.name not in present:
            # No older version lacked a column that must be filled: such a table is somebody else's. PostgreSQL would
            # add the column all the same where the table is empty, and the state would be half theirs.
            if not part.nullable:
                raise NotOurTableError(
                    f"the database of the state holds a table {name} without {part.name}, which no version of Earshot "
                    "made; rename that table, or give the state a database of its own"
                )
            op.add_column(name, part)
