"""One kind of entry of one file: the entries, where each stands, and the mistakes in them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from config.errors import Mistake
from config.reading.error_messages import Finding, findings
from config.reading.toml_lines import Document, Place

ModelT = TypeVar("ModelT", bound=BaseModel)


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
        mistake = Mistake(document.file, document.line((key,)), f"{key!r} is no list of tables", f"write [[{key}]]")
        return Sheet((), None, (mistake,))
    read = [read_entry(document, (key, i), table, kind) for i, table in enumerate(tables)]
    named = [(i, table["name"]) for i, table in enumerate(tables) if isinstance(table.get("name"), str)]
    mistakes = (*(m for _, found in read for m in found), *_twice(document, key, named))
    return Sheet(tuple(entry for entry, _ in read if entry), frozenset(name for _, name in named), mistakes)


def read_entry(
    document: Document, place: Place, raw: Mapping[str, Any], kind: Kind[ModelT]
) -> tuple[ConfigEntry[ModelT] | None, tuple[Mistake, ...]]:
    """One table as a value, and the mistakes in it."""
    subject = _subject(place, raw)
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


def _subject(place: Place, raw: Mapping[str, Any]) -> str:
    named = raw.get("name", raw.get("metric"))
    return f"{place[0]} {named}" if isinstance(named, str) and place else str(place[0] if place else "source")


def _twice(document: Document, key: str, named: list[tuple[int, str]]) -> tuple[Mistake, ...]:
    first: dict[str, int] = {}
    for i, name in named:
        first.setdefault(name, i)
    return tuple(
        Mistake(
            document.file,
            document.line((key, i, "name")),
            f"{key} {name} stands here a second time",
            f"rename it or remove it; the first is on line {document.line((key, first[name]))}",
        )
        for i, name in named
        if first[name] != i
    )
