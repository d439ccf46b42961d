"""A figure that breached: which tables' rows it is made of, and which artefact explains it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from queries.monitoring.row_profiles import PROFILED
from triggers.data_faults.detectors.history import DataFault

ROWS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    **{table: (table,) for table in PROFILED},
    "wait": ("contact",),
    "inbound": ("contact",),
    "issue": ("contact", "journey"),
}
"""The profiled tables that a relation's rows are made of. A relation that is not named is made of none."""

_FROM_CONTACTS: Final = (
    *("contacts", "inbound", "channels", "multi_channel", "last_emotion", "worst_emotion"),
    *("hours_waiting_on_us", "hours_waiting_on_customer"),
)
COLUMN_OF: Final[Mapping[str, str]] = {
    **dict.fromkeys(_FROM_CONTACTS, "contact"),
    **dict.fromkeys(("defects", "defective"), "defect"),
}
"""What a journey knows of the rows of another table, by column."""

_ELSEWHERE: Final = frozenset({"touchpoint", "channel"})
"""A wait may begin, and a reply be given, elsewhere than where the figure is counted."""

_REPEATED: Final = frozenset({"copied-period", "duplicated-rows"})


@dataclass(frozen=True, slots=True)
class Breach:
    """What breached.

    Args:
        relation: the table or relation that the figure reads.
        columns: those that it reads.
        place: the values that its rows have, by column; a column that is absent may have any.
        since: the first day of its window.
        until: the day after the last one.
        counts_open: whether it counts journeys that may not be decided yet: a share of those begun or due, of a metric
            that does not wait until they are.
    """

    relation: str
    columns: frozenset[str]
    place: Mapping[str, Collection[str]]
    since: date
    until: date
    counts_open: bool = False

    @property
    def tables(self) -> tuple[str, ...]:
        """The profiled tables whose faults may explain it."""
        of_journey = (c for c in self.columns if self.relation == "journey" or c.startswith("journey."))
        columns = sorted(column.removeprefix("journey.") for column in of_journey)
        others = (COLUMN_OF[column] for column in columns if column in COLUMN_OF)
        return tuple(dict.fromkeys((*ROWS_OF.get(self.relation, ()), *others)))

    def may_hold(self, column: str, value: str) -> bool:
        """Whether its rows have this value, or may; of the vertical it must be the only one."""
        named = self.place.get(column)
        if column == "vertical":
            return named is not None and set(named) == {value}
        return named is None or value in named


def explanations(faults: Iterable[DataFault], breach: Breach) -> Iterator[DataFault]:
    """The faults that may explain a breach: they spoil the window and are not about other rows.

    A promise that was padded makes figures look better than they are, so it explains no breach. More or fewer defects
    are what happens to customers, so of the faults of defects only those explain the figure of a journey that the rows
    themselves betray: they came twice. Journeys whose ends are not in make no other journey longer.

    Args:
        faults: what `detect` found, of one table or several.
        breach: of the whole company where it names no vertical: no fault of a single vertical explains that.
    """
    tables = breach.tables
    yield from (fault for fault in faults if fault.table in tables and _explains(fault, breach))


def _explains(fault: DataFault, breach: Breach) -> bool:
    is_own = fault.table == breach.relation
    tells = fault.kind != "padded-promise" and (fault.table != "defect" or is_own or fault.kind in _REPEATED)
    tells = tells and (fault.kind != "right-censoring" or breach.counts_open)
    overlaps = fault.since < breach.until and fault.until > breach.since
    names = fault.names if is_own else (name for name in fault.names if name[0] not in _ELSEWHERE)
    return tells and overlaps and all(breach.may_hold(column, value) for column, value in names)
