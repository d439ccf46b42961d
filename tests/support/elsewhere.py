"""Runs `python -m queries` and `python -m triggers` in processes that may do less than this one.

`python -m tests.support.elsewhere` reads a line of JSON for each command: {"words", "environ", "largest": bytes a file
may have or null, "fill": a folder or null, "free": bytes to leave on its disk, "seconds": after so many it is killed by
SIGALRM, or null}; answers {"status", "out", "err"}.
Everything is imported once; each command is a process of its own (a fork).
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another process that runs commands."""

    process: subprocess.Popen[str]

    def run(self, *words: str, **asked: Any) -> Done:
        """`program words...`, the program being queries or triggers. See the module for what may be asked."""
        print(json.dumps({"words": words, **asked}), file=_pipe(self.process.stdin), flush=True)
        return Done(**json.loads(_pipe(self.process.stdout).readline()))


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@contextmanager
def started(*prefix: str) -> Iterator[Elsewhere]:
    """The process, behind a command that takes something from it."""
    command = [*prefix, sys.executable, "-m", "tests.support.elsewhere"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Elsewhere(process)
        finally:
            _pipe(process.stdin).close()


def without_override() -> tuple[str, ...]:
    """Root may read and write everywhere; without these capabilities it may what others could in its place."""
    taken = "-dac_override,-dac_read_search"
    return ("setpriv", f"--bounding-set={taken}", f"--inh-caps={taken}") if os.geteuid() == 0 else ()


def on_small_disk(folder: Path, megabytes: int) -> tuple[str, ...]:
    """With a disk of that size mounted on a folder, which only this process sees; nothing where that is not allowed."""
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    mount = f"mount -t tmpfs -o size={megabytes}m tmpfs '{folder}'"
    prefix = ("unshare", *user, "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    done = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if done.returncode == 0 else ()


def _serve() -> None:
    for line in sys.stdin:
        print(json.dumps(_done(json.loads(line))), flush=True)


def _done(asked: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+", dir="/dev/shm") as out, tempfile.TemporaryFile("w+", dir="/dev/shm") as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _work(asked)
        _, status = os.waitpid(child, 0)
        texts = [(stream.seek(0), stream.read())[1] for stream in (out, err)]
    return {"status": os.waitstatus_to_exitcode(status), "out": texts[0], "err": texts[1]}


def _work(asked: dict[str, Any]) -> None:
    program, *words = asked["words"]
    status = 1
    try:
        os.environ.update(asked.get("environ", {}))
        if folder := asked.get("fill"):
            _fill(Path(folder), asked["free"])
        signal.alarm(asked.get("seconds") or 0)
        if largest := asked.get("largest"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        status = _MAINS[program](words)
    except SystemExit as end:  # argparse's
        status = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - told like any other
        traceback.print_exc()
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # a command that cannot write sets its own aside
            stream.flush()
        os._exit(status)


def _fill(folder: Path, free: int) -> None:
    """Leave so many bytes free on the folder's disk."""
    ballast = folder / "ballast"
    ballast.unlink(missing_ok=True)
    there = os.statvfs(folder)
    ballast.write_bytes(b"\0" * max(0, there.f_bavail * there.f_frsize - free))


if __name__ == "__main__":
    import duckdb  # noqa: F401
    import duckdb_sqlalchemy  # noqa: F401
    import pandas as pd  # noqa: F401 - DuckDB imports it with the first value that is bound
    import scipy.stats  # noqa: F401 - the first figure that is judged asks for it

    from queries.__main__ import main as queries_main
    from triggers.__main__ import main as triggers_main

    _MAINS: Final = {"queries": queries_main, "triggers": triggers_main}
    _serve()
