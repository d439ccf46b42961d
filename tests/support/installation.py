"""A config folder with one rule and one route, the variables that point a process at it, and its command line."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.company import CONFIG
from triggers.__main__ import main

GUARD: Final = """
[guard]
every = "7d"
window = "56d"
severity = 3
route = "delivery"
owner = "delivery-lead"
"""
DEFECTS: Final = """
[[rule]]
name = "defects"
label = "Journeys with a defect"
kind = "threshold"
metric = "defect-rate"
by = ["vertical"]
limit = 0.25
recover = 0.20
floor = 0
keep_firing = "0d"
window = "28d"
every = "7d"
false_alarms_per_year = 6
severity = 2
route = "delivery"
owner = "delivery-lead"
"""
RULE: Final = GUARD + DEFECTS
ROUTES: Final = """
[[route]]
name = "delivery"
{channel}

[[person]]
name = "delivery-lead"
label = "Head of delivery"
audience = "analyst"
"""


def configure(data: Path, channel: str | None = None, rules: str = RULE) -> dict[str, str]:
    """Write DATA/config, and return the variables of an installation whose stores lie in `data`."""
    config = data / "config"
    shutil.copytree(CONFIG, config, ignore=shutil.ignore_patterns("*.py", "__pycache__", "sources"))
    (config / "triggers.toml").write_text(rules, encoding="utf-8")
    named = f'channel = "{channel}"' if channel else ""
    (config / "routing.toml").write_text(ROUTES.format(channel=named), encoding="utf-8")
    return {"EARSHOT_CONFIG": str(config), "EARSHOT_DATA": str(data)}


@contextmanager
def installed(data: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point this process at an installation in `data` that reads the warehouse in `built`."""
    for name, value in configure(data).items():
        monkeypatch.setenv(name, value)
    share(built / "warehouse", data / "warehouse")
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)


def share(built: Path, here: Path) -> None:
    """A warehouse as it was built, at no cost: generations are never changed, the pointer only by a new file."""
    shutil.copytree(built, here, copy_function=os.link)


class Terminal:
    """Runs a command in this process and returns what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        found = main(list(words))
        printed = self.capsys.readouterr()
        assert found == status, printed
        return printed.err if status else printed.out
