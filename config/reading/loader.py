"""The config folder and the source folders as checked values, or every mistake in them at once."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter

from config.errors import ConfigError, Mistake
from config.models import (
    BY_KIND,
    TABLES,
    Audience,
    Calendar,
    Catalog,
    Goal,
    Guard,
    Metric,
    Person,
    ReviewSettings,
    Route,
    Rule,
    Source,
)
from config.reading.cross_checks import Sheets, cross_check
from config.reading.entries import Kind, Sheet, read_entry, read_sheet
from config.reading.error_messages import suggest
from config.reading.toml_lines import Document, read_toml

ModelT = TypeVar("ModelT", bound=BaseModel)

FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "metrics.toml": ("metric",),
    "goals.toml": ("goal",),
    "triggers.toml": ("rule", "guard"),
    "routing.toml": ("route", "person"),
    "audiences.toml": ("audience", "review"),
    "calendar.toml": ("calendar",),
}
"""The files of a catalogue and what stands at the top of each."""

SETTINGS: Final = "settings.toml"
_ANY_RULE: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)
_OF_A_RULE: Final = {"name": "x", "severity": 4, "route": "x", "owner": "x"}
_OF_A_WATCH: Final = {**_OF_A_RULE, "window": "7d", "every": "7d", "false_alarms_per_year": 1, "keep_firing": "0d"}
_OF_A_RATE: Final = {**_OF_A_WATCH, "metric": "x", "floor": 0.0, "recover": 0.0}
_OF_A_CHART: Final = {"method": "p", "baseline": {"first": "1d"}, "recover": 0.5}
_OF_A_KIND: Final[Mapping[str, Mapping[str, Any]]] = {
    "threshold": {**_OF_A_RATE, "limit": 0},
    "goal": _OF_A_RATE,
    "change": {**_OF_A_RATE, "baseline": "previous"},
    "gap": {**_OF_A_RATE, "against": {"metric": "x"}},
    "chart": {**_OF_A_RATE, **_OF_A_CHART},
    "quiet": {**_OF_A_WATCH, "of": "source", "at_least": "1d"},
    "event": {**_OF_A_RULE, "table": "", "dated_by": ""},
}
_STAND_INS: Final[Mapping[type[BaseModel], Mapping[str, Any]]] = {
    Metric: {
        "name": "x",
        "label": "",
        "shape": "count",
        "table": "",
        "dated_by": "",
        "good": "up",
        "unit": "",
    },
    Goal: {"metric": "x", "value": 0, "valid_from": date.max},
    **{BY_KIND[kind]: {**written, "kind": kind} for kind, written in _OF_A_KIND.items()},
    Route: {"name": "x"},
    Person: {"name": "x", "label": "", "audience": "x"},
    Guard: {"route": "x", "owner": "x", "severity": 4, "every": "7d", "window": "28d"},
    Audience: {"name": "x", "label": "", "pages": [], "issues": 1, "figures": 1, "charts": 1, "grains": []},
}
"""A value for every key that must be written: one mistake in an entry does not hide the next."""


def read_catalog(folder: Path, columns: Mapping[str, Collection[str]] | None = None) -> Catalog:
    """Read and check every file of a config folder.

    Args:
        folder: where metrics.toml and the others lie.
        columns: the columns of each table that a metric or a rule may read; None leaves tables and columns unchecked.

    Raises:
        ConfigError: with all mistakes of all files.
    """
    documents, mistakes = _documents(folder)
    sheets = _sheets(documents)
    mistakes += [m for sheet in sheets.all() for m in sheet.mistakes]
    mistakes += cross_check(sheets, columns)
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return _catalog(sheets)


def read_source(folder: Path) -> Source:
    """Read and check a source folder: `source.toml` and at least one `.sql` named like a canonical table.

    Raises:
        ConfigError: with all mistakes.
    """
    document, mistakes = _document(folder / "source.toml")
    mistakes += _sql_mistakes(folder)
    if document:
        raw = {"name": folder.resolve().name, **document.values}
        entry, found = read_entry(document, (), raw, _kind(Source))
        mistakes += found
    if mistakes or not document or not entry:
        raise ConfigError(tuple(mistakes))
    return entry.item


def _document(file: Path) -> tuple[Document | None, list[Mistake]]:
    try:
        return read_toml(file), []
    except ConfigError as error:
        return None, list(error.mistakes)


def _documents(folder: Path) -> tuple[dict[str, Document | None], list[Mistake]]:
    if not folder.is_dir():
        missing = Mistake(folder, 0, "the config folder is missing", "point EARSHOT_CONFIG at the right one")
        raise ConfigError((missing,))
    read_ = {name: _document(folder / name) for name in FILES}
    mistakes = [m for _, found in read_.values() for m in found]
    mistakes += _strangers(folder)
    for name, (document, _) in read_.items():
        mistakes += unknown_tops(document, FILES[name]) if document else ()
    return {name: document for name, (document, _) in read_.items()}, mistakes


def _strangers(folder: Path) -> Iterator[Mistake]:
    """A file that nothing reads is most likely one whose name is mistyped."""
    known = (*FILES, SETTINGS)
    for file in sorted(folder.glob("*.toml")):
        if file.name not in known:
            yield Mistake(file, 1, "nothing reads this file", suggest(file.name, known))


def unknown_tops(document: Document, known: tuple[str, ...]) -> Iterator[Mistake]:
    """What stands at the top of a file and is none of `known`."""
    for key in document.values:
        if key not in known:
            line = document.line((key, 0)) if (key, 0) in document.lines else document.line((key,))
            yield Mistake(document.file, line, f"unknown key {key!r}", suggest(key, known))


def _sheets(documents: Mapping[str, Document | None]) -> Sheets:
    def named(key: str, model: type[ModelT]) -> Sheet[ModelT]:
        return read_sheet(_holding(documents, key), key, _kind(model))

    return Sheets(
        named("metric", Metric),
        named("goal", Goal),
        read_sheet(documents["triggers.toml"], "rule", RULE),
        named("route", Route),
        named("person", Person),
        named("audience", Audience),
        _single(documents["calendar.toml"], "calendar", Calendar, needed=True),
        _single(documents["audiences.toml"], "review", ReviewSettings, needed=False),
        _single(documents["triggers.toml"], "guard", Guard, needed=True),
    )


def _kind(model: type[ModelT]) -> Kind[ModelT]:
    return Kind(TypeAdapter(model), lambda _: model, _STAND_INS)


def _holding(documents: Mapping[str, Document | None], key: str) -> Document | None:
    return next(documents[name] for name, tops in FILES.items() if key in tops)


def _rule_model(raw: Mapping[str, Any]) -> type[BaseModel]:
    return BY_KIND.get(str(raw.get("kind")), BY_KIND["threshold"])


RULE: Final = Kind(_ANY_RULE, _rule_model, _STAND_INS)
"""How a rule is read, wherever it stands."""


def _single(document: Document | None, key: str, model: type[ModelT], *, needed: bool) -> Sheet[ModelT]:
    """The one `[key]` of a file."""
    if document is None:
        return Sheet((), None, ())
    raw = document.values.get(key, None if needed else {})
    if not isinstance(raw, dict):
        wrong = f"[{key}] is missing" if raw is None else f"{key!r} is no table"
        return Sheet((), None, (Mistake(document.file, document.line((key,)), wrong, f"write [{key}] above its keys"),))
    entry, mistakes = read_entry(document, (key,), raw, _kind(model))
    return Sheet((entry,) if entry else (), frozenset(), mistakes)


def _catalog(sheets: Sheets) -> Catalog:
    return Catalog(
        metrics=sheets.metrics.items,
        goals=sheets.goals.items,
        rules=sheets.rules.items,
        routes=sheets.routes.items,
        people=sheets.people.items,
        audiences=sheets.audiences.items,
        calendar=sheets.calendar.items[0],
        review=sheets.review.items[0],
        guard=sheets.guard.items[0],
    )


def _sql_mistakes(folder: Path) -> Iterator[Mistake]:
    if not folder.is_dir():
        return
    files = sorted(folder.glob("*.sql"))
    if not files:
        yield Mistake(folder, 0, "the source has no .sql file", "add one for each table it fills, such as contact.sql")
    for file in files:
        if file.stem not in TABLES:
            yield Mistake(file, 1, f"{file.stem!r} is no canonical table", suggest(file.stem, TABLES))
