"""Find the severe cases of event rules: each opens one incident, once, for ever."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from config.models import Catalog, EventRule, Rule
from queries.monitoring.severe_cases import Case, cases
from queries.state import incident_id
from queries.warehouse import EVERYTHING
from triggers.rules import Moment, PreviousState, Version, midnight, version


@dataclass(frozen=True, slots=True)
class SevereCase:
    """A severe case with its incident's id, the day in the reporting zone on which it became known, and what it is."""

    id: str
    case: Case
    day: date
    reason: str = "a severe case"


@dataclass(frozen=True, slots=True)
class EventRuleResult:
    """What one event rule found. `scanned` is false where nothing new can be there; without a `slot` it is of today."""

    rule: Rule
    version: Version
    first_run: bool
    scanned: bool
    cases: tuple[SevereCase, ...]
    slot: date | None = None


def event_rules(catalog: Catalog) -> tuple[EventRule, ...]:
    """Those that are turned on."""
    return tuple(rule for rule in catalog.rules if isinstance(rule, EventRule) and rule.enabled)


def find_cases(conn: Connection, rule: EventRule, memory: PreviousState, moment: Moment) -> EventRuleResult:
    """The severe cases that were knowable at the moment: all of the past on a first run, else back to `scan_back`."""
    first_run, of = rule.name not in memory.slots, version(rule)
    if _is_exhausted(rule, memory, moment):
        return EventRuleResult(rule, of, first_run, scanned=False, cases=())
    newest = memory.slots.get(rule.name)
    # Late rows lie before what was scanned already: look behind it as far as the rule says.
    since = midnight(newest.slot, moment.zone) - rule.scan_back if newest else None
    found = cases(conn, rule, EVERYTHING, rule.settle, since, moment.now)
    named = (
        SevereCase(incident_id(rule.name, c.key, None), c, c.knowable_at.astimezone(moment.zone).date()) for c in found
    )
    return EventRuleResult(rule, of, first_run, scanned=True, cases=tuple(named))


def _is_exhausted(rule: EventRule, memory: PreviousState, moment: Moment) -> bool:
    """Whether the data was scanned whole. Where a rule waits, or a past moment is replayed, time alone adds cases."""
    newest = memory.slots.get(rule.name)
    if newest is None or rule.settle or newest.generation != moment.generation:
        return False
    return moment.published_at <= newest.evaluated_at <= moment.now
