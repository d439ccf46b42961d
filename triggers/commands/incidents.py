"""`python -m triggers incidents`, `explain`, `ack` and `resolve`: what is open, why, and what people do about it."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection

from config.models import Catalog, RateRule, conditions_text
from queries.engine import aware
from queries.metrics import figure, interval
from queries.operations import add_format, echo, print_table
from queries.state import HistoryEntry, Incident, entries, read_incident, read_incidents, slice_key
from queries.statistics.estimates import Tally, estimate
from queries.stores import open_installation
from queries.warehouse import EVERYTHING, Pin, settle
from triggers.commands.arguments import AddCommand, add_author
from triggers.data_faults.scan import rule_of_faults
from triggers.evaluation import design_effects_at, evaluate_rule, reader
from triggers.incidents import acknowledge, resolve, scope_of
from triggers.lab import iso_instant
from triggers.messages import rule_at_opening
from triggers.rules import Moment, Subject, Task, subject_of, version_of

HEAD: Final = (
    *("id", "rule", "slice", "class", "severity", "state"),
    *("opened_at", "resolved_at", "value", "n", "acknowledged_by", "origin"),
)


def declare_incidents(command: AddCommand) -> None:
    """`incidents`, and what it takes."""
    parser = command("incidents", list_incidents, "list incidents, newest first")
    parser.add_argument(
        "--state",
        choices=("open", "resolved", "closed"),
        help="only incidents in this state; resolved: recovered; closed: ended otherwise, such as by hand",
    )
    add_format(parser)


def list_incidents(arguments: Namespace) -> None:
    """Every incident, the newest first."""
    with open_installation() as site, site.reading() as conn:
        listed = read_incidents(conn, EVERYTHING, arguments.state)
    rows = []
    for i in listed:
        over = iso_instant(i.resolved_at) if i.resolved_at else None
        what = (i.id, i.rule, i.slice, i.class_, i.severity, i.state)
        rows.append((*what, iso_instant(i.opened_at), over, i.value, i.n, i.acknowledged_by, i.origin))
    print_table(rows, HEAD, arguments.format)


def declare_ack_and_resolve(command: AddCommand) -> None:
    """`ack` and `resolve`, and what they take."""
    ack = command("ack", take_on, "acknowledge an incident")
    closing = command("resolve", close, "close an incident by hand (its state becomes closed)")
    for parser in (ack, closing):
        parser.add_argument("incident", metavar="INCIDENT", help="the incident's id")
        add_author(parser)
    closing.add_argument("--note", metavar="TEXT", default="", help="why the incident is closed")


def take_on(arguments: Namespace) -> None:
    """Acknowledge an incident."""
    with open_installation() as site, site.states.begin() as conn:
        scope = scope_of(site.catalog, arguments.by)
        found = acknowledge(conn, arguments.incident, arguments.by, scope, datetime.now(UTC))
    echo(f"acknowledged by {found.acknowledged_by}; escalation stops")


def close(arguments: Namespace) -> None:
    """Close an incident by hand."""
    with open_installation() as site, site.states.begin() as conn:
        scope = scope_of(site.catalog, arguments.by)
        resolve(conn, arguments.incident, arguments.by, arguments.note, scope, datetime.now(UTC))
    echo("closed; the rule will not reopen it until the figure has recovered")


def declare_explain(command: AddCommand) -> None:
    """`explain`, and what it takes."""
    parser = command(
        "explain", explain_incident, "show an incident's figures as they were when it was found and as they are now"
    )
    parser.add_argument("incident", metavar="INCIDENT", help="the incident's id")
    parser.add_argument("--details", action="store_true", help="also show p-values, rule versions and data generations")


def explain_incident(arguments: Namespace) -> None:
    """An incident's figures, then and now."""
    with open_installation() as site, site.reading() as conn, site.warehouse.pin() as pin:
        id_, now = arguments.incident, datetime.now(UTC)
        for line in explain(conn, pin, site.catalog, id_, now, details=arguments.details):
            echo(line)


def explain(
    conn: Connection, pin: Pin, catalog: Catalog, id_: str, now: datetime, *, details: bool = False
) -> Iterator[str]:
    """The explanation, line by line.

    Args:
        conn: the state.
        pin: the data as it is now.
        catalog: the rules as they are now.
        id_: the incident's.
        now: aware UTC.
        details: whether to show what only analysts ask for: p-values, versions and data generations.

    Raises:
        UnknownIncidentError: there is no such incident.
    """
    found, zone = read_incident(conn, id_, EVERYTHING), ZoneInfo(pin.generation.zone)
    of, history_ = rule_at_opening(conn, catalog, found), entries(conn, found.id)
    yield f"incident {found.id}, episode {found.episode}: {found.state}"
    yield f"rule {found.rule}{f' version {found.rule_hash}' if details else ''}{_changed(catalog, found)}"
    yield f"slice {found.slice or 'the whole company'}"
    if not isinstance(of.rule, RateRule):
        for entry in history_:
            yield _happened(entry, zone, details=details)
        if found.account_id:
            yield f"account {found.account_id}"
        return
    if of.rule.where:
        yield f"only where {conditions_text(of.rule.where)}"
    generation = pin.generation
    moment = Moment(now, generation.number, aware(generation.published_at), zone, settle(pin.conn))
    asked = subject_of(of, catalog, moment)
    for entry in history_:
        yield ""
        yield _happened(entry, zone, details=details)
        if entry.sample:
            yield from _figures(asked, pin, found, entry.sample, moment, details=details)


def _changed(catalog: Catalog, found: Incident) -> str:
    """Whether the rule is still the one that the incident opened under."""
    for rule in (*catalog.rules, rule_of_faults(catalog.guard)):
        if rule.name == found.rule:
            return "" if version_of(catalog, rule).hash == found.rule_hash else " (the rule has been changed since)"
    return " (the rule has been removed)"


def _figures(
    asked: Subject, pin: Pin, found: Incident, sample: Mapping[str, Any], moment: Moment, *, details: bool
) -> Iterator[str]:
    tally, held = Tally(*sample["tally"]), sample.get("held", sample.get("limit"))
    against = f", compared with {figure(asked.metric, held)}" if held is not None else ""
    yield f"  window [{sample['since']}, {sample['until']}){against}"
    threshold = f", threshold {sample['alpha']:.3g}" if details else ""
    yield f"  then: {_line(asked, tally, sample['deff'], sample['p'], details=details)}{threshold}"
    task = Task(asked, (date.fromisoformat(sample["until"]),), first_run=False)
    for _, basis in reader(pin.conn, moment, design_effects_at(pin.conn, moment)).bases([task]):
        judged = evaluate_rule(asked, basis)
        keys = [slice_key(asked.by, slice_) for slice_ in judged.panel.slices]
        column, few = keys.index(found.slice) if found.slice in keys else None, basis.given.few
        if column is not None and few and few(basis.slots, [judged.panel.slices[column]], np.ones((1, 1), bool)).any():
            yield "  now:  withheld for privacy: it comes from too few people"
        elif column is not None:
            present = judged.reading(0, column)
            note = "" if present.tally == tally else "   <- rows were added, removed or corrected since"
            yield f"  now:  {_line(asked, present.tally, present.deffs[0], present.p, details=details)}{note}"


def _line(asked: Subject, tally: Tally, deff: float, p: float, *, details: bool) -> str:
    found = estimate(asked.metric, tally, deff)
    ends = interval(asked.metric, found.low, found.high)
    test = f"{f', design effect {deff:.2f}' if deff > 1 else ''}, p = {p:.3g}" if details else ""
    return f"{figure(asked.metric, found.value)} ({ends}), n = {found.n}{test}"


def _happened(entry: HistoryEntry, zone: ZoneInfo, *, details: bool) -> str:
    generation = f" (data generation {entry.generation})" if details else ""
    return f"{entry.kind} {entry.at.astimezone(zone):%Y-%m-%d %H:%M %Z}{generation}: {entry.reason}"
