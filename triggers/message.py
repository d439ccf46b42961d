"""An incident in words: the card that Slack and the dashboard show, and Slack's blocks made of it. Pure.

Everything that comes from data goes into plain-text elements, where Slack reads no markup, with & < > escaped: a
vertical called `*bold* <!channel>` is shown as just that.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.catalog import EventRule, Metric, Person, Route, ThresholdRule
from config.values import Condition, Conditions, duration_text
from queries.evidence import Contributor, Evidence, Overlap
from queries.figures import count, figure, goal_figure, half_width, interval
from queries.incidents import Entry, Incident
from triggers.replay import slice_values

EVENT_TYPE: Final = "earshot"
COMPANY: Final = "whole company"
HEADER, SECTION, FIELD, FALLBACK, NAME, BUTTON = 150, 1500, 2000, 3000, 80, 75
"""The longest texts, within Slack's limits for each element and for a whole message (12,000)."""
MARKS: Final = {
    "open": "\N{LARGE RED CIRCLE}",
    "resolved": "\N{LARGE GREEN CIRCLE}",
    "closed": "\N{MEDIUM WHITE CIRCLE}",
}
STATES: Final = {"open": "Breach", "resolved": "Recovered", "closed": "Closed"}
CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
MARKUP: Final = re.compile(r"([*_~`])")


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
    """

    incident: Incident
    entries: tuple[Entry, ...]
    rule: ThresholdRule | EventRule
    metric: Metric | None
    route: Route
    evidence: Evidence | None
    zone: ZoneInfo
    link: str

    @property
    def sample(self) -> Mapping[str, Any]:
        """The newest figures there are."""
        return next((entry.sample for entry in reversed(self.entries) if entry.sample), {})


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a card: what it is, and what it says."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """What Slack gets: the text of the notification, and the blocks that are shown in its place."""

    text: str
    blocks: tuple[Mapping[str, Any], ...]


def title(card: Card) -> str:
    """What it is and where, such as `Breach: Installations with a defect, Retail`."""
    state = STATES[card.incident.state]
    return f"{state}: {card.rule.label or card.rule.name}, {where(card)}"


def where(card: Card) -> str:
    """The slice in words: its values, the case's vertical, or the whole company."""
    incident = card.incident
    if isinstance(card.rule, EventRule):
        return ", ".join(part for part in (incident.vertical, incident.touchpoint) if part) or COMPANY
    named = slice_values(incident.slice).values()
    return ", ".join(named) or incident.vertical or COMPANY


def headline(card: Card) -> str:
    """The figure with its interval and n, against the limit."""
    rule, metric, sample = card.rule, card.metric, card.sample
    if not isinstance(rule, ThresholdRule) or metric is None:
        return f"One severe case, seen on {_day(card.incident.opened_at, card.zone)}."
    half = half_width(sample.get("low"), sample.get("high"))
    ends = interval(metric, sample.get("low"), sample.get("high"))
    value = figure(metric, sample.get("value"), half)
    sure = f" (95% sure: {ends})" if ends else ""
    n = round(sample["tally"][0]) if "tally" in sample else 0
    return f"{metric.label}: {value}{sure}, n = {count(n)}. Limit {goal_figure(metric, rule.limit)}."


def facts(card: Card) -> tuple[Fact, ...]:
    """The card's lines, in the order in which they help."""
    rule, incident = card.rule, card.incident
    lines = [
        Fact("Where", where(card)),
        Fact("Since", _since(card)),
        *_figures(card),
        Fact("Severity", f"{incident.severity} of 4"),
        *_rest(card),
    ]
    if rule.runbook:
        lines.append(Fact("What to do", rule.runbook))
    return tuple(lines)


def _since(card: Card) -> str:
    opened = _stamp(card.incident.opened_at, card.zone)
    over = card.incident.resolved_at
    return f"{opened}, over since {_stamp(over, card.zone)}" if over else opened


def _figures(card: Card) -> Iterator[Fact]:
    rule, sample = card.rule, card.sample
    if isinstance(rule, EventRule):
        yield Fact("Case", card.incident.slice)
        return
    if "since" in sample:
        last = date.fromisoformat(sample["until"]) - timedelta(days=1)
        yield Fact("Window", f"{sample['since']} to {last} ({duration_text(rule.window)})")
    if rule.gate == "exact" and "p" in sample:
        effect = f", design effect {sample['deff']:.1f}" if sample["deff"] > 1.05 else ""
        yield Fact("How sure", f"p = {sample['p']:.2g}, had to be under {sample['alpha']:.2g}{effect}")
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


def root(card: Card) -> Message:
    """The incident's own message, as it stands now."""
    mark = MARKS[card.incident.state]
    news = _news(card)
    lines = facts(card)
    short = [fact for fact in lines if len(fact.text) <= 60][:10]
    blocks: list[Mapping[str, Any]] = [
        {"type": "header", "text": plain(f"{mark} {title(card)}", HEADER)},
        {"type": "section", "text": plain(headline(card), SECTION)},
        {"type": "section", "fields": [plain(f"{fact.label}\n{fact.text}", FIELD) for fact in short]},
        *({"type": "section", "text": plain(f"{f.label}\n{f.text}", SECTION)} for f in lines if f not in short),
        *([{"type": "section", "text": plain(news, SECTION)}] if news else []),
        {"type": "context", "elements": [plain(provenance(card), FIELD)]},
        {"type": "actions", "elements": [_button("Open the incident", card.link)]},
    ]
    return Message(fallback(f"{mark} {title(card)}. {headline(card)}"), tuple(blocks))


def _news(card: Card) -> str:
    """The last thing that happened, where that is not its opening."""
    last = card.entries[-1]
    if last.kind == "opened":
        return ""
    author = f" by {last.author}" if last.author else ""
    return f"{last.kind.capitalize()}{author} {_stamp(last.at, card.zone)}: {last.reason}."


def reply(card: Card, entry: Entry, people: Sequence[Person] = ()) -> Message:
    """One piece of news in the incident's thread. `people` are named so that Slack tells them."""
    text = _told(card, entry)
    blocks: list[Mapping[str, Any]] = [{"type": "section", "text": plain(text, SECTION)}]
    mentions = " ".join(f"<@{person.slack}>" for person in people if person.slack)
    if mentions:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": mentions}})
    said = fallback(text)
    return Message(f"{mentions} {said}".strip(), tuple(blocks))


def _told(card: Card, entry: Entry) -> str:
    metric, sample = card.metric, entry.sample or {}
    figures = ""
    if metric is not None and "value" in sample:
        low, high = sample.get("low"), sample.get("high")
        ends = interval(metric, low, high)
        value = figure(metric, sample["value"], half_width(low, high))
        figures = f" {metric.label}: {value}{f' ({ends})' if ends else ''}, n = {count(round(sample['tally'][0]))}."
    words = {"worsened": "Worse", "resolved": "Recovered", "closed": "Closed", "reopened": "Open again"}
    author = f" by {entry.author}" if entry.author else ""
    return f"{words.get(entry.kind, entry.kind.capitalize())}{author}: {entry.reason}.{figures}"


def metadata(outbox: str, incident: str) -> dict[str, Any]:
    """What Slack keeps with a message, so that it can be found again. Ids only: the workspace can read it."""
    return {"event_type": EVENT_TYPE, "event_payload": {"outbox": outbox, "incident": incident}}


def plain(text: str, most: int) -> dict[str, Any]:
    """A plain-text element: no markup, no mentions, no emoji names."""
    return {"type": "plain_text", "text": escaped(text, most) or " ", "emoji": False}


def fallback(text: str) -> str:
    """Text for the notification. It may be read as markup, so what would format gets a mark that parts it."""
    return MARKUP.sub("\\1\N{WORD JOINER}", escaped(text, FALLBACK))


def escaped(text: str, most: int) -> str:
    """Text with & < > as Slack wants them, at most that long once escaped, without control characters."""
    done, length = list[str](), 0
    for letter in CONTROL.sub(" ", text):
        safe = _ESCAPES.get(letter, letter)
        length += len(safe)
        if length > most - 1:
            return "".join(done) + "\N{HORIZONTAL ELLIPSIS}"
        done.append(safe)
    return "".join(done)


_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def cut(text: str, most: int) -> str:
    """A name that leaves room for the others."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _button(label: str, url: str) -> Mapping[str, Any]:
    return {"type": "button", "text": plain(label, BUTTON), "url": url, "action_id": "open"}


def _stamp(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def _day(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d}"
