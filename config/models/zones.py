"""Time zones by name."""

from difflib import get_close_matches
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator


def _known(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        near = get_close_matches(name, available_timezones(), n=1)
        message = f"{name!r} is no time zone; write {near[0] if near else 'a name such as Europe/Zurich or UTC'}"
        raise ValueError(message) from None
    return name


Zone = Annotated[str, AfterValidator(_known)]
"""An IANA zone, such as `Europe/Zurich`."""
