"""A command as a child process: how long it took and how much memory it held at its peak."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall seconds, peak resident memory in MB, and what was printed."""

    seconds: float
    megabytes: float
    output: str


def cost(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run `python ARGUMENTS` once from the checkout. Raises RuntimeError when it fails."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        message = f"{' '.join(arguments)} failed with {child.returncode}:\n{output}"
        raise RuntimeError(message)
    return Cost(time.perf_counter() - began, usage.ru_maxrss / 1024, output)


def middle(costs: Sequence[Cost]) -> tuple[float, float]:
    """Median seconds and the highest peak of several runs."""
    return median(c.seconds for c in costs), max(c.megabytes for c in costs)


def peak() -> float:
    """The peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
