"""What a source's rows are held to: one SELECT that casts them to a canonical table and says why a row is refused."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Final

import duckdb
import pyarrow as pa
from duckdb.func import ARROW
from sqlalchemy import Boolean, Column, Date, DateTime, Double, SmallInteger, Table

from config import EarshotError
from queries.loading.inputs import literal
from queries.loading.time_zones import Zone
from queries.warehouse import SCALES

Offered = Mapping[str, str]
"""The columns of a source's SELECT and their DuckDB types."""

_TYPES: Final = {Boolean: "BOOLEAN", Date: "DATE", DateTime: "TIMESTAMP", Double: "DOUBLE", SmallInteger: "SMALLINT"}
_NOUNS: Final = {"BOOLEAN": "true or false", "DATE": "a date", "TIMESTAMP": "a timestamp", "DOUBLE": "a number",
                 "SMALLINT": "a whole number"}  # fmt: skip
_WHOLE: Final = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_SUSPECT: Final = r"@|＠|﹫|(?i:[(\[]\s*at\s*[)\]])|(?:\pN[^\pN]*){6}"
_WORD: Final = r"[^\s@<>()\[\]{},;:!?\"]{1,128}"
_AT: Final = r"(?:[ ]?@[ ]?(?=[^\s@]*\.\w)|@|\s{0,3}[(\[]\s{0,3}at\s{0,3}[)\]]\s{0,3})"
_MAIL: Final = re.compile(rf"(?:\"[^\"\n]{{1,64}}\"|{_WORD}){_AT}{_WORD}(?<![.])", re.IGNORECASE)
# Whatever separates groups of digits: white space, marks of formatting, and punctuation of any script but : and ;.
_BETWEEN: Final = r"(?:[^\w:;!?\"'@\[\]{}<>=%&#*,]|_){0,3}"
_DAY: Final = r"(?:\d{4}(?P<a>[-./])\d\d?(?P=a)\d\d?|\d\d?(?P<b>[-./])[ ]?\d\d?(?P=b)[ ]?(?:19|20)\d\d)"
_NUMBER_OR_DATE: Final = re.compile(
    rf"(?P<date>(?<!\d)(?<!\d[-./]){_DAY}(?:(?:[ T]|, )\d\d?:\d\d(?::\d\d)?)?(?![-./]?\d))"
    rf"|[+(]?\d(?:(?:{_BETWEEN}|,)\d){{6,}}|\d{{6,}}"
)
"""A date, which stays; seven digits with little between them (a phone number, however written), or six unbroken."""

AHEAD: Final = timedelta(days=2)
"""How far after the load what has happened may lie: clocks and zones are not all right."""

_ZONED: Final = "TIMESTAMP WITH TIME ZONE"
_NESTED: Final = ("STRUCT", "MAP", "UNION", "BLOB", "BIT", "INTERVAL", "TIME ")
_FIRST: Final = "timestamp '1900-01-01'"
_LAST: Final = "timestamp '2200-01-01'"


@dataclass(frozen=True, slots=True)
class Contract:
    """How the rows of one SELECT become rows of a canonical table.

    Args:
        table: the canonical table.
        source: the source's name.
        offered: the columns and types of the SELECT.
        zone: the zone of the source's naive timestamps.
        reporting: the zone whose dates are the days.
        now: when the rows are loaded, naive UTC.
    """

    table: Table
    source: str
    offered: Offered
    zone: Zone
    reporting: Zone
    now: datetime

    def select(self, rows: str) -> str:
        """The SELECT over the relation `rows`: every canonical column but the load's own, then `reason` and `row`.

        Five steps, each reading the columns of the one before, so that nothing is planned or computed twice.
        """
        given = self.given()
        read = f"select {', '.join(self._parsed())} from {rows}"
        instants = [name(c) for c in given if sql_type(c) == "TIMESTAMP" for name in (_local, _fixed)]
        parsed = f"select * replace ({', '.join(map(_in_range, instants))}) from ({read})" if instants else read
        values = (f"{self._value(column)} as {quoted(column.name)}" for column in given)
        valued = f"select *, {', '.join(values)} from ({parsed})"
        whens = " ".join(f"when {condition} then {reason}" for condition, reason in self._checks(rows))
        judged = f"select *, case {whens} else cast(null as varchar) end as reason from ({valued})"
        # A comment is kept as it would be stored: masked.
        pairs = (f"{literal(c.name)}: {quoted(c.name) if c.name == 'comment' else _raw(c)}" for c in given)
        row = f"case when reason is not null then cast(to_json({{{', '.join(pairs)}}}) as varchar) end"
        columns = []
        for column in self.table.c:
            if column.name == "source":
                value = literal(self.source)
            elif "day_of" in column.info:
                value = self._day(column)
            elif column.info.get("made"):
                continue
            else:
                value = quoted(column.name) if column.name in self.offered else f"cast(null as {sql_type(column)})"
                if column.name in self.offered and (earlier := column.info.get("not_before", "")) in self.offered:
                    # An end that only its day is known of is no earlier than its beginning.
                    value = f"case when {value} < {quoted(earlier)} then {quoted(earlier)} else {value} end"
            columns.append(f"{value} as {quoted(column.name)}")
        return f"select {', '.join(columns)}, reason, {row} as row from ({judged})"

    def given(self) -> list[Column[object]]:
        """The canonical columns that the SELECT offers."""
        return [column for column in self.table.c if not column.info.get("made") and column.name in self.offered]

    def _parsed(self) -> Iterator[str]:
        for column in self.given():
            raw = quoted(column.name)
            yield f"{raw} as {_raw(column)}"
            if sql_type(column) == "TIMESTAMP":
                local, fixed = _instants(raw, self.offered[column.name])
                yield f"{local} as {_local(column)}"
                yield f"{fixed} as {_fixed(column)}"

    def _value(self, column: Column[object]) -> str:
        raw, offered, wanted = _raw(column), self.offered[column.name], sql_type(column)
        if wanted == "TIMESTAMP":
            local, fixed = self.zone.utc(_local(column)), _fixed(column)
            if offered == _ZONED:
                return fixed
            return f"coalesce({fixed}, {local})" if offered == "VARCHAR" else local
        if wanted == "VARCHAR":
            text = raw if offered == "VARCHAR" else f"cast({raw} as varchar)"
            if column.name == "comment":
                return f"masked({text})"
            if column.primary_key or "refers" in column.info:
                return f"as_key({text})"
            # Empty text becomes null here only where something depends on it; the sandbox does the rest for less.
            return f"nullif({text}, '')" if "domain" in column.info else text
        return _cast(wanted, f"nullif({raw}, '')" if offered == "VARCHAR" else raw, offered)

    def _day(self, column: Column[object]) -> str:
        """The day of an instant: a date stays the date it is, whatever the zones."""
        instant = self.table.c[column.info["day_of"]]
        offered = self.offered.get(instant.name)
        if offered is None:
            return "cast(null as date)"
        day = self.reporting.day(quoted(instant.name))
        as_offered = f"cast({_local(instant)} as date)"
        # Midnight of a bare date is no instant that anybody meant: moved to another zone it would be the day before.
        if offered == "DATE" or (offered.startswith("TIMESTAMP") and offered != _ZONED and self.zone == self.reporting):
            return as_offered
        return (
            f"case when length({_raw(instant)}) <= 10 then {as_offered} else {day} end" if offered == "VARCHAR" else day
        )

    def _checks(self, rows: str) -> Iterator[tuple[str, str]]:
        """The conditions under which a row is refused, and the reasons; the first that holds is the row's."""
        for column in self.given():
            yield from self._column_checks(column)
            if sql_type(column) == "DOUBLE" and self.offered[column.name] == "VARCHAR":
                raw, commas = _raw(column), f"exists (from {rows} where contains({quoted(column.name)}, ','))"
                thousand = f"regexp_full_match(trim({raw}), '[+-]?\\d{{1,3}}\\.\\d{{3}}') and {commas}"
                yield thousand, _said(column.name, raw, "may be a thousand: other rows write a decimal comma")
        for column in self.given():
            earlier = column.info.get("not_before")
            if earlier is None or earlier not in self.offered:
                continue
            late, early = quoted(column.name), quoted(earlier)
            condition = f"{late} < {early}"
            if sql_type(column) == "TIMESTAMP":
                condition = f"case when {condition} then not ({self._may_be_later(column, self.table.c[earlier])}) end"
            yield condition, literal(f"{column.name}: lies before {earlier}")
        if self.table.name == "journey" and "outcome" in self.offered:
            unended = "ended_at is null" if "ended_at" in self.offered else "true"
            yield f"outcome <> 'open' and {unended}", "'ended_at: missing in a journey that is ' || outcome"
        if self.table.name == "response":
            yield from _response_checks(set(self.offered))

    def _may_be_later(self, column: Column[object], earlier: Column[object]) -> str:
        """Whether an instant that lies before another may be of the same time or later all the same.

        A bare date, or midnight, stands for its whole day; a time that the clocks show twice or never may be either.
        """
        late, early = _local(column), _local(earlier)
        whole_day = (
            f"{late} = date_trunc('day', {late}) and cast({late} as date) >= {self.zone.day(quoted(earlier.name))}"
        )
        latest = f"greatest({quoted(column.name)}, {self.zone.utc(late, other=True)})"
        earliest = f"least({quoted(earlier.name)}, {self.zone.utc(early, other=True)})"
        return f"coalesce({whole_day}, false) or {latest} >= {earliest}"

    def _column_checks(self, column: Column[object]) -> Iterator[tuple[str, str]]:
        name, value, raw = column.name, quoted(column.name), _raw(column)
        wanted, offered = sql_type(column), self.offered[name]
        if wanted != "VARCHAR" and not (wanted == offered and wanted in {"BOOLEAN", "SMALLINT"}):
            present = f"nullif({raw}, '') is not null" if offered == "VARCHAR" else f"{raw} is not null"
            if offered == "DATE" or offered.startswith("TIMESTAMP"):
                yield f"not isfinite({raw})", literal(f"{name}: cannot be read in the form that the SELECT names")
            yield f"{value} is null and {present}", _said(name, raw, f"is not {_NOUNS[wanted]}")
        # An empty text would pass NOT NULL, and then be a key that joins everything that has none.
        if not column.nullable:
            empty = f" or {value} = ''" if wanted == "VARCHAR" else ""
            yield f"{value} is null{empty}", literal(f"{name}: missing")
        if domain := column.info.get("domain"):
            allowed = ", ".join(map(literal, domain))
            yield f"{value} not in ({allowed})", _said(name, raw, f"is none of {', '.join(domain)}")
        if between := column.info.get("between"):
            low, high = between
            yield f"{value} not between {low} and {high}", _said(name, raw, f"is outside {low} to {high}")
        if isinstance(column.type, Date | DateTime) and not column.info.get("planned"):
            yield f"{value} > timestamp '{self.now + AHEAD}'", _said(name, raw, "is after the day of the load")
        if name == "month":
            yield f"day({value}) <> 1", _said(name, raw, "is not the first day of a month")


def check_columns(table: Table, offered: Offered, where: str) -> None:
    """Hold a SELECT's columns to the canonical table.

    Raises:
        EarshotError: a column too many, too few, or of a type that can be no value; `where` names the file.
    """
    wanted = [column for column in table.c if not column.info.get("made")]
    names = [column.name for column in wanted]
    for name in offered:
        if name in names:
            continue
        if name in table.c:
            raise EarshotError(f"{where}: the load fills column {name!r}; leave it out")
        near = get_close_matches(name, [n for n in names if n not in offered], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"{table.name} has {', '.join(names)}"
        raise EarshotError(f"{where}: {table.name} has no column {name!r}; {hint}")
    for column in wanted:
        if column.name not in offered and not column.nullable:
            raise EarshotError(f"{where}: column {column.name!r} is missing; add it: every {table.name} needs one")
        kind = offered.get(column.name, "")
        if kind.endswith("]") or kind.startswith(_NESTED):
            raise EarshotError(f"{where}: column {column.name!r} is a {kind}; make it one plain value")


def _response_checks(offered: set[str]) -> Iterator[tuple[str, str]]:
    """Between the columns of a survey: a score has a scale, an answer has a time and says something."""
    if "score" in offered:
        unscaled = "scale is null" if "scale" in offered else "true"
        yield f"score is not null and {unscaled}", "'score: given without a scale'"
        yield "score is not null and status <> 'answered'", "'score: given in a survey that is ' || status"
    if {"score", "scale"} <= offered:
        for scale, (low, high) in SCALES.items():
            yield (f"scale = {literal(scale)} and score not between {low} and {high}",
                   f"'score: ' || score || {literal(f' is outside {scale}, {low} to {high}')}")  # fmt: skip
    said = [name for name in ("score", "expectation") if name in offered]
    silent = " and ".join(f"{name} is null" for name in said) or "true"
    yield f"status = 'answered' and {silent}", "'score: missing in an answered survey'"
    unknown = "responded_at is null" if "responded_at" in offered else "true"
    yield f"status = 'answered' and {unknown}", "'responded_at: missing in an answered survey'"


def sql_type(column: Column[object]) -> str:
    """The DuckDB type of a canonical column."""
    return next((name for kind, name in _TYPES.items() if isinstance(column.type, kind)), "VARCHAR")


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _raw(column: Column[object]) -> str:
    return quoted(f"offered {column.name}")


def _local(column: Column[object]) -> str:
    return quoted(f"local {column.name}")


def _fixed(column: Column[object]) -> str:
    return quoted(f"fixed {column.name}")


def _said(name: str, raw: str, what: str) -> str:
    return f"{literal(f'{name}: ')} || '''' || left(cast({raw} as varchar), 60) || ''' {what}'"


def mask(text: str) -> str:
    """A text with its mail addresses and long numbers replaced by `[mail]` and `[number]`; dates stay.

    What is replaced is looked for in the text's compatible form (NFKC), where a no-break space is a space and a wide
    digit a digit. A text without any stays as it was written.
    """
    plain = unicodedata.normalize("NFKC", text)
    # Long texts rarely hold an address, and it is slow to look for what comes before one.
    hidden = _MAIL.sub("[mail]", plain) if re.search(_AT, plain, re.IGNORECASE) else plain
    hidden = _NUMBER_OR_DATE.sub(lambda match: match[0] if match["date"] else "[number]", hidden)
    return text if hidden == plain else hidden


def offer_text_functions(conn: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the functions `masked`, which does to a column what `mask` does to a text, and `as_key`."""

    def mask_all(texts: pa.ChunkedArray) -> pa.Array:
        return pa.array((mask(text) for text in texts.to_pylist()), pa.string())

    conn.create_function("mask_all", mask_all, ["VARCHAR"], "VARCHAR", type=ARROW)
    # Most texts hold neither six digits nor an address, and Python is slow.
    # Keys are compared letter by letter, and people cannot see white space around them or signs without a width.
    seen = r"regexp_replace(nfc_normalize(t), '[\p{Cf}\x{0}-\x{8}\x{E}-\x{1F}\x{7F}-\x{9F}]', '', 'g')"
    bare = rf"regexp_replace({seen}, '^[\s\pZ]+|[\s\pZ]+$', '', 'g')"
    conn.execute(f"create macro as_key(t) as case when regexp_matches(t, '[^!-~]') then {bare} else t end")
    conn.execute(f"create macro masked(t) as case when regexp_matches(t, '{_SUSPECT}') then mask_all(t) else t end")


def _instants(raw: str, offered: str) -> tuple[str, str]:
    """An offered instant as naive local time and, where it says its own offset, as naive UTC; one of them is null."""
    nothing = "cast(null as timestamp)"
    if offered == "VARCHAR":
        local = f"case when not has_zone({raw}) then try_cast({raw} as timestamp) end"
        return local, f"case when has_zone({raw}) then utc_of({raw}) end"
    if offered == _ZONED:
        return nothing, f"finite_utc({raw})"
    if offered == "DATE" or offered.startswith("TIMESTAMP"):
        return f"try_cast({raw} as timestamp)", nothing
    return nothing, nothing


def _in_range(instant: str) -> str:
    """Only instants that can be true: 9999-12-31 and infinity stand for something else."""
    return f"case when {instant} >= {_FIRST} and {instant} < {_LAST} then {instant} end as {instant}"


def _cast(wanted: str, value: str, offered: str) -> str:
    """An offered value as a BOOLEAN, DATE, DOUBLE or SMALLINT: null where it is none."""
    if wanted == "BOOLEAN":
        if offered in _WHOLE:
            return f"case {value} when 1 then true when 0 then false end"
        return f"try_cast({value} as boolean)" if offered in {"BOOLEAN", "VARCHAR"} else "cast(null as boolean)"
    return _as_date(value, offered) if wanted == "DATE" else _as_number(wanted, value, offered)


def _as_date(value: str, offered: str) -> str:
    if offered == "VARCHAR":
        # A day stays as it is written, whatever zone the time beside it names; but the time must be one.
        timed = f"coalesce(try_cast({value} as timestamp), utc_of({value}))"
        date = f"case when length({value}) <= 10 or {timed} is not null then try_cast({value} as date) end"
    elif offered == "DATE" or offered.startswith("TIMESTAMP"):
        date = f"try_cast({value} as date)"
    else:
        return "cast(null as date)"
    return f"case when {date} >= date '1900-01-01' and {date} <= date '9999-12-31' then {date} end"


def _as_number(wanted: str, value: str, offered: str) -> str:
    if wanted == "SMALLINT" and offered in _WHOLE:
        return f"try_cast({value} as smallint)"
    if offered not in {"VARCHAR", "DOUBLE", "FLOAT"} | _WHOLE and not offered.startswith("DECIMAL"):
        return f"cast(null as {wanted})"
    number = f"try_cast({value} as double)"
    if wanted == "DOUBLE":
        return f"case when isfinite({number}) then {number} end"
    # DuckDB rounds 4.5 to 5: only whole numbers may pass.
    return f"case when {number} = trunc({number}) then try_cast({number} as smallint) end"
