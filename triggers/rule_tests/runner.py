"""Files of rule tests: each run, and told in lines."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from config.errors import ConfigError, EarshotError
from config.models import Catalog
from config.reading.entries import ConfigEntry
from config.reading.rule_tests import RuleTest, line, read_rule_tests, tested_rule
from queries.warehouse import COLUMNS
from triggers.rule_tests.compare import differences, matched
from triggers.rule_tests.run import run_rule_test


@dataclass(frozen=True, slots=True)
class RuleTestResult:
    """What became of one test. `lines` say what differs, or what is wrong with the test itself."""

    where: str
    name: str
    lines: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all came as expected."""
        return not self.lines

    def __str__(self) -> str:
        """One line, and where it failed those that say how."""
        return "\n".join((f"{'ok  ' if self.passed else 'FAIL'} {self.where}: {self.name}", *self.lines))


def suite(paths: Iterable[Path], catalog: Catalog) -> Iterator[RuleTestResult]:
    """Run the tests of files, and of the `.toml` files in folders, one after the other.

    Raises:
        EarshotError: a folder without a test file.
    """
    for file in files(paths):
        yield from _outcomes(file, catalog)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that are named, and those in folders that are."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob("*.toml"))
        if not found:
            raise EarshotError(f"{path} holds no .toml file; name a file of rule tests, or a folder of them")
        yield from found


def _outcomes(file: Path, catalog: Catalog) -> Iterator[RuleTestResult]:
    try:
        entries = read_rule_tests(file)
    except ConfigError as error:
        yield RuleTestResult(str(file), "the file cannot be read", tuple(f"  {mistake}" for mistake in error.mistakes))
        return
    for entry in entries:
        yield RuleTestResult(line(entry), entry.item.name, tuple(_differing(entry, catalog)))


def _differing(entry: ConfigEntry[RuleTest], catalog: Catalog) -> Iterator[str]:
    try:
        rule = tested_rule(entry, catalog, COLUMNS)
        yield from differences(matched(entry, rule, run_rule_test(entry, catalog)))
    except ConfigError as error:
        yield from (f"  {mistake}" for mistake in error.mistakes)
    except EarshotError as error:
        yield f"  {error}"
