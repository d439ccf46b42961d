"""A TOML file with the line of every key, so that a mistake can be named where it stands."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import ConfigError, Mistake

Place = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"[\w-]+|\"[^\"]*\"|'[^']*'")
_FENCE = re.compile(r'"""|\'\'\'')
_ERROR_LINE = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True, slots=True)
class Document:
    """The values of one file and the line on which each place stands."""

    file: Path
    values: dict[str, Any]
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest table around it that stands in the file."""
        for end in range(len(place), 0, -1):
            if place[:end] in self.lines:
                return self.lines[place[:end]]
        return 1


def read(file: Path) -> Document:
    """Read a TOML file.

    Raises:
        ConfigError: the file is missing, is no file, is not UTF-8 or is not TOML.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _mistake(file, 1, "the file is missing", "create it or point EARSHOT_CONFIG at the right folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _mistake(file, 1, f"the file cannot be read ({error})", "make it a readable UTF-8 text file") from error
    try:
        return Document(file, tomllib.loads(text), dict(_places(text)))
    except tomllib.TOMLDecodeError as error:
        raise _mistake(file, _line_of(error, text), f"not TOML: {error}", "correct the syntax") from error


def _mistake(file: Path, line: int, wrong: str, right: str) -> ConfigError:
    return ConfigError((Mistake(file, line, wrong, right),))


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> int:
    found = _ERROR_LINE.search(str(error))
    return int(found[1]) if found else text.count("\n") + 1


def _places(text: str) -> Iterator[tuple[Place, int]]:
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, line in _statements(text):
        if header := _HEADER.match(line):
            table = _table(_parts(header[2]), counts, array=header[1] == "[[")
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, *_parts(key[1])), number


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The lines outside multi-line strings."""
    open_string = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not open_string:
            yield number, line
        open_string ^= len(_FENCE.findall(line)) % 2 == 1


def _parts(dotted: str) -> Place:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _table(parts: Place, counts: dict[Place, int], *, array: bool) -> Place:
    place: Place = ()
    for part in parts[:-1]:
        place = (*place, part)
        if place in counts:
            place = (*place, counts[place] - 1)
    place = (*place, parts[-1])
    if not array:
        return place
    counts[place] = counts.get(place, 0) + 1
    return (*place, counts[place] - 1)
