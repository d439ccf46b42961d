"""What a tick found, as the rows that record and tell it. Pure: ids and versions make writing it twice impossible."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.models import Catalog, Guard, Rule, WatchRule
from queries.messages import CaseDigest
from queries.review import timetable
from queries.state import DigestPart, Escalation, HistoryEntry, Incident, Queued, TickRecord
from triggers.data_faults.detectors.history import DataFault
from triggers.evaluation import EventRuleResult, SevereCase, Standing, StateChange
from triggers.incidents import escalation, outgoing
from triggers.incidents.person_budget import Assigned
from triggers.incidents.place import Occurrence, Place, place_of
from triggers.incidents.speakers import part_of, speaker_of, speaks_alone
from triggers.incidents.stored_evidence import stored_evidence
from triggers.rules import Subject

UTC_ZONE: Final = ZoneInfo("UTC")
FRESH_FOR: Final = timedelta(days=7)
"""What the first run finds in the past is told when it still holds, or when it is an event younger than this."""

LONG: Final = timedelta(days=90)
"""What the first run finds open for longer than this is no news: it comes in a digest."""

ORIGINS: Final = "live", "backfill"
LEFT: Final = 0
"""The next step of an incident that its parent speaks for: not even its own message is sent."""

AFTER: Final = {"opened": "open", "reopened": "open", "worsened": "open", "resolved": "resolved", "closed": "closed"}
_HELD: Final = ("acknowledged_at", "acknowledged_by", "assigned_to", "snoozed_until")
OWN: Final = ("class_", "severity", "route", "ladder", "next_step", "next_step_at", "value", "n", *_HELD)
"""What an incident begins anew with when it is handed over."""


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
        digested: the ids of what stood already, and is told in digests.
        gathered: the newest digest of each rule that has its cases told together.
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
    digested: set[str] = field(default_factory=set)
    gathered: Mapping[str, CaseDigest] = field(default_factory=dict)
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
            place = place_of(subject, finding, verticals)
            self._found(subject, finding, fault, place, {**values, "origin": ORIGINS[first_run]}, sample)
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
        reason = f"{event.reason}, explained by a data fault: {fault.reason}" if fault else event.reason
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

    def record_standing(self, subject: Subject, standing: Standing) -> None:
        """Record how a breach stands that the first run found, and that has been open for long."""
        change = standing.change
        incident = self.incidents.get(change.incident)
        if incident is None or incident.id not in self.opened or incident.opened_at > self.now - LONG:
            return
        kind, reason, values = outgoing.how_it_stands(incident, standing, self.catalog, self.zone)
        if kind == outgoing.ALWAYS or not speaks_alone(incident, subject.rule):
            values["next_step_at"] = None
            self.digested.add(incident.id)
        self._change(incident, kind, reason, self.now, stored_evidence(subject, change), **values)

    def record_case(self, found: EventRuleResult, one: SevereCase) -> None:
        """Record a severe case."""
        if one.id in self.existing:
            return
        case, rule = one.case, found.rule
        place = (case.vertical, case.touchpoint, case.account_id)
        what = Occurrence(one.id, case.key, case.knowable_at, one.day)
        new = self._opening(rule, rule, found.version.hash, what, place)
        known = {"happened_at": case.at.isoformat(), "rule_hash": found.version.hash}
        # What is found in a slot, as a fault of the data is, has a day; a row has its moment.
        as_of = {"as_of": case.knowable_at.isoformat()} if found.slot else {}
        sample = {"key": case.key, "account_id": case.account_id, **known, **as_of}
        self._open(replace(new, n=1, origin=ORIGINS[found.first_run]), one.reason, sample)

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
                step = {
                    "next_step": 1,
                    "next_step_at": self._due(incident.route, incident.severity, incident.ladder, 1),
                }
                self._change(incident, "released", "the inhibiting incident has ended", self.now, None, **step)

    def join(self) -> None:
        """Note with each incident that speaks for others which of them opened now, or stood before it did."""
        joined = dict[str, list[Incident]]()
        for incident in tuple(self.incidents.values()):
            if incident.is_open and incident.id not in self.digested and self._is_worth_telling(incident):
                above = self.inhibitor(incident)
                if above is not None and self.opened & {incident.id, above.id}:
                    joined.setdefault(above.id, []).append(incident)
        for id_, parts in joined.items():
            reason = "; ".join(part_of(part, self.catalog, self.zone) for part in parts)
            self._change(self.incidents[id_], "joined", reason, self.now, None)

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
            if not self._is_worth_telling(new) or self._gathers(new):
                opened.append(replace(new, next_step_at=None))
            elif self.inhibitor(new):
                opened.append(replace(new, next_step=LEFT, next_step_at=None))
            else:
                opened.append(new)
        changed = tuple((seen, self.incidents[id_]) for id_, seen in self.seen.items())
        entries = tuple(entry for entries in self.entries.values() for entry in entries)
        queued = tuple(message for id_ in self.entries for message in self._messages(id_))
        digests, parts = self._digests()
        told: dict[str, Any] = {"queued": (*queued, *digests), "parts": parts, "escalations": tuple(self.asked)}
        return TickRecord(opened=tuple(opened), changed=changed, entries=entries, **told)

    def _digests(self) -> tuple[tuple[Queued, ...], tuple[DigestPart, ...]]:
        """What is told together: what stood already, in one message for each channel, and a rule's cases."""
        standing = [self.incidents[id_] for id_ in sorted(self.digested)]
        queued, parts = outgoing.standing_digests(standing, self.catalog, self.now, self.zone)
        gathered = (one for id_ in sorted(self.opened) if self._gathers(one := self.incidents[id_]))
        cases = [one for one in gathered if self._is_worth_telling(one) and self.inhibitor(one) is None]
        more, others = outgoing.case_digests(cases, self.catalog, self.gathered, self.now, self.zone)
        return (*queued, *more), (*parts, *others)

    def opening(
        self, subject: Subject, finding: StateChange, verticals: Mapping[str, str], fault: DataFault | None
    ) -> Incident:
        """The incident that a finding opens, not recorded: what is tried is not told."""
        to: Rule | Guard = self.catalog.guard if fault else subject.rule
        new = self._incident(subject.rule, to, subject.hash, finding, place_of(subject, finding, verticals))
        return replace(new, value=finding.reading.value, n=round(finding.reading.tally.n))

    def _incident(self, rule: WatchRule, to: Rule | Guard, hash_: str, finding: StateChange, place: Place) -> Incident:
        what = Occurrence(finding.incident, finding.slice, finding.event.at, finding.reading.slot)
        return self._opening(rule, to, hash_, what, place)

    def _opening(self, rule: Rule, to: Rule | Guard, hash_: str, what: Occurrence, place: Place) -> Incident:
        """An incident as it opens. What the data explains goes to the guard's route, whatever its rule says."""
        route = self.catalog.route(to.route)
        ladder = escalation.snapshot(route, to.severity)
        vertical, touchpoint, account = place
        return Incident(
            id=what.id,
            rule=rule.name,
            rule_hash=hash_,
            slice=what.slice,
            class_="data" if isinstance(to, Guard) else rule.class_,
            severity=to.severity,
            route=route.name,
            ladder=ladder,
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
            next_step_at=self._due(route.name, to.severity, ladder, 1),
            value=None,
            n=None,
            origin="live",
            version=1,
        )

    def _due(self, route: str, severity: int, ladder: str, step: int) -> datetime | None:
        """When a step is due of a ladder that begins now."""
        table = timetable(self.catalog, self.catalog.route(route), self.zone)
        begins = escalation.begins(severity, table, self.now)
        return escalation.after(escalation.parse_ladder(ladder), step, begins, table)

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
            is_told = self._has_root(incident) and self.inhibitor(incident) is None
            return (self._root(incident),) if is_told else ()
        if id_ not in self.told and self.entries[id_][0].kind != "reopened":
            return ()
        messages = outgoing.thread_messages(incident, self.entries[id_][-1], self.now)
        # While another speaks for it there is no news in its thread; only its root is kept up to date.
        return messages if self.inhibitor(incident) is None else messages[-1:]

    def _root(self, incident: Incident) -> Queued:
        due = self._due(incident.route, incident.severity, incident.ladder, 0)
        return outgoing.root_message(incident, self.now, due or self.now)

    def inhibitor(self, incident: Incident) -> Incident | None:
        """The open incident that speaks for this one: one that was told, is told now, or that its rule names."""
        rule = next((rule for rule in self.catalog.rules if rule.name == incident.rule), None)
        parent = rule.inhibited_by if rule else None
        standing = (one for one in self.incidents.values() if one.is_open)
        heard = [o for o in standing if o.rule == parent or o.id in self.told or self._has_root(o)]
        return speaker_of(incident, self.catalog, heard)

    def _has_root(self, incident: Incident) -> bool:
        """Whether it opened now and is told by itself, so that others can be named in its message."""
        is_digested = incident.id in self.digested or self._gathers(incident)
        return incident.id in self.opened and self._is_worth_telling(incident) and not is_digested

    def _is_late(self, incident: Incident) -> bool:
        """Whether an incident was left to another one, which is over while this one holds."""
        rule = next((r for r in self.catalog.rules if r.name == incident.rule), None)
        if rule is None or not incident.is_open or incident.id in self.opened:
            return False
        # An old case of the first run was left to nobody: it was not worth telling.
        was_left = incident.next_step == LEFT or (rule.inhibited_by is not None and not rule.is_case)
        return was_left and self.inhibitor(incident) is None

    def _gathers(self, incident: Incident) -> bool:
        return any(rule.name == incident.rule and rule.gathers is not None for rule in self.catalog.rules)

    def _is_worth_telling(self, incident: Incident) -> bool:
        return incident.is_open and (not incident.is_case or incident.opened_at >= self.now - FRESH_FOR)
