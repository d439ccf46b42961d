"""A TOML file with the line of every key, so that a mistake can be named where it stands."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from config import ConfigError, Mistake, refuse_irregular

Place = tuple[str | int, ...]
"""The way to a value from the top of the file: `("rule", 0, "limit")`."""

_WORD: Final = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"""(?!")'  # a text over several lines, with escapes
    r"|'''[\s\S]*?'''(?!')"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{},=.\n]"
    r"|[^\s\[\]{},=.\#\"']+",
)
_ERROR_LINE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")

_Words = list[tuple[int, str]]


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


def read_toml(file: Path) -> Document:
    """Read a TOML file.

    Raises:
        ConfigError: the file is missing, is no file, is not UTF-8 or is not TOML.
    """
    try:
        refuse_irregular(file)
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise _refusal(
            file, 1, "the file is missing", "create it or point EARSHOT_CONFIG at the right folder"
        ) from None
    except (OSError, ValueError) as error:
        raise _refusal(file, 1, f"the file cannot be read ({error})", "make it a readable UTF-8 text file") from error
    return parse_toml(file, text)


def parse_toml(file: Path, text: str) -> Document:
    """The same from a text that `file` stands for. Raises ConfigError where it is not TOML."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        end = _ERROR_LINE.search(str(error))
        line = int(end[1]) if end and end[1] else text.rstrip("\n").count("\n") + 1
        reason = _ERROR_LINE.sub("", str(error))
        wrong = f"not TOML: {reason[:1].lower()}{reason[1:]}"
        raise _refusal(file, line, wrong, "correct the syntax") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise _refusal(file, 1, f"not usable: {error}", "shorten what is written there") from error
    return Document(file, values, _lines(text))


def _refusal(file: Path, line: int, wrong: str, right: str) -> ConfigError:
    return ConfigError((Mistake(file, line, wrong, right),))


def _lines(text: str) -> dict[Place, int]:
    lines: dict[Place, int] = {}
    table: Place = ()
    counts: dict[Place, int] = {}
    for words in _statements(text):
        number, first = words[0]
        if first == "[":
            table = _table(_parts(words, "]"), counts, array=words[1][1] == "[")
            lines[table] = number
        else:
            key = (*table, *_parts(words, "="))
            for end in range(len(table) + 1, len(key) + 1):
                lines.setdefault(key[:end], number)
            lines.update({(*key, i): line for i, line in enumerate(_elements(words))})
    return lines


def _statements(text: str) -> Iterator[_Words]:
    """The words of each header or assignment, however many lines it takes, without comments."""
    words: _Words = []
    number, depth = 1, 0
    for token in _WORD.finditer(text):
        word = token[0]
        if word != "\n" and word[0] != "#":
            words.append((number, word))
            depth += (word in {"[", "{"}) - (word in {"]", "}"})
        elif word == "\n" and words and not depth:
            yield words
            words = []
        number += word.count("\n")
    if words:
        yield words


def _parts(words: _Words, end: str) -> tuple[str, ...]:
    named = takewhile(lambda word: word != end, (word for _, word in words))
    return tuple(word.strip("\"'") for word in named if word not in {"[", "."})


def _elements(words: _Words) -> Iterator[int]:
    """The line on which each element of a list starts, when the assignment is of a list."""
    equals = next(i for i, (_, word) in enumerate(words) if word == "=")
    value = words[equals + 1 :]
    if not value or value[0][1] != "[":
        return
    depth, due = 1, True
    for number, word in value[1:]:
        if due and word not in {",", "]"}:
            yield number
            due = False
        depth += (word in {"[", "{"}) - (word in {"]", "}"})
        due = due or (word == "," and depth == 1)


def _table(parts: tuple[str, ...], counts: dict[Place, int], *, array: bool) -> Place:
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
