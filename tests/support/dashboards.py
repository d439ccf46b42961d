"""Dashboards that start at once: what they import was imported by the process that they are forked from."""

import os
import sys
from datetime import datetime
from multiprocessing.context import ForkServerProcess

import time_machine

import dashboard.__main__
from dashboard.__main__ import main
from tests.support import forks


def start(environ: dict[str, str], then: datetime | None) -> ForkServerProcess:
    """`python -m dashboard` with these variables, at another time if one is given."""
    return forks.start(_serve, environ, then.isoformat() if then else "")


def _serve(environ: dict[str, str], then: str) -> None:
    forks.set_variables(environ)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if then:
        time_machine.travel(datetime.fromisoformat(then), tick=True).start()
    # Streamlit looks for its configuration, such as the theme, beside what was started.
    sys.argv = [dashboard.__main__.__file__]
    sys.exit(main())
