"""The config folder, the source folders and drafts of rules as checked values, or every mistake in them at once.

Drafts are rules tried before they are turned on: read like those of triggers.toml, and checked against the rest.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter

from config import ConfigError, Mistake
from config.models import (
    BY_KIND,
    LAST_DAY,
    TABLES,
    Audience,
    BaselinePeriod,
    Calendar,
    Catalog,
    ContactCost,
    Cutoffs,
    Goal,
    Guard,
    Metric,
    Named,
    Person,
    Privacy,
    ReviewSettings,
    Route,
    Rule,
    Source,
)
from config.reading.cross_checks import Columns, Sheets, cross_check
from config.reading.entries import ConfigEntry, Kind, Sheet, read_entry, read_sheet, suggest
from config.reading.toml_lines import Document, parse_toml, read_toml

ModelT = TypeVar("ModelT", bound=BaseModel)

FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "metrics.toml": ("metric",),
    "goals.toml": ("goal", "portfolio", "baseline", "contact_cost"),
    "triggers.toml": ("rule", "guard"),
    "routing.toml": ("route", "person"),
    "audiences.toml": ("audience", "review", "privacy"),
    "calendar.toml": ("calendar",),
}
"""The files of a catalogue and what stands at the top of each."""

SETTINGS: Final = "settings.toml"
_OF_COMMANDS: Final = {"rule", "known", "test"}
_NEARLY: Final = 0.85
"""How like the name of a file must be to that of another to be mistyped: a letter in seven is wrong."""
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
    "decline": {**_OF_A_WATCH, "window": "365d", "fall": 0.5, "recover": 0.5, "floor": 0},
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
    Goal: {"metric": "x", "value": 0, "valid_from": LAST_DAY},
    Cutoffs: {"score": 0, "share": 0, "valid_from": LAST_DAY},
    BaselinePeriod: {"metric": "x", "valid_from": LAST_DAY},
    ContactCost: {"amount": 1, "valid_from": LAST_DAY},
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
    return Catalog(
        metrics=sheets.metrics.items,
        goals=sheets.goals.items,
        rules=sheets.rules.items,
        routes=sheets.routes.items,
        people=sheets.people.items,
        audiences=sheets.audiences.items,
        calendar=sheets.calendar.items[0],
        review=sheets.review.items[0],
        privacy=sheets.privacy.items[0],
        portfolio=sheets.portfolio.items,
        baselines=sheets.baselines.items,
        contact_costs=sheets.contact_costs.items,
        guard=sheets.guard.items[0],
    )


def read_source(folder: Path) -> Source:
    """Read and check a source folder: `source.toml` and at least one `.sql` named like a canonical table.

    Raises:
        ConfigError: with all mistakes.
    """
    document, mistakes = _document(folder / "source.toml")
    files = sorted(folder.glob("*.sql"))
    if folder.is_dir() and not files:
        right = "add one for each table it fills, such as contact.sql"
        mistakes.append(Mistake(folder, 0, "the source has no .sql file", right))
    for file in files:
        if file.stem not in TABLES:
            wrong = f"{file.stem!r} is not a canonical table"
            mistakes.append(Mistake(file, 1, wrong, suggest(file.stem, TABLES)))
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
    known = (*FILES, SETTINGS)
    drafts = files_of_drafts(folder)
    unread = (file for file in sorted(folder.glob("*.toml")) if file.name not in known and file not in drafts)
    mistakes += (Mistake(file, 1, "nothing reads this file", suggest(file.name, known)) for file in unread)
    for name, (document, _) in read_.items():
        mistakes += unknown_tops(document, FILES[name]) if document else ()
    return {name: document for name, (document, _) in read_.items()}, mistakes


def files_of_drafts(folder: Path) -> tuple[Path, ...]:
    """The files of a config folder that only a command reads: drafts of rules, known incidents and rule tests.

    A name that is nearly that of a file which is always read is mistyped, whatever the file holds.
    """
    stems = [Path(name).stem for name in (*FILES, SETTINGS)]
    own = (f for f in sorted(folder.glob("*.toml")) if not get_close_matches(f.stem.lower(), stems, 1, _NEARLY))
    return tuple(file for file in own if (read := _document(file)[0]) is None or set(read.values) <= _OF_COMMANDS)


def unknown_tops(document: Document, known: tuple[str, ...]) -> Iterator[Mistake]:
    """What stands at the top of a file and is none of `known`."""
    for key in document.values:
        if key not in known:
            line = document.line((key, 0)) if (key, 0) in document.lines else document.line((key,))
            yield Mistake(document.file, line, f"unknown key {key!r}", suggest(key, known))


def _sheets(documents: Mapping[str, Document | None]) -> Sheets:
    def named(key: str, model: type[ModelT]) -> Sheet[ModelT]:
        document = next(documents[name] for name, tops in FILES.items() if key in tops)
        return read_sheet(document, key, _kind(model))

    return Sheets(
        named("metric", Metric),
        named("goal", Goal),
        read_sheet(documents["triggers.toml"], "rule", RULE),
        named("route", Route),
        named("person", Person),
        named("audience", Audience),
        _single(documents["calendar.toml"], "calendar", Calendar, needed=True),
        _single(documents["audiences.toml"], "review", ReviewSettings, needed=False),
        _single(documents["audiences.toml"], "privacy", Privacy, needed=False),
        _single(documents["triggers.toml"], "guard", Guard, needed=True),
        named("portfolio", Cutoffs),
        named("baseline", BaselinePeriod),
        named("contact_cost", ContactCost),
    )


def _kind(model: type[ModelT]) -> Kind[ModelT]:
    return Kind(TypeAdapter(model), lambda _: model, _STAND_INS)


RULE: Final = Kind(_ANY_RULE, lambda raw: BY_KIND.get(str(raw.get("kind")), BY_KIND["threshold"]), _STAND_INS)
"""How a rule is read, wherever it stands."""


def _single(document: Document | None, key: str, model: type[ModelT], *, needed: bool) -> Sheet[ModelT]:
    """The one `[key]` of a file."""
    if document is None:
        return Sheet((), None, ())
    raw = document.values.get(key, None if needed else {})
    if not isinstance(raw, dict):
        wrong = f"[{key}] is missing" if raw is None else f"{key!r} is not a table"
        return Sheet((), None, (Mistake(document.file, document.line((key,)), wrong, f"write [{key}] above its keys"),))
    entry, mistakes = read_entry(document, (key,), raw, _kind(model))
    return Sheet((entry,) if entry else (), frozenset(), mistakes)


@dataclass(frozen=True, slots=True)
class Drafts:
    """The rules of a draft, turned on, and the catalogue with them: beside its own, in the place of their namesakes."""

    rules: tuple[Rule, ...]
    catalog: Catalog


def read_drafts(file: Path, catalog: Catalog, columns: Columns) -> Drafts:
    """Every `[[rule]]` of a file.

    Raises:
        ConfigError: with all mistakes, each with file and line.
    """
    return _drafts(read_toml(file), catalog, columns)


def parse_drafts(text: str, catalog: Catalog, columns: Columns, name: str = "draft") -> Drafts:
    """Every `[[rule]]` of a text; `name` stands in mistakes where a file would. Raises ConfigError."""
    return _drafts(parse_toml(Path(name), text), catalog, columns)


def _drafts(document: Document, catalog: Catalog, columns: Columns) -> Drafts:
    sheet = read_sheet(document, "rule", RULE)
    mistakes = [*unknown_tops(document, ("rule",)), *sheet.mistakes]
    if not mistakes and not sheet.entries:
        mistakes.append(Mistake(document.file, 1, "there is no rule in it", "write [[rule]] and its fields below"))
    mistakes += check_drafts(sheet.entries, document, catalog, columns)
    if mistakes:
        raise ConfigError(tuple(mistakes))
    rules = tuple(rule.model_copy(update={"enabled": True}) for rule in sheet.items)
    return Drafts(rules, catalog.model_copy(update={"rules": (*_kept(catalog, rules), *rules)}))


def _kept(catalog: Catalog, drafts: Iterable[Named]) -> tuple[Rule, ...]:
    replaced = {draft.name for draft in drafts}
    return tuple(rule for rule in catalog.rules if rule.name not in replaced)


def check_drafts(
    drafts: Sequence[ConfigEntry[Rule]], document: Document, catalog: Catalog, columns: Columns
) -> Iterator[Mistake]:
    """Every mistake that shows only between drafts and what the catalogue holds, which was checked before.

    Args:
        drafts: rules that stand beside the catalogue's own, in the place of their namesakes.
        document: the file that they stand in.
        catalog: what they may name.
        columns: the columns of each table that a rule may read.
    """
    empty: Sheet[Any] = Sheet((), None, ())
    kept = _kept(catalog, [draft.item for draft in drafts])
    rules = (*(ConfigEntry(rule, document, (), f"rule {rule.name}") for rule in kept), *drafts)
    metrics = tuple(ConfigEntry(metric, document, (), metric.name) for metric in catalog.metrics)
    sheets = Sheets(
        Sheet(metrics, _names(catalog.metrics), ()),
        empty,
        Sheet(rules, _names(entry.item for entry in rules), ()),
        Sheet((), _names(catalog.routes), ()),
        Sheet((), _names(catalog.people), ()),
        *(empty for _ in range(8)),
    )
    return cross_check(sheets, columns)


def _names(items: Iterable[Named]) -> frozenset[str]:
    return frozenset(item.name for item in items)
