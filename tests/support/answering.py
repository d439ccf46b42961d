"""A program in another process that answers each line with one, such as how its child ended that was killed."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def answering(program: str, *words: str) -> Iterator[Callable[[str], str]]:
    """A function that asks the program a line."""
    command = [sys.executable, "-c", program, *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        to, back = process.stdin, process.stdout
        assert to
        assert back

        def ask(line: str) -> str:
            print(line, file=to, flush=True)
            return back.readline().strip()

        yield ask
        to.close()
        assert process.wait(30) == 0
