"""Dashboards that start at once: what they import was imported by the process that they are forked from."""

import multiprocessing
import os
import sys
from datetime import datetime
from multiprocessing.context import ForkServerProcess
from typing import Final

import time_machine

from dashboard.__main__ import main

FORKS: Final = multiprocessing.get_context("forkserver")


def start(environ: dict[str, str], then: datetime | None) -> ForkServerProcess:
    """`python -m dashboard` with these variables, at another time if one is given."""
    pages = (f"dashboard.{page}.page" for page in ("review", "incident", "lab"))
    FORKS.set_forkserver_preload([__name__, "dashboard.server", *pages, "duckdb_sqlalchemy", "pandas", "scipy.stats"])
    process = FORKS.Process(target=_serve, args=(environ, then.isoformat() if then else ""))
    process.start()
    return process


def _serve(environ: dict[str, str], then: str) -> None:
    for name in [name for name in os.environ if name.startswith("EARSHOT_")]:  # of whichever test began to fork
        del os.environ[name]
    os.environ.update(environ)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if then:
        time_machine.travel(datetime.fromisoformat(then), tick=True).start()
    sys.exit(main())
