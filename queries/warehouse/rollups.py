"""What is computed from the facts when a generation is made: a row a journey, and the small counts that pages read."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Double,
    Integer,
    Select,
    SmallInteger,
    String,
    Subquery,
    Table,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.sql.functions import FunctionElement

from queries.engine import append, micros, newest_value, whole
from queries.warehouse import tables as warehouse_tables
from queries.warehouse.changes import Touched
from queries.warehouse.relations import relation
from queries.warehouse.verticals import covers, vertical_periods

DEFECT_GRACE: Final = timedelta(days=14)
"""How long after its end a journey still answers for a defect."""

_HOUR: Final = 3_600_000_000.0
_DAY: Final = 86_400_000_000.0

Row = ColumnElement[bool]


def _rollup(name: str, **dimensions: Any) -> Table:
    """The rows of a relation grouped by these columns, with their number as `c`."""
    columns = [Column(dimension, kind) for dimension, kind in dimensions.items()]
    return Table(name, warehouse_tables.warehouse, *columns, Column("c", BigInteger, nullable=False))


# A rollup column that no table has is a derived column of its relation.
roll_contact = _rollup("roll_contact", day=Date, vertical=String, touchpoint=String, channel=String, direction=String)
roll_emotion = _rollup(
    "roll_emotion", day=Date, vertical=String, touchpoint=String, emotion=SmallInteger, context_seen=Boolean
)
roll_response = _rollup(
    "roll_response",
    responded_day=Date,
    vertical=String,
    touchpoint=String,
    instrument=String,
    kind=String,
    scale=String,
    score=SmallInteger,
    expectation=String,
)
roll_invitation = _rollup(
    "roll_invitation",
    day=Date,
    vertical=String,
    touchpoint=String,
    instrument=String,
    kind=String,
    status=String,
    days_to_answer=Integer,
)
roll_journey = _rollup(
    "roll_journey",
    ended_day=Date,
    vertical=String,
    journey_type=String,
    outcome=String,
    kept=Boolean,
    multi_channel=Boolean,
    defective=Boolean,
    defects=Integer,
    contacts=Integer,
)
roll_journey_due = _rollup(
    "roll_journey_due", promised_day=Date, vertical=String, journey_type=String, kept_when_due=Boolean
)
roll_defect = _rollup("roll_defect", day=Date, vertical=String, touchpoint=String, code=String, severity=SmallInteger)

ROLLUPS: Final[dict[str, tuple[Table, ...]]] = {
    "contact": (roll_contact, roll_emotion),
    "response": (roll_response, roll_invitation),
    "journey": (roll_journey_due, roll_journey),
    "defect": (roll_defect,),
}
"""The rollups of each relation, the smaller first."""


account_month = Table(
    "account_month",
    warehouse_tables.warehouse,
    Column("account_id", String, nullable=False),
    Column("month", Date, nullable=False),
    Column("source", String, nullable=False),
    Column("vertical", String),
    Column("currency", String),
    Column("amount", Double, nullable=False),
    Column("rate", Double),
    Column("share_of_wallet", Double),
    Column("recorded_at", DateTime),
)
"""The revenue of an account and month from one source, with the account's vertical and the currency's rate of then."""


account_answer = Table(
    "account_answer",
    warehouse_tables.warehouse,
    Column("account_id", String, nullable=False),
    Column("day", Date, nullable=False),
    Column("vertical", String),
    Column("instrument", String),
    Column("person_id", String),
    Column("score", SmallInteger, nullable=False),
    Column("c", BigInteger, nullable=False),
)
"""How likely an account's people said they were to recommend the company, in surveys of the relationship: 0 to 10."""


def rebuild_rollups(conn: Connection) -> None:
    """Compute everything anew from the facts."""
    conn.execute(delete(account_month))
    _fill_months(conn, true())
    conn.execute(delete(account_answer))
    _fill_answers(conn, true())
    conn.execute(delete(warehouse_tables.journey_fact))
    _fill_journeys(conn, None)
    for name, tables in ROLLUPS.items():
        for table in tables:
            conn.execute(delete(table))
            _fill(conn, table, name, None)


def refresh_rollups(conn: Connection, touched: Touched) -> None:
    """Compute anew what the touched days and journeys make up; the result is that of `rebuild`."""
    accounts = select(touched.months.c.account_id)
    conn.execute(delete(account_month).where(account_month.c.account_id.in_(accounts)))
    _fill_months(conn, warehouse_tables.revenue.c.account_id.in_(accounts))
    noted = touched.days.c
    answered = noted.table_name == "response", noted.column_name == "responded_day"
    conn.execute(delete(account_answer).where(account_answer.c.day.in_(select(noted.day).where(*answered))))
    _fill_answers(conn, warehouse_tables.response.c.responded_day.in_(select(noted.day).where(*answered)))
    # Before and after: a journey whose contacts changed may leave a day as well as come to one.
    _note_days(conn, touched)
    conn.execute(delete(warehouse_tables.journey_fact).where(_among(warehouse_tables.journey_fact, touched)))
    _fill_journeys(conn, touched)
    _note_days(conn, touched)
    for name, tables in ROLLUPS.items():
        for table in tables:
            noted = touched.days.c
            days = select(noted.day).where(noted.table_name == name, noted.column_name == _day_of(table))
            conn.execute(delete(table).where(table.c[_day_of(table)].in_(days)))
            _fill(conn, table, name, days)


def _fill_months(conn: Connection, which: Row) -> None:
    revenue, fx = warehouse_tables.revenue, warehouse_tables.fx_rate.c
    facts = select(*revenue.c, revenue.c.month.label("day")).where(which).subquery("fact")
    # One rate for a currency and month, whatever was loaded: two would count the revenue they are joined to twice.
    rate = select(fx.currency, fx.month, func.max(fx.rate).label("rate")).group_by(fx.currency, fx.month).subquery()
    period = vertical_periods()
    joined = facts.outerjoin(rate, and_(rate.c.currency == facts.c.currency, rate.c.month == facts.c.month))
    joined = joined.outerjoin(period, covers(period, facts))
    found = {"vertical": period.c.vertical, "rate": rate.c.rate}
    columns = [found[c.name] if c.name in found else facts.c[c.name] for c in account_month.c]
    append(conn, account_month, select(*columns).select_from(joined))


def _fill_answers(conn: Connection, which: Row) -> None:
    of = warehouse_tables.response.c
    given = of.kind == "relationship", of.scale == "nps", of.score.is_not(None), of.responded_day.is_not(None)
    columns = (of.account_id, of.responded_day.label("day"), of.vertical, of.instrument, of.person_id, of.score)
    rows = select(*columns, func.count().label("c")).where(*given, which)
    append(conn, account_answer, rows.group_by(of.responded_day, *(one for one in columns if one.name != "day")))


def _day_of(rollup: Table) -> str:
    """A rollup's first column is the day it is read by."""
    return str(rollup.columns[0].name)


def _fill(conn: Connection, rollup: Table, name: str, days: Select[Any] | None) -> None:
    """Count the rows of a relation by a rollup's columns; a row without the day is in no period."""
    names = [column.name for column in rollup.c if column.name != "c"]
    rows = relation(name, None, names)
    day = rows.c[_day_of(rollup)]
    wanted = day.is_not(None) if days is None else day.in_(days)
    dimensions = [rows.c[column] for column in names]
    counted = select(*dimensions, func.count().label("c")).where(wanted).group_by(*dimensions)
    append(conn, rollup, counted)


def _among(table: Table, touched: Touched) -> Row:
    return exists().where(touched.journeys.c.source == table.c.source, touched.journeys.c.id == table.c.id)


def _note_days(conn: Connection, touched: Touched) -> None:
    """A journey whose contacts changed counts on days that its own row does not name as touched."""
    fact = warehouse_tables.journey_fact
    for rollup in ROLLUPS["journey"]:
        day = fact.c[_day_of(rollup)]
        found = (
            select(literal("journey"), literal(day.name), day).where(_among(fact, touched), day.is_not(None)).distinct()
        )
        conn.execute(insert(touched.days).from_select(["table_name", "column_name", "day"], found))


def _fill_journeys(conn: Connection, touched: Touched | None) -> None:
    # One source at a time: a journey's contacts are its source's, and one text sorts in half the time of two.
    fact, journey = warehouse_tables.journey_fact, warehouse_tables.journey
    for source in conn.scalars(select(journey.c.source).distinct()).all():
        which = journey.c.source == source
        if touched is not None:
            which = and_(which, _among(journey, touched))
        moments, defects = _moments(source, which), _defects(source, which)
        computed: dict[str, ColumnElement[Any]] = {
            "kept": journey.c.ended_at <= journey.c.promised_at,
            "days": cast(micros(journey.c.ended_at) - micros(journey.c.started_at), Double) / _DAY,
            **_counted(journey, moments, defects),
        }
        columns = [computed[c.name].label(c.name) if c.name in computed else journey.c[c.name] for c in fact.c]
        origin = journey.outerjoin(moments, moments.c.journey_id == journey.c.id)
        origin = origin.outerjoin(defects, defects.c.journey_id == journey.c.id)
        append(conn, fact, select(*columns).select_from(origin).where(which))


def _counted(journey: Table, moments: Subquery, defects: Subquery) -> dict[str, ColumnElement[Any]]:
    """What is known when a journey has ended: nothing before."""
    numbers = {name: func.coalesce(moments.c[name], 0) for name in ("contacts", "inbound", "channels")}
    spans = {f"hours_waiting_on_{who}": func.coalesce(moments.c[who], 0.0) for who in ("us", "customer")}
    failures = func.coalesce(defects.c.defects, 0)
    values: dict[str, ColumnElement[Any]] = {
        **numbers,
        "multi_channel": numbers["channels"] > 1,
        **spans,
        "last_emotion": moments.c.last_emotion,
        "worst_emotion": moments.c.worst_emotion,
        "defects": failures,
        "defective": failures > 0,
    }
    return {name: case((journey.c.ended_at.is_not(None), value)) for name, value in values.items()}


def _moments(source: str, which: Row) -> Subquery:
    """What the contacts of each ended journey add up to, until its end."""
    step = _steps(source, which)
    return (
        select(
            step.c.journey_id,
            cast(func.count(), Integer).label("contacts"),
            cast(func.count(case((step.c.direction == "in", 1))), Integer).label("inbound"),
            cast(func.count(step.c.channel.distinct()), Integer).label("channels"),
            _hours(step, step.c.before == "in").label("us"),
            _hours(step, step.c.before != "in").label("customer"),
            newest_value(step.c.emotion, step.c.place).label("last_emotion"),
            func.min(step.c.emotion).label("worst_emotion"),
        )
        .group_by(step.c.journey_id)
        .subquery("moments")
    )


def _steps(source: str, which: Row) -> Subquery:
    """Each contact with the one before it in its journey, and the microseconds between them."""
    contact, journey = warehouse_tables.contact, warehouse_tables.journey
    gap = micros(contact.c.occurred_at) - micros(_in_order(func.lag(contact.c.occurred_at)))
    return (
        select(
            contact.c.journey_id,
            contact.c.direction,
            contact.c.channel,
            contact.c.emotion,
            _in_order(func.lag(contact.c.direction)).label("before"),
            gap.label("gap"),
            _in_order(func.row_number()).label("place"),
        )
        .select_from(contact.join(journey, contact.c.journey_id == journey.c.id))
        .where(contact.c.source == source, contact.c.occurred_at <= journey.c.ended_at, which)
        .subquery("step")
    )


def _in_order(value: FunctionElement[Any]) -> ColumnElement[Any]:
    contact = warehouse_tables.contact.c
    return value.over(partition_by=contact.journey_id, order_by=(contact.occurred_at, contact.id))


def _hours(step: Subquery, waiting: Row) -> ColumnElement[Any]:
    # Added up in whole microseconds, so that the order of the rows cannot show.
    return cast(whole(func.sum(case((waiting, step.c.gap), else_=0))), Double) / _HOUR


def _defects(source: str, which: Row) -> Subquery:
    defect, journey = warehouse_tables.defect, warehouse_tables.journey
    grace = DEFECT_GRACE // timedelta(microseconds=1)
    return (
        select(defect.c.journey_id, cast(func.count(), Integer).label("defects"))
        .select_from(defect.join(journey, defect.c.journey_id == journey.c.id))
        .where(defect.c.source == source, micros(defect.c.occurred_at) <= micros(journey.c.ended_at) + grace, which)
        .group_by(defect.c.journey_id)
        .subquery("failures")
    )
