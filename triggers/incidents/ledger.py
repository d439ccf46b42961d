"""What a tick found, as the rows that record and tell it. Pure: ids and versions make writing it twice impossible."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.models import Catalog, Guard, Route, Rule, WatchRule
from queries.state import Escalation, HistoryEntry, Incident, Queued, TickRecord, delivery_id, slice_values
from triggers.data_faults.detectors.history import DataFault
from triggers.evaluation import EventRuleResult, SevereCase, StateChange
from triggers.incidents import escalation
from triggers.incidents.business_hours import timetable
from triggers.incidents.person_budget import Assigned
from triggers.incidents.stored_evidence import stored_evidence
from triggers.rules import Subject

Place = tuple[str | None, str | None, str | None]
"""Vertical, touchpoint and account."""

UTC_ZONE: Final = ZoneInfo("UTC")
FRESH_FOR: Final = timedelta(days=7)
"""What the first run finds in the past is told when it still holds, or when it is an event younger than this."""

LEFT: Final = 0
"""The next step of an incident that its parent speaks for: not even its own message is sent."""

AFTER: Final = {"opened": "open", "reopened": "open", "worsened": "open", "resolved": "resolved", "closed": "closed"}
_HELD: Final = ("acknowledged_at", "acknowledged_by", "assigned_to", "snoozed_until")
OWN: Final = ("class_", "severity", "route", "ladder", "next_step", "next_step_at", "value", "n", *_HELD)
"""What an incident begins anew with when it is handed over."""

PINGS: Final = frozenset({*AFTER, "escalated", "reassigned", "lapsed", "woken", "released"}) - {"opened"}
"""What is worth a message in the thread; everything else only changes the root."""


@dataclass(slots=True)
class IncidentLedger:
    """The incidents of one tick as they change. `generation` and `now` are the tick's own.

    Args:
        catalog: for routes and people.
        generation: the number of the data generation read.
        now: when the tick runs, aware UTC.
        incidents: the open incidents by id, at their present versions.
        told: the incidents whose root message was queued before.
        existing: what was found now and recorded before, open or not, by id.
        opened: the ids of what is new.
        seen: of the others that changed, the version that was read.
        entries: what happened in this tick, by incident.
        zone: the zone of routes that name none.
        asked: whom steps of ladders asked for.
        spent: how often each person was named in this week before.
        errors: the rule and slice of what could not be evaluated: its incidents stay as they are.
        moved: the ids of what was handed over to another route.
    """

    catalog: Catalog
    generation: int
    now: datetime
    incidents: dict[str, Incident]
    told: frozenset[str]
    existing: dict[str, Incident] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    seen: dict[str, int] = field(default_factory=dict)
    entries: dict[str, list[HistoryEntry]] = field(default_factory=dict)
    zone: ZoneInfo = UTC_ZONE
    asked: list[Escalation] = field(default_factory=list)
    spent: Mapping[str, int] = field(default_factory=dict)
    errors: Collection[tuple[str, str]] = ()
    moved: set[str] = field(default_factory=set)

    def record_breach(
        self,
        subject: Subject,
        finding: StateChange,
        fault: DataFault | None,
        verticals: Mapping[str, str],
        first_run: bool,  # noqa: FBT001
    ) -> None:
        """Record a change that the evaluator reported. What was closed by hand stays closed until it recovered.

        Args:
            subject: the rule.
            finding: what changed.
            fault: the fault of the data that explains it.
            verticals: the vertical of each account, where the rule tells accounts apart.
            first_run: whether the rule's past is replayed.
        """
        event, sample = finding.event, stored_evidence(subject, finding)
        values = {"value": finding.reading.value, "n": round(finding.reading.tally.n)}
        if event.change == "opened":
            place = _place(subject, finding, verticals)
            self._found(subject, finding, fault, place, {**values, "origin": _origin(first_run=first_run)}, sample)
        elif finding.incident in self.incidents:
            known = values if event.change == "worsened" else {}
            # These are the open ones only: what was closed by hand stays closed until its figure has recovered.
            self._change(self.incidents[finding.incident], event.change, event.reason, event.at, sample, **known)

    def _found(
        self,
        subject: Subject,
        finding: StateChange,
        fault: DataFault | None,
        place: Place,
        values: dict[str, Any],
        sample: dict[str, Any],
    ) -> None:
        event, before = finding.event, self.existing.get(finding.incident)
        if before is not None:
            # Newer data said that its opening slot was no breach, and still newer data that it was.
            again = {"episode": before.episode + 1, "resolved_at": None, "value": values["value"], "n": values["n"]}
            self._change(before, "reopened", event.reason, event.at, sample, **again)
            return
        to: Rule | Guard = self.catalog.guard if fault else subject.rule
        new = self._incident(subject.rule, to, subject.hash, finding, place)
        reason = f"{event.reason}, and the data explains it: {fault.reason}" if fault else event.reason
        named = {"artefact": fault.kind} if fault else {}
        self._open(replace(new, **values), reason, {**sample, **named})

    def explained(self, subject: Subject) -> tuple[Incident, ...]:
        """The open incidents of this version of a rule that the data explained when they opened."""
        known = (subject.hash, "data", True) if subject.rule.class_ == "customer" else None
        return tuple(one for one in self.incidents.values() if (one.rule_hash, one.class_, one.is_open) == known)

    def hand_over(self, subject: Subject, incident: Incident, finding: StateChange) -> None:
        """Tell those whom the rule tells of a breach that the data explained, and explains no longer."""
        new, sample = self.opening(subject, finding, {}, None), stored_evidence(subject, finding)
        self.moved |= {incident.id} if new.route != incident.route else set()
        own = {name: getattr(new, name) for name in OWN}
        self._change(incident, "released", finding.event.reason, finding.event.at, sample, **own)

    def record_case(self, found: EventRuleResult, one: SevereCase) -> None:
        """Record a severe case."""
        if one.id in self.existing:
            return
        case, rule = one.case, found.rule
        place = (case.vertical, case.touchpoint, case.account_id)
        what = _What(one.id, case.key, case.knowable_at, one.day)
        new = self._opening(rule, rule, found.version.hash, what, place)
        sample = {
            "key": case.key,
            "account_id": case.account_id,
            "happened_at": case.at.isoformat(),
            "rule_hash": found.version.hash,
        }
        self._open(replace(new, n=1, origin=_origin(first_run=found.first_run)), one.reason, sample)

    def close(self, incident: Incident, change: str, reason: str, at: datetime) -> None:
        """Record that an incident is over for another reason than its samples."""
        self._change(incident, change, reason, at, None)

    def escalate(self, taken: Assigned) -> None:
        """Record what the time has come for: a step of the ladder with whom it asked for, the end of a snooze."""
        incident, move = taken.incident, taken.move
        self._change(incident, move.kind, move.reason, self.now, None, **move.changes)
        seq = self.incidents[incident.id].version
        self.asked += [Escalation(incident.id, seq, one.person, self.now, one.told) for one in taken.asked]

    def release_inhibited(self) -> None:
        """Let those speak for themselves whose parent is over while they hold: their ladders begin now."""
        for incident in tuple(self.incidents.values()):
            if incident.id not in self.told and not self._is_in_doubt(incident) and self._is_late(incident):
                begins = self._begins(incident.severity, self.catalog.route(incident.route))
                step = {
                    "next_step": 1,
                    "next_step_at": escalation.after(escalation.parse_ladder(incident.ladder), 1, begins),
                }
                reason = f"the incident of {self.catalog.rule(incident.rule).inhibited_by} that spoke for it is over"
                self._change(incident, "released", reason, self.now, None, **step)

    def uninhibited(self) -> tuple[Incident, ...]:
        """The incidents that no other speaks for and that could be evaluated: nothing is escalated on doubt."""
        surely = (incident for incident in self.incidents.values() if not self._is_in_doubt(incident))
        return tuple(incident for incident in surely if self.inhibitor(incident) is None)

    def _is_in_doubt(self, incident: Incident) -> bool:
        return (incident.rule, "") in self.errors or (incident.rule, incident.slice) in self.errors

    def record(self) -> TickRecord:
        """The rows to write: incidents with all their changes, and messages for the state they end in."""
        opened = list[Incident]()
        for new in (self.incidents[id_] for id_ in self.entries if id_ in self.opened):
            # Of what is told to nobody, or left to its parent, no step is due.
            if not self._is_worth_telling(new):
                opened.append(replace(new, next_step_at=None))
            elif self.inhibitor(new):
                opened.append(replace(new, next_step=LEFT, next_step_at=None))
            else:
                opened.append(new)
        changed = tuple((seen, self.incidents[id_]) for id_, seen in self.seen.items())
        entries = tuple(entry for entries in self.entries.values() for entry in entries)
        queued = tuple(message for id_ in self.entries for message in self._messages(id_))
        return TickRecord(
            opened=tuple(opened), changed=changed, entries=entries, queued=queued, escalations=tuple(self.asked)
        )

    def opening(
        self, subject: Subject, finding: StateChange, verticals: Mapping[str, str], fault: DataFault | None
    ) -> Incident:
        """The incident that a finding opens, not recorded: what is tried is not told."""
        to: Rule | Guard = self.catalog.guard if fault else subject.rule
        new = self._incident(subject.rule, to, subject.hash, finding, _place(subject, finding, verticals))
        return replace(new, value=finding.reading.value, n=round(finding.reading.tally.n))

    def _incident(self, rule: WatchRule, to: Rule | Guard, hash_: str, finding: StateChange, place: Place) -> Incident:
        what = _What(finding.incident, finding.slice, finding.event.at, finding.reading.slot)
        return self._opening(rule, to, hash_, what, place)

    def _opening(self, rule: Rule, to: Rule | Guard, hash_: str, what: "_What", place: Place) -> Incident:
        """An incident as it opens. What the data explains goes to the guard's route, whatever its rule says."""
        route = self.catalog.route(to.route)
        vertical, touchpoint, account = place
        return Incident(
            id=what.id,
            rule=rule.name,
            rule_hash=hash_,
            slice=what.slice,
            class_="data" if isinstance(to, Guard) else rule.class_,
            severity=to.severity,
            route=route.name,
            ladder=escalation.snapshot(route),
            vertical=vertical,
            touchpoint=touchpoint,
            account_id=account,
            state="open",
            episode=1,
            opened_at=what.at,
            slot=what.slot,
            resolved_at=None,
            acknowledged_at=None,
            acknowledged_by=None,
            next_step=1,
            next_step_at=escalation.after(route.ladder, 1, self._begins(to.severity, route)),
            value=None,
            n=None,
            origin="live",
            version=1,
        )

    def _begins(self, severity: int, route: Route) -> datetime:
        return escalation.begins(severity, timetable(self.catalog, route, self.zone), self.now)

    def _open(self, new: Incident, reason: str, sample: Mapping[str, Any]) -> None:
        self.incidents[new.id] = new
        self.opened.add(new.id)
        self._enter(new, "opened", reason, new.opened_at, sample)

    def _change(
        self, incident: Incident, kind: str, reason: str, at: datetime, sample: Mapping[str, Any] | None, **values: Any
    ) -> None:
        state = AFTER.get(kind, incident.state)
        over = {} if state == "open" else {"resolved_at": at, "next_step_at": None}
        after = replace(incident, version=incident.version + 1, state=state, **{**values, **over})
        self.incidents[incident.id] = after
        # The version that was read, not the last one: writing compares it, and a tick may change an incident twice.
        if incident.id not in self.opened:
            self.seen.setdefault(incident.id, incident.version)
        self._enter(after, kind, reason, at, sample)

    def _enter(
        self, incident: Incident, kind: str, reason: str, at: datetime, sample: Mapping[str, Any] | None
    ) -> None:
        entry = HistoryEntry(incident.id, incident.version, at, kind, reason, None, self.generation, sample)
        self.entries.setdefault(incident.id, []).append(entry)

    def _messages(self, id_: str) -> Iterable[Queued]:
        incident = self.incidents[id_]
        is_released = any(entry.kind == "released" for entry in self.entries[id_]) and id_ not in self.opened
        if is_released and (id_ not in self.told or id_ in self.moved):
            return (self._root(incident),) if incident.is_open else ()
        if id_ in self.opened:
            is_told = self._is_worth_telling(incident) and self.inhibitor(incident) is None
            return (self._root(incident),) if is_told else ()
        if id_ not in self.told and self.entries[id_][0].kind != "reopened":
            return ()
        messages = thread_messages(incident, self.entries[id_][-1], self.now)
        # While another speaks for it there is no news in its thread; only its root is kept up to date.
        return messages if self.inhibitor(incident) is None else messages[-1:]

    def _root(self, incident: Incident) -> Queued:
        begins = self._begins(incident.severity, self.catalog.route(incident.route))
        return root_message(incident, self.now, begins)

    def inhibitor(self, incident: Incident) -> Incident | None:
        """The open incident that speaks for this one."""
        return escalation.inhibitor_of(incident, self.catalog, (one for one in self.incidents.values() if one.is_open))

    def _is_late(self, incident: Incident) -> bool:
        """Whether an incident was left to its parent, which is over while this one holds."""
        rule = next((r for r in self.catalog.rules if r.name == incident.rule), None)
        if rule is None or rule.inhibited_by is None or not incident.is_open or incident.id in self.opened:
            return False
        # An old case of the first run was left to nobody: it was not worth telling.
        was_left = not rule.is_case or incident.next_step == LEFT
        return was_left and self.inhibitor(incident) is None

    def _is_worth_telling(self, incident: Incident) -> bool:
        return incident.is_open and (not incident.is_case or incident.opened_at >= self.now - FRESH_FOR)


def root_message(incident: Incident, now: datetime, begins: datetime) -> Queued:
    """The incident's own message, due with the first step of its ladder, which counts from `begins`."""
    due = escalation.first(escalation.parse_ladder(incident.ladder), begins)
    return _queued(incident, "root", 0, due, now)


def thread_messages(incident: Incident, last: HistoryEntry, now: datetime) -> tuple[Queued, ...]:
    """What is said of an incident that was told before: the root is brought up to date, and news goes to its thread."""
    update = _queued(incident, "update", incident.version, now, now)
    # A case that grew old is resolved without a sample: nothing happened that anybody waits to hear.
    if last.kind not in PINGS or (last.kind == "resolved" and last.sample is None):
        return (update,)
    return _queued(incident, "reply", incident.version, now, now), update


def _queued(incident: Incident, kind: str, step: int, due: datetime, now: datetime) -> Queued:
    id_ = delivery_id(incident, kind, step, incident.route)
    return Queued(id_, incident.id, incident.episode, kind, step, incident.route, incident.version, due, now)


def _origin(*, first_run: bool) -> str:
    return "backfill" if first_run else "live"


@dataclass(frozen=True, slots=True)
class _What:
    """What opens: its id, its slice, when it was knowable, and the day it stands for."""

    id: str
    slice: str
    at: datetime
    slot: date


def _place(subject: Subject, finding: StateChange, verticals: Mapping[str, str]) -> Place:
    """The vertical, touchpoint and account that an incident lies in, where they are one."""
    where = slice_values(finding.slice)
    account = where.get("account_id")
    vertical = verticals.get(account) if account else _one(subject.rule, where, "vertical")
    return vertical, _one(subject.rule, where, "touchpoint"), account


def _one(rule: WatchRule, where: Mapping[str, str], column: str) -> str | None:
    """The one value that the incident's rows have in a column."""
    if column in where:
        return where[column]
    named = [c.any_of for c in rule.where if c.column == column and c.any_of and len(c.any_of) == 1]
    return str(named[0][0]) if named else None
