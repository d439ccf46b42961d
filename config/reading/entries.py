"""One kind of entry of one file: the entries, where each stands, and the mistakes in them.

What pydantic found wrong is put into words for somebody who edits TOML and never heard of pydantic.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config import Mistake
from config.models import RULES, KeyedError
from config.reading.toml_lines import Document, Place

ModelT = TypeVar("ModelT", bound=BaseModel)

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
_SIMPLE: Final = {
    "string_type": "text",
    "int_type": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "date_type": "a day such as 2026-01-31",
}
_CASCADES: Final = frozenset({"default_factory_not_called"})
_SECRET: Final = ("token", "url")
_KINDS: Final = sorted(name for rule in RULES for name in get_args(rule.model_fields["kind"].annotation))
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class ConfigEntry(Generic[ModelT]):
    """An entry and where it stands. Its `broken` keys hold stand-ins, so that the other keys can still be checked."""

    item: ModelT
    document: Document
    place: Place
    subject: str
    broken: frozenset[str] = frozenset()

    def sound(self, *keys: str) -> bool:
        """Whether these keys say what their author wrote."""
        return self.broken.isdisjoint(keys)

    def mistake(self, place: Place, wrong: str, right: str) -> Mistake:
        """A mistake at a place inside this entry."""
        line = self.document.line((*self.place, *place))
        return Mistake(self.document.file, line, f"{self.subject}: {wrong}", right)


@dataclass(frozen=True, slots=True)
class Kind(Generic[ModelT]):
    """How entries of one kind are read.

    Args:
        adapter: turns a table into a value.
        choose: the model that a table is most likely meant for: it decides which keys are suggested.
        stand_ins: a value for each key that a model requires.
    """

    adapter: TypeAdapter[ModelT]
    choose: Callable[[Mapping[str, Any]], type[BaseModel]]
    stand_ins: Mapping[type[BaseModel], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Sheet(Generic[ModelT]):
    """The entries of one kind. `names` is what may be referred to, or None when the file could not be read at all."""

    entries: tuple[ConfigEntry[ModelT], ...]
    names: frozenset[str] | None
    mistakes: tuple[Mistake, ...]

    @property
    def items(self) -> tuple[ModelT, ...]:
        """The entries' values."""
        return tuple(entry.item for entry in self.entries)


def read_sheet(document: Document | None, key: str, kind: Kind[ModelT]) -> Sheet[ModelT]:
    """Every `[[key]]` of a file."""
    if document is None:
        return Sheet((), None, ())
    tables = document.values.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        mistake = Mistake(document.file, document.line((key,)), f"{key!r} is not a list of tables", f"write [[{key}]]")
        return Sheet((), None, (mistake,))
    read = [read_entry(document, (key, i), table, kind) for i, table in enumerate(tables)]
    mistakes = [mistake for _, own in read for mistake in own]
    places: dict[str, Place] = {}
    for i, table in enumerate(tables):
        place, name = (key, i, "name"), table.get("name")
        if isinstance(name, str) and (first := places.setdefault(name, place)) != place:
            wrong = f"{key} {name} stands here a second time"
            right = f"rename it or remove it; the first is on line {document.line(first[:2])}"
            mistakes.append(Mistake(document.file, document.line(place), wrong, right))
    return Sheet(tuple(entry for entry, _ in read if entry), frozenset(places), tuple(mistakes))


def read_entry(
    document: Document, place: Place, raw: Mapping[str, Any], kind: Kind[ModelT]
) -> tuple[ConfigEntry[ModelT] | None, tuple[Mistake, ...]]:
    """One table as a value, and the mistakes in it."""
    name = raw.get("name", raw.get("metric"))
    subject = str(place[0] if place else "source")
    if isinstance(name, str) and place:
        subject = f"{subject} {name}"
    try:
        return ConfigEntry(kind.adapter.validate_python(raw), document, place, subject), ()
    except ValidationError as error:
        found = tuple(findings(error, kind.choose(raw), raw))
    item, broken = _repaired(raw, found, kind)
    lines = ((document.line((*place, *inside)), wrong, right) for inside, wrong, right in found)
    mistakes = tuple(Mistake(document.file, n, f"{subject}: {wrong}", right) for n, wrong, right in lines)
    return ConfigEntry(item, document, place, subject, broken) if item else None, mistakes


def _repaired(
    raw: Mapping[str, Any], found: tuple[Finding, ...], kind: Kind[ModelT]
) -> tuple[ModelT | None, frozenset[str]]:
    """The value with stand-ins for its broken keys, where that makes one."""
    stand_in = kind.stand_ins.get(kind.choose(raw), {})
    broken = {str(place[0]) for place, _, _ in found if place} | (stand_in.keys() - raw.keys())
    repaired = {**stand_in, **{key: value for key, value in raw.items() if key not in broken}}
    try:
        return kind.adapter.validate_python(repaired), frozenset(broken)
    except ValidationError:
        return None, frozenset()


def findings(error: ValidationError, model: type[BaseModel], raw: object) -> Iterator[Finding]:
    """One finding for each place in `raw` that `model` refused."""
    placed = [(_place(e["loc"], raw), e) for e in error.errors(include_url=False) if e["type"] not in _CASCADES]
    for place, same in groupby(placed, key=lambda pair: pair[0]):
        several = [e for _, e in same]
        if len({e["loc"][-1] for e in several if e["type"] == "missing"}) < len(several) > 1:
            # A value of a union is refused once for each of its kinds; the reader needs it said once.
            wanted = list(dict.fromkeys(_SIMPLE[e["type"]] for e in several if e["type"] in _SIMPLE))
            right = f"write {' or '.join(wanted) or 'another value'}"
            yield place, f"{_key(place, several[0])} is {_shown(several[0])}", right
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


def _finding(place: Place, error: ErrorDetails, model: type[BaseModel], raw: object) -> Finding:
    kind, key = error["type"], _key(place, error)
    if kind == "missing":
        return (*place, error["loc"][-1]), f"{str(error['loc'][-1])!r} is missing", "add it"
    if kind == "extra_forbidden":
        return place, f"unknown key {key!r}", suggest(key, _free_keys(model, place[:-1], raw))
    if kind == "union_tag_not_found":
        return (*place, "kind"), "'kind' is missing", f"add kind and write one of {', '.join(_KINDS)}"
    if kind == "union_tag_invalid":
        tag, tags = str(error["ctx"]["tag"]), str(error["ctx"]["expected_tags"]).replace("'", "").split(", ")
        return (*place, "kind"), f"unknown kind {tag!r}", suggest(tag, tags)
    if kind == "value_error":
        cause = error["ctx"]["error"]
        wrong, _, right = str(cause).partition("; ")
        return (*place, cause.key) if isinstance(cause, KeyedError) else place, wrong, right or "correct it"
    return place, f"{key} is {_shown(error)}", _right(error)


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
    if any(str(part).endswith(_SECRET) for part in error["loc"]):
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
