"""Rules that are tried before they are turned on: read like those of triggers.toml, and checked against the rest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import ConfigError, Mistake
from config.models import Catalog, Named, Rule
from config.reading.cross_checks import Columns, Sheets, cross_check
from config.reading.entries import ConfigEntry, Sheet, read_sheet
from config.reading.loader import RULE, unknown_tops
from config.reading.toml_lines import Document, parse_toml, read_toml


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
    return cross_check(_sheets(drafts, document, catalog), columns)


def _sheets(drafts: Sequence[ConfigEntry[Rule]], document: Document, catalog: Catalog) -> Sheets:
    empty: Sheet[Any] = Sheet((), None, ())
    kept = _kept(catalog, [draft.item for draft in drafts])
    rules = (*(ConfigEntry(rule, document, (), f"rule {rule.name}") for rule in kept), *drafts)
    metrics = tuple(ConfigEntry(metric, document, (), metric.name) for metric in catalog.metrics)
    return Sheets(
        Sheet(metrics, _names(catalog.metrics), ()),
        empty,
        Sheet(rules, _names(entry.item for entry in rules), ()),
        Sheet((), _names(catalog.routes), ()),
        Sheet((), _names(catalog.people), ()),
        *(empty, empty, empty, empty),
    )


def _names(items: Iterable[Named]) -> frozenset[str]:
    return frozenset(item.name for item in items)
