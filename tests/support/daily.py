"""A made-up company of two years, as it was known at any moment: what is loaded day by day, and what all rules watch.

A row is known from its event on, and what became known later is null before that: `known` cuts the finished company at
an instant, and `arrivals` says which rows a day brought or changed.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, create_engine, delete
from sqlalchemy.pool import StaticPool

from config.models import Catalog
from config.reading import read_catalog
from queries.loading.publish import derive, generation_key, record_generation
from queries.warehouse import COLUMNS, LoadReport, Pin, latest, tables
from tests.support.installation import configure
from tests.support.rows import put

Row = dict[str, Any]
Rows = Mapping[Table, list[Row]]

RULES: Final = Path(__file__).with_suffix(".toml")
ZONE: Final = ZoneInfo("Europe/Berlin")
FIRST: Final = date(2024, 9, 2)
HISTORY, YEAR = 400, 365
DAYS: Final = HISTORY + YEAR
SOURCE: Final = "made"
TABLES: Final = tuple(t for t in tables.CANONICAL if t.name not in {"fx_rate", "person"})


def day_of(number: int) -> date:
    """The day of that number; the company's first is 0."""
    return FIRST + timedelta(days=number)


def begin(number: int) -> datetime:
    """The first instant of a day, naive UTC as the warehouse stores it."""
    return datetime.combine(day_of(number), time(), ZONE).astimezone(UTC).replace(tzinfo=None)


def morning(number: int) -> datetime:
    """When the day before is loaded and a tick runs, aware UTC."""
    return begin(number).replace(tzinfo=UTC) + timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Vertical:
    """A vertical, the days [since, until) on which it begins journeys, and how many a day."""

    name: str
    since: int = 0
    until: int = DAYS
    journeys: int = 4


VERTICALS: Final = (
    Vertical("Energy"),
    Vertical("Public"),
    Vertical("Retail"),
    Vertical("Gone", until=120, journeys=2),
    Vertical("Water", since=HISTORY + 150, journeys=2),
)
ACCOUNTS: Final = 12
KEYS: Final = 3
SILENT_ACCOUNT: Final = "Energy-0"
DECLINES: Final = {"Public-1": date(2025, 3, 1), "Energy-1": date(2025, 9, 1)}
"""The accounts that buy less than half as much as before, and since when; in 2026 they are as they were."""


def during(day: int, *spans: tuple[int, int]) -> bool:
    """Whether a day of the year that is loaded day by day, 0 to 364, lies in one of the spans."""
    return any(since <= day - HISTORY < until for since, until in spans)


@dataclass(frozen=True, slots=True)
class Columns:
    """A table's columns: all of them, its event, and of which other each is the day or becomes known with."""

    names: tuple[str, ...]
    event: str | None
    days: Mapping[str, str]
    late: Mapping[str, str]


@lru_cache
def columns(table: Table) -> Columns:
    """Asked for each row, and found out once."""
    days, late = ({c.name: c.info[of] for c in table.c if of in c.info} for of in ("day_of", "known_at"))
    event = next((c.name for c in table.c if c.info.get("event")), None)
    return Columns(tuple(c.name for c in table.c), event, days, late)


@dataclass
class Company:
    """Its rows as they are in the end, by table."""

    dice: random.Random
    rows: dict[Table, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})

    def add(self, table: Table, **values: Any) -> None:
        """Add a row; the days of its instants are filled in."""
        own = columns(table)
        made = {
            **dict.fromkeys(own.names),
            "source": SOURCE,
            "first_loaded_at": begin(0),
            "loaded_at": begin(0),
            **values,
        }
        row: Row = {name: made[name] for name in own.names}
        for name, at in own.days.items():
            if row[at] is not None:
                row[name] = row[at].replace(tzinfo=UTC).astimezone(ZONE).date()
        self.rows[table].append(row)

    def at(self, day: int, hours: float = 8.0) -> datetime:
        """An instant of a day's daytime."""
        return begin(day) + timedelta(seconds=round(3600 * (7 + hours * self.dice.random())))

    def chance(self, share: float) -> bool:
        """Whether something that happens so often happens."""
        return self.dice.random() < share


@lru_cache(maxsize=2)
def company(seed: int = 5) -> Company:
    """The company with everything that is planted in it."""
    made = Company(random.Random(seed))
    _standing(made)
    for day in range(DAYS):
        for vertical in VERTICALS:
            if vertical.since <= day < vertical.until:
                _day(made, vertical, day)
        _surveys(made, day)
    _shut(made, HISTORY + 200, HISTORY + 206)
    _loaded_twice(made, HISTORY + 80)
    return made


def _standing(made: Company) -> None:
    """What is known of accounts, their revenue and the surveys from the first day on."""
    for vertical in VERTICALS:
        for i in range(ACCOUNTS):
            account, tier = f"{vertical.name}-{i}", "key" if i < KEYS else "standard"
            made.add(tables.account, account_id=account, name=f"{account} plc")
            known = {"account_id": account, "valid_from": date(2020, 1, 1), "vertical": vertical.name, "tier": tier}
            made.add(tables.account_history, **known)
            for month in range(20, 58):
                first = date(2022 + month // 12, month % 12 + 1, 1)
                left = 0.4 if DECLINES.get(account, date.max) <= first < date(2026, 1, 1) else 1.0
                amount = (100.0 + i) * (left + (7 * month + 3 * i) % 5 / 100)
                made.add(tables.revenue, account_id=account, month=first, amount=amount, currency="EUR")
    made.add(tables.instrument, instrument="pulse", version="1", cadence="monthly")
    strike = {"id": "S1", "name": "a strike", "kind": "external", "verticals": "Public"}
    made.add(tables.condition, **strike, starts_at=begin(HISTORY + 40), ends_at=begin(HISTORY + 48))


def _day(made: Company, vertical: Vertical, day: int) -> None:
    for number in range(made.dice.randrange(2 * vertical.journeys)):
        _journey(made, vertical.name, day, f"{vertical.name}-{day}-{number}")
    for i in range(ACCOUNTS):
        account = f"{vertical.name}-{i}"
        is_silent = account == SILENT_ACCOUNT and during(day, (90, 150))
        if made.chance(0.2) and not is_silent:
            _call(made, vertical.name, account, day, f"{account}-{day}")


def _call(made: Company, vertical: str, account: str, day: int, id_: str) -> None:
    """Somebody calls outside of any journey; now and then nobody reacts."""
    at = made.at(day)
    waits = during(day, (30, 34)) and vertical == "Retail"
    reply = None if waits or made.chance(0.02) else at + timedelta(hours=3)
    place = {"account_id": account, "vertical": vertical, "touchpoint": "hotline", "channel": "phone"}
    made.add(
        tables.contact, id=id_, **place, direction="in", occurred_at=at, answered_at=reply, emotion=-1 if waits else 0
    )


def _journey(made: Company, vertical: str, day: int, id_: str) -> None:
    start = made.at(day)
    is_late = made.chance(0.55 if vertical == "Energy" and during(day, (60, 110), (280, 330)) else 0.06)
    took = timedelta(days=made.dice.uniform(3, 8) + (9 if is_late else 0))
    many = made.chance(0.5)
    failed = made.chance(0.5 if vertical == "Retail" and many and during(day, (120, 200)) else 0.06)
    account = f"{vertical}-{made.dice.randrange(ACCOUNTS)}"
    if account == SILENT_ACCOUNT and during(day, (80, 150)):
        account = f"{vertical}-{ACCOUNTS - 1}"
    own = {"account_id": account, "vertical": vertical}
    outcome = {"ended_at": start + took, "outcome": "failed" if failed else "reached"}
    made.add(tables.journey, id=id_, journey_type="installation", started_at=start,
             promised_at=start + timedelta(days=10), **own, **outcome)  # fmt: skip
    _contacts(made, own, id_, start, took, day, many=many)
    _answers(made, own, id_, start, took, day)
    _defects(made, own, id_, start, took, day)


def _contacts(made: Company, own: Row, id_: str, start: datetime, took: timedelta, day: int, *, many: bool) -> None:
    sad = own["vertical"] == "Public" and during(day, (150, 230))
    other = "chat" if not during(day, (225, 255)) else "mail"  # the chat is shut for a month
    steps = (
        ("call", "phone", "in", 0.0),
        ("visit", "phone", "out", 0.5),
        ("closing", other if many else "phone", "in", 0.9),
    )
    for number, (touchpoint, channel, direction, part) in enumerate(steps):
        emotion = made.dice.choice((-2, -1, 0)) if sad else made.dice.choice((-1, 0, 1, 1))
        made.add(tables.contact, id=f"{id_}-{number}", journey_id=id_, **own, touchpoint=touchpoint, channel=channel,
                 direction=direction, occurred_at=start + took * part, emotion=emotion, issue_code="line",
                 answered_at=start + took * part if direction == "in" else None)  # fmt: skip


def _answers(made: Company, own: Row, id_: str, start: datetime, took: timedelta, day: int) -> None:
    """Of a touchpoint, and of the whole journey: some answer before it has ended."""
    sad = own["vertical"] == "Public" and during(day, (20, 80), (240, 300))
    for touchpoint, part, share in (("visit", 0.6, 0.92), (None, 0.5, 0.4 if sad else 0.92)):
        if made.chance(0.7):
            asked = start + took * part
            answered = asked + timedelta(days=made.dice.uniform(0.1, 6))
            score = made.dice.choice((4, 5)) if made.chance(share) else made.dice.choice((1, 2, 3))
            known = {"status": "answered", "scale": "csat", "score": score, "responded_at": answered}
            made.add(tables.response, id=f"{id_}-{touchpoint}", journey_id=id_, **own, touchpoint=touchpoint,
                     kind="transaction", instrument="journey", invited_at=asked, **known)  # fmt: skip


def _defects(made: Company, own: Row, id_: str, start: datetime, took: timedelta, day: int) -> None:
    broken = own["vertical"] == "Retail" and during(day, (210, 290))
    many = 3 if made.chance(0.15 if broken else 0.012) else 1
    if made.chance(0.35 if broken else 0.1) or many > 1:
        for number in range(many):
            at = start + took + timedelta(days=made.dice.uniform(-3, 10))
            made.add(tables.defect, id=f"{id_}-{number}", journey_id=id_, **own, touchpoint="visit", code="leak",
                     occurred_at=max(at, start))  # fmt: skip


def _surveys(made: Company, day: int) -> None:
    """Every account is asked each month how it stands to us; for a while nobody remembers to."""
    if day_of(day).day != 5 or during(day, (160, 240)):
        return
    for vertical in VERTICALS:
        for i in range(ACCOUNTS):
            if vertical.since <= day < vertical.until:
                _survey(made, vertical.name, f"{vertical.name}-{i}", day)


def _survey(made: Company, vertical: str, account: str, day: int) -> None:
    asked = made.at(day)
    answered = asked + timedelta(days=made.dice.uniform(0.1, 12)) if made.chance(0.5) else None
    score = made.dice.choice((0, 3, 7, 8, 9, 9, 10, 10)) if answered else None
    status = {"status": "answered" if answered else "invited", "scale": "nps", "score": score}
    made.add(tables.response, id=f"{account}-{day}", account_id=account, vertical=vertical, kind="relationship",
             instrument="pulse", invited_at=asked, responded_at=answered, **status)  # fmt: skip


def _shut(made: Company, since: int, until: int) -> None:
    """Nothing is heard of anybody for some days."""
    for table in (tables.contact, tables.journey, tables.response, tables.defect):
        made.rows[table] = [row for row in made.rows[table] if not _heard(row, begin(since), begin(until))]


def _heard(row: Row, since: datetime, until: datetime) -> bool:
    heard = (row.get(name) for name in ("occurred_at", "started_at", "invited_at", "responded_at"))
    return any(since <= at < until for at in heard if at is not None)


def _loaded_twice(made: Company, day: int) -> None:
    """The contacts of three days come twice, with new ids."""
    for row in tuple(made.rows[tables.contact]):
        if begin(day) <= row["occurred_at"] < begin(day + 3):
            made.rows[tables.contact].append({**row, "id": f"{row['id']}-again"})


# What is known of it at an instant.


def known(rows: Rows, at: datetime) -> Rows:
    """The rows as a warehouse held them at an instant, naive UTC."""
    return {table: [seen for row in own if (seen := _seen(table, row, at))] for table, own in rows.items()}


def _seen(table: Table, row: Row, at: datetime) -> Row | None:
    happened = _happened(table, row)
    if happened is not None and happened >= at:
        return None
    late = columns(table).late.items()
    hidden = {name: _before(name) for name, known_at in late if row[known_at] is not None and row[known_at] >= at}
    return {**row, **hidden} if hidden else row


def _happened(table: Table, row: Row) -> datetime | None:
    """When a row came into being: its event; a month's revenue is known when it is over."""
    event = columns(table).event
    if event is not None:
        return row[event]  # type: ignore[no-any-return]
    return datetime.combine(row["month"] + timedelta(days=32), time()).replace(day=1) if "month" in row else None


def _before(column: str) -> str | None:
    return {"status": "invited", "outcome": "open"}.get(column)


def _changes(table: Table, row: Row) -> set[datetime]:
    """The instants at which something of a row becomes known."""
    late = {row[name] for name in columns(table).late.values()}
    return {at for at in (*late, _happened(table, row) or begin(0)) if at is not None}


def arrivals(rows: Rows) -> Mapping[date, Sequence[tuple[Table, Row]]]:
    """By day of the zone, the rows of which something became known on it."""
    found: dict[date, list[tuple[Table, Row]]] = defaultdict(list)
    for table, own in rows.items():
        for row in own:
            for day in {at.replace(tzinfo=UTC).astimezone(ZONE).date() for at in _changes(table, row)}:
                found[day].append((table, row))
    return found


# How it is brought into a warehouse.


@contextmanager
def memory() -> Iterator[Connection]:
    """An empty DuckDB warehouse of one connection."""
    one = {"config": {"threads": 1}}
    engine = create_engine("duckdb:///:memory:", poolclass=StaticPool, connect_args=one)
    with engine.connect() as conn:
        tables.warehouse.create_all(conn)
        yield conn
    engine.dispose()


def pinned(conn: Connection) -> Pin:
    """The newest generation of a connection."""
    generation = latest(conn)
    if generation is None:
        raise LookupError(conn)
    return Pin(conn, generation)


@lru_cache(maxsize=1)
def rulebook() -> Catalog:
    """A rule of every kind, and the metrics that they read."""
    with TemporaryDirectory() as folder:
        configure(Path(folder), rules=RULES.read_text(encoding="utf-8"))
        found = read_catalog(Path(folder) / "config", COLUMNS)
    names = {name for rule in found.rules for name in rule.metric_names}
    return found.model_copy(update={"metrics": tuple(m for m in found.metrics if m.name in names)})


def fill(conn: Connection, rows: Rows) -> None:
    """Put these rows in the place of all others."""
    for table in reversed(TABLES):
        conn.execute(delete(table))
    for table, own in rows.items():
        put(conn, table, own)


def bring(conn: Connection, arrived: Sequence[tuple[Table, Row | None]], at: datetime) -> None:
    """Add or replace rows as they are known at an instant, naive UTC."""
    for table in TABLES:
        whole = {_key(row): row for of, row in arrived if of is table and row}
        seen = [now for row in whole.values() if (now := _seen(table, row, at))]
        if seen and "id" in table.c:
            conn.execute(delete(table).where(table.c.id.in_([row["id"] for row in seen])))
        put(conn, table, seen)


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("id", "account_id", "month", "instrument"))


def publish(conn: Connection, number: int, now: datetime) -> None:
    """Compute what follows from the rows, and make them a generation; `now` is aware UTC."""
    derive(conn, rulebook(), None)
    record_generation(
        conn, number, generation_key(ZONE.key, rulebook()), SOURCE, LoadReport(SOURCE).json(), now.replace(tzinfo=None)
    )
