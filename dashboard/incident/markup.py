"""An incident as HTML; the templates are in `macros.html`. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from config.models import DATA_FAULT, DECEIVES, Catalog, Person, Rule, Step, duration_text
from dashboard.incident.charts import Reference
from dashboard.markup import SEVERITIES, day_words, macros
from queries.metrics.formatting import count, figure, half_width, interval
from queries.review.incident_page import IncidentPage
from queries.review.read import label_of, slice_words
from queries.state import Action, HistoryEntry, Incident
from triggers.evaluation.kinds.registry import kind_of
from triggers.evaluation.kinds.words import sentence_start
from triggers.messages import card as messages_card
from triggers.messages.card import Card, called

UTC: Final = ZoneInfo("UTC")
_MACROS: Final = macros("incident/macros.html")


@dataclass(frozen=True, slots=True)
class Terms:
    """What people and times are called: the same as in Slack. `zone` is the reporting zone."""

    people: Sequence[Person] = ()
    zone: ZoneInfo = UTC

    def name(self, name: str | None) -> str:
        """How people read somebody's name."""
        return called(self.people, name)

    def day(self, at: datetime) -> str:
        """The day of an instant: `3 October 2026`."""
        return day_words(at.astimezone(self.zone))

    def moment(self, at: datetime) -> str:
        """An instant as it is read: `3 October 2026, 07:30 UTC`."""
        return f"{self.day(at)}, {at.astimezone(self.zone):%H:%M %Z}"


def state(found: Incident, terms: Terms) -> str:
    """Where an incident stands, in words: over, taken on, put off, handed to somebody, or nobody's."""
    if not found.is_open:
        return f"{found.state} on {terms.day(found.resolved_at)}" if found.resolved_at else found.state
    if found.snoozed_until:
        return f"open, put off by {terms.name(found.assigned_to)} until {terms.moment(found.snoozed_until)}"
    if found.acknowledged_at:
        return f"open, taken on by {terms.name(found.acknowledged_by)}"
    return f"open, waits for {terms.name(found.assigned_to)}" if found.assigned_to else "open, nobody has it"


def incident_title(found: Incident, rule: Rule | None) -> str:
    """What the incident is about; of a fault of the data, which kind: its key begins with it."""
    if found.rule == DATA_FAULT:
        return f"{DECEIVES}: {found.slice.partition('|')[0].replace('-', ' ')}"
    return (rule.label if rule else "") or found.rule


def incident_where(found: Incident, account: str | None) -> str:
    """Where it is: its slice, or the vertical and account of a case."""
    if found.is_case or (found.account_id and found.account_id in found.slice):
        return ", ".join(part for part in (account, found.vertical, found.touchpoint) if part) or "All verticals"
    return slice_words(found.slice)


def incident_header(page: IncidentPage, account: str | None, terms: Terms) -> Markup:
    """What, where, how serious and where it stands."""
    incident = page.incident
    headline = f"{incident_title(incident, page.rule)} – {incident_where(incident, account)}"
    attention = incident.is_open and not (incident.acknowledged_at or incident.snoozed_until)
    words = sentence_start(state(incident, terms))
    return _MACROS.incident_header(f"Incident · {SEVERITIES[incident.severity]}", headline, words, attention)


def evidence_section(page: IncidentPage, card: Card | None) -> Markup:
    """The card that Slack shows too: the figure with its interval, then what it was made of."""
    facts = _figures(page)
    if card:
        facts += [(fact.label, fact.text) for fact in messages_card.facts(card) if fact.label not in ELSEWHERE]
    main = facts[0][0] if page.metric else ""
    return _MACROS.evidence(facts, main, messages_card.provenance(card) if card else "")


ELSEWHERE: Final = frozenset({"Where", "Severity", "What to do"})
"""Lines of the card that stand elsewhere on the page."""


def _figures(page: IncidentPage) -> list[tuple[str, str]]:
    metric, sample = page.metric, page.sample
    if metric is None:
        heard = kind_of(page.rule).finding(None, sample) if page.rule else None
        return [("Heard", heard)] if heard else []
    low, high, against = sample.get("low"), sample.get("high"), reference_of(page.rule, sample)
    n = (sample.get("tally") or [page.incident.n or 0])[0]
    return [
        (metric.label, figure(metric, sample.get("value", page.incident.value), half_width(low, high))),
        ("95% interval", interval(metric, low, high)),
        ("Cases", f"n = {count(round(n))}"),
        (sentence_start(against.name), against.figure(metric)) if against else ("", ""),
    ]


def reference_of(rule: Rule | None, sample: Mapping[str, Any]) -> Reference | None:
    """What an incident's figure was held against when it was last looked at; None where there is no such figure."""
    held = kind_of(rule).held(sample) if rule else None
    return Reference(held.name, held.value, is_written=held.is_written) if held else None


def runbook(rule: Rule | None) -> Markup:
    """What to do, as the rule's owner wrote it."""
    return _MACROS.runbook(rule.runbook) if rule and rule.runbook else Markup()


def history_section(entries: Iterable[HistoryEntry], terms: Terms) -> Markup:
    """What happened to it, newest first, in the words that Slack has for it."""
    return _MACROS.history(
        (
            terms.moment(entry.at),
            messages_card.news(entry.kind),
            entry.reason,
            entry.author and terms.name(entry.author),
        )
        for entry in reversed([*entries])
    )


def ladder_section(incident: Incident, catalog: Catalog, terms: Terms) -> Markup:
    """Who is told when, and what has been told."""
    # The ladder that the incident was opened with: the rule's may have changed since, and this one is climbed on.
    steps = [Step(after=step["after"], notify=step["notify"]) for step in json.loads(incident.ladder)]
    return _MACROS.ladder(
        (
            _told(step.notify, incident, catalog),
            "at once" if not step.after else f"after {duration_text(step.after)} without anybody taking it on",
            _mark(incident, number, terms),
        )
        for number, step in enumerate(steps)
    )


def _told(notify: str, incident: Incident, catalog: Catalog) -> str:
    """Whom a step names, as people call them."""
    if notify == "gm":
        return f"general manager of {incident.vertical}" if incident.vertical else "general managers"
    if notify == "channel":
        route = next((route for route in catalog.routes if route.name == incident.route), None)
        return f"the channel of {route.label or route.name}" if route else "the channel"
    return label_of(notify, catalog)


def _mark(incident: Incident, number: int, terms: Terms) -> str:
    """Where a step of the ladder stands."""
    if number < incident.next_step:
        return "told"
    if incident.is_open and incident.next_step_at and number == incident.next_step:
        return f"due {terms.moment(incident.next_step_at)}"
    return "not needed" if not incident.is_open or incident.acknowledged_at else "later"


def action(taken: Action, effect: str, today: date) -> Markup:
    """One action with what it has done so far."""
    due = f"due {day_words(taken.due_on)}" if taken.due_on else "no due date"
    if taken.done_at:
        due = f"done {day_words(taken.done_at)}"
    is_late = taken.done_at is None and taken.due_on is not None and taken.due_on < today
    return _MACROS.action(taken, due, is_late, effect)


def incident_table(incidents: Iterable[tuple[Incident, str, str, str]], terms: Terms) -> Markup:
    """Incidents as a table of links: (incident, what, where, figure)."""
    return _MACROS.incident_table(
        (incident, f"{incident.opened_at.astimezone(terms.zone):%d %b %Y}", what, where, value, state(incident, terms))
        for incident, what, where, value in incidents
    )
