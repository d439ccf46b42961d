"""Who is told next of an incident, and when. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from config.catalog import Person, Route, Step
from config.values import duration_text, parse_duration
from queries.incidents import Incident


@dataclass(frozen=True, slots=True)
class Escalation:
    """A step that is due: its place in the ladder, whom it names, and why now."""

    step: int
    notify: str
    reason: str
    next_at: datetime | None


def snapshot(route: Route) -> str:
    """A route's ladder as it is when an incident opens: later edits change no open incident."""
    return json.dumps([{"after": duration_text(step.after), "notify": step.notify} for step in route.ladder])


def ladder(text: str) -> tuple[Step, ...]:
    """A ladder from its snapshot."""
    return tuple(Step(after=parse_duration(step["after"]), notify=step["notify"]) for step in json.loads(text))


def first(steps: Sequence[Step], told_at: datetime) -> datetime:
    """When the root message goes out."""
    return told_at + steps[0].after if steps else told_at


def after(steps: Sequence[Step], step: int, told_at: datetime) -> datetime | None:
    """When the step of that number is due; None past the ladder's end."""
    return told_at + steps[step].after if step < len(steps) else None


def due(incident: Incident, now: datetime) -> Escalation | None:
    """The step that is due now: none once somebody has taken the incident on, or when it is over."""
    at, number, steps = incident.next_step_at, incident.next_step, ladder(incident.ladder)
    if not incident.is_open or incident.acknowledged_at or at is None or at > now or number >= len(steps):
        return None
    told_at = at - steps[number].after
    reason = f"not acknowledged within {duration_text(steps[number].after)}"
    return Escalation(number, steps[number].notify, reason, after(steps, number + 1, told_at))


def named(notify: str, people: Sequence[Person], vertical: str | None) -> tuple[Person, ...]:
    """The people a step names: a person, or the general managers of the incident's vertical."""
    if notify == "gm":
        return tuple(p for p in people if p.audience == "gm" and _answers_for(p, vertical))
    return tuple(p for p in people if p.name == notify)


def _answers_for(person: Person, vertical: str | None) -> bool:
    return person.verticals is None or vertical in person.verticals
