"""The small words configuration is written in: durations, names, Slack ids, conditions on columns."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

_DURATION = re.compile(r"^(\d+)\s*(m|h|d|w)$")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_NAME = re.compile(r"^[a-z][a-z0-9_-]*$")
_CHANNEL = re.compile(r"^[CG][A-Z0-9]{8,}$")
_MEMBER = re.compile(r"^[UW][A-Z0-9]{8,}$")


class Frozen(BaseModel):
    """A value read from configuration: strict, closed to unknown keys, never changed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=True)


def parse_duration(text: object) -> timedelta:
    """A duration such as `30m`, `24h`, `14d` or `2w`."""
    if isinstance(text, timedelta):
        return text
    found = _DURATION.match(text) if isinstance(text, str) else None
    if not found:
        message = f"{text!r} is no duration; write a whole number and m, h, d or w, such as '14d'"
        raise ValueError(message)
    return int(found[1]) * _UNITS[found[2]]


def _matching(pattern: re.Pattern[str], advice: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.match(text):
            message = f"{text!r} is not allowed here; {advice}"
            raise ValueError(message)
        return text

    return AfterValidator(check)


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Name = Annotated[str, _matching(_NAME, "use lower-case letters, digits, - and _, starting with a letter")]
ChannelId = Annotated[str, _matching(_CHANNEL, "write the Slack channel's id, such as 'C0123456789', not its name")]
MemberId = Annotated[str, _matching(_MEMBER, "write the Slack member's id, such as 'U0123456789', not a name or mail")]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]

Scalar = str | int | float | bool | date


class Condition(Frozen):
    """What one column of a row must be. Every part given must hold; a null satisfies only `known = false`."""

    column: str
    any_of: tuple[Scalar, ...] | None = None
    at_least: float | date | None = None
    at_most: float | date | None = None
    above: float | date | None = None
    below: float | date | None = None
    known: bool | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if all(value is None for name, value in self if name != "column"):
            message = f"the condition on {self.column!r} asks nothing; give a value, a list, or at_least, at_most, known"
            raise ValueError(message)
        return self


def _condition(column: str, wanted: object) -> object:
    if isinstance(wanted, Mapping):
        parts: dict[str, Any] = {"column": column, **wanted}
        return {**parts, "any_of": _as_tuple(parts["any_of"])} if "any_of" in parts else parts
    return {"column": column, "any_of": tuple(wanted) if isinstance(wanted, list) else (wanted,)}


def _conditions(value: object) -> object:
    """`{column = value | [values] | {at_least = 9}}` as a tuple of conditions."""
    if not isinstance(value, Mapping):
        return value
    return tuple(_condition(str(column), wanted) for column, wanted in sorted(value.items()))


Conditions = Annotated[tuple[Condition, ...], BeforeValidator(_conditions)]
