"""What pydantic found wrong, in words for somebody who edits TOML and never heard of pydantic."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.models import RULES, KeyedError
from config.reading.toml_lines import Place

Finding = tuple[Place, str, str]
"""Where in the value, what is wrong there, and what would be right."""

_WRITE: Final = {
    "string_type": "write text in quotes",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a finite number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "date_type": "write a day without quotes, such as 2026-01-31",
    "tuple_type": 'write a list, such as ["a", "b"]',
    "dict_type": "write a table",
    "model_type": "write a table",
    "model_attributes_type": "write a table",
    "path_type": "write a path in quotes",
}
_CASCADES: Final = frozenset({"default_factory_not_called"})
_SECRET: Final = frozenset({"token", "app_token", "url"})
_KINDS: Final = sorted(name for rule in RULES for name in get_args(rule.model_fields["kind"].annotation))
_SHOWN: Final = 60


def findings(error: ValidationError, model: type[BaseModel], raw: object) -> Iterator[Finding]:
    """One finding for each place in `raw` that `model` refused."""
    placed = [(_place(e["loc"], raw), e) for e in error.errors(include_url=False) if e["type"] not in _CASCADES]
    for place, same in groupby(placed, key=lambda pair: pair[0]):
        several = [e for _, e in same]
        if len({e["loc"][-1] for e in several if e["type"] == "missing"}) < len(several) > 1:
            yield _no_kind_fits(place, several)
        else:
            yield from (_finding(place, e, model, raw) for e in several)


def suggest(name: str, names: Collection[str]) -> str:
    """The name most likely meant, else the names there are."""
    near = get_close_matches(name.lower(), {n.lower(): n for n in names}, n=1)
    if near:
        return f"did you mean {next(n for n in names if n.lower() == near[0])!r}?"
    if not names:
        return "there is none yet: add it"
    listed = sorted(names)
    return f"write one of {', '.join(listed[:20])}{', ...' if len(listed) > 20 else ''}"


def _place(loc: Place, raw: object) -> Place:
    """The part of `loc` that stands in the file: pydantic adds union tags, and numbers conditions by sorted column."""
    place: Place = ()
    for part in loc:
        key: Any = part
        if isinstance(raw, Mapping):
            key = sorted(raw)[part] if isinstance(part, int) and part < len(raw) else part
            if key not in raw:
                continue
            raw = raw[key]
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        else:
            continue
        place = (*place, key)
    return place


def _no_kind_fits(place: Place, errors: list[ErrorDetails]) -> Finding:
    """A value of a union is refused once for each of its kinds; the reader needs it said once."""
    kinds = {"string_type": "text", "float_type": "a number", "int_type": "a number", "bool_type": "true or false"}
    kinds |= {"date_type": "a day such as 2026-01-31", "finite_number": "a finite number"}
    wanted = list(dict.fromkeys(kinds[e["type"]] for e in errors if e["type"] in kinds))
    return place, f"{_key(place, errors[0])} is {_shown(errors[0])}", f"write {' or '.join(wanted) or 'another value'}"


def _finding(place: Place, error: ErrorDetails, model: type[BaseModel], raw: object) -> Finding:
    kind, key = error["type"], _key(place, error)
    if kind == "missing":
        return (*place, error["loc"][-1]), f"{str(error['loc'][-1])!r} is missing", "add it"
    if kind == "extra_forbidden":
        return place, f"unknown key {key!r}", suggest(key, _free_keys(model, place[:-1], raw))
    if kind.startswith("union_tag"):
        return (*place, "kind"), *_tag(error)
    if kind == "value_error":
        cause = error["ctx"]["error"]
        wrong, _, right = str(cause).partition("; ")
        return (*place, cause.key) if isinstance(cause, KeyedError) else place, wrong, right or "correct it"
    return place, f"{key} is {_shown(error)}", _right(error)


def _tag(error: ErrorDetails) -> tuple[str, str]:
    if error["type"] == "union_tag_not_found":
        return "'kind' is missing", f"add kind and write one of {', '.join(_KINDS)}"
    tags = str(error["ctx"]["expected_tags"]).replace("'", "").split(", ")
    return f"unknown kind {error['ctx']['tag']!r}", suggest(str(error["ctx"]["tag"]), tags)


def _right(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WRITE:
        return _WRITE[kind]
    if kind == "literal_error":
        return f"write {context['expected']}"
    if kind == "too_short":
        return "write at least one"
    if kind == "too_long":
        return f"write at most {context['max_length']}"
    return error["msg"].replace("Input should be", "write a value").replace("String should have", "write text of")


def _key(place: Place, error: ErrorDetails) -> str:
    named = [part for part in place if isinstance(part, str)] or [str(part) for part in error["loc"][-1:]]
    return named[-1] if named else "this"


def _shown(error: ErrorDetails) -> str:
    if _SECRET & {str(part) for part in error["loc"]}:
        return "not usable"
    shown = repr(error["input"])
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _free_keys(model: type[BaseModel], place: Place, raw: Any) -> tuple[str, ...]:
    """The keys that may still be written in the table at `place` of `raw`."""
    for part in place:
        raw = raw[part]
        if isinstance(part, str) and part in (fields := _fields(model)):
            model = _model_in(fields[part].annotation) or model
    return tuple(key for key in _fields(model) if key not in raw)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
