"""What the SELECTs of a source may take: memory that the system holds them to, and time."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Final

import duckdb
from pydantic import ByteSize, TypeAdapter

MEMORY_LIMIT: Final = "768MB"
HEADROOM: Final = 2
"""How much more than DuckDB counts a SELECT may really take: some aggregates keep their values outside its count."""

_INITIAL_LIMIT: Final = resource.getrlimit(resource.RLIMIT_DATA)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long all SELECTs of a source may run together, and what the warehouse's own engine may take meanwhile."""

    time: timedelta = timedelta(hours=1)
    beside: str = "1GB"


DEFAULT_LIMITS: Final = Limits()


@contextmanager
def memory_held(limits: Limits) -> Iterator[None]:
    """Let this process take no more than the limits beyond what it has: what asks for more is refused, and says so."""
    bytes_of = TypeAdapter(ByteSize).validate_python
    with suppress(OSError, ValueError):  # where the system does not count it, DuckDB's own limit stands alone
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
        taken = int(status["VmData"].split()[0]) * 1024
        most = taken + HEADROOM * bytes_of(MEMORY_LIMIT) + bytes_of(limits.beside)
        if _INITIAL_LIMIT[0] == resource.RLIM_INFINITY or most < _INITIAL_LIMIT[0]:
            resource.setrlimit(resource.RLIMIT_DATA, (most, _INITIAL_LIMIT[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, _INITIAL_LIMIT)


class TimeLimit:
    """Ends what a connection runs once it has run for so long. Only the blocks of `running` count."""

    def __init__(self, conn: duckdb.DuckDBPyConnection, limit: timedelta) -> None:
        self.limit, self.is_over = limit, False
        self._conn, self._left = conn, limit.total_seconds()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The connection runs for as long as the block lasts."""
        timer = threading.Timer(self._left, self._end)
        timer.daemon = True
        began = monotonic()
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._left = max(0.0, self._left - (monotonic() - began))

    def _end(self) -> None:
        self.is_over = True
        self._conn.interrupt()
