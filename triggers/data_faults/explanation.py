"""A figure that breached: which tables' rows it is made of, and which artefact explains it."""

from collections.abc import Collection, Iterable, Mapping
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
    """

    relation: str
    columns: frozenset[str]
    place: Mapping[str, Collection[str]]
    since: date
    until: date

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


def explains(artefacts: Iterable[DataFault], breach: Breach) -> DataFault | None:
    """The first artefact that explains a breach, if any: it spoils the window and is not about other rows.

    A promise that was padded makes figures look better than they are, so it explains no breach. More or fewer defects
    are what happens to customers, so of the faults of defects only those explain the figure of a journey that the rows
    themselves betray: they came twice.

    Args:
        artefacts: what `detect` found, of one table or several.
        breach: of the whole company where it names no vertical: no artefact of a single vertical explains that.
    """
    tables = breach.tables
    return next((a for a in artefacts if a.table in tables and _explains(a, breach)), None)


def _explains(artefact: DataFault, breach: Breach) -> bool:
    is_own = artefact.table == breach.relation
    tells = artefact.kind != "padded-promise" and (artefact.table != "defect" or is_own or artefact.kind in _REPEATED)
    overlaps = artefact.since < breach.until and artefact.until > breach.since
    names = artefact.names if is_own else (name for name in artefact.names if name[0] not in _ELSEWHERE)
    return tells and overlaps and all(breach.may_hold(column, value) for column, value in names)
