"""Times as sources write them: a zone is honoured or the row is refused, and one odd value never stops a load."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config import EarshotError
from tests.support.offering import Read, offered


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    """A naive UTC instant, as the warehouse holds them."""
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC).replace(tzinfo=None)


NEW_YORK = "America/New_York"


def read(folder: Path, stamps: list[str], expression: str, zone: str = NEW_YORK) -> Read:
    """The stamps of a file as `occurred_at` of contacts, in order of the file."""
    lines = "".join(f"{i};{stamp}\n" for i, stamp in enumerate(stamps))
    sql = (
        "select id, 'A' as account_id, 'visit' as touchpoint, 'in' as direction, "
        f"{expression} as occurred_at from t order by id"
    )
    return offered(folder, {"contact": sql}, {"t.csv": "id;stamp\n" + lines}, zone, delimiter=";")


def instants(rows: Read) -> dict[str, Any]:
    return {row["id"]: row["occurred_at"] for row in rows.tables["contact"]}


HONOURED = {
    "Z": 0,
    "z": 0,
    " UTC": 0,
    " utc": 0,
    " Utc": 0,
    " GMT": 0,
    "+01": 60,
    "+0100": 60,
    " +01:00": 60,
    "-05:30": -330,
    " -5:30": -330,
    " UTC+2": 120,
    " CET": 60,
    " cest": 120,
    " EST": -300,
    " Asia/Tokyo": 540,
    " asia/tokyo": 540,
    " Etc/GMT+5": -300,
}
REFUSED = [
    " IST",
    " CST",
    " PST",
    " XYZ",
    " Europa/Berlin",
    " +15",
    " +530",
    " +01:00:00",
    " +0000 UTC",
    " PM",
    " (UTC)",
]


@pytest.mark.parametrize(
    "expression",
    [
        "stamp",
        "stamp::timestamp",
        "try_cast(stamp as timestamp)",
        "cast(stamp as timestamptz)",
        "trim(stamp)::timestamp_s",
    ],
)
def test_every_spelling_of_a_zone_is_honoured_or_refused(tmp_path: Path, expression: str) -> None:
    """July 2026, 03:30, in a source of New York: read there it would be 07:30 UTC, which none of these is."""
    spellings = [*HONOURED, *REFUSED]
    rows = read(tmp_path, [f"2026-07-01 03:30:00{spelling}" for spelling in spellings], expression)
    seen = instants(rows)
    expected = {
        str(i): datetime.fromtimestamp(1782876600 - 60 * HONOURED[spelling], UTC).replace(tzinfo=None)
        if spelling in HONOURED
        else None
        for i, spelling in enumerate(spellings)
    }
    assert seen == expected
    refused = [row["reason"] for row in rows.tables["contact"] if row["occurred_at"] is None]
    assert len(refused) == len(REFUSED)
    assert all(reason and reason.startswith("occurred_at: ") for reason in refused)


def test_names_of_zones_in_a_format_are_held_to_the_same(tmp_path: Path) -> None:
    """DuckDB takes BST for Bangladesh, and IST for India whoever wrote it."""
    stamps = ["1/7/2026 03:30 BST", "1/7/2026 03:30 IST", "1/7/2026 03:30 Asia/Tokyo"]
    for name in ("strptime", "try_strptime", "read_time"):
        rows = read(tmp_path, stamps, f"{name}(stamp, '%d/%m/%Y %H:%M %Z')")
        assert instants(rows) == {"0": at(2026, 7, 1, 2, 30), "1": None, "2": at(2026, 6, 30, 18, 30)}
    with pytest.raises(EarshotError, match="%Z must come at the end of a single format"):
        read(tmp_path, stamps, "strptime(stamp, ['%d/%m/%Y %H:%M %Z', '%d/%m/%Y %H:%M'])")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("strptime(stamp, '%d/%m/%Y %H:%M')", "occurred_at: cannot be read in the form that the SELECT names"),
        (
            "strptime(stamp, ['%d/%m/%Y %H:%M', '%d.%m.%Y'])",
            "occurred_at: cannot be read in the form that the SELECT names",
        ),
        ("read_time(stamp, '%d/%m/%Y %H:%M')", "occurred_at: 'O1/04/2026 10:00' is not a timestamp"),
        ("try_strptime(stamp, '%d/%m/%Y %H:%M')", "occurred_at: missing"),
    ],
)
def test_one_odd_stamp_costs_one_row(tmp_path: Path, expression: str, reason: str) -> None:
    rows = read(tmp_path, ["01/04/2026 10:00", "O1/04/2026 10:00"], expression, "UTC")
    assert instants(rows)["0"] == at(2026, 4, 1, 10)
    assert [row["reason"] for row in rows.tables["contact"]] == [None, reason]


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
def test_one_odd_stamp_under_a_cast_costs_one_row(tmp_path: Path, kind: str) -> None:
    rows = read(tmp_path, ["2026-04-01", "2026-04-O1", ""], f"stamp::{kind}", "UTC")
    reasons = [row["reason"] for row in rows.tables["contact"]]
    assert reasons == [None, "occurred_at: cannot be read in the form that the SELECT names", "occurred_at: missing"]


def test_one_format_after_the_other_still_works(tmp_path: Path) -> None:
    expression = "coalesce(try_strptime(stamp, '%d.%m.%Y'), try_cast(stamp as timestamp), timestamp '2026-01-01')"
    rows = read(tmp_path, ["01.04.2026", "2026-04-01 03:00:00 UTC", "odd"], expression)
    assert instants(rows) == {
        "0": at(2026, 4, 1, 4),
        "1": at(2026, 4, 1, 3),
        "2": at(2026, 1, 1, 5),
    }


@pytest.mark.parametrize(
    "expression",
    [
        "epoch_ms(stamp::bigint)",
        "epoch_ms(stamp::integer)",
        "make_timestamp(stamp::bigint * 1000)",
        "make_timestamp_ms(stamp::bigint)",
        "make_timestamp_ns(stamp::bigint * 1000000)",
        "to_timestamp(stamp::bigint / 1000)",
        "to_timestamp(stamp::bigint / 1000)::timestamp",
    ],
)
def test_numbers_of_seconds_are_instants(tmp_path: Path, expression: str) -> None:
    """Whatever the source's zone, 86,400 seconds after 1970 began in UTC."""
    assert instants(read(tmp_path, ["86400000"], expression)) == {"0": at(1970, 1, 2)}


def test_parts_of_a_time_are_of_the_sources_zone(tmp_path: Path) -> None:
    rows = read(tmp_path, ["2026"], "make_timestamp(stamp::bigint, 1, 2, 3, 4, 5.5)")
    assert instants(rows) == {"0": at(2026, 1, 2, 8, 4, 5, 500000)}
    assert instants(read(tmp_path, ["2026-01-02 00:00"], "stamp::timestamptz")) == {"0": at(2026, 1, 2, 5)}


ENDS = [
    # begun, ended, in Berlin; whether the end may be so
    ("2026-03-02 08:15", "2026-03-02", True),
    ("2026-03-02 08:15", "2026-03-02 00:00:00", True),
    ("2026-03-02 08:15", "2026-03-01", False),
    ("2026-03-02 08:15", "2026-03-02 08:14", False),
    ("2026-03-01T23:30:00Z", "2026-03-02", True),
    ("2026-03-02T23:30:00Z", "2026-03-02", False),
    # The clocks show 02:00 to 03:00 twice in October, and never in March.
    ("2026-10-25 02:50", "2026-10-25 02:10", True),
    ("2026-03-29 02:30", "2026-03-29 03:10", True),
    ("2026-10-24 02:50", "2026-10-24 02:10", False),
    ("2026-10-25 02:50:00+01:00", "2026-10-25 02:10:00+01:00", False),
]


@pytest.mark.parametrize("ended", ["ended", "ended::timestamp", "nullif(ended, '')"])
def test_an_end_of_which_only_the_day_is_known_is_one_of_that_day(tmp_path: Path, ended: str) -> None:
    sql = f"select id, 'A' as account_id, 'repair' as journey_type, begun as started_at, {ended} as ended_at from t"
    lines = "".join(f"{i},{begun},{end}\n" for i, (begun, end, _) in enumerate(ENDS))
    rows = offered(tmp_path, {"journey": sql}, {"t.csv": "id,begun,ended\n" + lines}, "Europe/Berlin")
    judged = {row["id"]: row["reason"] for row in rows.tables["journey"]}
    expected = {str(i): None if fits else "ended_at: lies before started_at" for i, (_, _, fits) in enumerate(ENDS)}
    assert judged == expected
    assert all(row["ended_at"] >= row["started_at"] for row in rows.tables["journey"])


def test_an_outcome_is_known_from_its_end_on(tmp_path: Path) -> None:
    sql = """select id, 'A' as account_id, 'repair' as journey_type, day as started_at, null::date as ended_at, outcome
        from t"""
    files = {"t.csv": "id,day,outcome\n1,2026-03-02,open\n2,2026-03-02,\n3,2026-03-02,reached\n"}
    rows = offered(tmp_path, {"journey": sql}, files)
    assert rows.reasons("journey") == [None, None, "ended_at: missing in a journey that is reached"]
