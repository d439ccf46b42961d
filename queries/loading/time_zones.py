"""Time zones as SQL: instants to naive UTC, and to days; and times as people and programs write them.

DuckDB's own `AT TIME ZONE` costs 0.5 s a million rows. A zone has few changes of its offset, so a decision tree over
them does the same ten times as fast, and with the zone data that Python has: the same on every machine.

DuckDB's own readers lose what they do not expect: a cast to TIMESTAMP forgets ` UTC` and `+01:00`, BST is Bangladesh
to it, what `epoch_ms` makes has no zone, and one odd value stops a whole load. Here a zone is honoured or the time is
not read, and a time that is not read is infinity, which the contract refuses row by row.
"""

import json
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import numpy as np

from config import EarshotError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)
_STRIDE: Final = timedelta(days=7)
_SECOND: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class OffsetChange:
    """From `at` (UTC) on, local time is UTC plus `after`; before it was UTC plus `before`."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def wall(self) -> datetime:
        """The first local time that is read with the new offset.

        A time that occurs twice is the earlier of the two; one that the clocks skipped is read as if they had not yet.
        """
        return self.at + max(self.before, self.after)

    @property
    def other_wall(self) -> datetime:
        """The same where a time in doubt is read the other way."""
        return self.at + min(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone between 1970 and 2100; outside, the first and the last offset hold."""

    name: str
    first: timedelta
    changes: tuple[OffsetChange, ...]

    def utc(self, local: str, *, other: bool = False) -> str:
        """SQL that turns the naive local TIMESTAMP column `local` into naive UTC; `other`: see `other_wall`."""
        if not self.changes and not self.first:
            return local
        offset = self._offset(local, tuple(c.other_wall if other else c.wall for c in self.changes))
        return f"system.main.make_timestamp(epoch_us({local}) - {offset})"

    def day(self, utc: str) -> str:
        """SQL of the local date of the naive UTC TIMESTAMP column `utc`."""
        if not self.changes and not self.first:
            return f"cast({utc} as date)"
        offset = self._offset(utc, tuple(c.at for c in self.changes))
        return f"cast(system.main.make_timestamp(epoch_us({utc}) + {offset}) as date)"

    def offsets(self, utc: Any) -> Any:
        """Local time less UTC, in microseconds, of an array of microseconds since 1970 in UTC."""
        limits = [(change.at - _EPOCH) // _MICROSECOND for change in self.changes]
        after = [offset // _MICROSECOND for offset in (self.first, *(change.after for change in self.changes))]
        return np.array(after)[np.searchsorted(limits, utc, side="right")]

    def _offset(self, column: str, limits: tuple[datetime, ...]) -> str:
        return _tree(column, limits, (self.first, *(c.after for c in self.changes)))


def _tree(column: str, limits: tuple[datetime, ...], offsets: tuple[timedelta, ...]) -> str:
    """Nested CASEs that find the offset (microseconds) in as few comparisons as a binary search."""
    if not limits:
        return str(offsets[0] // timedelta(microseconds=1))
    middle = len(limits) // 2
    before = _tree(column, limits[:middle], offsets[: middle + 1])
    after = _tree(column, limits[middle + 1 :], offsets[middle + 1 :])
    return f"case when {column} < timestamp '{limits[middle]:%Y-%m-%d %H:%M:%S}' then {before} else {after} end"


@lru_cache(maxsize=16)
def zone(name: str) -> Zone:
    """The zone of that IANA name.

    Raises:
        EarshotError: there is no such zone.
    """
    try:
        info = ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EarshotError(f"{name!r} is not a time zone; write an IANA name such as 'Europe/Berlin'") from None
    changes = []
    for week in range((_LAST - _EPOCH) // _STRIDE):
        start = _EPOCH + week * _STRIDE
        before, after = _offset_at(info, start), _offset_at(info, start + _STRIDE)
        if before != after:
            seconds = range(_STRIDE // _SECOND)
            second = bisect(seconds, 0, key=lambda s: int(_offset_at(info, start + s * _SECOND) != before))
            changes.append(OffsetChange(start + second * _SECOND, before, after))
    return Zone(name, _offset_at(info, _EPOCH), tuple(changes))


def _offset_at(info: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(info).utcoffset() or timedelta()


_WALL: Final = r"try_cast(left(t, 11) || regexp_extract(substr(t, 12), '^[0-9:.]*') as timestamp)"
_ZONE: Final = r"trim(regexp_extract(substr(t, 12), '^[0-9:.]*(.*)$', 1))"
# Hours of one digit need their colon before minutes: -530 might be anything.
_OFFSET: Final = r"(?:utc|gmt)?[+-](?:0?\d|1[0-4]|(?:\d|0\d|1[0-4]):[0-5]\d|(?:0\d|1[0-4])[0-5]\d)"
_PLAIN: Final = r"^[0-9:.]*(?:Z| ?(?i:UTC)|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)$"
_FUNCTIONS: Final = (
    "finite_utc(instant) as case when isfinite(instant) then system.main.make_timestamp(epoch_us(instant)) end",
    # Before the twelfth letter of 2026-02-01 03:30 UTC stands the date; after it nothing but digits, or a zone.
    r"has_zone(t) as length(t) > 10 and regexp_matches(substr(t, 12), '[^0-9:.\s]')",
    f"""zone_minutes(z) as case
        when z in ('z', 'utc', 'gmt') then 0
        when regexp_full_match(z, '{_OFFSET}')
        then cast(regexp_extract(z, '[+-]') || '1' as integer) * (
            60 * cast(regexp_extract(z, '[+-](\\d\\d?)', 1) as integer)
            + coalesce(try_cast(regexp_extract(z, '[+-]\\d\\d?:?(\\d\\d)$', 1) as integer), 0))
        else (map {{abbreviations}})[z] end""",
    """utc_of_wall(wall, z) as case
        when wall < timestamp '1000-01-01' or wall > timestamp '9999-01-01' then null
        when z like '%/%' then system.main.make_timestamp(epoch_us(try_cast(wall || ' ' || z as timestamptz)))
        else system.main.make_timestamp(epoch_us(wall) - 60000000 * cast(zone_minutes(lower(z)) as bigint)) end""",
    # What DuckDB reads itself, and eight times as fast.
    f"""utc_of(t) as coalesce(
        case when regexp_matches(substr(t, 17), '{_PLAIN}') then finite_utc(try_cast(t as timestamptz)) end,
        utc_of_wall({_WALL}, {_ZONE}))""",
    "or_never(value, t, never) as coalesce(value, case when t <> '' then never end)",
    """try_as_timestamp(x) as case when has_zone(cast(x as varchar))
        then cast(timezone('UTC', utc_of(cast(x as varchar))) as timestamp)
        else try_cast(cast(x as varchar) as timestamp) end""",
    """try_as_instant(x) as case when has_zone(cast(x as varchar))
        then timezone('UTC', utc_of(cast(x as varchar)))
        else try_cast(cast(x as varchar) as timestamptz) end""",
    "try_as_date(x) as try_cast(cast(x as varchar) as date)",
    "as_timestamp(x) as or_never(try_as_timestamp(x), cast(x as varchar), timestamp 'infinity')",
    "as_instant(x) as or_never(try_as_instant(x), cast(x as varchar), timestamptz 'infinity')",
    "as_date(x) as or_never(try_as_date(x), cast(x as varchar), date 'infinity')",
    # Offered to whoever writes a SELECT: what is not written in this form stays as it is, so that its value is shown.
    "read_time(t, form) as coalesce(cast(try_strptime(t, form) as varchar), t)",
    "strptime(t, form) as or_never(try_strptime(t, form), t, timestamp 'infinity')",
    """try_strptime_zoned(t, form) as timezone('UTC', utc_of_wall(
        try_strptime(regexp_replace(t, '\\s*\\S+\\s*$', ''), form), regexp_extract(t, '(\\S+)\\s*$', 1)))""",
    "strptime_zoned(t, form) as or_never(try_strptime_zoned(t, form), t, timestamptz 'infinity')",
    "read_time_zoned(t, form) as coalesce(cast(try_strptime_zoned(t, form) as varchar), t)",
    """epoch_ms(x bigint) as make_timestamptz(x * 1000), (x timestamp) as epoch_us(x) // 1000,
        (x timestamptz) as epoch_us(x) // 1000""",
    "make_timestamp_ms(x) as make_timestamptz(x * 1000)",
    "make_timestamp_ns(x) as make_timestamptz(x // 1000)",
    """make_timestamp(x) as make_timestamptz(x),
        (y, m, d, h, i, s) as system.main.make_timestamp(y, m, d, h, i, s)""",
)
"""In the order in which one uses the other."""

_OF_LATE: Final = 2026
"""The year whose short names of zones are known: older ones meant other offsets, and loads do not ask the clock."""

_CASTS: Final = {"TIMESTAMP WITH TIME ZONE": "as_instant", "DATE": "as_date"}


def offer_functions(conn: duckdb.DuckDBPyConnection, zone: str) -> None:
    """Give a connection these functions, and its session the zone of naive times."""
    conn.execute(f"set TimeZone = '{zone}'")
    for function in _FUNCTIONS:
        conn.execute(f"create macro {function.replace('{abbreviations}', str(_abbreviations()))}")


def with_zones_kept(conn: duckdb.DuckDBPyConnection, sql: str) -> str:
    """A SELECT whose casts to times and days keep a zone that the text states, and refuse a row instead of the load.

    Raises:
        EarshotError: it reads names of zones in a way that would take some of them for others.
    """
    tree = json.loads(conn.execute("select json_serialize_sql(?)", [sql]).fetchall()[0][0])
    nodes = list(_nodes(tree))
    for node in nodes:
        if node["class"] == "CAST":
            kind = _CASTS.get(node["cast_type"]["id"], "as_timestamp")
            name = f"try_{kind}" if node["try_cast"] else kind
            node["child"] = {**_CALL, "function_name": name, "children": [node["child"]]}
        elif (form := str(node["children"][1].get("value", {}).get("value"))).endswith("%Z"):
            node["function_name"] += "_zoned"
            node["children"][1]["value"]["value"] = form.removesuffix("%Z").rstrip()
        else:
            raise EarshotError("%Z must come at the end of a single format; put it there, with one format per call")
    if not nodes:
        return sql
    return str(conn.execute("select json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()[0][0])


_FORMATTED: Final = {"strptime", "try_strptime", "read_time"}
_CALL: Final = {
    **dict.fromkeys(("alias", "schema", "catalog"), ""),
    **dict.fromkeys(("distinct", "is_operator", "export_state"), False),
    "class": "FUNCTION",
    "type": "FUNCTION",
    "filter": None,
    "query_location": 0,
    "order_bys": {"type": "ORDER_MODIFIER", "orders": []},
}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """The nodes of a serialised statement that cast to a time or a day, or read the name of a zone."""
    if isinstance(tree, dict):
        makes_time = str(tree.get("cast_type", {}).get("id")).startswith(("TIMESTAMP", "DATE"))
        reads_name = tree.get("function_name") in _FORMATTED and "%Z" in json.dumps(tree["children"][1:])
        if makes_time or reads_name:
            yield tree
    for item in list(tree.values() if isinstance(tree, dict) else tree):
        if isinstance(item, dict | list):
            yield from _nodes(item)


@lru_cache(maxsize=1)
def _abbreviations() -> dict[str, int]:
    """The minutes ahead of UTC of the short names of zones, of those that mean one thing wherever they are used."""
    offsets: dict[str, set[int]] = {}
    for name in available_timezones():
        for month in (1, 7):
            local = datetime(_OF_LATE, month, 1, tzinfo=ZoneInfo(name))
            ahead = local.utcoffset()
            if ahead is not None:
                offsets.setdefault(str(local.tzname()).lower(), set()).add(int(ahead.total_seconds() // 60))
    return {name: minutes.pop() for name, minutes in offsets.items() if name.isalpha() and len(minutes) == 1}
