"""Baselines and calibrations of rules, presses in Slack, paced and folded deliveries, restores, budgets, counters."""

from typing import Final

from alembic import op
from sqlalchemy import Column, Date, DateTime, Double, Integer, PrimaryKeyConstraint, String, Text

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Make the tables of this version out of those of the one before."""
    op.create_table(
        "baseline",
        Column("rule_hash", String(), nullable=False),
        Column("slice", String(), nullable=False),
        Column("since", Date(), nullable=False),
        Column("until", Date(), nullable=False),
        Column("tally", Text(), nullable=False),
        Column("frozen_at", DateTime(), nullable=False),
        PrimaryKeyConstraint("rule_hash", "slice"),
    )
    op.create_table(
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
    op.create_table(
        "channel_gate",
        Column("channel", String(), nullable=False),
        Column("next_at", DateTime(), nullable=False),
        Column("blocked_until", DateTime(), nullable=False),
        Column("hour_from", DateTime(), nullable=False),
        Column("used", Integer(), nullable=False),
        PrimaryKeyConstraint("channel"),
    )
    op.create_table(
        "counter",
        Column("name", String(), nullable=False),
        Column("n", Integer(), nullable=False),
        PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "digest_part",
        Column("outbox_id", String(), nullable=False),
        Column("digest_id", String(), nullable=False),
        Column("incident_id", String(), nullable=False),
        Column("kind", String(), nullable=False),
        PrimaryKeyConstraint("outbox_id"),
    )
    with op.batch_alter_table("digest_part") as batch_op:
        batch_op.create_index("digest_part_by_digest", ["digest_id"], unique=False)
        batch_op.create_index("digest_part_by_incident", ["incident_id"], unique=False)

    op.create_table(
        "escalation",
        Column("incident_id", String(), nullable=False),
        Column("seq", Integer(), nullable=False),
        Column("person", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        Column("told", Integer(), nullable=False),
        PrimaryKeyConstraint("incident_id", "seq", "person"),
    )
    with op.batch_alter_table("escalation") as batch_op:
        batch_op.create_index("escalation_by_person", ["person", "at"], unique=False)

    op.create_table(
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
    with op.batch_alter_table("inbound") as batch_op:
        batch_op.create_index("inbound_by_state", ["state", "received_at"], unique=False)

    op.create_table(
        "letter",
        Column("id", String(), nullable=False),
        Column("kind", String(), nullable=False),
        Column("person", String(), nullable=False),
        Column("about", String(), nullable=False),
        Column("at", DateTime(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "restored",
        Column("at", DateTime(), nullable=False),
        Column("since", DateTime(), nullable=False),
        PrimaryKeyConstraint("at"),
    )
    with op.batch_alter_table("incident") as batch_op:
        batch_op.add_column(Column("snoozed_until", DateTime(), nullable=True))
        batch_op.add_column(Column("assigned_to", String(), nullable=True))
