"""States that a test opens and need not close."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Engine

from queries.engine import disposing
from queries.state import open_state, passing_state

NewState = Callable[..., Engine]


@contextmanager
def opener() -> Iterator[NewState]:
    """A function that opens a state: in memory, or in a folder or at a URL. All are closed when the block ends."""
    with ExitStack() as stack:

        def new(folder: Path | None = None, url: str | None = None) -> Engine:
            return stack.enter_context(disposing(open_state(folder, url) if folder else passing_state()))

        yield new
