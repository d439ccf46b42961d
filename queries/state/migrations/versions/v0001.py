"""The tables as they were before versions were noted."""

from typing import Final

from alembic import op
from sqlalchemy import Column, Date, DateTime, Double, Integer, PrimaryKeyConstraint, String, Text, UniqueConstraint

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make the tables of this version out of those of the one before."""
    op.create_table(
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
    op.create_table(
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
    op.create_table(
        "eval_slot",
        Column("rule", String(), nullable=False),
        Column("slot", Date(), nullable=False),
        Column("generation", Integer(), nullable=False),
        Column("rule_hash", String(), nullable=False),
        Column("origin", String(), nullable=False),
        Column("evaluated_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("rule", "slot", "generation"),
    )
    op.create_table(
        "heartbeat",
        Column("name", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        Column("note", String(), nullable=False),
        PrimaryKeyConstraint("name"),
    )
    op.create_table(
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
        PrimaryKeyConstraint("id"),
        UniqueConstraint("open_key"),
    )
    with op.batch_alter_table("incident") as batch_op:
        batch_op.create_index("incident_by_state", ["state", "opened_at"], unique=False)

    op.create_table(
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
    op.create_table(
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
    op.create_table(
        "lease",
        Column("name", String(), nullable=False),
        Column("holder", String(), nullable=False),
        Column("fence", Integer(), nullable=False),
        Column("until", DateTime(), nullable=False),
        PrimaryKeyConstraint("name"),
    )
    op.create_table(
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
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.create_index("outbox_by_due", ["state", "due_at"], unique=False)

    op.create_table(
        "override",
        Column("month", Date(), nullable=False),
        Column("vertical", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        Column("author", String(), nullable=False),
        Column("reason", String(), nullable=False),
        PrimaryKeyConstraint("month", "vertical", "at"),
    )
    op.create_table(
        "rule_version",
        Column("hash", String(), nullable=False),
        Column("rule", String(), nullable=False),
        Column("body", Text(), nullable=False),
        Column("author", String(), nullable=True),
        Column("stored_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "silence",
        Column("id", String(), nullable=False),
        Column("matchers", Text(), nullable=False),
        Column("reason", String(), nullable=False),
        Column("author", String(), nullable=False),
        Column("starts_at", DateTime(), nullable=False),
        Column("ends_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "slack_root",
        Column("incident_id", String(), nullable=False),
        Column("target", String(), nullable=False),
        Column("channel", String(), nullable=False),
        Column("ts", String(), nullable=False),
        Column("posted_version", Integer(), nullable=False),
        Column("version", Integer(), nullable=False),
        PrimaryKeyConstraint("incident_id", "target"),
    )
    op.create_table(
        "vote",
        Column("incident_id", String(), nullable=False),
        Column("author", String(), nullable=False),
        Column("useful", Integer(), nullable=False),
        Column("at", DateTime(), nullable=False),
        PrimaryKeyConstraint("incident_id", "author"),
    )
