"""Who is told next of an incident, and when. Pure.

While nobody has taken an incident on, its ladder goes up step by step. A snooze stops it until its time; an
acknowledgement stops it until the route's ack_timeout. Outside the route's hours steps wait, fold into one, or are
dropped; severity 1 goes through.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.models import Catalog, Person, Route, called, duration_text, parse_duration
from queries.engine import day_of
from queries.messages import Silence, silenced
from queries.metrics import day_words, listed
from queries.review import Timetable, solve_by, timetable
from queries.state import HistoryEntry, Incident, slice_values
from triggers.incidents.access import may_name_accounts, may_read
from triggers.incidents.speakers import speaker_of

STEPS: Final = frozenset({"escalated", "deferred", "digested", "skipped"})
"""The kinds of entry that stand for a step of the ladder."""

NAMED: Final = frozenset({"lapsed", "woken", "reassigned"})
"""The kinds of entry that are told to whose incident it is."""

LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """What happens to an incident because of the time: an entry of its history and the fields that it changes.

    Args:
        kind: escalated (a step is told), digested (told with another incident), skipped (not told), lapsed (whoever
            took it on had their time) or woken (its snooze is over).
        changes: the incident's fields and their new values.
        late: whether the step waited for the route's hours.
        to: whom a step names: `channel`, `gm` or a person.
    """

    kind: str
    reason: str
    changes: Mapping[str, Any]
    late: bool = False
    to: str = ""


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder that an incident of one severity has: how long after its opening, and whom it tells."""

    after: timedelta
    notify: str


def snapshot(route: Route, severity: int) -> str:
    """A route's ladder as it is when an incident opens: later edits change no open incident."""
    rungs = ({"after": duration_text(step.after[severity - 1]), "notify": step.notify} for step in route.ladder)
    return json.dumps([*rungs])


def parse_ladder(text: str) -> tuple[Rung, ...]:
    """A ladder from its snapshot."""
    return tuple(Rung(parse_duration(step["after"]), step["notify"]) for step in json.loads(text))


def begins(severity: int, table: Timetable, now: datetime) -> datetime:
    """From when on a ladder counts: now, or from the route's next opening; severity 1 waits for nobody."""
    return now if severity == 1 else table.next_opening(now)


def after(steps: Sequence[Rung], step: int, told_at: datetime, table: Timetable) -> datetime | None:
    """When the step of that number is due; None past the ladder's end."""
    return table.after(told_at, steps[step].after) if step < len(steps) else None


def resumed(incident: Incident, now: datetime, table: Timetable) -> datetime | None:
    """When the next step is due for an incident that is nobody's again: as long from now as between the two steps."""
    return _next(parse_ladder(incident.ladder), incident.next_step, now, table)


def _next(steps: Sequence[Rung], number: int, now: datetime, table: Timetable) -> datetime | None:
    if number >= len(steps):
        return None
    # Counted from now and not from the opening: after a long snooze all steps would be due at once.
    return table.after(now, steps[number].after, steps[number - 1].after) if number else now


def due_step(
    incident: Incident, route: Route, table: Timetable, now: datetime, people: Sequence[Person] = ()
) -> EscalationStep | None:
    """What the time has come for: nothing while somebody has it, it is snoozed, it is over, or nobody is at work.

    `people` are for their names alone.
    """
    if not incident.is_open:
        return None
    move: EscalationStep | None
    # A snooze comes before an acknowledgement: whoever puts off what they have taken on is told when its time is over.
    if incident.snoozed_until is not None:
        if incident.snoozed_until > now:
            return None
        move = EscalationStep("woken", "it is still open", {"snoozed_until": None, **_nobodys(incident, now, table)})
    elif incident.acknowledged_at is not None:
        if route.ack_timeout is None or table.after(incident.acknowledged_at, route.ack_timeout) > now:
            return None
        who = called(incident.acknowledged_by, people)
        reason = f"{who} acknowledged it {table.length_words(route.ack_timeout)} ago, and it is still open"
        move = EscalationStep("lapsed", reason, _nobodys(incident, now, table))
    else:
        move = _step(incident, route, table, now, people)
    # What is skipped is told to nobody, so it need not wait until somebody is at work; severity 1 waits for nobody.
    if move is None or move.kind == "skipped" or incident.severity == 1 or table.is_open(now):
        return move
    return None


def _nobodys(incident: Incident, now: datetime, table: Timetable) -> dict[str, Any]:
    return {"acknowledged_at": None, "acknowledged_by": None, "next_step_at": resumed(incident, now, table)}


def _step(
    incident: Incident, route: Route, table: Timetable, now: datetime, people: Sequence[Person]
) -> EscalationStep | None:
    at, number, steps = incident.next_step_at, incident.next_step, parse_ladder(incident.ladder)
    if at is None or at > now or number >= len(steps):
        return None
    is_late = incident.severity != 1 and not table.is_open(at)
    notify = steps[number].notify
    whom = _called(notify, people, incident.vertical)
    changes = {"next_step": number + 1, "next_step_at": _next(steps, number + 1, now, table)}
    if is_late and route.outside == "drop":
        return EscalationStep("skipped", f"no notification to {whom}: outside business hours", changes, is_late, notify)
    why = f"nobody acknowledged it within {table.length_words(steps[number].after)}"
    waited = "; held until business hours" if is_late else ""
    return EscalationStep("escalated", f"to {whom}: {why}{waited}", changes, is_late, notify)


def _called(notify: str, people: Sequence[Person], vertical: str | None) -> str:
    """Whom a step names, as a sentence says it: `the general manager, Ben Okafor`."""
    known = named_people(notify, people, vertical)
    labels = [called(person.name, known) for person in known]
    # A label that is a role says itself what a name needs to have said of it.
    if notify == "gm" and labels == [person.label for person in known]:
        role = f"the general manager{'s' if labels[1:] else ''}"
        return f"{role}, {listed(labels)}" if labels else role
    return "this channel" if notify == "channel" else listed(labels or [notify])


def due_steps(
    incidents: Iterable[Incident], catalog: Catalog, zone: ZoneInfo, now: datetime
) -> tuple[tuple[Incident, EscalationStep], ...]:
    """What the time has come for, over all incidents; steps that waited fold into one where their route says so."""
    routes = {route.name: route for route in catalog.routes}
    tables = {name: timetable(catalog, route, zone) for name, route in routes.items()}
    steps = list[tuple[Incident, EscalationStep]]()
    for incident in incidents:
        route = routes.get(incident.route) or Route(name=incident.route)
        move = due_step(incident, route, tables.get(route.name) or Timetable(zone), now, catalog.people)
        if move is not None:
            steps.append((incident, move))
    return _folded(steps, {name: route for name, route in routes.items() if route.outside == "digest"}, catalog)


def _folded(
    steps: Sequence[tuple[Incident, EscalationStep]], digests: Mapping[str, Route], catalog: Catalog
) -> tuple[tuple[Incident, EscalationStep], ...]:
    """Of the steps that waited for the same people only the worst incident's is told, and names the others."""
    groups = dict[tuple[str, ...], list[tuple[Incident, EscalationStep]]]()
    kept = list[tuple[Incident, EscalationStep]]()
    for incident, move in steps:
        if move.late and move.kind == "escalated" and incident.route in digests:
            whom = (incident.route, move.to, incident.vertical or "" if move.to == "gm" else "")
            groups.setdefault(whom, []).append((incident, move))
        else:
            kept.append((incident, move))
    for (route, *_), group in groups.items():
        kept += _fold(group, digests[route], catalog)
    return tuple(kept)


def _fold(
    group: list[tuple[Incident, EscalationStep]], route: Route, catalog: Catalog
) -> Iterable[tuple[Incident, EscalationStep]]:
    (worst, told), *others = sorted(group, key=lambda step: (step[0].severity, step[0].opened_at, step[0].id))
    if not others:
        return group
    readers: tuple[Person | Route, ...] = (route, *named_people(told.to, catalog.people, worst.vertical))
    labels = {rule.name: rule.label or rule.name for rule in catalog.rules}
    names = list[str]()
    for other, _ in others[:LISTED]:
        # With its slice only where everybody who reads it in another one's message may see it.
        is_account = other.account_id is not None or "account_id=" in other.slice
        may_be_told = all(may_read(reader, other) for reader in readers) and (
            may_name_accounts(route) or not is_account
        )
        label = labels.get(other.rule, other.rule)
        where = other.vertical if other.is_case else ", ".join(slice_values(other.slice).values())
        names.append(f"{label} ({where})" if where and may_be_told else label)
    more = f" and {len(others) - LISTED} more" if len(others) > LISTED else ""
    number = f"{len(others)} {'other' if len(others) == 1 else 'others'}"
    reason = f"{told.reason}, together with {number}: {', '.join(names)}{more}"
    silent = [
        (
            other,
            replace(m, kind="digested", reason=f"together with the incident of {labels.get(worst.rule, worst.rule)}"),
        )
        for other, m in others
    ]
    return [(worst, replace(told, reason=reason)), *silent]


def named_people(notify: str, people: Sequence[Person], vertical: str | None) -> tuple[Person, ...]:
    """The people a step names: a person, or the general managers of the incident's vertical."""
    if notify == "gm":
        # An incident of the whole company has no vertical: it is for those who answer for all of them.
        return tuple(p for p in people if p.audience == "gm" and (p.verticals is None or vertical in p.verticals))
    return tuple(p for p in people if p.name == notify)


def addressed(
    incident: Incident, entries: Sequence[HistoryEntry], entry: HistoryEntry, people: Sequence[Person]
) -> tuple[Person, ...]:
    """The people whom one entry of an incident's history is told to by name."""
    if entry.kind in NAMED:
        return tuple(p for p in people if p.name == incident.assigned_to)
    if entry.kind not in STEPS:
        return ()
    steps = parse_ladder(incident.ladder)
    number = sum(one.kind in STEPS and one.seq <= entry.seq for one in entries)
    return named_people(steps[number].notify, people, incident.vertical) if number < len(steps) else ()


def due_sentence(
    incident: Incident, route: Route, table: Timetable, people: Sequence[Person], now: datetime | None
) -> str:
    """By when somebody should take it on, who is notified then, and by when it should be solved; empty once it is over.

    What the first run found in the past has no time to be solved by: that would be over before anybody heard of it.
    """
    if not incident.is_open:
        return ""
    by = solve_by(route, incident.severity, incident.opened_at, table) if incident.origin == "live" else None
    said = [_acknowledge_by(incident, table, people, now)]
    if by:
        is_late = by < day_of(now or incident.opened_at, table.zone)
        said.append(f"It {'was' if is_late else 'is'} to be solved by {_on_day(by)}.")
    return " ".join(filter(None, said))


def _on_day(day: date) -> str:
    return f"{day:%A} {day_words(day)}"


def _acknowledge_by(incident: Incident, table: Timetable, people: Sequence[Person], now: datetime | None) -> str:
    """By when somebody should take it on, and who is notified then; empty where somebody has."""
    if incident.snoozed_until:
        return "When the snooze ends, it must be acknowledged again if it is still open."
    if incident.acknowledged_at:
        return ""
    steps, number = parse_ladder(incident.ladder), incident.next_step
    if incident.next_step_at is None or number >= len(steps):
        today = f"today ({_on_day(day_of(now, table.zone))})" if now else "today"
        if number > 1:
            return f"Now overdue: please acknowledge it {today}. There is no further escalation."
        return f"Please acknowledge it {today}. It will not be escalated to anyone else."
    # What waits until somebody is at work is told then; severity 1 waits for nobody.
    at = incident.next_step_at if incident.severity == 1 else table.next_opening(incident.next_step_at)
    day = day_of(at, table.zone)
    on = f"today ({_on_day(day)})" if now and day == day_of(now, table.zone) else f"on {_on_day(day)}"
    by = f"{at.astimezone(table.zone):%H:%M %Z} {on}"
    notify = steps[number].notify
    who = _called(notify, people, incident.vertical)
    are = "are" if len(named_people(notify, people, incident.vertical)) > 1 else "is"
    return f"Please acknowledge it by {by}; after that, {who}{',' if ', ' in who else ''} {are} notified."


def overdue_steps(
    standing: Sequence[Incident],
    silences: Sequence[Silence],
    catalog: Catalog,
    zone: ZoneInfo,
    now: datetime,
    late: timedelta,
) -> tuple[datetime, ...]:
    """Since when each step is due that was due `late` ago and is not taken, the oldest first.

    A step waits rightly while somebody has the incident, while it is snoozed or silenced, while another incident speaks
    for it, and while nobody is at work.

    Args:
        standing: the incidents that are open, or were open `late` ago.
        silences: those that are not over, or were not `late` ago.
        catalog: routes, rules and holidays.
        zone: of routes that name none.
        now: aware UTC.
        late: how long a step may wait for the next tick.
    """
    then = now - late
    # Those that spoke for themselves then: what a parent has left since is for the next tick to tell.
    speaking = (one for one in standing if one.is_open and speaker_of(one, catalog, standing) is None)
    # Both ends are asked: a silence that ended a moment ago held the step back, and the next tick will take it.
    heard = (i for i in speaking if not any(silenced(i, silences, at) for at in (then, now)))
    routes = {route.name: route for route in catalog.routes}
    overdue = list[datetime]()
    for incident, move in due_steps(heard, catalog, zone, then):
        route = routes.get(incident.route) or Route(name=incident.route)
        table = timetable(catalog, route, zone)
        at = _time(incident, move, route, table)
        goes_through = move.kind == "skipped" or incident.severity == 1
        overdue.append(at if goes_through else table.next_opening(at))
    return tuple(sorted(overdue))


def _time(incident: Incident, move: EscalationStep, route: Route, table: Timetable) -> datetime:
    """When the time for a step had come, whether or not anybody was at work."""
    if move.kind == "woken" and incident.snoozed_until:
        return incident.snoozed_until
    if move.kind == "lapsed" and incident.acknowledged_at and route.ack_timeout:
        return table.after(incident.acknowledged_at, route.ack_timeout)
    return incident.next_step_at or incident.opened_at
