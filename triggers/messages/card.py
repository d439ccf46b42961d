"""An incident in words: the card that channels and the dashboard show. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.models import Condition, Conditions, Metric, Person, Route, Rule
from queries.metrics.formatting import count
from queries.monitoring.evidence import Contributor, Evidence, Overlap
from queries.state import HistoryEntry, Incident, slice_values
from triggers.evaluation.kinds.kind import figure_with_interval
from triggers.evaluation.kinds.registry import kind_of
from triggers.incidents.access import may_name_accounts, may_read
from triggers.incidents.escalation import addressed
from triggers.messages.message import Button, Choice, Control, Fact, Link, Message

COMPANY: Final = "whole company"
NAME: Final = 80
"""A name that leaves room for the others."""
MARKS: Final = {
    "open": "\N{LARGE RED CIRCLE}",
    "resolved": "\N{LARGE GREEN CIRCLE}",
    "closed": "\N{MEDIUM WHITE CIRCLE}",
}
NEWS: Final = {
    "opened": "Opened",
    "worsened": "Worse",
    "resolved": "Recovered",
    "closed": "Closed",
    "reopened": "Open again",
    "escalated": "Escalated",
    "acknowledged": "Acknowledged",
    "snoozed": "Snoozed",
    "woken": "Back from its snooze",
    "reassigned": "Handed on",
    "lapsed": "Nobody's again",
    "deferred": "Step",
    "digested": "Told",
    "skipped": "Step",
    "released": "Told after all",
}
"""What the kinds of entry are called, in Slack and in the dashboard."""

SNOOZES: Final = {"1h": "for an hour", "tomorrow": "until tomorrow 9:00", "business": "until the next business day"}
STATES: Final = {"open": "Breach", "resolved": "Recovered", "closed": "Closed"}


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that is said of an incident.

    Args:
        incident: as it is now.
        entries: its history, oldest first.
        rule: as the incident was evaluated by.
        metric: the rule's metric; None for an event.
        route: where it goes, and what may be named there.
        evidence: None where the warehouse cannot be read.
        zone: the reporting zone.
        link: the incident's page.
        people: everybody at the company, to name and to tell them.
        unnamed: entries by their number, with people whom they asked for and must not name.
        withheld: whether it lies outside what its readers may see: then only that is said.
    """

    incident: Incident
    entries: tuple[HistoryEntry, ...]
    rule: Rule
    metric: Metric | None
    route: Route
    evidence: Evidence | None
    zone: ZoneInfo
    link: str
    people: tuple[Person, ...] = ()
    unnamed: frozenset[tuple[int, str]] = frozenset()
    withheld: bool = False

    @property
    def sample(self) -> Mapping[str, Any]:
        """The newest figures there are."""
        return next((entry.sample for entry in reversed(self.entries) if entry.sample), {})


def title(card: Card) -> str:
    """What it is and where, such as `Breach: Installations with a defect, Retail`."""
    state = STATES[card.incident.state]
    return f"{state}: {card.rule.label or card.rule.name}, {slice_text(card)}"


def slice_text(card: Card) -> str:
    """The slice in words: its values, the case's vertical, or the whole company."""
    incident = card.incident
    if card.rule.is_case:
        return ", ".join(part for part in (incident.vertical, incident.touchpoint) if part) or COMPANY
    named = (value for name, value in slice_values(incident.slice).items() if _may_be_said(card, name))
    return ", ".join(named) or incident.vertical or COMPANY


def _may_be_said(card: Card, column: str) -> bool:
    return column != "account_id" or may_name_accounts(card.route)


def headline(card: Card) -> str:
    """The figure with its interval and n, and what it is held against; of a fault of the data what shows it."""
    if said := kind_of(card.rule).finding(card.metric, card.sample):
        return said
    if card.rule.class_ == "data":
        return card.entries[0].reason
    return f"One severe case, seen on {_day(card.incident.opened_at, card.zone)}."


def facts(card: Card) -> tuple[Fact, ...]:
    """The card's lines, in the order in which they help."""
    rule, incident = card.rule, card.incident
    lines = [
        Fact("Where", slice_text(card)),
        Fact("Since", _since(card)),
        *_figures(card),
        Fact("Severity", f"{incident.severity} of 4"),
        *_held(card),
        *_rest(card),
    ]
    if rule.runbook:
        lines.append(Fact("What to do", rule.runbook))
    return tuple(lines)


def _since(card: Card) -> str:
    opened = _stamp(card.incident.opened_at, card.zone)
    over = card.incident.resolved_at
    return f"{opened}, over since {_stamp(over, card.zone)}" if over else opened


def _held(card: Card) -> Iterator[Fact]:
    """Whose it is, and until when nobody hears of it."""
    found = card.incident
    if found.acknowledged_at:
        yield Fact(
            "Taken on", f"{called(card.people, found.acknowledged_by)}, {_stamp(found.acknowledged_at, card.zone)}"
        )
    elif found.assigned_to:
        yield Fact("Waits for", called(card.people, found.assigned_to))
    if found.is_open and found.snoozed_until:
        yield Fact("Snoozed until", _stamp(found.snoozed_until, card.zone))


def called(people: Sequence[Person], name: str | None) -> str:
    """How people read somebody's name."""
    return next((person.label for person in people if person.name == name), name or "somebody")


def news(kind: str) -> str:
    """What a kind of entry is called; one of another version by its own name."""
    return NEWS.get(kind, kind.capitalize())


def _figures(card: Card) -> Iterator[Fact]:
    rule, sample = card.rule, card.sample
    if rule.is_case:
        if may_name_accounts(card.route):
            yield Fact("Case", card.incident.slice)
        return
    if window := kind_of(rule).window(sample):
        yield Fact("Window", window)
    if sure := kind_of(rule).how_sure(sample):
        yield Fact("How sure", sure)
    if rule.where:
        yield Fact("Only", conditions(rule.where))


def conditions(where_: Conditions) -> str:
    """Filters in words, such as `journey_type is installation`."""
    return "; ".join(f"{c.column} {_asked(c)}" for c in where_)


def _asked(condition: Condition) -> str:
    words = {"at_least": "at least", "at_most": "at most", "above": "above", "below": "below"}
    parts = [
        f"{text} {getattr(condition, name)}" for name, text in words.items() if getattr(condition, name) is not None
    ]
    if condition.any_of is not None:
        parts.append("is " + " or ".join(str(value) for value in condition.any_of))
    if condition.known is not None:
        parts.append("is known" if condition.known else "is missing")
    return ", ".join(parts)


def _rest(card: Card) -> Iterator[Fact]:
    if card.evidence is None:
        return
    if card.evidence.accounts:
        yield Fact("Accounts", _accounts(card.evidence, may_name="accounts" in card.route.show))
    if card.evidence.overlaps:
        yield Fact("At the same time", "; ".join(_overlap(o, card.zone) for o in card.evidence.overlaps[:5]))


def _accounts(evidence: Evidence, *, may_name: bool) -> str:
    if not may_name:
        return f"{count(evidence.accounts)}; their names are in the dashboard"
    named = ", ".join(_contributor(c) for c in evidence.contributors)
    more = evidence.accounts - len(evidence.contributors)
    return f"{named} and {count(more)} more" if more else named


def _contributor(one: Contributor) -> str:
    name = cut(one.name, NAME)
    if one.bad is None:
        return f"{name} ({count(one.n)})"
    return name if one.n == one.bad == 1 else f"{name} ({count(one.bad)} of {count(one.n)})"


def _overlap(one: Overlap, zone: ZoneInfo) -> str:
    until = f"to {_day(one.until, zone)}" if one.until else "still on"
    return f"{cut(one.name, NAME)} ({one.kind}, {_day(one.since, zone)} {until})"


def provenance(card: Card) -> str:
    """Which rule and which data it comes from, and why it comes here."""
    parts = [f"Rule {card.rule.name}, version {card.incident.rule_hash}"]
    if card.evidence:
        fresh = card.evidence.freshness
        newest = f", newest day {fresh.newest_day}" if fresh.newest_day else ""
        parts.append(f"data loaded {_stamp(fresh.published_at, card.zone)} (generation {fresh.generation}{newest})")
    parts.append(f"you get this as {card.route.label or card.route.name}")
    return "; ".join(parts) + "."


def incident_message(card: Card) -> Message:
    """The incident's own message, as it stands now."""
    if card.withheld:
        return _withheld(card)
    mark = MARKS[card.incident.state]
    return Message(
        (f"{mark} {title(card)}. {headline(card)}",),
        f"{mark} {title(card)}",
        (headline(card),),
        facts(card),
        _news(card),
        footnote=provenance(card),
        actions=_actions(card.incident),
        answers=(
            Button("Record an action\N{HORIZONTAL ELLIPSIS}", "action"),
            Button("Useful", "useful"),
            Button("Noise", "noise"),
            Link("Open the incident", card.link),
        ),
        incident=card.incident.id,
    )


def _actions(incident: Incident) -> tuple[Control, ...]:
    """What can be done about it from here."""
    if not incident.is_open:
        return ()
    acknowledging = () if incident.acknowledged_at else (Button("Acknowledge", "acknowledge", is_primary=True),)
    return (
        *acknowledging,
        Choice("Snooze", "snooze", {value: f"Snooze {until}" for value, until in SNOOZES.items()}),
        Button("Resolve\N{HORIZONTAL ELLIPSIS}", "resolve"),
        Button("Reassign\N{HORIZONTAL ELLIPSIS}", "reassign"),
    )


def _withheld(card: Card) -> Message:
    """What may be said of what may not be told: that it is there, and who knows."""
    said = f"An incident of {card.rule.label or card.rule.name} lies outside what may be read here. "
    said += "The rule's owner is told."
    footnote = f"Rule {card.rule.name}; you get this as {card.route.label or card.route.name}."
    return Message((said,), sentences=(said,), footnote=footnote)


def _news(card: Card) -> str:
    """The last thing that happened, where that is not its opening."""
    last = card.entries[-1]
    if last.kind == "opened":
        return ""
    author = f" by {called(card.people, last.author)}" if last.author else ""
    return f"{news(last.kind)}{author} {_stamp(last.at, card.zone)}: {last.reason}."


def news_message(card: Card, entry: HistoryEntry, people: Sequence[Person] = ()) -> Message:
    """One piece of news in the incident's thread. `people`, or whom it is addressed to, are named so that Slack tells
    them.
    """
    if card.withheld:
        return _withheld(card)
    people = people or addressed(card.incident, card.entries, entry, card.people)
    people = [p for p in people if (entry.seq, p.name) not in card.unnamed and may_read(p, card.incident)]
    text = _told(card, entry)
    return Message((text,), sentences=(text,), mentions=tuple(people))


def _told(card: Card, entry: HistoryEntry) -> str:
    metric, sample = card.metric, entry.sample or {}
    figures = ""
    if metric is not None and "value" in sample:
        figures = f" {figure_with_interval(metric, sample, sure='')}."
    author = f" by {called(card.people, entry.author)}" if entry.author else ""
    return f"{news(entry.kind)}{author}: {entry.reason}.{figures}"


def cut(text: str, most: int) -> str:
    """A name that leaves room for the others."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _stamp(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def _day(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d}"
