"""An incident as HTML. Pure; every value is escaped."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.models.catalog import Catalog
from config.models.routing import Person, Step
from config.models.rules import (
    DATA_FAULT,
    DECEIVES,
    ChangeRule,
    GapRule,
    GoalRule,
    QuietRule,
    RateRule,
    Rule,
    ThresholdRule,
)
from config.models.values import duration_text
from dashboard.incident.charts import Reference
from dashboard.markup import SEVERITIES, day_words
from queries.metrics.formatting import count, figure, half_width, interval
from queries.review.incident_page import IncidentPage
from queries.review.read import label_of, slice_words
from queries.state.actions import Action
from queries.state.incidents import HistoryEntry, Incident
from triggers.messages import card as messages_card
from triggers.messages import wording
from triggers.messages.card import Card, called
from triggers.messages.wording import BASELINES

UTC: Final = ZoneInfo("UTC")


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


def incident_header(it: IncidentPage, account: str | None, terms: Terms) -> str:
    """What, where, how serious and where it stands."""
    found = it.incident
    attention = " e-attention" if found.is_open and not (found.acknowledged_at or found.snoozed_until) else ""
    words = state(found, terms)
    return (
        f'<p class="e-kicker">Incident · {SEVERITIES[found.severity]}</p>'
        f'<h1 class="e-headline">{escape(incident_title(found, it.rule))} – '
        f"{escape(incident_where(found, account))}</h1>"
        f'<p class="e-state{attention}">{escape(wording.sentence_start(words))}</p>'
    )


def evidence_section(it: IncidentPage, card: Card | None) -> str:
    """The card that Slack shows too: the figure with its interval, then what it was made of."""
    facts = _figures(it)
    facts += (
        [(fact.label, fact.text) for fact in messages_card.facts(card) if fact.label not in ELSEWHERE] if card else []
    )
    main = facts[0][0] if it.metric else ""
    pairs = "".join(_pair(name, value, is_main=name == main) for name, value in facts if value)
    source = f'<p class="e-dateline">{escape(messages_card.provenance(card))}</p>' if card else ""
    return f'<dl class="e-card">{pairs}</dl>{source}'


ELSEWHERE: Final = frozenset({"Where", "Severity", "What to do"})
"""Lines of the card that stand elsewhere on the page."""


def _figures(it: IncidentPage) -> list[tuple[str, str]]:
    metric, sample = it.metric, it.sample
    if isinstance(it.rule, QuietRule):
        return [("Heard", wording.measured(it.rule, None, sample) or "")]
    if metric is None:
        return []
    low, high, against = sample.get("low"), sample.get("high"), reference_of(it.rule, sample)
    n = (sample.get("tally") or [it.incident.n or 0])[0]
    return [
        (metric.label, figure(metric, sample.get("value", it.incident.value), half_width(low, high))),
        ("95% interval", interval(metric, low, high)),
        ("Cases", f"n = {count(round(n))}"),
        (wording.sentence_start(against.name), against.figure(metric)) if against else ("", ""),
    ]


def reference_of(rule: Rule | None, sample: Mapping[str, Any]) -> Reference | None:
    """What an incident's figure was held against when it was last looked at; None where there is no such figure."""
    value = rule.limit if isinstance(rule, ThresholdRule) else sample.get("held")
    written = isinstance(rule, ThresholdRule | GoalRule)
    if value is None or not isinstance(rule, RateRule):
        return None
    if isinstance(rule, ChangeRule):
        return Reference(BASELINES[rule.baseline], value)
    return Reference("measured from" if isinstance(rule, GapRule) else NAMES[rule.kind], value, is_written=written)


NAMES: Final = {"threshold": "limit", "goal": "goal", "chart": "usual"}


def _pair(name: str, value: str, *, is_main: bool) -> str:
    style = ' class="figure"' if is_main else ' class="wide"' if len(value) > 60 else ""
    return f"<div{style}><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


def runbook(rule: Rule | None) -> str:
    """What to do, as the rule's owner wrote it."""
    return f'<p class="e-runbook">{escape(rule.runbook)}</p>' if rule and rule.runbook else ""


def history_section(entries: Iterable[HistoryEntry], terms: Terms) -> str:
    """What happened to it, newest first, in the words that Slack has for it."""
    rows = "".join(
        f"<li><span class='e-muted'>{terms.moment(e.at)}</span> "
        f"{escape(messages_card.news(e.kind))}: {escape(e.reason)}"
        f"{f' <span class=e-muted>({escape(terms.name(e.author))})</span>' if e.author else ''}</li>"
        for e in reversed([*entries])
    )
    return f'<ul class="e-list">{rows}</ul>'


def ladder_section(found: Incident, catalog: Catalog, terms: Terms) -> str:
    """Who is told when, and what has been told."""
    steps = [Step(after=step["after"], notify=step["notify"]) for step in json.loads(found.ladder)]
    rows = "".join(
        f"<li>{_step(found, number, step, _told(step.notify, found, catalog), terms)}</li>"
        for number, step in enumerate(steps)
    )
    return f'<ul class="e-list">{rows}</ul>'


def _told(notify: str, found: Incident, catalog: Catalog) -> str:
    """Whom a step names, as people call them."""
    if notify == "gm":
        return f"general manager of {found.vertical}" if found.vertical else "general managers"
    if notify == "channel":
        route = next((route for route in catalog.routes if route.name == found.route), None)
        return f"the channel of {route.label or route.name}" if route else "the channel"
    return label_of(notify, catalog)


def _step(found: Incident, number: int, step: Step, whom: str, terms: Terms) -> str:
    when = "at once" if not step.after else f"after {duration_text(step.after)} without anybody taking it on"
    if number < found.next_step:
        mark = "told"
    elif found.is_open and found.next_step_at and number == found.next_step:
        mark = f"due {terms.moment(found.next_step_at)}"
    else:
        mark = "not needed" if not found.is_open or found.acknowledged_at else "later"
    return f'{escape(whom)}, {when} <span class="e-muted">– {mark}</span>'


def action(taken: Action, effect: str, today: date) -> str:
    """One action with what it has done so far."""
    done = (
        f"done {day_words(taken.done_at)}"
        if taken.done_at
        else f"due {day_words(taken.due_on)}"
        if taken.due_on
        else "no due date"
    )
    late = taken.done_at is None and taken.due_on is not None and taken.due_on < today
    mark = f'<span class="e-attention">{done}, overdue</span>' if late else done
    return (
        f'<ul class="e-list"><li>{escape(taken.what)}<br><span class="e-muted">{escape(taken.owner)}, since '
        f"{day_words(taken.started_on)}, {mark} · effect: {escape(effect)}</span></li></ul>"
    )


def incident_table(found: Iterable[tuple[Incident, str, str, str]], terms: Terms) -> str:
    """Incidents as a table of links: (incident, what, where, figure)."""
    rows = "".join(_line(*one, state(one[0], terms), terms) for one in found)
    names = ("Since", "What", "Where", "Value", "State")
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    return (
        f'<div class="e-scroll"><table class="e-table e-incidents"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _line(found: Incident, what: str, place_: str, value: str, words: str, terms: Terms) -> str:
    attention = "" if found.is_open else "e-muted"
    return (
        f"<tr><td class='e-when'>{found.opened_at.astimezone(terms.zone):%d %b %Y}</td>"
        f'<td><a href="incident?id={escape(found.id, quote=True)}" target="_self">{escape(what)}</a></td>'
        f"<td>{escape(place_)}</td><td>{escape(value)}</td>"
        f'<td class="{attention}">{escape(words)}</td></tr>'
    )
