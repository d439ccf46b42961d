"""An incident in words: the card that channels and the dashboard show. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.models import Metric, Person, Route, Rule, called, conditions_text, label_of
from queries.metrics import day_words, moment_words
from queries.monitoring import Evidence
from queries.review import (
    UNCLEAR,
    Onset,
    Timetable,
    aged,
    happened_on,
    newest_sample,
    reading_words,
    readings_of,
    when_found,
)
from queries.state import DECIDED, Action, HistoryEntry, Incident, slice_values
from triggers.evaluation.kinds import kind_of, reading_sentence, sentence_start
from triggers.incidents import addressed, due_sentence, may_name_accounts, may_read
from triggers.messages.message import (
    CONTINUED,
    NAME,
    OPEN_MENU,
    PAST,
    VOTES,
    Button,
    Control,
    Fact,
    Link,
    Menu,
    Message,
    accounts_fact,
    action_text,
    case_facts,
    case_sentence,
    case_text,
    cut,
    mark,
    news,
    overlap_text,
)

COMPANY: Final = "whole company"
ORIGIN: Final = "Where it comes from"
UNSAID: Final = frozenset({"Where", "Since", "Severity", "Only", "Case"})


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
        onset: when it began, None where that cannot be told.
        today: the reporting zone's day: what is silent is so until then.
        present: its figure in the newest window, where it is open and one was evaluated since.
        withheld: whether it lies outside what its readers may see: then only that is said.
        table: whose clocks and business time its readers go by.
        now: when it is read, aware UTC; None: when it opened.
        others: what else is open at its account, as far as its readers may see it.
        actions: what is undertaken about it, the newest first.
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
    onset: Onset | None = None
    today: date | None = None
    present: Mapping[str, Any] | None = None
    withheld: bool = False
    table: Timetable | None = None
    now: datetime | None = None
    others: tuple[Link, ...] = ()
    actions: tuple[Action, ...] = ()

    @property
    def counted_to(self) -> datetime:
        """Until when time is counted: until it is read, and no further than its end."""
        read = self.now or self.incident.opened_at
        return min(read, self.incident.resolved_at) if self.incident.resolved_at else read

    @property
    def clock(self) -> Timetable:
        """Whose clocks its readers go by."""
        return self.table or Timetable(self.zone)

    @property
    def sample(self) -> Mapping[str, Any]:
        """The newest figures there are."""
        found = newest_sample(self.entries, self.present)
        return aged(self.rule, found, self.today) if self.incident.is_open and self.today else found


def title(card: Card) -> str:
    """How severe it is, what and where, such as `Critical: Installations with a defect, Retail`."""
    _, state = _mark(card)
    if card.incident.is_open and any(entry.kind == "standing" for entry in card.entries):
        state += f", standing since {day_words(card.incident.opened_at, card.zone)}"
    return f"{state}: {card.rule.label or card.rule.name}, {slice_text(card)}"


def slice_text(card: Card) -> str:
    """The slice in words: its values, the case's account and vertical, or the whole company."""
    incident, account = card.incident, _account(card)
    if card.rule.is_case:
        return ", ".join(part for part in (account, incident.vertical, incident.touchpoint) if part) or COMPANY
    said = {**slice_values(incident.slice)}
    if said.pop("account_id", None):
        said = {"account_id": account, **said} if account else said
    return ", ".join(said.values()) or incident.vertical or COMPANY


def _account(card: Card) -> str:
    """The name of the one account that it is about; empty where there is none, or it may not be named."""
    if card.incident.account_id is None or not may_name_accounts(card.route):
        return ""
    named = (one.name for one in card.evidence.contributors) if card.evidence else ()
    return cut(next(iter(named), card.incident.account_id), NAME)


def sentence(card: Card) -> str:
    """What happened where, how much against what, and since when; of a fault of the data what shows it."""
    incident, place = card.incident, slice_text(card)
    ended = f"{_mark(card)[1]} on {day_words(incident.resolved_at, card.zone)}." if incident.resolved_at else ""
    if card.evidence and card.evidence.case:
        return f"{case_sentence(card.evidence.case, whose(card), card.clock, card.counted_to)} {ended}".strip()
    if place == COMPANY:
        place = f"the {COMPANY}"
    elif not _account(card) and (values := [*slice_values(incident.slice).values()])[1:]:
        place = f"{values[0]} ({', '.join(values[1:])})"
    has_recovered = incident.state == "resolved"
    said = kind_of(card.rule).sentence(place, card.metric, card.sample, has_recovered=has_recovered)
    if not incident.is_open:
        return f"{said or headline(card).removesuffix('.')}. {ended}".strip()
    if not said or card.metric is None:
        return f"{said}." if said else headline(card)
    since = f"worse since {card.onset}" if card.onset else f"found on {day_words(incident.opened_at, card.zone)}"
    return f"{said}, {since}."


def whose(card: Card) -> str:
    """The account of a case as it may be named."""
    return _account(card) or (f"an account in {card.incident.vertical}" if card.incident.vertical else "an account")


def headline(card: Card) -> str:
    """The figure with its interval and n, and what it is held against; of a fault of the data what shows it."""
    if said := kind_of(card.rule).finding(card.metric, card.sample):
        return said
    if card.rule.class_ == "data":
        return sentence_start(f"{card.entries[0].reason}.")
    return f"One severe case, seen on {day_words(card.incident.opened_at, card.zone)}."


def facts(card: Card) -> tuple[Fact, ...]:
    """The card's lines, in the order in which they help."""
    incident, evidence = card.incident, card.evidence
    case = evidence.case if evidence else None
    lines = [
        *(case_facts(case, whose(card), card.clock, card.counted_to) if case else ()),
        Fact("Where", slice_text(card)),
        *([] if card.metric is None and card.onset is None else [Fact("Since", str(card.onset or UNCLEAR))]),
        *([] if case else [Fact(*when_found(incident, card.entries[0], card.zone))]),
        *_figures(card),
        Fact("Severity", f"{incident.severity} of 4"),
        *_held(card),
        *(Fact("Action", action_text(one, card.people, card.zone, card.metric)) for one in card.actions),
    ]
    if evidence and incident.is_open and (origin := origin_text(evidence, card.route)):
        lines.append(Fact(ORIGIN, origin))
    # Once a figure has recovered, the accounts behind it are those of good days.
    if evidence and evidence.accounts and not case and (incident.is_open or card.metric is None):
        lines.append(accounts_fact(evidence, may_name=may_name_accounts(card.route)))
    # Money says that they leave; whether they still talk to us says how far it has gone.
    if evidence and evidence.last_contact and card.rule.reads_revenue:
        lines.append(Fact("Last contact", day_words(evidence.last_contact)))
    if evidence and evidence.overlaps:
        lines.append(Fact("At the same time", "; ".join(overlap_text(one, card.zone) for one in evidence.overlaps[:5])))
    if evidence and incident.is_open and (young := evidence.freshness.young):
        known = f"Only {young[0]} {'week' if young[0] == 1 else 'weeks'} of data so far"
        lines.append(Fact("Caution", f"{known}; with fewer than {young[1]}, faults in the data itself may be missed"))
    if joined := [entry.reason for entry in card.entries if entry.kind == "joined"]:
        lines.append(Fact("Same event", "; ".join(joined)))
    return tuple(lines)


def origin_text(evidence: Evidence, route: Route) -> str:
    """What a breach comes from. An account is called by its name where accounts may be named."""
    names = {one.account_id: cut(one.name, NAME) for one in evidence.contributors} if may_name_accounts(route) else {}
    return evidence.drivers.words(names) if evidence.drivers else ""


def asks(card: Card) -> tuple[Fact, ...]:
    """The revenue that it is about, what to do, and by when; nothing of it once it is over."""
    if not card.incident.is_open:
        return ()
    parts = (
        ("Revenue", card.evidence.revenue if card.evidence else ""),
        ("What to do", card.rule.runbook),
        ("Due", due_sentence(card.incident, card.route, card.clock, card.people, card.now)),
    )
    return tuple(Fact(label, text) for label, text in parts if text)


def _held(card: Card) -> Iterator[Fact]:
    """Whose it is, and until when nobody is notified."""
    incident = card.incident
    if incident.acknowledged_at:
        by = label_of(incident.acknowledged_by, card.people)
        yield Fact("Acknowledged by", f"{by}, {moment_words(incident.acknowledged_at, card.zone)}")
    elif incident.assigned_to:
        yield Fact("Waiting for", label_of(incident.assigned_to, card.people))
    if incident.is_open and incident.snoozed_until:
        yield Fact("Snoozed until", moment_words(incident.snoozed_until, card.zone))


def _figures(card: Card) -> Iterator[Fact]:
    rule, sample = card.rule, card.sample
    if rule.is_case:
        if may_name_accounts(card.route) and not (card.evidence and card.evidence.case):
            yield Fact("Case", case_text(card.incident.slice))
        return
    if window := kind_of(rule).window(sample):
        yield Fact("Measured", window)
    if (
        card.metric is not None
        and (then := readings_of(card.entries, card.present))
        and (before := then.before(card.metric))
    ):
        yield Fact("Earlier", before)
    if card.incident.is_open and kind_of(rule).how_sure(sample):
        yield Fact("How sure", "Very unlikely to be chance")
    if rule.where:
        yield Fact("Only", conditions_text(rule.where))


def freshness(card: Card) -> str:
    """How new the data is, and to whom it goes."""
    parts = list[str]()
    if card.evidence:
        fresh = card.evidence.freshness
        loaded = f"loaded {moment_words(fresh.published_at, card.zone)}"
        parts.append(f"Data up to {day_words(fresh.newest_day)}, {loaded}." if fresh.newest_day else f"Data {loaded}.")
    return " ".join([*parts, _sent_to(card)])


def _sent_to(card: Card) -> str:
    return f"Sent to: {card.route.label or card.route.name}."


def incident_message(card: Card) -> Message:
    """The incident's own message, as it stands now."""
    if card.withheld:
        return _withheld(card)
    colour, _ = _mark(card)
    return Message(
        (f"{colour} {title(card)}. {sentence(card)}",),
        f"{colour} {title(card)}",
        (sentence(card),),
        tuple(fact for fact in facts(card) if fact.label not in UNSAID and fact.text != card.entries[-1].reason),
        asks(card),
        card.others,
        _news(card),
        footnote=freshness(card),
        actions=_actions(card),
        incident=card.incident.id,
    )


def _actions(card: Card) -> tuple[Control, ...]:
    """What can be done about it from here."""
    is_open, is_free = card.incident.is_open, card.incident.is_open and not card.incident.acknowledged_at
    return (
        *([Button("Acknowledge", "acknowledge", is_primary=True)] if is_free else []),
        Button("Record an action\N{HORIZONTAL ELLIPSIS}", "action"),
        Link("Open", card.link),
        Menu((OPEN_MENU if is_open else {}) | VOTES),
    )


def _withheld(card: Card) -> Message:
    """What may be said of what may not be told: that it is there, and who knows."""
    said = f"This channel is not allowed to see an incident of {card.rule.label or card.rule.name}. "
    said += "The owner of the rule has been notified."
    return Message((said,), sentences=(said,), footnote=_sent_to(card))


def _mark(card: Card) -> tuple[str, str]:
    return mark(card.incident.severity, card.incident.state)


def _news(card: Card) -> str:
    """The last thing that happened, where that is not its opening, and no line of its own says it."""
    last = card.entries[-1]
    if last.kind in {"opened", "acknowledged", *DECIDED}:
        return ""
    on = f" on {moment_words(happened_on(last, card.zone), card.zone)}"
    said = _happened(card, last, "" if last.kind in PAST else on)
    readings = (last.sample or {}, card.sample)
    then, now = (one.get("value") for one in readings)
    if last.kind == "worsened" and card.metric is not None and None not in {then, now} and then != now:
        then, now = (reading_words(card.metric, one, card.sample) for one in readings)
        said += f" ({then} then, {now} now)"
    return f"{said}."


def _happened(card: Card, entry: HistoryEntry, when: str = "") -> str:
    author = f" by {called(entry.author, card.people)}" if entry.author else ""
    joint = ":" if entry.kind not in CONTINUED else "," if when else ""
    return f"{news(entry.kind)}{author}{when}{joint} {entry.reason}"


def news_message(card: Card, entry: HistoryEntry, people: Sequence[Person] = ()) -> Message:
    """One piece of news in the incident's thread. `people`, or whom it is addressed to, are named so that Slack tells
    them.
    """
    if card.withheld:
        return _withheld(card)
    people = people or addressed(card.incident, card.entries, entry, card.people)
    people = [p for p in people if (entry.seq, p.name) not in card.unnamed and may_read(p, card.incident)]
    text = f"{_happened(card, entry)}."
    is_again = entry.kind in {"woken", "lapsed"}
    sample = card.sample if is_again else entry.sample or {}
    if card.metric is not None and "value" in sample:
        days = kind_of(card.rule).window(sample) or ""
        text += f" {'Now ' if is_again else ''}{reading_sentence(card.metric, sample, days)}."
    text += " Please acknowledge it again." if is_again else ""
    return Message((text,), sentences=(text,), mentions=tuple(people))
