"""Runs `python -m triggers` again and again, and kills it at a moment of its work: `python -m tests.support.killed`.

Reads a line of JSON for each run: {"words": [...], "environ": {...}, "after": seconds of work or null}; answers
{"status": exit status or -9, "where": the functions it was in, innermost first, "tick": seconds that the tick took,
"seconds": those of all the work}. Everything is
imported once; each run is a process of its own (a fork), and a kill is a kill -9.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import duckdb  # noqa: F401 - imported once, not in each run
import duckdb_sqlalchemy  # noqa: F401
import pandas as pd  # noqa: F401 - DuckDB imports it with the first value that is bound
import scipy.stats  # noqa: F401 - the first figure that is judged asks for it

from triggers import __main__ as command
from triggers.processes import run

OURS: Final = ("triggers", "queries")


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
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    lines = said.splitlines()
    tick, seconds = (
        sum(float(line.removeprefix(name)) for line in lines if line.startswith(name)) for name in ("tick ", "seconds ")
    )
    where = [line.removeprefix("where ") for line in lines if line.startswith("where ")]
    return {"status": os.waitstatus_to_exitcode(status), "where": where, "tick": tick, "seconds": seconds}


def _work(asked: dict[str, Any], writer: int) -> None:
    for name in list(os.environ):
        if name.startswith("EARSHOT_"):
            del os.environ[name]
    os.environ.update(asked["environ"])
    tick, deliver, began = run.Runner.tick, run.Runner.deliver, [0.0]

    def first(self: run.Runner, *arguments: Any) -> Any:
        began[0] = time.monotonic()
        if asked["after"] is not None:
            threading.Thread(target=_kill, args=(asked["after"], threading.get_ident(), writer), daemon=True).start()
        done = tick(self, *arguments)
        os.write(writer, f"tick {time.monotonic() - began[0]}\n".encode())
        return done

    def last(self: run.Runner, *arguments: Any) -> Any:
        done = deliver(self, *arguments)
        os.write(writer, f"seconds {time.monotonic() - began[0]}\n".encode())
        if asked["after"] is not None:
            os._exit(0)  # the work is over: a kill from here on would prove nothing
        return done

    run.Runner.tick, run.Runner.deliver = first, last  # type: ignore[assignment, method-assign]
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - the process ends
    status = 1
    try:
        status = command.main(asked["words"])
    finally:
        os._exit(status)


def _kill(after: float, thread: int, writer: int) -> None:
    time.sleep(after)
    frame = sys._current_frames().get(thread)
    names = []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.split(".")[0] in OURS:
            names.append(f"{module}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    os.write(writer, "".join(f"where {name}\n" for name in names).encode())
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve()
