"""Numbers in a row, written short: `40x12` is twelve times 40, `40+2x10` ten numbers from 40 up by 2, `_` is none."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

LONGEST: Final = 10_000
_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_PART: Final = re.compile(rf"(-?{_NUMBER})(?:([+-]{_NUMBER})?x([0-9]{{1,4}}))?")


def ramp(written: object) -> object:
    """A text or a list of numbers and texts as a tuple of numbers; a single number stays as it is.

    The count after `x` is the count of numbers: `40x3` is 40, 40, 40. Raises ValueError for what is no number.
    """
    if isinstance(written, str):
        return _together(_parts(written))
    if isinstance(written, list):
        return _together(chain.from_iterable(_parts(part) if isinstance(part, str) else [part] for part in written))
    return written


def _together(parts: Iterable[Any]) -> tuple[Any, ...]:
    found = tuple(parts)
    if not 0 < len(found) <= LONGEST:
        message = f"{len(found)} numbers are {'too many' if found else 'none'}; write 1 to {LONGEST}, such as '40x12'"
        raise ValueError(message)
    return found


def _parts(text: str) -> Iterator[float]:
    for word in text.split():
        yield from [0.0] if word == "_" else _part(word)


def _part(word: str) -> Iterator[float]:
    found = _PART.fullmatch(word)
    if not found:
        message = f"{word!r} is no number; write 40, 40x12 (twelve times 40), 40+2x10 (ten, each 2 more) or _ (none)"
        raise ValueError(message)
    first, step, many = float(found[1]), float(found[2] or 0), int(found[3] or 1)
    return (round(first + step * i, 9) for i in range(many))


Numbers = Annotated[tuple[float, ...] | float, BeforeValidator(ramp)]
