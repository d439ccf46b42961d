"""What a letter says, and when one is due: what was beyond a budget, what rules did, what could not be told."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config.models import Catalog, Person, Route, Rule
from queries.engine import day_of
from queries.messages import MAILBOX, DirectMessage, direct_messages
from queries.metrics import SEVERITY_WORDS, UnratedRevenueError, count, day_words, listed, revenue_of
from queries.review import newest_review, review_dates
from queries.state import (
    BEYOND,
    WITHHELD,
    Incident,
    RuleTally,
    Verdict,
    incidents_by_id,
    read_closed_review,
    read_escalations,
    read_incidents,
    rule_tallies,
    slice_values,
    votes_by_rule,
)
from queries.warehouse import EVERYTHING, Pin
from triggers.incidents import may_read, reader_scope
from triggers.incidents.person_budget import monday
from triggers.messages.card import COMPANY
from triggers.messages.message import Link, Message, mark

READING_TIME: Final = time(8)
"""When, on a Monday in the reporting zone, the weekly letters go out."""

WEEK: Final = timedelta(days=7)
A_DAY: Final = timedelta(days=1)
LISTED: Final = 15
REVIEW: Final = "review"
"""The kind of a letter that reminds of a review."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """An incident, and the revenue of its account in a year where both are known."""

    incident: Incident
    revenue: float | None = None


@dataclass(frozen=True, slots=True)
class DirectMessageWriter:
    """What letters are written from. `as_of` is aware UTC."""

    pin: Pin
    catalog: Catalog
    currency: str
    link: str
    as_of: datetime

    @property
    def zone(self) -> ZoneInfo:
        """The reporting zone."""
        return ZoneInfo(self.pin.generation.zone)

    def words(self, conn: Connection, id_: str) -> Message | None:
        """The words of a letter, under its reader's scope; None where that is no letter's id."""
        letter = direct_messages.read_direct_message(conn, id_)
        if letter is None:
            return None
        person = next((p for p in self.catalog.people if p.name == letter.person), None)
        if person is None:
            return _message("This message is empty", ["Its recipient is no longer configured."], self.link)
        if letter.kind == "overflow":
            return self._overflow(conn, letter, person)
        if letter.kind == "noisy":
            return self._noisy(conn, letter)
        if letter.kind == REVIEW:
            return self._review(conn, letter, person)
        # Rule, id and reader only: what it is about is not told in a letter either.
        untold = withheld(conn, self.catalog, letter.at - WEEK, letter.at + A_DAY)
        mine = [f"{one.rule} ({one.incident}): not sent to {one.reader}" for one in untold if one.owner == person.name]
        return _message("Not sent: the recipients are not allowed to see it", [*_listed(mine), _ROUTES], self.link)

    def _overflow(self, conn: Connection, letter: DirectMessage, person: Person) -> Message:
        since, until = _week(letter.about, self.zone)
        beyond = [step for step in read_escalations(conn, BEYOND, since, until) if step.person == person.name]
        known = incidents_by_id(conn, sorted({step.incident_id for step in beyond}))
        mine = [incident for incident in known.values() if may_read(person, incident)]
        accounts = {incident.account_id for incident in mine if incident.account_id}
        # Who is over budget is told all the same: without revenue the incidents rank by severity.
        worth, no_revenue = dict[str, float](), list[str]()
        try:
            worth = revenue_of(self.pin.conn, accounts, self.currency, reader_scope(person), self.as_of)
        except UnratedRevenueError as error:
            no_revenue.append(f"Ranked without revenue: {error}.")
        ranked = rank(Ranked(incident, worth.get(incident.account_id or "")) for incident in mine)
        rules = _named(self.catalog.rules)
        lines = list[str]()
        for incident, revenue in ((one.incident, one.revenue) for one in ranked):
            rule = rules.get(incident.rule)
            label = rule.label or rule.name if rule else incident.rule
            yearly = f", {count(round(revenue))} {self.currency} a year" if revenue is not None else ""
            place, how = incident_place(incident, rule), SEVERITY_WORDS[incident.severity]
            lines.append(f"{mark(incident.severity, incident.state)[0]} {label}, {place} ({how}{yearly})")
        head = f"{_n(len(ranked), 'incident')} beyond your weekly budget, {self._days(since, until)}"
        return _message(
            head, [*(_listed(lines) or ["You no longer have access to any of them."]), *no_revenue], self.link
        )

    def _review(self, conn: Connection, letter: DirectMessage, person: Person) -> Message:
        month = date.fromisoformat(letter.about)
        due = review_dates(self.catalog.calendar, month, self.catalog.review.held_by).due_on
        left, name = _not_held(conn, person, month), f"{month:%B %Y}"
        if not left:
            return _message(f"The review of {name} has been held", ["There is nothing left to do."], self.link)
        is_late = due < day_of(self.as_of, self.zone)
        head = f"The review of {name} {'was' if is_late else 'is'} due by {day_words(due)}"
        query = urlencode({"month": f"{month:%Y-%m}", **({"vertical": left[0]} if len(left) == 1 else {})})
        lines = [f"Not closed yet: {listed(left)}.", "Decide its issues with the team, then close it on its page."]
        return _message(head, lines, f"{self.link}/?{query}", "Open the review")

    def _days(self, since: datetime, until: datetime) -> str:
        return f"{day_words(since, self.zone)} to {day_words(until - A_DAY, self.zone)}"

    def _noisy(self, conn: Connection, letter: DirectMessage) -> Message:
        since, until = _week(letter.about, self.zone)
        mine = {rule.name: rule for rule in self.catalog.rules if rule.owner == letter.person}
        ranked = noisiest(rule_tallies(conn, since, until), votes_by_rule(conn, since))
        lines = [
            f"{mine[week.rule].label or week.rule}: {_n(week.opened, 'incident')}, {count(week.unanswered)} of them "
            f"never acknowledged, {count(week.noise)} rated as noise"
            for week in ranked if week.rule in mine
        ]  # fmt: skip
        head = f"Your noisiest rules, {self._days(since, until)}"
        return _message(head, [*lines[:LISTED], _HELP], self.link)


_HELP: Final = "Tighten or disable rules nobody responds to: `triggers tune`, the lab, docs/how-to/write-a-rule.md."
_ROUTES: Final = "Give the rule another route, or let the route or the person see more (config/routing.toml)."


@dataclass(frozen=True, slots=True)
class RuleWeek:
    """What a rule did in a week."""

    rule: str
    opened: int
    unanswered: int
    noise: int


@dataclass(frozen=True, slots=True)
class Withheld:
    """An incident that was not told to a reader, and whose rule it is."""

    incident: str
    rule: str
    owner: str
    reader: str
    at: datetime


def rank(found: Iterable[Ranked]) -> list[Ranked]:
    """By revenue; where no revenue is known, after those, by severity and by the number of cases."""

    def key(one: Ranked) -> tuple[Any, ...]:
        known, worth, about = one.revenue is not None, one.revenue or 0, one.incident
        return not known, -worth, about.severity, -(about.n or 0), about.opened_at, about.id

    return sorted(found, key=key)


def noisiest(counted: Iterable[RuleTally], voted: Iterable[Verdict]) -> list[RuleWeek]:
    """The rules with anything to complain of: most votes for noise first, then most that nobody acknowledged."""
    noise = {one.rule: one.noise for one in voted}
    found = [RuleWeek(one.rule, one.opened, one.unanswered, noise.get(one.rule, 0)) for one in counted]
    return sorted(
        (n for n in found if n.noise or n.unanswered), key=lambda n: (-n.noise, -n.unanswered, -n.opened, n.rule)
    )


def withheld(conn: Connection, catalog: Catalog, since: datetime, until: datetime) -> tuple[Withheld, ...]:
    """What was opened or stepped in [since, until) and not told to a channel or a person that may not see it."""
    rules = _named(catalog.rules)
    routes = {route.name: route for route in catalog.routes if route.verticals is not None}
    untold = list[Withheld]()
    for incident in read_incidents(conn, EVERYTHING, since=since, until=until) if routes else ():
        route, rule = routes.get(incident.route), rules.get(incident.rule)
        if route and rule and since <= incident.opened_at and not may_read(route, incident):
            untold.append(Withheld(incident.id, rule.name, rule.owner, f"route {route.name}", incident.opened_at))
    steps = read_escalations(conn, WITHHELD, since, until)
    known = incidents_by_id(conn, [step.incident_id for step in steps])
    for step in steps:
        about = known.get(step.incident_id)
        if about is not None and about.rule in rules:
            untold.append(Withheld(about.id, about.rule, rules[about.rule].owner, step.person, step.at))
    return tuple(untold)


def due_direct_messages(conn: Connection, catalog: Catalog, zone: ZoneInfo, now: datetime) -> tuple[DirectMessage, ...]:
    """The letters that should be there by now; those that are there already are among them."""
    week = monday(now, zone)
    is_time = now >= week.replace(hour=READING_TIME.hour, minute=READING_TIME.minute)
    weekly = _weekly(conn, catalog, monday(week - A_DAY, zone), week, now) if is_time else ()
    return (*weekly, *_reports(conn, catalog, zone, now), *_reminders(conn, catalog, zone, now))


def _reminders(conn: Connection, catalog: Catalog, zone: ZoneInfo, now: datetime) -> Iterator[DirectMessage]:
    """One a review to each general manager who has not closed it some days before it is due."""
    dates = newest_review(catalog.calendar, day_of(now, zone), catalog.review.held_by)
    if now < datetime.combine(dates.remind_on, READING_TIME, zone):
        return
    for person in catalog.people:
        if person.slack and _not_held(conn, person, dates.month):
            yield direct_messages.new_direct_message(REVIEW, person.name, dates.month.isoformat(), now)


def _not_held(conn: Connection, person: Person, month: date) -> list[str]:
    """The verticals of a general manager whose review of a month is not closed."""
    own = sorted(person.verticals or ()) if person.audience == "gm" else ()
    return [vertical for vertical in own if read_closed_review(conn, month, vertical) is None]


def _weekly(
    conn: Connection, catalog: Catalog, since: datetime, until: datetime, now: datetime
) -> Iterator[DirectMessage]:
    about = date(since.year, since.month, since.day).isoformat()
    for person in sorted({one.person for one in read_escalations(conn, BEYOND, since, until)}):
        yield direct_messages.new_direct_message("overflow", person, about, now)
    owners = {rule.name: rule.owner for rule in catalog.rules}
    mine = {
        owners[one.rule]
        for one in noisiest(rule_tallies(conn, since, until), votes_by_rule(conn, since))
        if one.rule in owners
    }
    reached = {person.name for person in catalog.people if person.slack}
    yield from (direct_messages.new_direct_message("noisy", owner, about, now) for owner in sorted(mine & reached))


def _reports(conn: Connection, catalog: Catalog, zone: ZoneInfo, now: datetime) -> Iterator[DirectMessage]:
    """One a day to an owner, where something is new since the last."""
    by_owner: dict[str, datetime] = {}
    for one in withheld(conn, catalog, now - WEEK, now + A_DAY):
        by_owner[one.owner] = max(by_owner.get(one.owner, one.at), one.at)
    for owner, at in sorted(by_owner.items()):
        last = direct_messages.last_sent(conn, "withheld", owner)
        if last is None or last < at:
            yield direct_messages.new_direct_message("withheld", owner, now.astimezone(zone).date().isoformat(), now)


def mailbox(person: Person, channel: str) -> Route:
    """The route that leads to a person's direct messages. Its channel is no configured one, so it is not checked."""
    return Route.model_construct(
        name=f"{MAILBOX}{person.name}", label=f"direct messages to {person.label}", channel=channel
    )


def incident_place(incident: Incident, rule: Rule | None) -> str:
    """Where an incident is: its slice's values, or what a case belongs to."""
    named = () if rule and rule.is_case else slice_values(incident.slice).values()
    return ", ".join(named) or ", ".join(part for part in (incident.vertical, incident.touchpoint) if part) or COMPANY


def _listed(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - LISTED
    return [*lines[:LISTED], *([f"and {count(more)} more"] if more > 0 else [])]


def _named(rules: Iterable[Rule]) -> Mapping[str, Rule]:
    return {rule.name: rule for rule in rules}


def _week(about: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    first = date.fromisoformat(about)
    return datetime.combine(first, time(), zone), datetime.combine(first + WEEK, time(), zone)


def _n(n: int, one: str) -> str:
    return f"{count(n)} {one}{'' if n == 1 else 's'}"


def _message(head: str, lines: Sequence[str], link: str, label: str = "Open the dashboard") -> Message:
    return Message((f"{head}. {'; '.join(lines[:3])}",), head, tuple(lines), actions=(Link(label, link),))
