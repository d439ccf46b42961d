"""Runs loads again and again, and kills them at a moment of their work: `python -m tests.support.killed_load`.

Reads a line of JSON for each run: {"warehouse", "folder", "data", "now", "after": seconds of work or null}; answers
{"status": exit status or -9, "stage": what the load said last, "where": the functions it was in, innermost first,
"seconds": of work}. Everything is imported once; each run is a process of its own (a fork), and a kill is a kill -9.
"""

import json
import os
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401 - imported once, not in each run
import duckdb_sqlalchemy  # noqa: F401
import pandas as pd  # noqa: F401 - DuckDB imports it with the first value that is bound

from config.reading import read_source
from queries.loading import load as loading
from queries.warehouse import EmbeddedWarehouse
from tests.support.deliveries import CATALOG


def serve() -> None:
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _work(asked, writer)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        said = [line.rstrip("\n").split(" ", 1) for line in pipe]
    _, status = os.waitpid(child, 0)
    found = {word: [rest for first, rest in said if first == word] for word in ("stage", "where", "seconds")}
    return {
        "status": os.waitstatus_to_exitcode(status),
        "stage": found["stage"][-1] if found["stage"] else None,
        "where": found["where"],
        "seconds": float(found["seconds"][0]) if found["seconds"] else None,
    }


def _work(asked: dict[str, Any], writer: int) -> None:
    status = 1
    try:
        began = time.monotonic()
        if asked["after"] is not None:
            threading.Thread(target=_kill, args=(asked["after"], threading.get_ident(), writer), daemon=True).start()
        _load(asked, lambda line: _tell(writer, "stage", line))
        _tell(writer, "seconds", str(time.monotonic() - began))
        status = 0
    finally:
        os._exit(status)


def _load(asked: dict[str, Any], say: loading.Say) -> None:
    folder = Path(asked["folder"])
    order = loading.LoadRequest(read_source(folder), folder, Path(asked["data"]), CATALOG)
    warehouse = EmbeddedWarehouse(Path(asked["warehouse"]), "256MB")
    loading.load(warehouse, order, datetime.fromisoformat(asked["now"]), say)


def _kill(after: float, thread: int, writer: int) -> None:
    time.sleep(after)
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("queries."):
            _tell(writer, "where", f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    os.kill(os.getpid(), signal.SIGKILL)


def _tell(writer: int, word: str, rest: str) -> None:
    os.write(writer, f"{word} {rest}\n".encode())


if __name__ == "__main__":
    serve()
