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
    numbers = tuple(parts)
    if not 0 < len(numbers) <= LONGEST:
        wrong = f"{len(numbers)} numbers are {'too many' if numbers else 'none'}"
        message = f"{wrong}; write 1 to {LONGEST}, such as '40x12'"
        raise ValueError(message)
    return numbers


def _parts(text: str) -> Iterator[float]:
    for word in text.split():
        part = _PART.fullmatch("0" if word == "_" else word)
        if not part:
            right = "write 40, 40x12 (twelve times 40), 40+2x10 (ten, each 2 more) or _ (none)"
            message = f"{word!r} is not a number; {right}"
            raise ValueError(message)
        first, step, many = float(part[1]), float(part[2] or 0), int(part[3] or 1)
        yield from (round(first + step * i, 9) for i in range(many))


Numbers = Annotated[tuple[float, ...] | float, BeforeValidator(ramp)]
