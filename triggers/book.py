"""What a tick found, as the rows that record and tell it. Pure: ids and versions make writing it twice impossible."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from config.catalog import Catalog, EventRule, ThresholdRule
from queries.cases import Case
from queries.incidents import Entry, Incident, Ledger, Queued, delivery_id
from queries.statistics import estimate
from triggers import escalate
from triggers.replay import Finding, Subject, slice_values

FRESH_FOR: Final = timedelta(days=7)
"""What the first run finds in the past is told when it still holds, or when it is an event younger than this."""

AFTER: Final = {"opened": "open", "reopened": "open", "worsened": "open", "resolved": "resolved", "closed": "closed"}
PINGS: Final = frozenset({"worsened", "resolved", "closed", "escalated", "reopened"})
"""What is worth a message in the thread; everything else only changes the root."""


@dataclass(slots=True)
class Book:
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
    """

    catalog: Catalog
    generation: int
    now: datetime
    incidents: dict[str, Incident]
    told: frozenset[str]
    existing: dict[str, Incident] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    seen: dict[str, int] = field(default_factory=dict)
    entries: dict[str, list[Entry]] = field(default_factory=dict)

    def finding(self, subject: Subject, finding: Finding, *, first_run: bool) -> None:
        """Record a change that the evaluator reported. What was closed by hand stays closed until it recovered."""
        event, sample = finding.event, evidence(subject, finding)
        values = {"value": finding.reading.value, "n": round(finding.reading.tally.n)}
        if event.change == "opened":
            self._found(subject, finding, sample, _origin(first_run=first_run), values)
        elif finding.incident in self.incidents:
            known = values if event.change == "worsened" else {}
            self._change(self.incidents[finding.incident], event.change, event.reason, event.at, sample, **known)

    def _found(
        self, subject: Subject, finding: Finding, sample: Mapping[str, Any], origin: str, values: dict[str, Any]
    ) -> None:
        event, before = finding.event, self.existing.get(finding.incident)
        if before is not None:  # newer data said that its opening slot was no breach, and still newer data that it was
            again = {"episode": before.episode + 1, "resolved_at": None, **values}
            self._change(before, "reopened", event.reason, event.at, sample, **again)
            return
        where = slice_values(finding.slice)
        place = (_one(subject.rule, where, "vertical"), _one(subject.rule, where, "touchpoint"), None)
        slot = finding.reading.slot
        new = self._incident(subject.rule, subject.hash, finding.incident, finding.slice, place, event.at, slot)
        self._open(replace(new, origin=origin, **values), event.reason, sample)

    def case(self, rule: EventRule, hash_: str, id_: str, case: Case, day: date, *, first_run: bool) -> None:
        """Record a severe case."""
        if id_ in self.existing:
            return
        place = (case.vertical, case.touchpoint, case.account_id)
        new = self._incident(rule, hash_, id_, case.key, place, case.knowable_at, day)
        sample = {
            "key": case.key,
            "account_id": case.account_id,
            "happened_at": case.at.isoformat(),
            "rule_hash": hash_,
        }
        self._open(replace(new, n=1, origin=_origin(first_run=first_run)), "a severe case", sample)

    def close(self, incident: Incident, change: str, reason: str, at: datetime) -> None:
        """Record that an incident is over for another reason than its samples."""
        self._change(incident, change, reason, at, None)

    def escalate(self, incident: Incident, due: escalate.Escalation) -> None:
        """Record a step of the ladder that is due."""
        values = {"next_step": due.step + 1, "next_step_at": due.next_at}
        self._change(incident, "escalated", f"{due.notify}: {due.reason}", self.now, None, **values)

    def ledger(self) -> Ledger:
        """The rows to write: incidents with all their changes, and messages for the state they end in."""
        opened = tuple(self.incidents[id_] for id_ in self.entries if id_ in self.opened)
        changed = tuple((seen, self.incidents[id_]) for id_, seen in self.seen.items())
        entries = tuple(entry for entries in self.entries.values() for entry in entries)
        queued = tuple(message for id_ in self.entries for message in self._messages(id_))
        return Ledger(opened=opened, changed=changed, entries=entries, queued=queued)

    def _incident(
        self,
        rule: ThresholdRule | EventRule,
        hash_: str,
        id_: str,
        slice_: str,
        place: tuple[str | None, str | None, str | None],
        at: datetime,
        slot: date,
    ) -> Incident:
        route = self.catalog.route(rule.route)
        vertical, touchpoint, account = place
        return Incident(
            id=id_,
            rule=rule.name,
            rule_hash=hash_,
            slice=slice_,
            class_=rule.class_,
            severity=rule.severity,
            route=route.name,
            ladder=escalate.snapshot(route),
            vertical=vertical,
            touchpoint=touchpoint,
            account_id=account,
            state="open",
            episode=1,
            opened_at=at,
            slot=slot,
            resolved_at=None,
            acknowledged_at=None,
            acknowledged_by=None,
            next_step=1,
            next_step_at=escalate.after(route.ladder, 1, self.now),
            value=None,
            n=None,
            origin="live",
            version=1,
        )

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
        if incident.id not in self.opened:
            self.seen.setdefault(incident.id, incident.version)
        self._enter(after, kind, reason, at, sample)

    def _enter(
        self, incident: Incident, kind: str, reason: str, at: datetime, sample: Mapping[str, Any] | None
    ) -> None:
        entry = Entry(incident.id, incident.version, at, kind, reason, None, self.generation, sample)
        self.entries.setdefault(incident.id, []).append(entry)

    def _messages(self, id_: str) -> Iterable[Queued]:
        incident = self.incidents[id_]
        if id_ in self.opened:
            return (root_message(incident, self.now),) if self._is_worth_telling(incident) else ()
        if id_ not in self.told and self.entries[id_][0].kind != "reopened":
            return ()
        return thread_messages(incident, self.entries[id_][-1], self.now)

    def _is_worth_telling(self, incident: Incident) -> bool:
        is_event = incident.n == 1 and incident.value is None
        return incident.is_open and (not is_event or incident.opened_at >= self.now - FRESH_FOR)


def root_message(incident: Incident, now: datetime) -> Queued:
    """The incident's own message, due with the first step of its ladder."""
    due = escalate.first(escalate.ladder(incident.ladder), now)
    return _queued(incident, "root", 0, due, now)


def thread_messages(incident: Incident, last: Entry, now: datetime) -> tuple[Queued, ...]:
    """What is said of an incident that was told before: the root is brought up to date, and news goes to its thread."""
    update = _queued(incident, "update", incident.version, now, now)
    if last.kind not in PINGS or (last.kind == "resolved" and last.sample is None):
        return (update,)
    return _queued(incident, "reply", incident.version, now, now), update


def _queued(incident: Incident, kind: str, step: int, due: datetime, now: datetime) -> Queued:
    id_ = delivery_id(incident, kind, step, incident.route)
    return Queued(id_, incident.id, incident.episode, kind, step, incident.route, incident.version, due, now)


def _origin(*, first_run: bool) -> str:
    return "backfill" if first_run else "live"


def _one(rule: ThresholdRule, where: Mapping[str, str], column: str) -> str | None:
    """The one value that the incident's rows have in a column."""
    if column in where:
        return where[column]
    named = [c.any_of for c in rule.where if c.column == column and c.any_of and len(c.any_of) == 1]
    return str(named[0][0]) if named else None


def evidence(subject: Subject, finding: Finding) -> dict[str, Any]:
    """A reading as it is stored with its event: enough to compute the figures again."""
    reading, rule = finding.reading, subject.rule
    figures = estimate(subject.metric, reading.tally, reading.deff)
    ends = (None, None) if subject.is_quantile else (figures.low, figures.high)
    return {
        "metric": rule.metric,
        "slice": finding.slice,
        "since": (reading.slot - rule.window).isoformat(),
        "until": reading.slot.isoformat(),
        "as_of": finding.event.at.isoformat(),
        "tally": [reading.tally.n, reading.tally.plus, reading.tally.minus, reading.tally.total, reading.tally.squares],
        "value": reading.value,
        "low": ends[0],
        "high": ends[1],
        "limit": rule.limit,
        "recover": rule.recover,
        "deff": reading.deff,
        "p": reading.p,
        "alpha": reading.alpha,
        "rule_hash": subject.hash,
    }
