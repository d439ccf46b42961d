"""The canonical tables of the warehouse.

One declaration makes the DDL on every engine, the contract a load is held to (types, keys, references, domains, order
of times) and what is known when. What a column promises beyond its type is said in `queries/warehouse/columns.py`.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Integer,
    MetaData,
    SmallInteger,
    Table,
)

from queries.warehouse.columns import (
    column,
    date_column,
    day_column,
    fact_segment_columns,
    instant_column,
    lifecycle_columns,
    segment_columns,
    source_column,
    text_column,
)

warehouse: Final = MetaData()
SCALES: Final = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
UNKNOWN: Final = "unknown"


account = Table(
    "account",
    warehouse,
    text_column("account_id", key=True),
    text_column("source", made=True),
    text_column("name", required=True),
    date_column("since"),
    *lifecycle_columns(),
)

account_history = Table(
    "account_history",
    warehouse,
    source_column(),
    text_column("account_id", key=True, refers="account"),
    date_column("valid_from", planned=True, key=True),
    date_column("valid_to", planned=True, not_before="valid_from"),
    text_column("vertical"),
    text_column("tier"),
    text_column("owner"),
    column("annual_revenue", Double, {}),
    text_column("currency"),
    *lifecycle_columns(),
)

person = Table(
    "person",
    warehouse,
    text_column("person_id", key=True),
    text_column("source", made=True),
    text_column("account_id", required=True, refers="account"),
    text_column("role", domain=("decision-maker", "influencer", "user")),
    date_column("active_from", planned=True),
    date_column("active_to", planned=True, not_before="active_from"),
    column("opted_out", Boolean, {}),
    *lifecycle_columns(),
)

revenue = Table(
    "revenue",
    warehouse,
    source_column(),
    text_column("account_id", key=True, refers="account"),
    date_column("month", planned=True, key=True),
    column("amount", Double, {"required": True}),
    text_column("currency"),
    column("share_of_wallet", Double, {"between": (0, 1)}),
    *lifecycle_columns(),
)

fx_rate = Table(
    "fx_rate",
    warehouse,
    source_column(),
    text_column("currency", key=True),
    date_column("month", planned=True, key=True),
    column("rate", Double, {"required": True}),
    *lifecycle_columns(),
)

journey = Table(
    "journey",
    warehouse,
    source_column(),
    text_column("id", key=True),
    text_column("account_id", required=True, refers="account"),
    text_column("journey_type", required=True),
    text_column("goal"),
    instant_column("started_at", required=True, event=True),
    instant_column("promised_at", planned=True),
    instant_column("ended_at", not_before="started_at", known_at="ended_at"),
    text_column("outcome", domain=("reached", "failed", "abandoned", "open"), known_at="ended_at"),
    *fact_segment_columns(),
    day_column("started_at"),
    day_column("ended_at", "ended_day", known_at="ended_at"),
    day_column("promised_at", "promised_day"),
    *lifecycle_columns(),
)

contact = Table(
    "contact",
    warehouse,
    source_column(),
    text_column("id", key=True),
    text_column("account_id", required=True, refers="account"),
    text_column("person_id", refers="person"),
    text_column("journey_id", refers="journey"),
    text_column("touchpoint", required=True),
    text_column("channel"),
    text_column("direction", required=True, domain=("in", "out")),
    instant_column("occurred_at", required=True, event=True),
    instant_column("answered_at", not_before="occurred_at", known_at="answered_at"),
    text_column("employee"),
    text_column("team"),
    text_column("issue_code"),
    column("emotion", SmallInteger, {"between": (-2, 2)}),
    column("context_seen", Boolean, {}),
    *fact_segment_columns(),
    day_column("occurred_at"),
    *lifecycle_columns(),
)

response = Table(
    "response",
    warehouse,
    source_column(),
    text_column("id", key=True),
    text_column("account_id", required=True, refers="account"),
    text_column("person_id", refers="person"),
    text_column("journey_id", refers="journey"),
    text_column("touchpoint"),
    text_column("instrument"),
    text_column("instrument_version"),
    text_column("kind", required=True, domain=("transaction", "relationship")),
    text_column("status", required=True, domain=("invited", "bounced", "answered"), known_at="responded_at"),
    text_column("scale", domain=tuple(SCALES)),
    column("score", SmallInteger, {"known_at": "responded_at"}),
    text_column("expectation", domain=("below", "as", "above"), known_at="responded_at"),
    text_column("comment", known_at="responded_at"),
    instant_column("invited_at", required=True, event=True),
    instant_column("responded_at", not_before="invited_at", known_at="responded_at"),
    *fact_segment_columns(),
    day_column("invited_at"),
    day_column("responded_at", "responded_day", known_at="responded_at"),
    *lifecycle_columns(),
)

defect = Table(
    "defect",
    warehouse,
    source_column(),
    text_column("id", key=True),
    text_column("account_id", required=True, refers="account"),
    text_column("journey_id", refers="journey"),
    text_column("touchpoint"),
    text_column("code", required=True),
    column("severity", SmallInteger, {"between": (1, 5)}),
    instant_column("occurred_at", required=True, event=True),
    instant_column("resolved_at", not_before="occurred_at", known_at="resolved_at"),
    *fact_segment_columns(),
    day_column("occurred_at"),
    *lifecycle_columns(),
)

condition = Table(
    "condition",
    warehouse,
    source_column(),
    text_column("id", key=True),
    text_column("name", required=True),
    text_column("kind", required=True, domain=("internal", "external")),
    instant_column("starts_at", planned=True, required=True, event=True),
    instant_column("ends_at", planned=True, not_before="starts_at", known_at="ends_at"),
    text_column("verticals"),
    text_column("touchpoints"),
    *lifecycle_columns(),
)

instrument = Table(
    "instrument",
    warehouse,
    source_column(),
    text_column("instrument", key=True),
    text_column("version", key=True),
    text_column("pattern", domain=("past", "present", "potential")),
    text_column("owner"),
    text_column("cadence"),
    date_column("wording_changed_at"),
    *lifecycle_columns(),
)

erased = Table(
    "erased",
    warehouse,
    text_column("hash", key=True),
    instant_column("at", required=True),
)

calendar = Table(
    "calendar",
    warehouse,
    date_column("day", key=True),
    date_column("week", required=True),
    date_column("month", required=True),
    date_column("quarter", required=True),
    date_column("fiscal_year", required=True),
    column("business_day", Boolean, {"required": True}),
)

# What loads leave behind.

quarantine = Table(
    "quarantine",
    warehouse,
    text_column("source", required=True),
    text_column("table_name", required=True),
    text_column("key", required=True),
    text_column("reason", required=True),
    text_column("row", required=True),
    instant_column("loaded_at", required=True),
)

generation = Table(
    "generation",
    warehouse,
    column("number", Integer, {"key": True}),
    instant_column("published_at", required=True),
    text_column("zone", required=True),
    text_column("calendar_hash", required=True),
    text_column("metrics_hash", required=True),
    text_column("source", required=True),
    text_column("summary", required=True),
)

# What is computed from the facts when a generation is made.

journey_fact = Table(
    "journey_fact",
    warehouse,
    text_column("source", key=True),
    text_column("id", key=True),
    text_column("account_id", required=True),
    text_column("journey_type", required=True),
    *segment_columns(),
    instant_column("started_at", required=True),
    instant_column("promised_at"),
    instant_column("ended_at", known_at="ended_at"),
    text_column("outcome", known_at="ended_at"),
    date_column("day", required=True),
    date_column("ended_day", known_at="ended_at"),
    date_column("promised_day"),
    column("kept", Boolean, {"known_at": "ended_at"}),
    column("days", Double, {"known_at": "ended_at"}),
    column("contacts", Integer, {"known_at": "ended_at"}),
    column("inbound", Integer, {"known_at": "ended_at"}),
    column("channels", Integer, {"known_at": "ended_at"}),
    column("multi_channel", Boolean, {"known_at": "ended_at"}),
    column("hours_waiting_on_us", Double, {"known_at": "ended_at"}),
    column("hours_waiting_on_customer", Double, {"known_at": "ended_at"}),
    column("last_emotion", SmallInteger, {"known_at": "ended_at"}),
    column("worst_emotion", SmallInteger, {"known_at": "ended_at"}),
    column("defects", Integer, {"known_at": "ended_at"}),
    column("defective", Boolean, {"known_at": "ended_at"}),
)

design_effect = Table(
    "design_effect",
    warehouse,
    text_column("metric", key=True),
    text_column("vertical", key=True),
    date_column("quarter", key=True),
    column("n", BigInteger, {"required": True}),
    column("clusters", BigInteger, {"required": True}),
    column("deff", Double, {"required": True}),
)

CANONICAL: Final[tuple[Table, ...]] = (
    account,
    account_history,
    person,
    revenue,
    fx_rate,
    journey,
    contact,
    response,
    defect,
    condition,
    instrument,
)
"""The tables a source may fill, parents before children."""
