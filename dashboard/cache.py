"""What cached results hang on, and the two ways to cache one; each page's readers are in its own `data`.

A key holds all that a result depends on: the generation, the configuration, the reader's scope, the month and the
vertical. Two loads never meet on one page, and nobody is served what another may see. What the state says (incidents,
decisions) is kept only until it changes. The theme is no part of a key: a finished chart suits both.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache, wraps
from inspect import signature
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar
from zoneinfo import ZoneInfo

import streamlit as st

from config import refuse_irregular
from config.models import Catalog
from config.reading import read_catalog
from config.settings import Settings
from queries.engine import day_of, day_start
from queries.warehouse import COLUMNS, Generation, Scope

ENTRIES: Final = 256
"""How many results each cached function keeps."""
STATE_ENTRIES: Final = 32
"""The same where a change of the state makes all of them worthless."""
YOUNG_S: Final = 2.0
"""No file system counts a file's time more coarsely than that."""
Hashes = dict[str | type, Callable[[Any], Any]]
Changes = tuple[int, int] | None
"""What differs after every change of the state; None where that is not known."""
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Decorator(Protocol):
    """What keeps a function's signature."""

    def __call__(self, function: Callable[Arguments, Result], /) -> Callable[Arguments, Result]: ...


@dataclass(frozen=True, slots=True)
class Key:
    """What every cached result depends on. `day` is today in the reporting zone: what has matured depends on it.

    `scope` is the reader's own, narrowed to the vertical that is looked at; `stamp` is the configuration's hash;
    `has_names` is whether the reader's audience sees accounts by name; `closed_at` is when the review that is shown was
    closed, None where it is shown as the generation has it.
    """

    data: str
    folder: str
    stamp: str
    currency: str
    generation: int
    zone: str
    day: date
    scope: Scope
    has_names: bool = False
    month: date | None = None
    vertical: str | None = None
    closed_at: datetime | None = None

    @property
    def as_of(self) -> datetime:
        """The instant that results are known at: the start of today, aware UTC."""
        return day_start(self.day, self.tz)

    @property
    def tz(self) -> ZoneInfo:
        """The reporting zone: its days are the reader's."""
        return ZoneInfo(self.zone)

    @property
    def catalog(self) -> Catalog:
        """The configuration of this key."""
        return catalog(self.folder, self.stamp)

    def of(self, month: date, vertical: str | None) -> "Key":
        """The key of one review."""
        return replace(self, month=month, vertical=vertical, scope=self.scope.narrowed(vertical))


def _hashed(key: Key) -> str:
    # A set's order differs from one process run to the next and between equal sets: sorted, equal scopes meet.
    scopes = (scope for scope in (key.scope, key.scope.before) if scope is not None)
    limits = ((scope.verticals, scope.touchpoints, scope.accounts) for scope in scopes)
    scope = (key.scope.role, *(None if limit is None else sorted(limit) for held in limits for limit in held))
    rest = (key.data, key.folder, key.stamp, key.currency, key.generation, key.zone, key.day, key.month, key.vertical)
    return repr((*rest, *scope, key.has_names, key.closed_at))


def shared(hashes: Hashes | None = None, *, spinner: str | bool = False, entries: int = ENTRIES) -> Decorator:
    """Cache a function whose result is frozen: one value serves everybody. `hashes` says how arguments are told apart.

    Parameters that begin with an underscore are not hashed.
    """
    # `cache_data` would pickle each result and hand every page run a copy, which a frozen value has no need of.
    # The connection goes unhashed because the key's generation says what it reads.
    keep = st.cache_resource(max_entries=entries, show_spinner=spinner, hash_funcs={Key: _hashed, **(hashes or {})})
    return lambda function: _by_name(function, keep(function))


def _by_name(function: Callable[Arguments, Result], kept: Callable[..., Result]) -> Callable[Arguments, Result]:
    # Of an argument that is passed by place Streamlit asks the name at each call, and inspects the function for it.
    names = tuple(signature(function).parameters)

    @wraps(function)
    def named(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return kept(**dict(zip(names, args, strict=False)), **kwargs)

    return named


def until_changed(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Cache a function whose frozen result hangs on the state, of which its second argument counts the changes.

    Where they are not known the function is called every time.
    """
    # Streamlit would hash the pair of counts number by number at each run.
    cached = shared({tuple: repr}, entries=STATE_ENTRIES)(function)

    @wraps(function)
    def either(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return (function if args[1] is None else cached)(*args, **kwargs)

    return either


def copied(hashes: Hashes | None = None) -> Decorator:
    """Cache a function whose result is a dictionary, such as a finished chart: each caller has a copy of its own."""
    # A dictionary can be written into; what one page run does to its chart must not be seen on another's.
    return st.cache_data(max_entries=ENTRIES, show_spinner=False, hash_funcs={Key: _hashed, **(hashes or {})})


def page_key(settings: Settings, stamp: str, generation: Generation, scope: Scope, now: datetime) -> Key:
    """The key of a page run, before a month is chosen."""
    folders = (str(settings.warehouse.url or settings.data), str(settings.config))
    today = day_of(now, ZoneInfo(generation.zone))
    return Key(*folders, stamp, settings.currency, generation.number, generation.zone, today, scope)


def config_fingerprint(folder: Path, now: datetime) -> str:
    """A hash of the contents of the configuration's files; `now` is aware."""
    entries = os.scandir(folder) if folder.is_dir() else ()
    found = sorted((entry.name, entry.stat()) for entry in entries if entry.name.endswith(".toml"))
    stamps = tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in found)
    # An editor or a checkout may write a file again within the resolution of its time: what is young is read.
    is_young = any(now.timestamp() - stat.st_ctime < YOUNG_S for _, stat in found)
    return (_contents_hash.__wrapped__ if is_young else _contents_hash)(folder, stamps)


@lru_cache(maxsize=4)
def _contents_hash(folder: Path, stamps: tuple[tuple[str | int, ...], ...]) -> str:
    del stamps  # it is a key only
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(folder.glob("*.toml")):
        refuse_irregular(file)
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@st.cache_resource(max_entries=4, show_spinner=False)
def catalog(folder: str, stamp: str) -> Catalog:
    """The configuration, read anew when its hash has changed. Raises ConfigError with all mistakes."""
    del stamp  # it is a key only
    return read_catalog(Path(folder), COLUMNS)
