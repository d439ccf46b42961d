"""What can go wrong, said in one line that tells what to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = Path("environment")
"""Stands where a file would stand when the mistake is in an environment variable."""


class EarshotError(Exception):
    """Anything Earshot refuses or cannot do. The text is one line: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in what somebody wrote: where it is, what is wrong and what would be right. Line 0 is no line."""

    file: Path
    line: int
    wrong: str
    right: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{where}: {self.wrong}; {self.right}"


class ConfigError(EarshotError):
    """Every mistake found in the configuration, all at once, one a line."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))
