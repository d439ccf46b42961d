"""An incident as HTML; the templates are in `macros.html`. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from config.models import DATA_FAULT, DECEIVES, Catalog, Guard, Metric, Person, Route, Rule, called, label_of
from dashboard.incident.charts import Reference
from dashboard.markup import SEVERITIES, macros, section
from queries.messages import Notification
from queries.metrics import (
    count,
    day_words,
    difference_words,
    figure,
    half_width,
    interval,
    moment_words,
    signed_change,
    span_words,
)
from queries.monitoring import DIMENSIONS, BadRow, Dimension, Drivers
from queries.review import (
    UNCLEAR,
    EscalationOutcome,
    IncidentPage,
    Onset,
    Readings,
    aged,
    figure_name,
    happened_on,
    reading_days,
    reading_words,
    readings_of,
    slice_words,
    timetable,
)
from queries.state import Action, HistoryEntry, Incident
from triggers.evaluation.kinds import kind_of, sentence_start
from triggers.incidents import STEPS, parse_ladder
from triggers.messages import ORIGIN, Card, asks, freshness, news, sentence
from triggers.messages import facts as card_facts

UTC: Final = ZoneInfo("UTC")
_MACROS: Final = macros("incident/macros.html")


@dataclass(frozen=True, slots=True)
class Terms:
    """What people and times are called: the same as in Slack. `zone` is the reporting zone, `today` its day."""

    people: Sequence[Person] = ()
    zone: ZoneInfo = UTC
    today: date | None = None

    def name(self, name: str | None) -> str:
        """How a sentence says somebody's name or role."""
        return called(name, self.people)

    def day(self, at: datetime) -> str:
        """The day of an instant: `3 October 2026`."""
        return day_words(at, self.zone)

    def moment(self, at: date) -> str:
        """An instant as it is read, `3 October 2026, 07:30 UTC`, or a day."""
        return moment_words(at, self.zone)


def state(incident: Incident, terms: Terms) -> str:
    """Where an incident stands, in words: over, snoozed, acknowledged, waiting for somebody, or unassigned."""
    if not incident.is_open:
        over = news(incident.state).lower()
        return f"{over} on {terms.day(incident.resolved_at)}" if incident.resolved_at else over
    if incident.snoozed_until:
        return f"open, snoozed by {terms.name(incident.assigned_to)} until {terms.moment(incident.snoozed_until)}"
    if incident.acknowledged_at:
        return f"open, acknowledged by {terms.name(incident.acknowledged_by)}"
    return f"open, waiting for {terms.name(incident.assigned_to)}" if incident.assigned_to else "open, unassigned"


def incident_title(incident: Incident, rule: Rule | None) -> str:
    """What the incident is about; of a fault of the data, which kind: its key begins with it."""
    if incident.rule == DATA_FAULT:
        return f"{DECEIVES}: {incident.slice.partition('|')[0].replace('-', ' ')}"
    return (rule.label if rule else "") or incident.rule


def incident_where(incident: Incident, account: str | None) -> str:
    """Where it is: its slice, or the vertical and account of a case."""
    if incident.is_case or (incident.account_id and incident.account_id in incident.slice):
        return ", ".join(part for part in (account, incident.vertical, incident.touchpoint) if part) or "All verticals"
    return slice_words(incident.slice)


def incident_header(page: IncidentPage, account: str | None, terms: Terms, function: str | None = None) -> Markup:
    """What, where, how serious, who in the company is responsible, and where it stands."""
    incident = page.incident
    headline = f"{incident_title(incident, page.rule)} – {incident_where(incident, account)}"
    attention = incident.is_open and not (incident.acknowledged_at or incident.snoozed_until)
    words = sentence_start(state(incident, terms))
    kicker = " · ".join(filter(None, ("Incident", SEVERITIES[incident.severity], function)))
    return _MACROS.incident_header(kicker, headline, words, attention)


def evidence_section(page: IncidentPage, card: Card | None) -> Markup:
    """The card that Slack shows too: the figure with its interval, then what it was made of."""
    metric, sample, facts, main = page.metric, card.sample if card else page.sample, [], ""
    if metric is not None:
        main, low, high = figure_name(page.rule, metric), sample.get("low"), sample.get("high")
        reference = reference_of(page.rule, sample)
        n = (sample.get("tally") or [page.incident.n or 0])[0]
        then = readings_of(page.history, page.present)
        # What was promised for the slice says for what it was promised: it is not said twice.
        is_goal = reference is not None and reference.name == "goal" and page.goal.startswith(reference.figure(metric))
        facts = [
            (main, figure(metric, sample.get("value", page.incident.value), half_width(low, high))),
            ("Measured", reading_days(sample)),
            ("95% interval", interval(metric, low, high)),
            ("Earlier", then.before(metric) if then else ""),
            ("Cases", count(round(n))),
            (sentence_start(reference.name), reference.figure(metric)) if reference and not is_goal else ("", ""),
            ("Goal", page.goal),
            ("Difference", difference_words(metric, sample)),
        ]
    elif page.rule and card and (heard := kind_of(page.rule).finding(None, card.sample)):
        facts = [("Decline" if page.rule.reads_revenue else "Silence", heard)]
    if card:
        facts += [(fact.label, fact.text) for fact in (*card_facts(card), *asks(card)) if fact.label not in ELSEWHERE]
    return _MACROS.evidence(facts, main, freshness(card) if card else "")


def origin_section(drivers: Drivers, words: str, page: IncidentPage) -> Markup:
    """Where it comes from in a sentence, what that is measured from, and the bad cases by value."""
    earlier = drivers.earlier
    held = reference_of(page.rule, page.sample)
    since = "than what it is held against"
    if earlier:
        since = f"against {span_words(earlier[0], earlier[1] - timedelta(days=1))}"
        since += ", its baseline" if earlier == page.frozen else ""
    elif held and page.metric:
        since = (
            f"than the {held.name} of {held.figure(page.metric)}"
            if held.is_written
            else f"than {held.figure(page.metric)} ({held.name})"
        )
    half = half_width(page.sample.get("low"), page.sample.get("high"))
    change = signed_change(page.metric, drivers.change, half).lstrip("+") if page.metric else ""
    lede = f"{words}. " if words else "" if drivers.withheld else "Too few cases to tell. "
    lede += f"Worse by {change} {since}, in {count(drivers.n)} {'case' if drivers.n == 1 else 'cases'}."
    lede += " What comes from too few people is withheld for privacy." if drivers.withheld else ""
    bad = drivers.bad
    lines = [_by_value(one, bad) for one in drivers.dimensions if one.name != "account_id" and bad is not None]
    return section("Where it comes from", lede) + (_MACROS.counts(lines) if lines else Markup(""))


def _by_value(one: Dimension, bad: int) -> tuple[str, str]:
    """A dimension with the bad cases of its commonest values, of all `bad` ones."""
    counted = sorted((cell for cell in one.cells if cell.bad), key=lambda cell: -(cell.bad or 0))
    more = len(counted) - MOST_VALUES
    values = ", ".join(f"{cell.value} {count(cell.bad or 0)}" for cell in counted[:MOST_VALUES])
    values += f" and {count(more)} more" if more > 0 else ""
    # A journey with two defects stands under either of their codes.
    is_twice = sum(cell.bad or 0 for cell in one.cells) > bad
    return sentence_start(DIMENSIONS[one.name][0]), f"{values}{'; a case can count more than once' if is_twice else ''}"


def case_table(rows: Iterable[BadRow]) -> Markup:
    """Single cases: when, whose, which, and where it lies."""
    return _MACROS.cases([(row.day, row.account, f"{row.id} ({row.source})", ", ".join(row.place)) for row in rows])


def case_section(card: Card | None, *, verbatims: bool) -> Markup:
    """What a severe case is, in a sentence, and in the customer's own words for whoever may read those."""
    case = card.evidence.case if card and card.evidence else None
    if card is None or case is None:
        return Markup()
    comment, withheld = case.row.get("comment", ""), case.is_private
    return _MACROS.case(sentence(card), verbatims and comment, verbatims and withheld)


def others_section(card: Card | None) -> Markup:
    """What else is open at its account."""
    if card is None or not card.others:
        return Markup()
    return section("Also open at this account") + _MACROS.others(card.others)


MOST_VALUES: Final = 5
ELSEWHERE: Final = frozenset({ORIGIN, "Where", "Severity", "What to do", "Measured", "Earlier", "Action"})
"""Lines of the card that stand elsewhere on the page."""


def how_sure(page: IncidentPage) -> tuple[str, ...]:
    """What only an analyst asks: the test, the version of the rule and the generation of the data."""
    sure = kind_of(page.rule).how_sure(page.sample) if page.rule else None
    read = next((entry.generation for entry in reversed(page.history) if entry.sample), None)
    lines = (
        f"Test: {sure}." if sure else "",
        f"Rule {page.incident.rule}, version {page.incident.rule_hash}.",
        f"Last measured on generation {read} of the data." if read else "",
    )
    return tuple(line for line in lines if line)


def reference_of(rule: Rule | None, sample: Mapping[str, Any]) -> Reference | None:
    """What an incident's figure was held against when it was last looked at; None where there is no such figure."""
    held = kind_of(rule).held(sample) if rule else None
    half = half_width(sample.get("low"), sample.get("high"))
    return Reference(held.name, held.value, held.is_written, half) if held else None


def what_to_do(page: IncidentPage, guard: Guard) -> Markup:
    """What to do, as the rule's owner wrote it; of a fault of the data, or of what one explains, also what was seen."""
    rule, is_fault = page.rule, page.incident.class_ == "data" and (page.rule is None or page.rule.class_ == "customer")
    seen = sentence_start(f"{page.history[0].reason}.") if is_fault else ""
    words = (guard.runbook if is_fault else rule.runbook if rule else "") if page.incident.is_open else ""
    titled = (("What was seen", seen), ("What to do", words))
    return Markup().join(section(title) + _MACROS.runbook(text) for title, text in titled if text)


def history_section(entries: Iterable[HistoryEntry], terms: Terms) -> Markup:
    """What happened to it, newest first, in the words that Slack has for it."""
    return _MACROS.history(
        (
            terms.moment(happened_on(entry, terms.zone)),
            news(entry.kind),
            entry.reason,
            entry.author and label_of(entry.author, terms.people),
        )
        for entry in reversed([*entries])
    )


def ladder_section(
    page: IncidentPage, told: Sequence[Notification], catalog: Catalog, terms: Terms, *, has_slack: bool
) -> Markup:
    """Who is notified when, and what Slack has of it."""
    incident, rows = page.incident, []
    root = next((one for one in told if one.kind == "root"), None)
    taken = [entry for entry in page.history if entry.kind in STEPS]
    # The ladder that the incident was opened with: the rule's may have changed since, and this one is climbed on.
    route = next((route for route in catalog.routes if route.name == incident.route), Route(name=incident.route))
    table = timetable(catalog, route, terms.zone)
    for number, step in enumerate(parse_ladder(incident.ladder)):
        when = "at once" if not step.after else f"after {table.length_words(step.after)} without acknowledgement"
        entry = taken[number - 1] if 0 < number <= len(taken) else None
        reply = next((one for one in told if entry and one.kind == "reply" and one.version == entry.seq), root)
        if number and (entry is None or entry.kind != "escalated"):
            mark, link = _untaken(incident, entry, number, terms), ""
        else:
            # What the first message told already is not said again below it.
            said = root if reply is None or reply.state == "superseded" else reply
            mark, link = _delivered(incident, said, terms, has_slack=has_slack)
        rows.append((_told(step.notify, incident, catalog), when, mark, link))
    return _MACROS.ladder(rows)


def _untaken(incident: Incident, entry: HistoryEntry | None, number: int, terms: Terms) -> str:
    """Why a step after the first was not told by a message of its own."""
    if entry is not None:
        return entry.reason
    if not incident.is_open or incident.acknowledged_at:
        return "not needed"
    if incident.next_step_at is None:
        return "not planned"
    return f"due {terms.moment(incident.next_step_at)}" if number == incident.next_step else "later"


def _delivered(incident: Incident, said: Notification | None, terms: Terms, *, has_slack: bool) -> tuple[str, str]:
    """What became of a message, and where it stands."""
    if said is None:
        if not incident.next_step:
            return "not sent: covered by another incident", ""
        past = "found in past data" if incident.origin == "backfill" else "nothing was queued"
        return f"not sent: {past}", ""
    if said.state == "notified":
        return f"notified {terms.moment(said.at)}{' in a digest' if said.is_digest else ''}", said.link
    if said.state == "refused":
        return f"refused by Slack: {said.error or 'no reason given'}", ""
    if said.state == "superseded":
        return "not sent: overtaken by later news", ""
    return f"pending: {'waiting for Slack' if has_slack else 'Slack has no token'}, due {terms.moment(said.at)}", ""


def _told(notify: str, incident: Incident, catalog: Catalog) -> str:
    """Whom a step names, as people call them."""
    if notify == "gm":
        return f"general manager of {incident.vertical}" if incident.vertical else "general managers"
    if notify == "channel":
        route = next((route for route in catalog.routes if route.name == incident.route), None)
        return f"the channel of {route.label or route.name}" if route else "the channel"
    return label_of(notify, catalog.people)


def action(taken: Action, effect: str, today: date, terms: Terms) -> Markup:
    """One action with what it has done so far."""
    due = f"due {day_words(taken.due_on)}" if taken.due_on else "no due date"
    if taken.done_at:
        due = f"done {terms.day(taken.done_at)}"
    is_late = taken.done_at is None and taken.due_on is not None and taken.due_on < today
    return _MACROS.action(taken, due, is_late, effect)


Listed = tuple[Incident, Rule | None, Metric | None, str, Onset | None, Readings | None]


def incident_table(incidents: Iterable[Listed], terms: Terms) -> Markup:
    """Incidents as a table of links: (incident, its rule, its metric, where it is, when it began, its figures)."""
    rows = []
    for incident, rule, metric, where, onset, known in incidents:
        value, before, what = "", list[str](), incident_title(incident, rule)
        if known and metric:
            value, before = (
                reading_words(metric, known.now),
                [_said_of(rule, metric, known.now, what), known.before(metric)],
            )
        elif known and rule:
            newest = aged(rule, known.now, terms.today) if terms.today and incident.is_open else known.now
            value, *before = kind_of(rule).brief(newest)
        opened = terms.day(incident.opened_at)
        since = str(onset) if onset else UNCLEAR if metric and incident.is_open else ""
        severity, said = SEVERITIES[incident.severity], [*filter(None, before)]
        rows.append((incident, severity, since, opened, what, where, value, said, state(incident, terms)))
    return _MACROS.incident_table(rows)


def _said_of(rule: Rule | None, metric: Metric, sample: Mapping[str, Any], title: str) -> str:
    """What a figure is of, its cases, what it is held against, and its days; under a title that may name it already."""
    name, reference = figure_name(rule, metric), reference_of(rule, sample)
    n = round((sample.get("tally") or [0])[0])
    held = ""
    if reference:
        against = reference.figure(metric)
        held = f"{reference.name} {against}" if reference.is_written else f"against {against} ({reference.name})"
    return ", ".join(
        filter(None, ("" if name == title else name, f"n = {count(n)}" if n else "", held, reading_days(sample)))
    )


def outcomes_section(outcomes: Mapping[tuple[date, str], EscalationOutcome], catalog: Catalog) -> Markup:
    """What became of the escalated incidents of each month and route."""
    labels = {route.name: route.label or route.name for route in catalog.routes}
    rows = [(f"{month:%B %Y}", labels.get(route, route), became) for (month, route), became in outcomes.items()]
    lede = "Incidents by the month in which they were opened. Those still open count as such in both medians."
    return section("What became of escalated incidents", lede) + _MACROS.outcomes(rows)
