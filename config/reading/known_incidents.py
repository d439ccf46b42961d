"""Incidents that are known to have happened, as an analyst lists them: what a rule should have found."""

from datetime import date
from pathlib import Path
from typing import Final, Self

from pydantic import Field, TypeAdapter, model_validator

from config import ConfigError, Mistake
from config.models import LAST_DAY, Catalog, FrozenModel, KeyedError, Name
from config.reading.entries import Kind, read_sheet, suggest
from config.reading.loader import unknown_tops
from config.reading.toml_lines import Document, parse_toml, read_toml


class KnownIncident(FrozenModel):
    """One thing that happened, from `since` to before `until` (left out: it goes on), in a slice.

    It should be found by `rule`, or by any rule on `metric`. An incident is about it where no column that both name
    has another value.
    """

    name: str = ""
    rule: Name | None = None
    metric: Name | None = None
    slice: dict[str, str | int | bool] = Field(default_factory=dict)
    since: date
    until: date | None = None

    @model_validator(mode="after")
    def _is_of_one(self) -> Self:
        if (self.rule is None) == (self.metric is None):
            raise KeyedError("rule", "it needs either a rule or a metric; write one of the two")
        if self.until is not None and self.until <= self.since:
            raise KeyedError("until", "until is the day after the last one; it must come after since")
        return self


_KIND: Final = Kind(
    TypeAdapter(KnownIncident), lambda _: KnownIncident, {KnownIncident: {"since": LAST_DAY, "rule": "x"}}
)


def read_known_incidents(file: Path, catalog: Catalog) -> tuple[KnownIncident, ...]:
    """Every `[[known]]` of a file.

    Raises:
        ConfigError: with all mistakes, each with file and line.
    """
    return _known(read_toml(file), catalog)


def parse_known_incidents(text: str, catalog: Catalog, name: str = "known") -> tuple[KnownIncident, ...]:
    """Every `[[known]]` of a text; `name` stands in mistakes where a file would. Raises ConfigError."""
    return _known(parse_toml(Path(name), text), catalog)


def _known(document: Document, catalog: Catalog) -> tuple[KnownIncident, ...]:
    sheet = read_sheet(document, "known", _KIND)
    mistakes = [*unknown_tops(document, ("known",)), *sheet.mistakes]
    for entry in sheet.entries:
        named = {"rule": (entry.item.rule, catalog.rules), "metric": (entry.item.metric, catalog.metrics)}
        for noun, (name, items) in named.items():
            names = [item.name for item in items]
            if name is not None and name not in names and entry.sound(noun):
                mistakes.append(entry.mistake((noun,), f"unknown {noun} {name!r}", suggest(name, names)))
    if not mistakes and not sheet.entries:
        mistakes.append(
            Mistake(document.file, 1, "nothing is known in it", "write [[known]] with rule or metric, and since")
        )
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return sheet.items
