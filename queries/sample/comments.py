"""What customers write: sentences in five languages, put together by chance, so that few comments are alike."""

import tomllib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from queries.sample.draws import Floats, Ints, hashed, pick
from queries.sample.names import KINDS

GOOD, MIDDLING, BAD, FAULT = range(4)
"""Moods. `FAULT` is about the faults of the first journey type, the next number about those of the next."""
NO_THEME, INVOICES, SIGN_IN = range(-1, 2)
"""What a comment mentions besides."""

_LANGUAGES: Final = tuple(tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).values())
_SITES: Final = 12
_MOODS: Final = ("good", "middling", "bad", *KINDS)
_THEMES: Final = ("invoices", "sign_in")
_ENDS: Final = ("thanks", "wishes", *_THEMES)


class _Parts:
    """The sentences of one place in a comment: one list for each language and kind."""

    def __init__(self, lists: list[list[str]], kinds: int) -> None:
        self._texts = pa.array([text for some in lists for text in some])
        self._many = np.array([len(some) for some in lists])
        self._first = np.cumsum(self._many) - self._many
        self._kinds = kinds

    def drawn(self, language: Ints, kind: Ints, uniform: Floats) -> Any:
        row = language * self._kinds + kind
        return self._texts.take(pa.array(self._first[row] + (uniform * self._many[row]).astype(np.int64)))


def _openings(language: dict[str, Any]) -> list[str]:
    sites = [language["site"].format(number) for number in range(1, _SITES + 1)]
    return ["", *(f"{text} " for text in (*sites, *language["openings"]))]


def _endings(language: dict[str, Any], end: str) -> list[str]:
    texts = [f" {text}" for text in language[end]]
    return texts if end in _THEMES else ["", *texts]


_OPENINGS: Final = _Parts([_openings(language) for language in _LANGUAGES], 1)
_SAID: Final = _Parts([language[mood] for language in _LANGUAGES for mood in _MOODS], len(_MOODS))
_ENDINGS: Final = _Parts([_endings(language, end) for language in _LANGUAGES for end in _ENDS], len(_ENDS))


def comments(seed: int, number: Ints, account: Ints, mood: Ints, theme: Ints) -> Any:
    """The text of each comment. An account writes in one language.

    Args:
        seed: draws depend on it, and on the number and the account.
        number: of the answer.
        account: of the answer.
        mood: see `GOOD`.
        theme: see `NO_THEME`.
    """
    share = [language["share"] for language in _LANGUAGES]
    language = pick(share, hashed(account, seed, 10))
    end = np.where(theme >= 0, 2 + theme, mood != GOOD)
    return pc.binary_join_element_wise(
        _OPENINGS.drawn(language, np.zeros_like(mood), hashed(number, seed, 11)),
        _SAID.drawn(language, mood, hashed(number, seed, 12)),
        _ENDINGS.drawn(language, end, hashed(number, seed, 13)),
        "",
    )
