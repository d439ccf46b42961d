"""The days that date-sensitive tests live on, and how what they start comes to live there too."""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import pytest
import time_machine

Now = Callable[[], datetime]

TODAY: Final = "today"
"""The real day, on the real clock."""

ORDINARY: Final[Mapping[str, str]] = {
    "a Friday": "2026-11-27T10:11+00:00",  # a story laid by its weekday broke here,
    "the end of February": "2027-02-28T09:00+00:00",  # and here
    "29 February": "2028-02-29T12:00+00:00",
    "a new year": "2027-01-01T00:00:20+00:00",  # just after midnight UTC: west of Greenwich it is the old year still
}
"""Where a run of all tests looks: what has failed, and what is likeliest to."""

WHOLE: Final[Mapping[str, str]] = {
    **ORDINARY,
    "a year's end": "2026-12-31T12:00+00:00",
    "clocks go forward": "2027-03-28T01:00:05+00:00",  # in Europe, five seconds ago
    "clocks go back": "2027-10-31T00:30+00:00",  # in Europe, in half an hour: it is 02:30 there, for the first time
    "a month's end": "2026-11-30T15:00+00:00",  # a Monday
    "a month's first": "2027-03-01T00:00:10+00:00",  # the day after the shortest month
    "a quarter's end": "2027-06-30T21:30+00:00",  # a Wednesday; east of Greenwich it is tomorrow soon
    "a quarter's first": "2027-07-01T00:00:05+00:00",
    "a Saturday": "2027-07-31T12:00+00:00",
}
"""Month ends, a year's end, 29 February, each weekday, both Sundays on which clocks change, just after midnight."""

BY_SLACKS_CLOCK: Final = pytest.mark.dated(only_today="the Slack emulator is a process of its own, on the real clock")

_TRAVELS: Final = """
import runpy, sys
from datetime import datetime
from time_machine import travel
then, module = sys.argv[1:3]
travel(datetime.fromisoformat(then), tick=True).start()
sys.argv[:3] = [module]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def module(name: str, *words: str) -> list[str]:
    """The command line of `python -m NAME WORDS`, as a process whose clock agrees with the test that starts it."""
    if time_machine.escape_hatch.is_travelling():
        return [sys.executable, "-c", _TRAVELS, datetime.now(UTC).isoformat(), name, *words]
    return [sys.executable, "-m", name, *words]


def travelled_to() -> datetime | None:
    """The time that a test lives at, where it is not the real one."""
    return datetime.now(UTC) if time_machine.escape_hatch.is_travelling() else None
