"""Business hours as they are written in configuration: `"08:00-18:00"`."""

import re
from datetime import time
from typing import Annotated, Final

from pydantic import BeforeValidator

_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\s*-\s*([01][0-9]|2[0-3]):([0-5][0-9])")


def parse_hours(text: object) -> tuple[time, time]:
    """From when to when: `08:00-18:00`; `22:00-06:00` ends on the next day."""
    if isinstance(text, tuple):
        return text
    found = _HOURS.fullmatch(text) if isinstance(text, str) else None
    if found is None or found[1] + found[2] == found[3] + found[4]:
        message = f"{text!r} are no business hours; write from when to when, such as '08:00-18:00'"
        raise ValueError(message)
    return time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))


Hours = Annotated[tuple[time, time], BeforeValidator(parse_hours)]
