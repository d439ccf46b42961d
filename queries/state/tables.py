"""The state: what has been evaluated, opened, sent and decided. Ids and counts only: names stay in the warehouse.

Instants are naive UTC. Ids are text (uuid5), so that the same finding has the same id whoever computes it.

`Column.info["holds"]` says where a customer may stand, and so what an erasure rewrites: `SLICE` is a slice's text,
`JSON` has fields that name accounts or people, `SAID` was written by people, `STAFF` is who of our own did it. A text
column without it holds words and ids of the program's own making, which no erasure touches.
"""

from typing import Final

from sqlalchemy import Column, Date, DateTime, Double, Index, Integer, MetaData, String, Table, Text

state: Final = MetaData()
VERSIONS: Final = "alembic_version"
"""The table that says which version of these tables a state has."""

HEAD: Final = "0011"
"""The version of the tables below: whoever changes them adds a file to migrations/versions, and its number here."""

KEY: Final = {"holds": "key"}
SLICE: Final = {"holds": "slice"}
JSON: Final = {"holds": "json"}
SAID: Final = {"holds": "said"}
STAFF: Final = {"holds": "staff"}

rule_version = Table(
    "rule_version",
    state,
    Column("hash", String, primary_key=True),
    Column("rule", String, nullable=False),
    Column("body", Text, nullable=False, info=JSON),
    Column("author", String, info=STAFF),
    Column("stored_at", DateTime, nullable=False),
)

baseline = Table(
    "baseline",
    state,
    Column("rule_hash", String, primary_key=True),
    Column("slice", String, primary_key=True, info=SLICE),
    Column("since", Date, nullable=False),
    Column("until", Date, nullable=False),
    Column("tally", Text, nullable=False),
    Column("frozen_at", DateTime, nullable=False),
)

calibration = Table(
    "calibration",
    state,
    Column("rule_hash", String, primary_key=True),
    Column("alpha", Double, nullable=False),
    Column("found", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("years", Double, nullable=False),
    Column("slices", Integer, nullable=False),
    Column("calibrated_at", DateTime, nullable=False),
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
    Column("slice", String, primary_key=True, info=SLICE),
    Column("state", String, nullable=False),
    Column("health", String, nullable=False),
    Column("slot", Date),
    Column("body", Text, nullable=False, info=JSON),
    Column("incident_id", String),
)

rule_error = Table(
    "rule_error",
    state,
    Column("rule", String, primary_key=True),
    Column("slice", String, primary_key=True, info=SLICE),
    Column("reason", String, nullable=False, info=SAID),
    Column("since", DateTime, nullable=False),
)
"""The rules that could not be evaluated when that was last tried; an empty slice is all of them."""

incident = Table(
    "incident",
    state,
    Column("id", String, primary_key=True),
    Column("rule", String, nullable=False),
    Column("rule_hash", String, nullable=False),
    Column("slice", String, nullable=False, info=SLICE),
    Column("class", String, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("route", String, nullable=False),
    Column("ladder", Text, nullable=False),
    Column("vertical", String),
    Column("touchpoint", String),
    Column("account_id", String, info=KEY),
    Column("state", String, nullable=False),
    Column("episode", Integer, nullable=False),
    Column("opened_at", DateTime, nullable=False),
    Column("slot", Date, nullable=False),
    Column("resolved_at", DateTime),
    Column("acknowledged_at", DateTime),
    Column("acknowledged_by", String, info=STAFF),
    Column("next_step", Integer, nullable=False),
    Column("next_step_at", DateTime),
    Column("value", Double),
    Column("n", Integer),
    Column("origin", String, nullable=False),
    Column("open_key", String, unique=True),
    Column("version", Integer, nullable=False),
    Column("snoozed_until", DateTime),
    Column("assigned_to", String, info=STAFF),
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
    Column("reason", String, nullable=False, info=SAID),
    Column("author", String, info=STAFF),
    Column("generation", Integer),
    Column("sample", Text, info=JSON),
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

channel_gate = Table(
    "channel_gate",
    state,
    Column("channel", String, primary_key=True),
    Column("next_at", DateTime, nullable=False),
    Column("blocked_until", DateTime, nullable=False),
    Column("hour_from", DateTime, nullable=False),
    Column("used", Integer, nullable=False),
)
"""How fast a channel may be written to, by all processes together: nothing before `next_at`; nothing, not even a look,
before `blocked_until` (what Slack asked for); `used` messages that notify since `hour_from`."""

digest_part = Table(
    "digest_part",
    state,
    Column("outbox_id", String, primary_key=True),
    Column("digest_id", String, nullable=False),
    Column("incident_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Index("digest_part_by_digest", "digest_id"),
    Index("digest_part_by_incident", "incident_id"),
)
"""Which messages were told by a digest in place of their own. A digest is an outbox row of kind `digest`, whose
`incident_id` is the digest's own id; where it stands is a row of slack_root."""

restored = Table(
    "restored",
    state,
    Column("at", DateTime, primary_key=True),
    Column("since", DateTime, nullable=False),
)
"""When the state was put back from a backup, and the last moment that the backup knows of: what was sent between the
two is known to Slack alone."""

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

counter = Table(
    "counter",
    state,
    Column("name", String, primary_key=True),
    Column("n", Integer, nullable=False),
)
"""What happened, and how often since the state was made."""

escalation = Table(
    "escalation",
    state,
    Column("incident_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("person", String, primary_key=True, info=STAFF),
    Column("at", DateTime, nullable=False),
    Column("told", Integer, nullable=False),
    Index("escalation_by_person", "person", "at"),
)
"""Whom a step of a ladder asked for: `told` is 0 where it was beyond the person's budget, and waits for the weekly
digest. `seq` is that of the incident's event."""

letter = Table(
    "letter",
    state,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("person", String, nullable=False, info=STAFF),
    Column("about", String, nullable=False),
    Column("at", DateTime, nullable=False),
)
"""A message to one person that is about no incident alone; `about` is a week's Monday, or an incident's id. Its words
are made when it is sent. It goes out as an outbox row of kind `root` whose `incident_id` is the letter's id."""

silence = Table(
    "silence",
    state,
    Column("id", String, primary_key=True),
    Column("matchers", Text, nullable=False, info=JSON),
    Column("reason", String, nullable=False, info=SAID),
    Column("author", String, nullable=False, info=STAFF),
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
    Column("what", String, nullable=False, info=SAID),
    Column("owner", String, nullable=False, info=SAID),
    Column("started_on", Date, nullable=False),
    Column("due_on", Date),
    Column("expected_effect", Double),
    Column("done_at", DateTime),
    Column("recorded_at", DateTime, nullable=False),
    Column("author", String, nullable=False, info=STAFF),
    Column("month", Date),
    Column("review", String),
    Column("issue", String, info=SLICE),
    Column("seq", Integer),
    Column("shared_at", DateTime),
    Column("shared_by", String, info=STAFF),
    Column("function", String),
    Index("action_by_issue", "month", "review", "issue", "seq", unique=True),
)
"""What is done about an incident, or a place. Where a review meeting decided it, `month`, `review` (its vertical, or
`*`) and `issue` say which, and the newest `seq` holds. `shared_at` is when its customer was told of it, `function`
who in the company is responsible."""

override = Table(
    "override",
    state,
    Column("month", Date, primary_key=True),
    Column("vertical", String, primary_key=True),
    Column("at", DateTime, primary_key=True),
    Column("author", String, nullable=False, info=STAFF),
    Column("reason", String, nullable=False, info=SAID),
)

vote = Table(
    "vote",
    state,
    Column("incident_id", String, primary_key=True),
    Column("author", String, primary_key=True, info=STAFF),
    Column("useful", Integer, nullable=False),
    Column("at", DateTime, nullable=False),
)

inbound = Table(
    "inbound",
    state,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("body", Text, nullable=False, info=JSON),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("received_at", DateTime, nullable=False),
    Column("done_at", DateTime),
    Column("incident_id", String),
    Column("author", String, info=STAFF),
    Column("outcome", String),
    Index("inbound_by_state", "state", "received_at"),
)
"""What people pressed in Slack, kept before Slack is told that it arrived. `body` holds ids and what was typed, and is
emptied once it is done."""

erasure = Table(
    "erasure",
    state,
    Column("hash", String, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("body", Text),
)
"""What is being erased: written before anything else is touched, and gone when nothing is left to do. `body` is JSON
with the keys and the name to look for; it is emptied with the state's other rows."""
