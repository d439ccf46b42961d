"""The text of a slice, as incidents keep it: `vertical=retail|touchpoint=repair`."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

# A value may hold any letter, line ends too, and those that mean something here come after a backslash.
_PART: Final = re.compile(r"(?:\\.|[^|\\])+", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def slice_key(by: Sequence[str], values: Sequence[str]) -> str:
    """A slice as text, such as `vertical=retail|touchpoint=repair`; the whole company is the empty text."""
    return "|".join(f"{name}={_escaped(value)}" for name, value in zip(by, values, strict=True))


@lru_cache(maxsize=65536)
def slice_values(key: str) -> Mapping[str, str]:
    """The values in a slice's text by their column; a backslash keeps the letter after it from meaning anything."""
    pairs = (part.partition("=") for part in _PART.findall(key))
    return MappingProxyType({name: _ESCAPED.sub(r"\1", value) for name, _, value in pairs})


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("|", "\\|")
