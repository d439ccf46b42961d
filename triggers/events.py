"""Find the severe cases of event rules: each opens one incident, once, for ever."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from config.catalog import EventRule
from queries.cases import Case, cases
from queries.incidents import incident_id
from queries.scope import EVERYTHING
from triggers.memory import Memory
from triggers.slots import midnight
from triggers.tasks import Moment
from triggers.versions import Version, version


@dataclass(frozen=True, slots=True)
class Found:
    """A severe case with its incident's id, and the day in the reporting zone on which it became known."""

    id: str
    case: Case
    day: date


@dataclass(frozen=True, slots=True)
class Severe:
    """What one event rule found."""

    rule: EventRule
    version: Version
    first_run: bool
    cases: tuple[Found, ...]


def find(conn: Connection, rule: EventRule, memory: Memory, moment: Moment) -> Severe:
    """The severe cases that were knowable at the moment: all of the past on a first run, else back to `scan_back`."""
    first_run = rule.name not in memory.slots
    found = cases(conn, rule, EVERYTHING, rule.settle, _since(rule, memory, moment), moment.now)
    named = (Found(incident_id(rule.name, c.key, None), c, c.knowable_at.astimezone(moment.zone).date()) for c in found)
    return Severe(rule, version(rule, None), first_run, tuple(named))


def _since(rule: EventRule, memory: Memory, moment: Moment) -> datetime | None:
    """Late rows lie before what was scanned already: look behind it as far as the rule says."""
    if rule.name not in memory.slots:
        return None
    newest, _ = memory.slots[rule.name]
    return midnight(newest, moment.zone) - rule.scan_back
