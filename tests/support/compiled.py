"""Statements compiled once a process: by itself each engine compiles all of them anew, and every test opens its own."""

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.util import LRUCache


class _OfADialect(LRUCache[Any, Any]):
    """What an engine has compiled serves every other of the same dialect."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((type(key[0]), *key[1:]), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__((type(key[0]), *key[1:]), value)


_COMPILED = _OfADialect(2000)


@event.listens_for(Engine, "engine_connect")
def share(conn: Connection) -> None:
    conn.execution_options(compiled_cache=_COMPILED)
