"""Processes that start at once, forked from one that has imported the product; all tests of a run share that one.

Whoever forks first starts it, with the variables of that moment: each process drops those that are Earshot's.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from types import ModuleType
from typing import Final
from unittest.mock import patch

_PAGES: Final = (f"dashboard.{page}.page" for page in ("review", "incident", "lab"))
_COMMANDS: Final = ("queries.__main__", "queries.operations.restore", "alembic", "duckdb_sqlalchemy", "scipy.stats")

FORKS: Final = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([*_COMMANDS, "dashboard.server", *_PAGES, "pandas", "tests.support.dashboards"])


def start(target: Callable[..., object], *args: object) -> ForkServerProcess:
    """A process of that function."""
    process = FORKS.Process(target=target, args=args)
    # It begins with what is `__main__` here, and after a test of a page that is the page: it would be run.
    with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
        process.start()
    return process


def set_variables(environ: Mapping[str, str]) -> None:
    """Earshot's variables are these, and no others."""
    for name in [name for name in os.environ if name.startswith("EARSHOT_")]:
        del os.environ[name]
    os.environ.update(environ)
