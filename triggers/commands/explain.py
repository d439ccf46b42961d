"""Why an incident opened: its figures as they were then, and the same figures from the data as it is now."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config.models import Catalog, RateRule
from queries.instants import aware
from queries.metrics.formatting import figure, interval
from queries.operations.output import echo
from queries.scope import EVERYTHING
from queries.state import HistoryEntry, Incident, entries, incident, slice_key
from queries.statistics.estimates import Tally, estimate
from queries.stores import open_installation
from queries.warehouse import Pin, settle
from triggers.commands.arguments import AddCommand
from triggers.evaluation.evaluate import design_effects_at
from triggers.evaluation.metric_rules import evaluate_rule, reader
from triggers.evaluation.replay import EvaluatedWindow
from triggers.messages.card import conditions
from triggers.messages.card_reader import rule_at_opening
from triggers.rules import Moment, Subject, Task, subject_of, version_of


def declare_explain(command: AddCommand) -> None:
    """`explain`, and what it takes."""
    command("explain", explain_incident, "figures of an incident, then and now").add_argument("incident")


def explain_incident(arguments: Namespace) -> None:
    """An incident's figures, then and now."""
    with open_installation() as site, site.reading() as conn, site.warehouse.pin() as pin:
        for line in explain(conn, pin, site.catalog, arguments.incident, datetime.now(UTC)):
            echo(line)


def explain(conn: Connection, pin: Pin, catalog: Catalog, id_: str, now: datetime) -> Iterator[str]:
    """The explanation, line by line.

    Args:
        conn: the state.
        pin: the data as it is now.
        catalog: the rules as they are now.
        id_: the incident's.
        now: aware UTC.

    Raises:
        UnknownIncidentError: there is no such incident.
    """
    found, zone = incident(conn, id_, EVERYTHING), ZoneInfo(pin.generation.zone)
    of, history_ = rule_at_opening(conn, catalog, found), entries(conn, id_)
    yield f"incident {found.id}, episode {found.episode}: {found.state}"
    yield f"rule {found.rule} version {found.rule_hash}{_changed(catalog, found)}"
    yield f"slice {found.slice or 'the whole company'}"
    if not isinstance(of.rule, RateRule):
        yield from _case(found, history_, zone)
        return
    if of.rule.where:
        yield f"only where {conditions(of.rule.where)}"
    generation = pin.generation
    moment = Moment(now, generation.number, aware(generation.published_at), zone, settle(pin.conn))
    asked = subject_of(of, catalog, moment)
    for entry in history_:
        yield ""
        yield f"{entry.kind} {_stamp(entry.at, zone)} (data generation {entry.generation}): {entry.reason}"
        if entry.sample:
            yield from _figures(asked, pin, found, entry.sample, moment)


def _changed(catalog: Catalog, found: Incident) -> str:
    """Whether the rule is still the one that the incident opened under."""
    for rule in catalog.rules:
        if rule.name == found.rule:
            return "" if version_of(catalog, rule).hash == found.rule_hash else " (the rule has been changed since)"
    return " (the rule is gone)"


def _case(found: Incident, history_: tuple[HistoryEntry, ...], zone: ZoneInfo) -> Iterator[str]:
    for entry in history_:
        yield f"{entry.kind} {_stamp(entry.at, zone)} (data generation {entry.generation}): {entry.reason}"
    if found.account_id:
        yield f"account {found.account_id}"


def _figures(asked: Subject, pin: Pin, found: Incident, sample: Mapping[str, Any], moment: Moment) -> Iterator[str]:
    tally, held = Tally(*sample["tally"]), sample.get("held", sample.get("limit"))
    against = f", held against {figure(asked.metric, held)}" if held is not None else ""
    yield f"  window [{sample['since']}, {sample['until']}){against}"
    yield f"  then: {_line(asked, tally, sample['deff'], sample['p'])}, alpha {sample['alpha']:.3g}"
    present = _present(asked, pin, found, date.fromisoformat(sample["until"]), moment)
    if present is not None:
        note = "" if present.tally == tally else "   <- rows came, went or were corrected since"
        yield f"  now:  {_line(asked, present.tally, present.deffs[0], present.p)}{note}"


def _present(asked: Subject, pin: Pin, found: Incident, slot: date, moment: Moment) -> EvaluatedWindow | None:
    """The same window and slice in the data as it is now."""
    task = Task(asked, (slot,), first_run=False)
    for _, basis in reader(pin.conn, moment, design_effects_at(pin.conn, moment)).bases([task]):
        judged = evaluate_rule(asked, basis)
        keys = [slice_key(asked.by, slice_) for slice_ in judged.panel.slices]
        return judged.reading(0, keys.index(found.slice)) if found.slice in keys else None
    return None


def _line(asked: Subject, tally: Tally, deff: float, p: float) -> str:
    found = estimate(asked.metric, tally, deff)
    ends = interval(asked.metric, found.low, found.high)
    effect = f", design effect {deff:.2f}" if deff > 1 else ""
    return f"{figure(asked.metric, found.value)} ({ends}), n = {found.n}{effect}, p = {p:.3g}"


def _stamp(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
