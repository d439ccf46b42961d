"""Why an incident opened: its figures as they were then, and the same figures from the data as it is now."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection

from config.catalog import Catalog, ThresholdRule
from queries.cubes import read_cube
from queries.figures import figure, interval
from queries.generations import Pin
from queries.incidents import Entry, Incident, aware, entries, incident
from queries.scope import EVERYTHING
from queries.statistics import Tally, estimate, tail
from queries.summary import settle
from triggers.cards import rule_of
from triggers.message import conditions
from triggers.replay import Subject, slice_values
from triggers.samples import Slice, history, is_plain
from triggers.tasks import Moment, dimensions, subject
from triggers.versions import version


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
    of, history_ = rule_of(conn, catalog, found), entries(conn, id_)
    yield f"incident {found.id}, episode {found.episode}: {found.state}"
    yield f"rule {found.rule} version {found.rule_hash}{_changed(catalog, found)}"
    yield f"slice {found.slice or 'the whole company'}"
    if not isinstance(of.rule, ThresholdRule) or of.metric is None:
        yield from _case(found, history_, zone)
        return
    if of.rule.where:
        yield f"only where {conditions(of.rule.where)}"
    generation = pin.generation
    moment = Moment(now, generation.number, aware(generation.published_at), zone, settle(pin.conn))
    asked = subject(of, of.metric, moment)
    for entry in history_:
        yield ""
        yield f"{entry.kind} {_stamp(entry.at, zone)} (data generation {entry.generation}): {entry.reason}"
        if entry.sample:
            yield from _figures(asked, pin, found, entry.sample, now)


def _changed(catalog: Catalog, found: Incident) -> str:
    """Whether the rule is still the one that the incident opened under."""
    for rule in catalog.rules:
        if rule.name == found.rule:
            metric = catalog.metric(rule.metric) if isinstance(rule, ThresholdRule) else None
            return "" if version(rule, metric).hash == found.rule_hash else " (the rule has been changed since)"
    return " (the rule is gone)"


def _case(found: Incident, history_: tuple[Entry, ...], zone: ZoneInfo) -> Iterator[str]:
    for entry in history_:
        yield f"{entry.kind} {_stamp(entry.at, zone)} (data generation {entry.generation}): {entry.reason}"
    if found.account_id:
        yield f"account {found.account_id}"


def _figures(asked: Subject, pin: Pin, found: Incident, sample: Mapping[str, Any], now: datetime) -> Iterator[str]:
    tally = Tally(*sample["tally"])
    yield f"  window [{sample['since']}, {sample['until']}), limit {sample['limit']}, recover {sample['recover']}"
    yield f"  then: {_line(asked, tally, sample['deff'], sample['p'])}, alpha {sample['alpha']:.3g}"
    if asked.is_quantile:
        return
    present = _present(asked, pin, found, sample, now)
    p = tail(asked.metric, present, asked.rule.limit, sample["deff"]) if asked.rule.gate == "exact" else 0.0
    note = "" if present == tally else "   <- rows came, went or were corrected since"
    yield f"  now:  {_line(asked, present, sample['deff'], p)}{note}"


def _present(asked: Subject, pin: Pin, found: Incident, sample: Mapping[str, Any], now: datetime) -> Tally:
    """The counts of the window and slice in the data as it is now."""
    since, until = date.fromisoformat(sample["since"]), date.fromisoformat(sample["until"])
    cube = read_cube(pin.conn, (asked.figure,), dimensions(asked), since, until, EVERYTHING, now)
    values = slice_values(found.slice)
    wanted: Slice = tuple(values[name] for name in asked.rule.by)
    plain = tuple(condition for condition in asked.rule.where if is_plain(condition))
    counts = history(cube, asked.figure.name, asked.rule.by, plain, (wanted,))
    row = counts.window(since, until)[counts.slices.index(wanted)]
    return Tally(*np.asarray(row).tolist())


def _line(asked: Subject, tally: Tally, deff: float, p: float) -> str:
    found = estimate(asked.metric, tally, deff)
    ends = interval(asked.metric, found.low, found.high)
    effect = f", design effect {deff:.2f}" if deff > 1 else ""
    return f"{figure(asked.metric, found.value)} ({ends}), n = {found.n}{effect}, p = {p:.3g}"


def _stamp(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
