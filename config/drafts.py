"""Rules that are tried before they are turned on: read like those of triggers.toml, and checked against the rest."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.catalog import Catalog, Named, Rule
from config.checks import Columns, Sheets, check
from config.errors import ConfigError, Mistake
from config.findings import suggest
from config.reading import RULE
from config.sheets import Entry, Sheet, read_sheet
from config.toml import Document, parse, read


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
    return _drafts(read(file), catalog, columns)


def parse_drafts(text: str, catalog: Catalog, columns: Columns, name: str = "draft") -> Drafts:
    """Every `[[rule]]` of a text; `name` stands in mistakes where a file would. Raises ConfigError."""
    return _drafts(parse(Path(name), text), catalog, columns)


def _drafts(document: Document, catalog: Catalog, columns: Columns) -> Drafts:
    sheet = read_sheet(document, "rule", RULE)
    mistakes = [*_strangers(document), *sheet.mistakes]
    if not mistakes and not sheet.entries:
        mistakes.append(Mistake(document.file, 1, "there is no rule in it", "write [[rule]] and its fields below"))
    mistakes += check(_sheets(document, sheet, catalog), columns)
    if mistakes:
        raise ConfigError(tuple(mistakes))
    rules = tuple(rule.model_copy(update={"enabled": True}) for rule in sheet.items)
    return Drafts(rules, catalog.model_copy(update={"rules": (*_kept(catalog, rules), *rules)}))


def _kept(catalog: Catalog, drafts: Iterable[Named]) -> tuple[Rule, ...]:
    replaced = {draft.name for draft in drafts}
    return tuple(rule for rule in catalog.rules if rule.name not in replaced)


def _strangers(document: Document) -> Iterator[Mistake]:
    for key in document.values:
        if key != "rule":
            line = document.line((key, 0)) if (key, 0) in document.lines else document.line((key,))
            yield Mistake(document.file, line, f"unknown key {key!r}", suggest(key, ("rule",)))


def _sheets(document: Document, drafts: Sheet[Rule], catalog: Catalog) -> Sheets:
    """The drafts among all that the catalogue holds, which was checked before."""
    empty: Sheet[Any] = Sheet((), None, ())
    kept = tuple(Entry(rule, document, (), f"rule {rule.name}") for rule in _kept(catalog, drafts.items))
    metrics = tuple(Entry(metric, document, (), metric.name) for metric in catalog.metrics)
    names = _names((*(entry.item for entry in kept), *drafts.items))
    return Sheets(
        Sheet(metrics, _names(catalog.metrics), ()),
        empty,
        Sheet((*kept, *drafts.entries), names, ()),
        Sheet((), _names(catalog.routes), ()),
        Sheet((), _names(catalog.people), ()),
        *(empty, empty, empty, empty),
    )


def _names(items: Iterable[Named]) -> frozenset[str]:
    return frozenset(item.name for item in items)
