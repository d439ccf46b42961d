"""Instants as both stores keep them, UTC without a zone, and as the program reckons with them, UTC with its zone."""

from datetime import UTC, datetime
from typing import overload


def aware(instant: datetime) -> datetime:
    """A stored instant with its zone."""
    return instant.replace(tzinfo=UTC)


@overload
def naive(instant: datetime) -> datetime: ...


@overload
def naive(instant: None) -> None: ...


def naive(instant: datetime | None) -> datetime | None:
    """An instant as it is stored. One without a zone is UTC already; None stands for no bound."""
    # astimezone() would take an instant without a zone for the machine's local time.
    return instant.astimezone(UTC).replace(tzinfo=None) if instant and instant.tzinfo else instant
