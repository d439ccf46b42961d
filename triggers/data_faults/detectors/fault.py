"""One way in which the data deceives, in one place and span."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

Kind = Literal[
    "publication-lag",
    "right-censoring",
    "collection-change",
    "sampling-change",
    "copied-period",
    "duplicated-rows",
    "swapped-dates",
    "padded-promise",
]

Names = tuple[tuple[str, str], ...]
"""Columns and their values, the vertical first: some of a table's rows; () is all."""


@dataclass(frozen=True, slots=True)
class DataFault:
    """One thing that is wrong with the data.

    Args:
        kind: which of the eight.
        table: whose rows.
        names: which of them.
        since: the first day that it spoils.
        until: the day after the last one, as far as is known.
        reason: one sentence with the figures that show it.
    """

    kind: Kind
    table: str
    names: Names
    since: date
    until: date
    reason: str

    @property
    def place(self) -> str:
        """Which rows as text, such as "vertical=Retail, channel=phone"; "" is all."""
        return ", ".join(f"{column}={value}" for column, value in self.names)

    @property
    def vertical(self) -> str | None:
        """The only vertical concerned, if it is one."""
        return dict(self.names).get("vertical")

    @property
    def touchpoint(self) -> str | None:
        """The only touchpoint or journey type concerned, if it is one."""
        return next((value for column, value in self.names if column in ("touchpoint", "journey_type")), None)
