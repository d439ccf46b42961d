"""The canonical tables of the warehouse.

One declaration makes the DDL on every engine, the contract a load is held to (types, keys, references, domains, order
of times) and what is known when. What a column promises beyond its type stands in `Column.info`:

- `refers`: the table whose key the value must exist in
- `domain`: the values allowed
- `not_before`: the instant in the same row that may not lie after this one
- `known_at`: the instant that makes the value known; read before it, the value is null
- `planned`: the date may lie ahead of the load
- `made`: filled by the load, never by a source
- `day_of`: the instant or date whose day in the reporting zone this is
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
)
from sqlalchemy.sql.schema import SchemaItem

warehouse: Final = MetaData()
SCALES: Final = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
UNKNOWN: Final = "unknown"


def _text(name: str, **info: Any) -> Column[str]:
    return _column(name, String, info)


def _instant(name: str, **info: Any) -> Column[Any]:
    return _column(name, DateTime, info)


def _date(name: str, **info: Any) -> Column[Any]:
    return _column(name, Date, info)


def _day(of: str, name: str = "day", **info: Any) -> Column[Any]:
    return _column(name, Date, {"made": True, "day_of": of, **info})


def _column(name: str, kind: Any, info: dict[str, Any]) -> Column[Any]:
    key, required = info.pop("key", False), info.pop("required", False)
    return Column(name, kind, primary_key=key, nullable=not (key or required), autoincrement=False, info=info)


def _lifecycle() -> tuple[SchemaItem, ...]:
    """Where a row came from and when: when its source learnt it, and when it was first and last loaded."""
    return (
        _instant("recorded_at"),
        _instant("first_loaded_at", made=True),
        _instant("loaded_at", made=True),
    )


def _segment() -> tuple[SchemaItem, ...]:
    """The fact's own segment, as of the event."""
    return _text("vertical"), _text("product"), _text("region")


def _fact_segment() -> tuple[SchemaItem, ...]:
    """The segment of a fact, and whether its vertical came (or is still to come) from the account's history."""
    return *_segment(), _column("vertical_filled", Boolean, {"made": True})


def _source() -> Column[str]:
    return _text("source", key=True, made=True)


account = Table(
    "account",
    warehouse,
    _text("account_id", key=True),
    _text("source", made=True),
    _text("name", required=True),
    _date("since"),
    *_lifecycle(),
)

account_history = Table(
    "account_history",
    warehouse,
    _source(),
    _text("account_id", key=True, refers="account"),
    _date("valid_from", planned=True, key=True),
    _date("valid_to", planned=True, not_before="valid_from"),
    _text("vertical"),
    _text("tier"),
    _text("owner"),
    _column("annual_revenue", Double, {}),
    _text("currency"),
    *_lifecycle(),
)

person = Table(
    "person",
    warehouse,
    _text("person_id", key=True),
    _text("source", made=True),
    _text("account_id", required=True, refers="account"),
    _text("role", domain=("decision-maker", "influencer", "user")),
    _date("active_from", planned=True),
    _date("active_to", planned=True, not_before="active_from"),
    _column("opted_out", Boolean, {}),
    *_lifecycle(),
)

revenue = Table(
    "revenue",
    warehouse,
    _source(),
    _text("account_id", key=True, refers="account"),
    _date("month", planned=True, key=True),
    _column("amount", Double, {"required": True}),
    _text("currency"),
    _column("share_of_wallet", Double, {"between": (0, 1)}),
    *_lifecycle(),
)

fx_rate = Table(
    "fx_rate",
    warehouse,
    _source(),
    _text("currency", key=True),
    _date("month", planned=True, key=True),
    _column("rate", Double, {"required": True}),
    *_lifecycle(),
)

journey = Table(
    "journey",
    warehouse,
    _source(),
    _text("id", key=True),
    _text("account_id", required=True, refers="account"),
    _text("journey_type", required=True),
    _text("goal"),
    _instant("started_at", required=True, event=True),
    _instant("promised_at", planned=True),
    _instant("ended_at", not_before="started_at", known_at="ended_at"),
    _text("outcome", domain=("reached", "failed", "abandoned", "open"), known_at="ended_at"),
    *_fact_segment(),
    _day("started_at"),
    _day("ended_at", "ended_day", known_at="ended_at"),
    _day("promised_at", "promised_day"),
    *_lifecycle(),
)

contact = Table(
    "contact",
    warehouse,
    _source(),
    _text("id", key=True),
    _text("account_id", required=True, refers="account"),
    _text("person_id", refers="person"),
    _text("journey_id", refers="journey"),
    _text("touchpoint", required=True),
    _text("channel"),
    _text("direction", required=True, domain=("in", "out")),
    _instant("occurred_at", required=True, event=True),
    _instant("answered_at", not_before="occurred_at", known_at="answered_at"),
    _text("employee"),
    _text("team"),
    _text("issue_code"),
    _column("emotion", SmallInteger, {"between": (-2, 2)}),
    _column("context_seen", Boolean, {}),
    *_fact_segment(),
    _day("occurred_at"),
    *_lifecycle(),
)

response = Table(
    "response",
    warehouse,
    _source(),
    _text("id", key=True),
    _text("account_id", required=True, refers="account"),
    _text("person_id", refers="person"),
    _text("journey_id", refers="journey"),
    _text("touchpoint"),
    _text("instrument"),
    _text("instrument_version"),
    _text("kind", required=True, domain=("transaction", "relationship")),
    _text("status", required=True, domain=("invited", "bounced", "answered"), known_at="responded_at"),
    _text("scale", domain=tuple(SCALES)),
    _column("score", SmallInteger, {"known_at": "responded_at"}),
    _text("expectation", domain=("below", "as", "above"), known_at="responded_at"),
    _text("comment", known_at="responded_at"),
    _instant("invited_at", required=True, event=True),
    _instant("responded_at", not_before="invited_at", known_at="responded_at"),
    *_fact_segment(),
    _day("invited_at"),
    _day("responded_at", "responded_day", known_at="responded_at"),
    *_lifecycle(),
)

defect = Table(
    "defect",
    warehouse,
    _source(),
    _text("id", key=True),
    _text("account_id", required=True, refers="account"),
    _text("journey_id", refers="journey"),
    _text("touchpoint"),
    _text("code", required=True),
    _column("severity", SmallInteger, {"between": (1, 5)}),
    _instant("occurred_at", required=True, event=True),
    _instant("resolved_at", not_before="occurred_at", known_at="resolved_at"),
    *_fact_segment(),
    _day("occurred_at"),
    *_lifecycle(),
)

condition = Table(
    "condition",
    warehouse,
    _source(),
    _text("id", key=True),
    _text("name", required=True),
    _text("kind", required=True, domain=("internal", "external")),
    _instant("starts_at", planned=True, required=True, event=True),
    _instant("ends_at", planned=True, not_before="starts_at", known_at="ends_at"),
    _text("verticals"),
    _text("touchpoints"),
    *_lifecycle(),
)

instrument = Table(
    "instrument",
    warehouse,
    _source(),
    _text("instrument", key=True),
    _text("version", key=True),
    _text("pattern", domain=("past", "present", "potential")),
    _text("owner"),
    _text("cadence"),
    _date("wording_changed_at"),
    *_lifecycle(),
)

erased = Table(
    "erased",
    warehouse,
    _text("hash", key=True),
    _instant("at", required=True),
)

calendar = Table(
    "calendar",
    warehouse,
    _date("day", key=True),
    _date("week", required=True),
    _date("month", required=True),
    _date("quarter", required=True),
    _date("fiscal_year", required=True),
    _column("business_day", Boolean, {"required": True}),
)

# What loads leave behind.

quarantine = Table(
    "quarantine",
    warehouse,
    _text("source", required=True),
    _text("table_name", required=True),
    _text("key", required=True),
    _text("reason", required=True),
    _text("row", required=True),
    _instant("loaded_at", required=True),
)

generation = Table(
    "generation",
    warehouse,
    _column("number", Integer, {"key": True}),
    _instant("published_at", required=True),
    _text("zone", required=True),
    _text("calendar_hash", required=True),
    _text("metrics_hash", required=True),
    _text("source", required=True),
    _text("summary", required=True),
)

# What is computed from the facts when a generation is made.

journey_fact = Table(
    "journey_fact",
    warehouse,
    _text("source", key=True),
    _text("id", key=True),
    _text("account_id", required=True),
    _text("journey_type", required=True),
    *_segment(),
    _instant("started_at", required=True),
    _instant("promised_at"),
    _instant("ended_at", known_at="ended_at"),
    _text("outcome", known_at="ended_at"),
    _date("day", required=True),
    _date("ended_day", known_at="ended_at"),
    _date("promised_day"),
    _column("kept", Boolean, {"known_at": "ended_at"}),
    _column("days", Double, {"known_at": "ended_at"}),
    _column("contacts", Integer, {"known_at": "ended_at"}),
    _column("inbound", Integer, {"known_at": "ended_at"}),
    _column("channels", Integer, {"known_at": "ended_at"}),
    _column("multi_channel", Boolean, {"known_at": "ended_at"}),
    _column("hours_waiting_on_us", Double, {"known_at": "ended_at"}),
    _column("hours_waiting_on_customer", Double, {"known_at": "ended_at"}),
    _column("last_emotion", SmallInteger, {"known_at": "ended_at"}),
    _column("worst_emotion", SmallInteger, {"known_at": "ended_at"}),
    _column("defects", Integer, {"known_at": "ended_at"}),
    _column("defective", Boolean, {"known_at": "ended_at"}),
)

design_effect = Table(
    "design_effect",
    warehouse,
    _text("metric", key=True),
    _text("vertical", key=True),
    _date("quarter", key=True),
    _column("n", BigInteger, {"required": True}),
    _column("clusters", BigInteger, {"required": True}),
    _column("deff", Double, {"required": True}),
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
