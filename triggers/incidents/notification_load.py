"""Whose attention an incident asks for while nobody takes it on: its channel first, then its ladder. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from config.models import Catalog, Route
from queries.review import Timetable, timetable
from queries.state import Incident
from triggers.incidents import escalation
from triggers.incidents.speakers import speaker_of


@dataclass(frozen=True, slots=True)
class Notification:
    """One time that somebody is told of an incident. `reader` is a person, or `channel ROUTE` for who reads that.

    What `is_gathered` is told in one message with all else that its rule tells at that time.
    """

    reader: str
    at: datetime
    incident: str
    rule: str
    is_gathered: bool = False


@dataclass(frozen=True, slots=True)
class NotificationLoad:
    """What rules ask of one reader: how often in all, in a week on average, and in the busiest week."""

    reader: str
    told: int
    a_week: float
    busiest: int


def channel(route: str) -> str:
    """The reader that stands for everybody in a route's channel."""
    return f"channel {route}"


def notifications(
    incidents: Sequence[Incident], catalog: Catalog, zone: ZoneInfo, until: datetime
) -> tuple[Notification, ...]:
    """Everybody who would be told of these incidents by `until`, were nobody to take one on, in order of time.

    An incident is left to the one that inhibits it for as long as that is open. What the data explains goes to the
    guard's route, for that is the route that its incident has.
    """
    routes = {route.name: route for route in catalog.routes}
    tables = {name: timetable(catalog, route, zone) for name, route in routes.items()}
    found, places = list[Notification](), dict[tuple[str | None, str | None], list[Incident]]()
    parents = {rule.inhibited_by for rule in catalog.rules}
    for one in incidents:
        places.setdefault((one.vertical, one.account_id), []).append(one)
    above = [one for one in incidents if one.rule in parents]
    gathering = {rule.name: rule.gathers for rule in catalog.rules if rule.gathers is not None}
    cases = dict[str, list[Incident]]()
    for one in incidents:
        since = _told_from(one, catalog, (*above, *places[one.vertical, one.account_id]))
        if since is not None and one.rule in gathering:
            cases.setdefault(one.rule, []).append(replace(one, opened_at=since))
        elif since is not None:
            route = routes.get(one.route) or Route(name=one.route)
            found += _climbed(replace(one, opened_at=since), catalog, route, tables.get(route.name), until)
    for name, own in cases.items():
        at = datetime.min.replace(tzinfo=UTC)
        for one in sorted(own, key=lambda case: case.opened_at):
            # At once where none was told for so long; else with the next one that is due.
            if one.opened_at > at:
                at = max(one.opened_at, at + gathering[name]) if at.year > 1 else one.opened_at
            found.append(Notification(channel(one.route), at, one.id, name, is_gathered=True))
    return tuple(sorted((one for one in found if one.at < until), key=lambda one: (one.at, one.incident, one.reader)))


def _told_from(one: Incident, catalog: Catalog, near: Sequence[Incident]) -> datetime | None:
    """From when on an incident is told for itself; None where what speaks for it outlasts it."""
    since = one.opened_at
    while True:
        holding = [i for i in near if i.opened_at <= since and (i.resolved_at is None or i.resolved_at > since)]
        speaker = speaker_of(one, catalog, holding)
        if speaker is None:
            return since if one.resolved_at is None or since < one.resolved_at else None
        if speaker.resolved_at is None:
            return None
        since = speaker.resolved_at


def _climbed(
    one: Incident, catalog: Catalog, route: Route, table: Timetable | None, until: datetime
) -> Iterator[Notification]:
    """The root message and the steps of the ladder, by the functions that live ticks climb it with."""
    table = table or Timetable(ZoneInfo("UTC"))
    steps, over = escalation.parse_ladder(one.ladder), one.resolved_at or until
    begins = escalation.begins(one.severity, table, one.opened_at)
    at = escalation.after(steps, 0, begins, table) or begins
    if at < over:
        yield Notification(channel(route.name), at, one.id, one.rule)
    due = escalation.after(steps, 1, begins, table)
    present = replace(one, state="open", next_step=1, next_step_at=due, acknowledged_at=None, snoozed_until=None)
    while present.next_step_at is not None and present.next_step_at < over:
        at = present.next_step_at
        move = escalation.due_step(present, route, table, at)
        if move is None:  # nobody is at work then
            at = table.next_opening(at)
            move = escalation.due_step(present, route, table, at)
        if move is None or at >= over:
            return
        if move.kind == "escalated":
            people = escalation.named_people(move.to, catalog.people, one.vertical)
            readers = (channel(route.name),) if move.to == "channel" else tuple(person.name for person in people)
            yield from (Notification(reader, at, one.id, one.rule) for reader in readers)
        present = replace(present, **move.changes)


def notification_loads(told: Iterable[Notification], since: date, until: date) -> tuple[NotificationLoad, ...]:
    """What each reader is asked for in [since, until), who is asked most first."""
    weeks = max((until - since) / timedelta(weeks=1), 1.0)
    by_reader: dict[str, list[Notification]] = {}
    for one in told:
        by_reader.setdefault(one.reader, []).append(one)
    loads = list[NotificationLoad]()
    for reader, all_notes in by_reader.items():
        notes = list({(note.rule, note.at) if note.is_gathered else note: note for note in all_notes}.values())
        # By ISO year and week: week 1 of two years is not one week.
        calendar = Counter(note.at.isocalendar()[:2] for note in notes)
        loads.append(NotificationLoad(reader, len(notes), len(notes) / weeks, max(calendar.values())))
    return tuple(sorted(loads, key=lambda load: (-load.told, load.reader)))


def by_incident(told: Iterable[Notification]) -> Mapping[str, tuple[str, ...]]:
    """Who is told of each incident, in the order in which they are."""
    found: dict[str, tuple[str, ...]] = {}
    for one in told:
        readers = found.get(one.incident, ())
        found[one.incident] = readers if one.reader in readers else (*readers, one.reader)
    return found
