"""The rules of a running process while analysts edit them: read whole, swapped at once, kept while new ones are bad."""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config import ConfigError, refuse_irregular
from config.models import Catalog
from config.reading import FILES, SETTINGS, read_catalog
from config.settings import Settings, read_settings
from triggers.rules.git_author import author

log: Final = logging.getLogger("triggers")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules to work with, and who wrote them. `refused` says in one line why newer ones are not used."""

    catalog: Catalog
    author: str | None = None
    refused: str = ""


class LiveRules:
    """Follows a config folder.

    Files are read once they stopped changing: half a file may be a good one with fewer rules.

    Args:
        settings: what the process was started with; the folder is theirs, and a change of them takes a restart.
        rules: what it was started with.
        columns: the columns that metrics and rules may read.
        read: how settings are read again.
    """

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        columns: Mapping[str, Collection[str]],
        read: Callable[[], Settings] = read_settings,
    ) -> None:
        self._settings, self._columns, self._read = settings, columns, read
        self._used = self._seen = files_fingerprint(settings.config)
        self._rules, self._said = rules, settings

    def current(self) -> Rules:
        """The rules as they are now. Where a file changed all are read again; a bad one leaves them as they were."""
        before, self._seen = self._seen, files_fingerprint(self._settings.config)
        if before == self._seen != self._used:
            rules = self._reread()
            if files_fingerprint(self._settings.config) == self._seen:
                self._used, self._rules = self._seen, rules
        return self._rules

    def _reread(self) -> Rules:
        try:
            settings = self._read()
            catalog = read_catalog(settings.config, self._columns)
        except ConfigError as error:
            return self._refused(error)
        if settings != self._said:
            self._said = settings
            log.warning("%s changed: it takes effect when this process is started again", SETTINGS)
        log.info("the configuration changed: %d rules are in use from now on", len(catalog.rules))
        return Rules(catalog, author(settings.config))

    def _refused(self, error: ConfigError) -> Rules:
        """Said once for each change of the files, not at every tick."""
        log.error("the configuration changed and is not used: the rules from before stay in use\n%s", error)
        first, *others = error.mistakes
        more = f" (and {len(others)} more)" if others else ""
        return Rules(self._rules.catalog, self._rules.author, f"{first}{more}")


def files_fingerprint(folder: Path) -> str:
    """What the files of a config folder hold, as one short text. A file that cannot be read counts as missing."""
    fingerprint = hashlib.sha256()
    for name in sorted({*FILES, SETTINGS, *(file.name for file in folder.glob("*.toml"))}):
        try:
            refuse_irregular(folder / name)
            content = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError:
            content = "-"
        fingerprint.update(f"{name}\0{content}\0".encode())
    return fingerprint.hexdigest()
