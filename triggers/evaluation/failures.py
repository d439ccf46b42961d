"""What becomes of an error while one rule is evaluated: it is that rule's, and the others go on."""

import logging
from collections.abc import Collection, Hashable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from traceback import extract_tb
from typing import Final, TypeVar

from sqlalchemy import Connection

from config import EarshotError
from queries.engine import LACKING, NOT_COMPUTED, STORE_ERRORS, recovering
from queries.state import RuleError

log: Final = logging.getLogger("triggers")

KeyT = TypeVar("KeyT", bound=Hashable)

NOT_A_RULES: Final = (*STORE_ERRORS, MemoryError)
"""Errors that no rule is to blame for: a store that is away would make every one of them ill."""


@contextmanager
def contained(failures: MutableMapping[KeyT, Exception], key: KeyT, conn: Connection | None = None) -> Iterator[None]:
    """Note an error under a key instead of raising it, unless no rule is to blame for it.

    With `conn`, a value that a statement cannot compute with is the rule's error too, and the next one can be read.
    """
    try:
        with recovering(conn) if conn is not None else nullcontext():
            yield
    except NOT_A_RULES as error:
        if conn is None or not isinstance(error, NOT_COMPUTED):
            raise
        failures[key] = error
    except Exception as error:  # noqa: BLE001 - whatever it is, no other rule may suffer from it
        failures[key] = error


def reason(error: Exception) -> str:
    """An error in one line that may be stored: a foreign one's own words could hold names, so it says only where."""
    if isinstance(error, EarshotError):
        return str(error).partition("\n")[0]
    if isinstance(error, LACKING):
        return "the warehouse lacks a table or a column that this version reads; load a source once"
    place = extract_tb(error.__traceback__)
    where = f" in {Path(place[-1].filename).name}, line {place[-1].lineno}" if place else ""
    return f"{type(error).__name__}{where}"


def rule_errors(
    before: Collection[RuleError], failures: Mapping[tuple[str, str], Exception], kept: Collection[str], now: datetime
) -> tuple[RuleError, ...]:
    """What cannot be evaluated now.

    Args:
        before: what could not.
        failures: what failed, by rule and slice.
        kept: the rules that were not tried: what they had they keep.
        now: aware UTC.
    """
    since = {(error.rule, error.slice): error.since for error in before}
    errors = {(error.rule, error.slice): error for error in before if error.rule in kept}
    for key, error in failures.items():
        errors[key] = RuleError(*key, reason(error), since.get(key, now))
    return tuple(errors[key] for key in sorted(errors))


def log_errors(
    before: Collection[RuleError], after: Collection[RuleError], failures: Mapping[tuple[str, str], Exception]
) -> None:
    """Each is said once, with the trace that whoever mends it needs."""
    known, now = ({(error.rule, error.slice) for error in errors} for errors in (before, after))
    for error in after:
        if (key := (error.rule, error.slice)) not in known:
            log.error("rule %s could not be evaluated: %s", error.where, error.reason, exc_info=failures.get(key))
    for error in before:
        if (error.rule, error.slice) not in now:
            log.info("rule %s can be evaluated again, or is gone", error.where)
