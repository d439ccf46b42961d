"""What a row is held to: every reason to refuse one, and every instant and day that becomes of what is offered."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from queries.loading.contract import Contract, mask, offer_text_functions
from queries.loading.suspicions import DayCount
from queries.loading.time_zones import offer_functions, zone
from queries.warehouse import CANONICAL, as_key
from tests.support.offering import FAR_LATER, Read, offered

ONE = {"t.csv": "x\n1\n"}
CONTACT = {
    "id": "'1'",
    "account_id": "'a'",
    "touchpoint": "'visit'",
    "direction": "'in'",
    "occurred_at": "timestamp '2024-01-02 10:00:00'",
}
RESPONSE = {
    "id": "'1'",
    "account_id": "'a'",
    "kind": "'transaction'",
    "status": "'answered'",
    "scale": "'csat'",
    "score": "4",
    "invited_at": "timestamp '2024-01-02 10:00:00'",
    "responded_at": "timestamp '2024-01-03 10:00:00'",
}
JOURNEY = {"id": "'1'", "account_id": "'a'", "journey_type": "'order'", "started_at": "timestamp '2024-01-02 10:00:00'"}
REVENUE = {"account_id": "'a'", "month": "date '2024-01-01'", "amount": "1"}
ROWS = {"contact": CONTACT, "response": RESPONSE, "journey": JOURNEY, "revenue": REVENUE}


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    """A naive UTC instant, as the warehouse holds them."""
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC).replace(tzinfo=None)


def one(
    folder: Path, table: str, zone: str = "UTC", reporting: str | None = None, **columns: str | None
) -> dict[str, Any]:
    """The one row that becomes of the table's usual columns with these put in or, where None, taken out."""
    wanted = {name: sql for name, sql in (ROWS[table] | columns).items() if sql is not None}
    sql = f"select {', '.join(f'{sql} as {name}' for name, sql in wanted.items())} from t"
    found: Read = offered(folder, {table: sql}, ONE, zone, reporting)
    return dict(found.tables[table][0])


@pytest.mark.parametrize("table", list(ROWS))
def test_a_good_row_is_accepted(tmp_path: Path, table: str) -> None:
    row = one(tmp_path, table)
    assert (row["reason"], row["row"], row["source"]) == (None, None, "made")


@pytest.mark.parametrize(
    ("table", "columns", "reason"),
    [
        ("contact", {"id": "null"}, "id: missing"),
        ("contact", {"touchpoint": "''"}, "touchpoint: missing"),
        ("contact", {"occurred_at": "''"}, "occurred_at: missing"),
        ("contact", {"occurred_at": "'12345'"}, "occurred_at: '12345' is not a timestamp"),
        ("contact", {"occurred_at": "12345"}, "occurred_at: '12345' is not a timestamp"),
        ("contact", {"occurred_at": "45292.5"}, "occurred_at: '45292.5' is not a timestamp"),  # a spreadsheet's date
        ("contact", {"occurred_at": "'31/12/2024'"}, "occurred_at: '31/12/2024' is not a timestamp"),
        ("contact", {"occurred_at": "'2024-02-30'"}, "occurred_at: '2024-02-30' is not a timestamp"),
        ("contact", {"occurred_at": "'infinity'"}, "occurred_at: 'infinity' is not a timestamp"),
        (
            "contact",
            {"occurred_at": "timestamp 'infinity'"},
            "occurred_at: cannot be read in the form that the SELECT names",
        ),
        (
            "contact",
            {"occurred_at": "timestamptz 'infinity'"},
            "occurred_at: cannot be read in the form that the SELECT names",
        ),
        ("contact", {"occurred_at": "date '9999-12-31'"}, "occurred_at: '9999-12-31' is not a timestamp"),
        ("contact", {"answered_at": "timestamp '2024-01-02 09:59:59'"}, "answered_at: lies before occurred_at"),
        ("contact", {"answered_at": "date '2024-01-01'"}, "answered_at: lies before occurred_at"),
        ("contact", {"direction": "'inbound'"}, "direction: 'inbound' is none of in, out"),
        ("contact", {"emotion": "3"}, "emotion: '3' is outside -2 to 2"),
        ("contact", {"emotion": "'1.5'"}, "emotion: '1.5' is not a whole number"),
        ("contact", {"emotion": "1.5"}, "emotion: '1.5' is not a whole number"),
        ("contact", {"emotion": "100000"}, "emotion: '100000' is not a whole number"),
        ("contact", {"emotion": "'good'"}, "emotion: 'good' is not a whole number"),
        ("contact", {"context_seen": "'maybe'"}, "context_seen: 'maybe' is not true or false"),
        ("contact", {"context_seen": "2"}, "context_seen: '2' is not true or false"),
        ("journey", {"ended_at": "timestamp '2024-01-01'"}, "ended_at: lies before started_at"),
        ("journey", {"outcome": "'won'"}, "outcome: 'won' is none of reached, failed, abandoned, open"),
        ("response", {"score": "6"}, "score: 6 is outside csat, 1 to 5"),
        ("response", {"score": "0"}, "score: 0 is outside csat, 1 to 5"),
        ("response", {"score": "11", "scale": "'nps'"}, "score: 11 is outside nps, 0 to 10"),
        ("response", {"score": "0", "scale": "'ces'"}, "score: 0 is outside ces, 1 to 7"),
        ("response", {"score": "'-1'", "scale": "'nps'"}, "score: -1 is outside nps, 0 to 10"),
        ("response", {"scale": "'stars'"}, "scale: 'stars' is none of nps, csat, ces"),
        ("response", {"scale": "''"}, "score: given without a scale"),
        ("response", {"scale": None}, "score: given without a scale"),
        ("response", {"score": "null"}, "score: missing in an answered survey"),
        ("response", {"score": None}, "score: missing in an answered survey"),
        ("response", {"responded_at": "null"}, "responded_at: missing in an answered survey"),
        ("response", {"responded_at": None}, "responded_at: missing in an answered survey"),
        ("response", {"status": "'invited'"}, "score: given in a survey that is invited"),
        ("response", {"responded_at": "timestamp '2024-01-01'"}, "responded_at: lies before invited_at"),
        ("revenue", {"amount": "'1,5'"}, "amount: '1,5' is not a number"),
        ("revenue", {"amount": "'nan'"}, "amount: 'nan' is not a number"),
        ("revenue", {"amount": "'inf'::double"}, "amount: 'inf' is not a number"),
        ("revenue", {"amount": "date '2024-01-01'"}, "amount: '2024-01-01' is not a number"),
        ("revenue", {"month": "date '2024-01-02'"}, "month: '2024-01-02' is not the first day of a month"),
        ("revenue", {"month": "202401"}, "month: '202401' is not a date"),
        ("revenue", {"month": "'2024-01-01 and so on'"}, "month: '2024-01-01 and so on' is not a date"),
        ("revenue", {"share_of_wallet": "1.01"}, "share_of_wallet: '1.01' is outside 0 to 1"),
    ],
)
def test_a_row_is_refused(tmp_path: Path, table: str, columns: dict[str, str | None], reason: str) -> None:
    row = one(tmp_path, table, "UTC", None, **columns)
    assert row["reason"] == reason
    kept = json.loads(row["row"])
    assert set(kept) == set({n: v for n, v in (ROWS[table] | columns).items() if v is not None})


@pytest.mark.parametrize(
    ("table", "columns", "expected"),
    [
        ("contact", {"emotion": "'-2'"}, {"emotion": -2}),
        ("contact", {"emotion": "'1.0'"}, {"emotion": 1}),
        ("contact", {"emotion": "2::bigint"}, {"emotion": 2}),
        ("contact", {"emotion": "null"}, {"emotion": None}),
        ("contact", {"emotion": "''"}, {"emotion": None}),
        ("contact", {"context_seen": "'yes'"}, {"context_seen": True}),
        ("contact", {"context_seen": "0"}, {"context_seen": False}),
        ("contact", {"vertical": "''"}, {"vertical": None}),
        ("contact", {"vertical": "repeat('long ', 60)"}, {"vertical": "long " * 60}),
        ("contact", {"vertical": "'=cmd|'' /C calc''!A0'"}, {"vertical": "=cmd|' /C calc'!A0"}),
        ("contact", {"vertical": "'*bold* <!channel> & co'"}, {"vertical": "*bold* <!channel> & co"}),
        ("contact", {"person_id": "17"}, {"person_id": "17"}),
        ("contact", {"answered_at": "occurred_at"}, {"answered_at": at(2024, 1, 2, 10)}),
        # A date has no hour: answered on the same day is not answered before, and takes no time rather than less.
        ("contact", {"answered_at": "date '2024-01-02'"}, {"answered_at": at(2024, 1, 2, 10)}),
        ("response", {"score": "null", "expectation": "'below'"}, {"score": None, "expectation": "below"}),
        ("response", {"status": "'bounced'", "score": "null", "responded_at": "null"}, {"status": "bounced"}),
        ("response", {"score": "10", "scale": "'nps'"}, {"score": 10}),
        ("revenue", {"amount": "'-1.5e3'"}, {"amount": -1500.0}),
        ("revenue", {"amount": "12.34::decimal(9, 2)"}, {"amount": 12.34}),
        ("revenue", {"month": "timestamp '2024-01-01 00:00:00'"}, {"month": date(2024, 1, 1)}),
        ("revenue", {"month": "'2024-01-01 00:00:00'"}, {"month": date(2024, 1, 1)}),
    ],
)
def test_a_value_is_taken(tmp_path: Path, table: str, columns: dict[str, str], expected: dict[str, Any]) -> None:
    row = one(tmp_path, table, "UTC", None, **columns)
    assert row["reason"] is None
    assert {name: row[name] for name in expected} == expected


BERLIN, SAO_PAULO, TOKYO = "Europe/Berlin", "America/Sao_Paulo", "Asia/Tokyo"


@pytest.mark.parametrize(
    ("sql", "source", "reporting", "instant", "day"),
    [
        ("timestamp '2024-07-01 00:30:00'", BERLIN, BERLIN, at(2024, 6, 30, 22, 30), date(2024, 7, 1)),
        ("'2024-07-01 00:30:00'", BERLIN, BERLIN, at(2024, 6, 30, 22, 30), date(2024, 7, 1)),
        ("'2024-07-01T00:30'", BERLIN, "UTC", at(2024, 6, 30, 22, 30), date(2024, 6, 30)),
        ("timestamp '2024-01-01 00:30:00'", BERLIN, TOKYO, at(2023, 12, 31, 23, 30), date(2024, 1, 1)),
        ("timestamp '2024-01-31 20:00:00'", SAO_PAULO, TOKYO, at(2024, 1, 31, 23), date(2024, 2, 1)),
        # An instant with an offset is that instant, whatever the source's zone.
        ("'2024-07-01T00:30:00Z'", BERLIN, BERLIN, at(2024, 7, 1, 0, 30), date(2024, 7, 1)),
        ("'2024-07-01 00:30:00+02:00'", SAO_PAULO, "UTC", at(2024, 6, 30, 22, 30), date(2024, 6, 30)),
        ("'2024-07-01T00:30:00.5-03'", BERLIN, "UTC", at(2024, 7, 1, 3, 30, 0, 500000), date(2024, 7, 1)),
        ("timestamptz '2024-07-01 00:30:00+02'", TOKYO, BERLIN, at(2024, 6, 30, 22, 30), date(2024, 7, 1)),
        ("timestamp_ns '2024-01-01 00:00:01'", "UTC", "UTC", at(2024, 1, 1, 0, 0, 1), date(2024, 1, 1)),
        # A date is midnight there, and its day is that date everywhere.
        ("date '2024-07-01'", TOKYO, "UTC", at(2024, 6, 30, 15), date(2024, 7, 1)),
        ("'2024-07-01'", TOKYO, "UTC", at(2024, 6, 30, 15), date(2024, 7, 1)),
        ("date '2024-07-01'", BERLIN, SAO_PAULO, at(2024, 6, 30, 22), date(2024, 7, 1)),
        # 02:30 came twice: the first of the two.
        ("timestamp '2024-10-27 02:30:00'", BERLIN, BERLIN, at(2024, 10, 27, 0, 30), date(2024, 10, 27)),
        ("timestamp '2024-10-27 03:00:00'", BERLIN, BERLIN, at(2024, 10, 27, 2), date(2024, 10, 27)),
        # 02:30 never came: read as if the clocks had not been changed yet.
        ("timestamp '2024-03-31 02:30:00'", BERLIN, BERLIN, at(2024, 3, 31, 1, 30), date(2024, 3, 31)),
        # In Brazil midnight itself was skipped.
        ("timestamp '2017-10-15 00:00:00'", SAO_PAULO, SAO_PAULO, at(2017, 10, 15, 3), date(2017, 10, 15)),
        ("'2018-02-17 23:30:00'", SAO_PAULO, SAO_PAULO, at(2018, 2, 18, 1, 30), date(2018, 2, 17)),
    ],
)
def test_an_instant_and_its_day(
    tmp_path: Path, sql: str, source: str, reporting: str, instant: datetime, day: date
) -> None:
    row = one(tmp_path, "contact", source, reporting, occurred_at=sql)
    assert (row["reason"], row["occurred_at"], row["day"]) == (None, instant, day)


def test_a_journey_has_a_day_for_each_of_its_instants(tmp_path: Path) -> None:
    row = one(tmp_path, "journey", BERLIN, ended_at="date '2024-02-01'", outcome="'reached'")
    assert (row["day"], row["ended_day"], row["promised_at"]) == (date(2024, 1, 2), date(2024, 2, 1), None)


@pytest.mark.parametrize(
    "name", [BERLIN, SAO_PAULO, TOKYO, "UTC", "Africa/Casablanca", "Australia/Lord_Howe", "Asia/Gaza"]
)
def test_zones_agree_with_python(name: str) -> None:
    """Every seven hours over sixty years, and around every change."""
    here = zone(name)
    times = [at(1975, 1, 1) + timedelta(hours=7 * i) for i in range(75_000)]
    for change in here.changes:
        times += [change.at.replace(tzinfo=None) + timedelta(minutes=30 * i) for i in range(-5, 6)]
    with duckdb.connect() as conn:
        conn.register("times", pa.table({"t": pa.array(times, pa.timestamp("us"))}))
        found = conn.execute(f"select t, {here.utc('t')}, {here.day('t')} from times").fetchall()
    there, utc = ZoneInfo(name), ZoneInfo("UTC")
    for t, as_utc, day in found:
        assert as_utc == t.replace(tzinfo=there).astimezone(utc).replace(tzinfo=None)
        assert day == t.replace(tzinfo=utc).astimezone(there).date()


def test_every_zone_has_a_decision(*, prove: bool) -> None:
    names = sorted(available_timezones())
    for name in names if prove else names[::20]:
        assert zone(name).name == name


@pytest.mark.parametrize("table", CANONICAL, ids=lambda table: table.name)
@pytest.mark.parametrize(
    "offer", ["VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "BIGINT", "DOUBLE", "BOOLEAN"]
)
def test_every_column_takes_every_type(table: Any, offer: str) -> None:
    """Whatever a column is offered as, the statement holds: a wrong value is a refused row and never an error."""
    columns = {c.name: offer for c in table.c if not c.info.get("made")}
    rows = ", ".join(f"cast(null as {kind}) as {name}" for name, kind in columns.items())
    contract = Contract(table, "made", columns, zone(BERLIN), zone(TOKYO), FAR_LATER)
    with duckdb.connect() as conn:
        offer_functions(conn, BERLIN)
        offer_text_functions(conn)
        found = conn.execute(contract.select(f"(select {rows})"))
        names = [item[0] for item in found.description or ()]
        assert names[-2:] == ["reason", "row"]
        assert (found.fetchall()[0][-2] or "").endswith("missing")


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("write to ana.silva+x@mail.example.com.br please", "write to [mail] please"),
        ("é o josé@exemplo.com", "é o [mail]"),
        ("call (11) 99992-9867 now", "call [number] now"),
        ("call +55 11 9 9992 9867", "call [number]"),
        ("tel 8198606-4483", "tel [number]"),
        ("order 03496111588", "order [number]"),
        ("order 02_654859320", "order [number]"),
        ("code PN779108646BR", "code PN[number]BR"),
        ("paid 104,63 on 20/10 for 3 x 2", "paid 104,63 on 20/10 for 3 x 2"),
        ("12345 is short", "12345 is short"),
        ("on 20/10/2017 at 18:30", "on 20/10/2017 at 18:30"),
        ("two\nlines", "two\nlines"),
        (None, None),
    ],
)
def test_comments_are_masked(comment: str | None, expected: str | None) -> None:
    with duckdb.connect() as conn:
        offer_text_functions(conn)
        found = conn.execute("select masked(?::varchar)", [comment]).fetchone()
    assert found == (expected,)


@pytest.mark.parametrize(
    "number",
    [
        "044\u00a0123\u00a045\u00a067",
        "044\u202f123\u202f45\u202f67",
        "044\t123\t45\t67",
        "044 123 45 67",
        "044\u2013123\u201345\u201367",
        "044\u2011123\u201145\u201167",
        "044\u2212123\u22124567",
        "044\u200b123\u200b4567",
        "0664/123 456",
        "0664 / 12 34 56",
        "044.123.45.67",
        "044,123,45,67",
        "044_123_45_67",
        "+41 (0)44 123 45 67",
        "\u0660\u0664\u0664 \u0661\u0662\u0663 \u0664\u0665 \u0666\u0667",
        "\uff10\uff14\uff14\uff11\uff12\uff13\uff14",
        "\u06f0\u06f9\u06f1\u06f2\u06f3\u06f4",
        "2025-12-30-044-1234567",
        "123456",
    ],
)
def test_a_long_number_is_masked_however_it_is_written(number: str) -> None:
    assert mask(f"call {number}, please") == "call [number], please"


@pytest.mark.parametrize(
    "address",
    [
        "rene\u0301@example.com",
        "x\u030c@example.com",
        "anna\uff20example.com",
        "anna [at] example.com",
        "anna(AT)example.com",
        "anna @example.com",
        "anna@ example.com",
        '"ann o\'hara"@example.com',
        "anna@b\u00fccher.example",
    ],
)
def test_an_address_is_masked_however_it_is_written(address: str) -> None:
    assert mask(f"write to {address}, please") == "write to [mail], please"


@pytest.mark.parametrize(
    "text",
    [
        "on 31.12.2025 it broke",
        "between 2025-12-30 and 2025-12-31",
        "2025-12-30 14:05:10",
        "30/12/2025, 14:05.",
        "3. 4. 2026",
        "12, 14, 15, 16 and 17",
        "\u00bd the price\u2122",
        "see @ten or #12",
        "10:15 to 11:20 on day 3",
        "2026-02-01\u20132026-02-28",
    ],
)
def test_what_names_nobody_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


def test_masking_a_long_text_takes_no_longer_than_reading_it() -> None:
    for text in ("a" * 300_000 + "1 2 3 4 5 6", " " * 300_000 + "123456", "1.," * 100_000, "2025-12-30 " * 30_000):
        began = time.process_time()
        mask(text)
        assert time.process_time() - began < 3


KEYS = ["A3", "A3 ", "\tA3", "A3\u00a0", "A\u200b3", "\ufeffA3", "A\u00ad3", "A3\x07"]


def test_keys_are_compared_as_people_see_them(tmp_path: Path) -> None:
    """Without white space around them and signs without a width; what nobody sees is no key."""
    lines = "".join(f"{i},{key},e\u0301 {i}\n" for i, key in enumerate([*KEYS, "A 3", "\u200b "]))
    sql = {
        "contact": "select word as id, key as account_id, 'visit' as touchpoint, 'in' as direction, "
        "timestamp '2026-01-01' as occurred_at from t order by i",
        "account": "select key as account_id, 'x' as name from t where i in ('0', '8')",
    }
    rows = offered(tmp_path, sql, {"t.csv": "i,key,word\n" + lines})
    contacts = {row["id"]: row for row in rows.tables["contact"]}
    assert set(contacts) == {f"\u00e9 {i}" for i in range(10)}
    assert {row["account_id"] for row in contacts.values()} == {"A3", "A 3", None}
    assert contacts["\u00e9 9"]["reason"] == "account_id: missing"


def test_what_has_happened_does_not_lie_ahead_of_the_load(tmp_path: Path) -> None:
    now = at(2026, 3, 10, 9)
    days = ["2026-03-10 08:00", "2026-03-12 08:00", "2026-03-12 10:00", "2027-03-02 09:00", "2062-03-02"]
    lines = "".join(f"{i},{day}\n" for i, day in enumerate(days))
    sql = {
        "journey": "select i as id, 'A' as account_id, 'repair' as journey_type, day as started_at, "
        "'2199-01-01' as promised_at from t order by i",
        "contact": "select i as id, 'A' as account_id, 'visit' as touchpoint, 'in' as direction, "
        "timestamp '2026-01-01' as occurred_at, strptime(left(day, 10), '%Y-%m-%d') as recorded_at from t order by i",
        "account": "select i as account_id, 'x' as name, left(day, 10) as since from t order by i",
    }
    rows = offered(tmp_path, sql, {"t.csv": "i,day\n" + lines}, now=now)
    late = [f"started_at: '{day}' is after the day of the load" for day in days[2:]]
    assert rows.reasons("journey") == [None, None, *late]
    assert [bool(reason) for reason in rows.reasons("contact")] == [False, False, False, True, True]
    assert [bool(reason) for reason in rows.reasons("account")] == [False, False, False, True, True]


def test_a_refused_rows_comment_is_masked_too(tmp_path: Path) -> None:
    row = one(tmp_path, "response", score="9", comment="'mail me: a@b.example'")
    assert json.loads(row["row"])["comment"] == "mail me: [mail]"
    assert one(tmp_path, "response", comment="'mail me: a@b.example'")["comment"] == "mail me: [mail]"


def _year(format_: str) -> list[str]:
    return [(at(2024, 1, 1) + timedelta(hours=12 * i)).strftime(format_) for i in range(730)]


@pytest.mark.parametrize(
    ("sql", "format_", "warned"),
    [
        ("try_strptime(stamp, '%d/%m/%Y')", "%d/%m/%Y", False),
        ("try_strptime(stamp, '%m/%d/%Y')", "%d/%m/%Y", True),  # refuses most rows, and gets the rest wrong
        ("try_strptime(stamp, '%d/%m/%Y')", "%m/%d/%Y", True),
        (
            "coalesce(try_strptime(stamp, '%m/%d/%Y'), try_strptime(stamp, '%d/%m/%Y'))",
            "%d/%m/%Y",
            False,
        ),  # a whole year hides it
        ("stamp", "%Y-%m-%d", False),
        ("date_trunc('month', stamp::date)", "%Y-%m-%d", False),  # stands for the month
    ],
)
def test_day_and_month_swapped(tmp_path: Path, sql: str, format_: str, *, warned: bool) -> None:
    select = f"select id, 'a' as account_id, 'visit' as touchpoint, 'in' as direction, {sql} as occurred_at from t"
    lines = "".join(f"{i},{stamp}\n" for i, stamp in enumerate(_year(format_)))
    found = offered(tmp_path, {"contact": select}, {"t.csv": "id,stamp\n" + lines})
    said = "days above 12 never occur in contact.occurred_at: day and month may be swapped"
    assert found.warnings == ([said] if warned else [])
    assert (f"warning: {said}" in found.said) == warned


def test_swapped_rows_among_right_ones() -> None:
    """A quarter read with both formats: the swapped rows alone fill the other months."""
    count = DayCount()
    right = [date(2024, 1, 1) + timedelta(days=i) for i in range(91)] * 30
    read = [d.replace(month=d.day, day=d.month) if d.day <= 12 else d for d in right]
    count.see(pa.array(read, pa.date32()))
    found = count.suspicion("contact.occurred_at") or ""
    assert found.startswith("days above 12 never occur in 9 months of contact.occurred_at (2024-04, 2024-05, ...)")


@pytest.mark.parametrize(
    "dates",
    [
        [date(2024, 1, 1) + timedelta(days=i) for i in range(42)] * 9,  # the first days of the last month
        [date(2024, m, 1) for m in range(1, 13)] * 20,
        [date(2024, m, d) for m in (1, 2) for d in range(1, 13)] * 20,  # two months are no pattern
        [date(2024, m, d) for m in range(1, 5) for d in range(1, 12)],  # few rows
        [],
    ],
)
def test_dates_that_are_right(dates: list[date]) -> None:
    count = DayCount()
    count.see(pa.array(dates, pa.date32()))
    assert count.suspicion("x") is None


@pytest.mark.parametrize("name", [BERLIN, SAO_PAULO, "UTC", "Asia/Kathmandu"])
def test_offsets_of_many_instants_agree_with_python(name: str) -> None:
    micros = np.arange(0, 4_000_000_000, 7_777_777) * 1_000_000
    there = ZoneInfo(name)
    offsets = [datetime.fromtimestamp(at / 1e6, there).utcoffset() for at in micros.tolist()]
    assert [timedelta(microseconds=found) for found in zone(name).offsets(micros).tolist()] == offsets


@pytest.mark.parametrize(("scale", "best", "told"), [("nps", 10, False), ("nps", 5, True), ("ces", 5, True)])
def test_a_scale_whose_end_nobody_reached_is_told(tmp_path: Path, scale: str, best: int, told: bool) -> None:  # noqa: FBT001
    """Asked for on another scale, every answer alone is right."""
    rows = "id,score\n" + "".join(f"{i},{1 + i % best}\n" for i in range(300))
    wanted = RESPONSE | {"id": "id", "scale": f"'{scale}'", "score": "score"}
    sql = f"select {', '.join(f'{sql} as {name}' for name, sql in wanted.items())} from t"
    found = offered(tmp_path, {"response": sql}, {"t.csv": rows})
    said = f"response: none of 300 answers on the scale {scale} is above {best}"
    assert any(warning.startswith(said) for warning in found.warnings) is told
    few = offered(tmp_path, {"response": sql}, {"t.csv": "id,score\n" + "1,3\n" * 150})
    assert few.warnings == []


@pytest.mark.parametrize(
    ("amounts", "refused"),
    [
        (("1.234,56", "1.234", "12.5"), {"1.234,56", "1.234"}),
        (("0,4", "-12.500", "1234"), {"0,4", "-12.500"}),
        (("1.234", "12.500", "7"), set()),
    ],
)
def test_a_thousand_beside_a_comma_is_refused(tmp_path: Path, amounts: tuple[str, ...], refused: set[str]) -> None:
    sql = "select 'a' as account_id, date '2024-01-01' as month, amount, 'EUR' as currency from t"
    rows = "amount;x\n" + "".join(f"{amount};\n" for amount in amounts)
    found = offered(tmp_path, {"revenue": sql}, {"t.csv": rows}, delimiter=";")
    reasons = {row["reason"] for row in found.tables["revenue"] if row["reason"]}
    assert {amount for amount in amounts if any(f"'{amount}'" in reason for reason in reasons)} == refused


@pytest.mark.parametrize(
    "key",
    [
        "A3",
        " A3 ",
        "A\u200b3",
        "\u00a0A3\u2003",
        "A 3",
        "\x07A3\x85",
        "e\u0301",
        "\tA3\n",
        "A\n3",
        "\ufeffA3",
        "A\u20283\u2028",
    ],
)
def test_a_key_is_stored_as_an_erasure_looks_for_it(tmp_path: Path, key: str) -> None:
    sql = {"account": f"select '{key}' as account_id, 'x' as name from t"}
    assert offered(tmp_path, sql, ONE).values("account", "account_id") == [as_key(key)]
