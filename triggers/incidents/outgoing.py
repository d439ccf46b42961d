"""The messages that follow from incidents: one of their own, news in its thread, or a place in a digest. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid5
from zoneinfo import ZoneInfo

from config.models import Catalog
from queries.messages import CASES, STANDING, CaseDigest
from queries.review import timetable
from queries.state import DECIDED, NAMESPACE, DigestPart, HistoryEntry, Incident, Queued, delivery_id
from triggers.evaluation import Standing
from triggers.incidents.escalation import begins, snapshot

ALWAYS: Final = "always"
"""The kind of entry of a level that lay beyond its limit for as long as there is data."""

PINGS: Final = frozenset(
    {"worsened", "resolved", "closed", "escalated", "reopened", "reassigned", "lapsed", "woken", "released", "joined"}
).union(DECIDED)
"""What is worth a message in the thread; everything else only changes the root."""


def root_message(incident: Incident, now: datetime, due: datetime) -> Queued:
    """The incident's own message, due with the first step of its ladder."""
    return _queued(incident, "root", 0, due, now)


def thread_messages(incident: Incident, last: HistoryEntry, now: datetime) -> tuple[Queued, ...]:
    """What is said of an incident that was told before: the root is brought up to date, and news goes to its thread."""
    update = _queued(incident, "update", incident.version, now, now)
    # A case that grew old is closed by nobody: nothing happened that anybody waits to hear.
    if last.kind not in PINGS or (last.kind == "closed" and incident.is_case and last.author is None):
        return (update,)
    return _queued(incident, "reply", incident.version, now, now), update


def _queued(incident: Incident, kind: str, step: int, due: datetime, now: datetime) -> Queued:
    id_ = delivery_id(incident, kind, step, incident.route)
    return Queued(id_, incident.id, incident.episode, kind, step, incident.route, incident.version, due, now)


def standing_digests(
    standing: Sequence[Incident], catalog: Catalog, now: datetime, zone: ZoneInfo
) -> tuple[tuple[Queued, ...], tuple[DigestPart, ...]]:
    """One message to each channel for what stood when its rule was first looked at, in place of the incidents' own."""
    channels = dict[str, list[Incident]]()
    for incident in standing:
        route = catalog.route(incident.route)
        channels.setdefault(route.channel or route.name, []).append(incident)
    queued, parts = list[Queued](), list[DigestPart]()
    for told in channels.values():
        route = catalog.route(told[0].route)
        due = begins(max(one.severity for one in told), timetable(catalog, route, zone), now)
        id_ = str(uuid5(NAMESPACE, json.dumps(["standing", route.name, now.isoformat()])))
        roots, mine = _parts(id_, told, now, due)
        queued += [Queued(id_, id_, 1, "digest", STANDING, route.name, 1, due, now), *roots]
        parts += mine
    return tuple(queued), tuple(parts)


def case_digests(
    cases: Sequence[Incident], catalog: Catalog, newest: Mapping[str, CaseDigest], now: datetime, zone: ZoneInfo
) -> tuple[tuple[Queued, ...], tuple[DigestPart, ...]]:
    """The cases of each rule in one message: its newest while that waits, or a new one once it is time for that."""
    queued, parts = list[Queued](), list[DigestPart]()
    for rule in (rule for rule in catalog.rules if rule.gathers is not None):
        own = [case for case in cases if case.rule == rule.name]
        if not own or rule.gathers is None:
            continue
        last, table = newest.get(rule.name), timetable(catalog, catalog.route(rule.route), zone)
        due = begins(rule.severity, table, now)
        if last is not None and last.waits:
            id_ = last.id
        else:
            due = max(due, last.due_at + rule.gathers) if last else due
            id_ = str(uuid5(NAMESPACE, json.dumps(["cases", rule.name, due.isoformat()])))
            queued.append(Queued(id_, id_, 1, "digest", CASES, own[0].route, 1, due, now))
        roots, mine = _parts(id_, own, now, due)
        queued += roots
        parts += mine
    return tuple(queued), tuple(parts)


def _parts(
    digest: str, incidents: Sequence[Incident], now: datetime, due: datetime
) -> tuple[list[Queued], list[DigestPart]]:
    """The incidents' own messages, in whose place a digest is sent, and what they are of it."""
    roots = [replace(root_message(incident, now, due), state="superseded") for incident in incidents]
    return roots, [DigestPart(root.id, digest, root.incident_id, "root") for root in roots]


def how_it_stands(
    incident: Incident, standing: Standing, catalog: Catalog, zone: ZoneInfo
) -> tuple[str, str, dict[str, Any]]:
    """The kind of entry for what stood before anybody was told, its reason, and the incident's fields that change.

    A level that lay beyond its limit for as long as there is data is nobody's emergency: it goes to whom the guard
    tells.
    """
    if not standing.always or incident.class_ == "data":
        since = f"{incident.opened_at.astimezone(zone):%-d %B %Y}"
        return "standing", f"it has stood since {since}, before anybody was notified", {}
    route = catalog.route(catalog.guard.route)
    values = {"route": route.name, "ladder": snapshot(route, incident.severity)}
    return ALWAYS, "it has been like this for as long as there is data", values
