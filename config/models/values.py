"""The small words configuration is written in: durations, hours, zones, names, Slack ids, conditions on columns."""

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from math import isfinite
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

_DURATION: Final = re.compile(r"([0-9]{1,6})\s*(m|h|d|w)")
_UNITS: Final = {"w": timedelta(weeks=1), "d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\s*-\s*([01][0-9]|2[0-3]):([0-5][0-9])")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
_WORDS: Final = re.compile(r"(?=\S).{1,60}(?<=\S)")
_CHANNEL: Final = re.compile(r"[CG][A-Z0-9]{8,}")
_MEMBER: Final = re.compile(r"[UW][A-Z0-9]{8,}")
ZERO: Final = timedelta(0)
FIRST_DAY: Final = date(1900, 1, 1)
LAST_DAY: Final = date(2199, 12, 31)
LONGEST: Final = timedelta(days=36_525)
SMALLEST: Final = 1e-9
LARGEST: Final = 1e15
"""What is farther, longer or larger than any of these is a slip of the pen, and no database or clock adds it up; what
is smaller without being 0 divides into what is larger."""


def out_of_reach(value: object) -> str:
    """Why a number or a day is none that anybody means, or nothing."""
    if isinstance(value, float) and not isfinite(value):
        return "write a finite number"
    if isinstance(value, int | float) and abs(value) > LARGEST:
        return f"the number is too large; write one from {-LARGEST:.0f} to {LARGEST:.0f}"
    if isinstance(value, float) and 0 < abs(value) < SMALLEST:
        return f"the number is too small; write 0, or at least {SMALLEST:g}"
    if isinstance(value, date) and not isinstance(value, datetime) and not FIRST_DAY <= value <= LAST_DAY:
        return f"{value} is too far away; write a day from {FIRST_DAY} to {LAST_DAY}"
    return ""


class FrozenModel(BaseModel):
    """A value read from configuration: strict, closed to unknown keys, never changed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _within_reach(cls, value: Any) -> Any:
        for part in value if isinstance(value, tuple) else (value,):
            if wrong := out_of_reach(part):
                raise ValueError(wrong)
        return value


class TooLongError(ValueError):
    """A duration is longer than any calendar is asked for."""


class KeyedError(ValueError):
    """A value is wrong because of one of its keys: the mistake stands on that key's line."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def parse_duration(text: object) -> timedelta:
    """A duration such as `30m`, `24h`, `14d` or `2w`."""
    if isinstance(text, timedelta):
        return text
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        message = f"{text!r} is not a valid duration; write a whole number and m, h, d or w, such as '14d'"
        raise ValueError(message)
    length = int(found[1]) * _UNITS[found[2]]
    if length > LONGEST:
        raise TooLongError(f"{text!r} is too long; write {LONGEST.days}d or less")
    return length


def parse_times(value: object) -> tuple[timedelta, ...]:
    """A duration for each severity, 1 first: one for all of them, or `{1 = "4h", 3 = "2d"}`, where 2 is as 1."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, Mapping):
        return (parse_duration(value),) * 4
    if unknown := sorted(set(value) - set("1234")):
        message = f"there is no severity {unknown[0]}; write 1, 2, 3 or 4"
        raise KeyedError(unknown[0], message)
    if "1" not in value:
        message = (
            "severity 1 has no duration; write one, such as 1 = '4h'; what is left out is as the severity above it"
        )
        raise ValueError(message)
    times = list[timedelta]()
    for severity in "1234":
        times.append(parse_duration(value[severity]) if severity in value else times[-1])
    return tuple(times)


def duration_text(length: timedelta) -> str:
    """A whole number of minutes as it is written in configuration, in days, hours or minutes: `14d`, never `336h`."""
    letter = next((letter for letter in "dh" if not length % _UNITS[letter]), "m")
    return f"{length // _UNITS[letter]}{letter}"


def parse_hours(text: object) -> tuple[time, time]:
    """From when to when: `08:00-18:00`; `22:00-06:00` ends on the next day."""
    if isinstance(text, tuple):
        return text
    found = _HOURS.fullmatch(text) if isinstance(text, str) else None
    if found is None or found[1] + found[2] == found[3] + found[4]:
        message = f"{text!r} is not a range of business hours; write one, such as '08:00-18:00'"
        raise ValueError(message)
    return time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        near = get_close_matches(name, available_timezones(), n=1)
        message = f"{name!r} is not a time zone; write {near[0] if near else 'a name such as Europe/Zurich'}"
        raise ValueError(message) from None
    return name


def matching(pattern: re.Pattern[str], advice: str, wrong: str = "is not allowed here") -> AfterValidator:
    """A text must match the whole pattern; else it `wrong`, and `advice` says what to write."""

    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            message = f"{text!r} {wrong}; {advice}"
            raise ValueError(message)
        return text

    return AfterValidator(check)


def as_tuple(value: object) -> object:
    """A list as the tuple a frozen value needs; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


Listed: Final = BeforeValidator(as_tuple)
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Times = Annotated[tuple[timedelta, ...], BeforeValidator(parse_times)]
"""A duration for each severity."""
Hours = Annotated[tuple[time, time], BeforeValidator(parse_hours)]
Name = Annotated[str, matching(_NAME, "use lower-case letters, digits, - and _, starting with a letter")]
ChannelId = Annotated[str, matching(_CHANNEL, "write the Slack channel's id, such as 'C0123456789', not its name")]
MemberId = Annotated[str, matching(_MEMBER, "write the Slack member's id, such as 'U0123456789', not a name or mail")]
Names = Annotated[tuple[str, ...], Listed]
Words = Annotated[str, matching(_WORDS, "write at most 60 letters, without a blank at either end")]
"""What people read, such as what a function of the company is called."""
Zone = Annotated[str, AfterValidator(_zone)]
"""An IANA zone, such as `Europe/Zurich`."""

Scalar = str | int | float | bool | date


class Condition(FrozenModel):
    """What one column of a row must be. Every part given must hold; a null satisfies only `known = false`."""

    column: str
    any_of: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    at_least: float | date | None = None
    at_most: float | date | None = None
    above: float | date | None = None
    below: float | date | None = None
    known: bool | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if all(value is None for name, value in self if name != "column"):
            message = (
                f"the condition on {self.column!r} asks nothing; give a value, a list, or at_least, at_most, known"
            )
            raise ValueError(message)
        return self


_ASKS: Final = frozenset(Condition.model_fields) - {"column"}


def _condition(column: str, wanted: object) -> object:
    if not isinstance(wanted, Mapping):
        return {"column": column, "any_of": tuple(wanted) if isinstance(wanted, list) else (wanted,)}
    for key in wanted:
        if key not in _ASKS:
            # TOML reads `account.tier = "key"` as a table `account` with a key `tier`.
            message = f"{key!r} is not a test for {column!r}; use {', '.join(sorted(_ASKS))}"
            raise KeyedError(column, f'{message}, or quote a column of another table: "{column}.{key}"')
    parts: dict[str, Any] = {**wanted, "column": column}
    return {**parts, "any_of": as_tuple(parts["any_of"])} if "any_of" in parts else parts


def _conditions(value: object) -> object:
    """`{column = value | [values] | {at_least = 9}}` as a tuple of conditions."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, Mapping):
        message = f"{value!r} is not a condition; write a table of columns, such as {{ channel = 'phone' }}"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports ValueError only
    return tuple(_condition(str(column), wanted) for column, wanted in sorted(value.items()))


Conditions = Annotated[tuple[Condition, ...], BeforeValidator(_conditions)]


def conditions_text(where: Conditions) -> str:
    """Filters in words, such as `journey type is installation; not multi channel`."""
    words = {"at_least": "at least", "at_most": "at most", "above": "above", "below": "below"}
    filters = list[str]()
    for condition in where:
        column = condition.column.replace("_", " ").replace(".", " ")
        if condition.any_of is not None and len(condition.any_of) == 1 and isinstance(condition.any_of[0], bool):
            filters.append(column if condition.any_of[0] else f"not {column}")
            continue
        limits = ((text, getattr(condition, name)) for name, text in words.items())
        parts = [f"{text} {limit}" for text, limit in limits if limit is not None]
        if condition.any_of is not None:
            parts.append("is " + " or ".join(str(value) for value in condition.any_of))
        if condition.known is not None:
            parts.append("is known" if condition.known else "is missing")
        filters.append(f"{column} {', '.join(parts)}")
    return "; ".join(filters)
