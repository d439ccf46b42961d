"""Ask whether the data deceives: what it is a rule found, and what nobody asked about."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from sqlalchemy import Connection

from config.models import DATA_FAULT, DECEIVES, Guard, RateRule, Rule, program_rule
from queries.metrics import known_at
from queries.monitoring.row_profiles import PROFILED, Profile, read_profile
from queries.monitoring.severe_cases import Case
from queries.state import Incident, incident_id
from triggers.data_faults.detect import detect
from triggers.data_faults.detectors.history import BASELINE_WEEKS, DataFault
from triggers.data_faults.explanation import Breach, explanations
from triggers.data_faults.remainder import stands
from triggers.evaluation import EvaluatedWindow, SevereCase
from triggers.evaluation.kinds import kind_of
from triggers.rules import Cadence, Moment, Subject, midnight

NAME: Final = DATA_FAULT


@dataclass(frozen=True, slots=True)
class FaultScanner:
    """Looks at how the rows lie. A profile is read when it is first needed, and once.

    Args:
        conn: the warehouse.
        guard: how far back and how often faults are looked for.
        moment: when and on what.
    """

    conn: Connection
    guard: Guard
    moment: Moment
    profiles: dict[str, Profile] = field(default_factory=dict)
    found: dict[tuple[str, date, date], tuple[DataFault, ...]] = field(default_factory=dict)

    def explained(self, subject: Subject, reading: EvaluatedWindow) -> DataFault | None:
        """The fault that explains a breach, if there is one: without the rows that it spoils there is no breach."""
        rule, slot = subject.rule, reading.slot
        if not isinstance(rule, RateRule) or rule.class_ == "data":
            return None
        since = slot - kind_of(rule).lookback
        for figure in subject.figures:
            # The figure is made of those rows that the slice and the conditions leave.
            conditions = (*figure.metric.where, *figure.where)
            place = {c.column: tuple(map(str, c.any_of)) for c in conditions if c.any_of is not None}
            place |= {column: (value,) for column, value in zip(subject.by, reading.slice, strict=False)}
            columns = figure.metric.columns.union(figure.dims)
            metric, is_late = figure.metric, known_at(figure.metric.table, figure.metric.dated_by) is not None
            counts_open = metric.table == "journey" and metric.value is None and not (metric.matures or is_late)
            breach = Breach(metric.table, columns, place, since, slot, counts_open)
            faults = (fault for table in breach.tables for fault in self._faults(table, breach.since, breach.until))
            for fault in explanations(faults, breach):
                if not stands(self.conn, self.moment, subject, reading, fault):
                    return fault
        return None

    @property
    def cadence(self) -> Cadence:
        """When faults are looked for."""
        return Cadence(self.guard.window, self.guard.every, self.moment.settle, self.moment.zone)

    def newest(self) -> date:
        """The newest slot that is due."""
        return self.cadence.newest(self.moment.now)

    def faults(self, after: date | None) -> Iterator[SevereCase]:
        """The faults that show in the slots after `after`, oldest first; None is from the data's first window on."""
        first = min((self._profile(table).first for table in PROFILED), default=None) if after is None else None
        for slot in self.cadence.due(after, first or date.min, self.moment.now):
            since, known = slot - self.guard.window, self.cadence.as_of(slot)
            # Only where there is a whole window of data: whenever a slot is looked at, it shows the same.
            for table in (table for table in PROFILED if since >= self._profile(table).first):
                for fault in self._faults(table, since, slot):
                    key = f"{fault.kind}|{fault.table}|{fault.place}|{fault.since}"
                    at = midnight(fault.since, self.moment.zone)
                    case = Case(key, None, fault.vertical, fault.touchpoint, at, known)
                    yield SevereCase(incident_id(NAME, key, None), case, slot, fault.reason)

    def _faults(self, table: str, since: date, until: date) -> tuple[DataFault, ...]:
        key = table, since, until
        if key not in self.found:
            self.found[key] = detect(self._profile(table), since, until)
        return self.found[key]

    def _profile(self, table: str) -> Profile:
        if table not in self.profiles:
            self.profiles[table] = read_profile(self.conn, table, self.moment.now)
        return self.profiles[table]


def new_faults(
    found: Iterable[SevereCase], open_: Iterable[Incident], known: Collection[str], guard: Guard, cadence: Cadence
) -> tuple[SevereCase, ...]:
    """The faults that open an incident, oldest first.

    A fault is one for as long as it lies in the same place, whichever day it is seen to begin, and while its incident
    is open: that depends on its slots alone, so that it does not matter how many are looked at together.

    Args:
        found: the faults of some slots, oldest first.
        open_: the incidents that are open.
        known: the ids of those that were ever recorded: a fault opens once.
        guard: how long an incident is open.
        cadence: when each slot may be read.
    """
    over = {_place(fault.slice): fault.opened_at + fault_duration(guard) for fault in open_ if fault.rule == NAME}
    new: dict[str, SevereCase] = {}
    for fault in found:
        place, at = _place(fault.case.key), cadence.as_of(fault.day)
        if (place not in over or over[place] < at) and fault.id not in new and fault.id not in known:
            new[fault.id], over[place] = fault, at + fault_duration(guard)
    return tuple(new.values())


def fault_duration(guard: Guard) -> timedelta:
    """How long an incident of a fault is open: while the fault spoils a window, or what a window is compared with."""
    return guard.window + timedelta(weeks=BASELINE_WEEKS)


def _place(key: str) -> str:
    return key.rpartition("|")[0]


def rule_of_faults(guard: Guard) -> Rule:
    """The rule that the faults of the data are recorded under."""
    return program_rule(
        NAME,
        DECEIVES,
        severity=guard.severity,
        route=guard.route,
        owner=guard.owner,
        runbook=guard.runbook,
        resolve_after=fault_duration(guard),
    )
