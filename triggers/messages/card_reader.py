"""Put an incident's card together: the incident and its history from the state, its evidence from the warehouse."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog, Route
from queries.engine import day_of
from queries.metrics import day_words, read_account_months
from queries.monitoring import MOST, Evidence, gather, question_of, with_revenue
from queries.review import (
    Onset,
    actions_of,
    newest_sample,
    read_case_evidence,
    read_onset,
    read_present,
    read_trend,
    timetable,
)
from queries.state import (
    HistoryEntry,
    Incident,
    entries,
    frozen_days,
    newest_slots,
    open_incidents,
    read_incident,
    rule_version,
    slice_values,
    unnamed,
)
from queries.warehouse import EVERYTHING, Pin, Scope
from triggers.data_faults.scan import NAME, rule_of_faults
from triggers.incidents import may_read, reader_scope
from triggers.messages.card import Card
from triggers.messages.message import Link, Picture
from triggers.messages.picture import decline_series, drawn, metric_series
from triggers.rules import Version, read_version, version, version_of

YEAR: Final = timedelta(weeks=52)


class GoneRuleError(EarshotError):
    """What an incident was evaluated by is not known any more."""


@dataclass(frozen=True, slots=True)
class CardReader:
    """What cards are made of. `as_of` is aware UTC: nothing later is shown."""

    pin: Pin
    catalog: Catalog
    public_url: str
    as_of: datetime
    currency: str

    def card(self, conn: Connection, id_: str, reader: Route) -> Card:
        """The card of an incident, for whoever reads a channel (see `access.channel_reader`).

        Raises:
            UnknownIncidentError: there is none.
        """
        shown = read_incident(conn, id_, EVERYTHING)
        opened_by = rule_at_opening(conn, self.catalog, shown)
        history = entries(conn, id_)
        withheld, zone = not may_read(reader, shown), ZoneInfo(self.pin.generation.zone)
        present = None if withheld else self._present(conn, shown, opened_by)
        sample = newest_sample(history, present)
        evidence = None if withheld else self._evidence(conn, shown, opened_by, history, sample, self._scope(reader))
        return Card(
            shown,
            history,
            opened_by.rule,
            opened_by.metric,
            reader,
            evidence,
            zone,
            incident_link(self.public_url, id_),
            self.catalog.people,
            unnamed(conn, id_),
            None if withheld else self._onset(shown),
            day_of(self.as_of, zone),
            present,
            withheld,
            timetable(self.catalog, reader, zone),
            self.as_of,
            () if withheld else self._others(conn, shown, reader, zone),
            () if withheld else actions_of(conn, shown, opened_by.rule, EVERYTHING),
        )

    def picture(self, conn: Connection, id_: str, reader: Route) -> Picture | None:
        """An incident's figure over a year as a picture; None where it has no such figure, or `reader` may not see it.

        Raises:
            UnknownIncidentError: there is none.
        """
        card = self.card(conn, id_, reader)
        if card.withheld:
            return None
        shown, scope, series = card.incident, self._scope(reader), None
        if card.metric is not None:
            trend = read_trend(self.pin.conn, card.rule, card.metric, shown, scope, self.as_of, before=YEAR)
            series = metric_series(card, card.metric, trend) if trend else None
        elif card.rule.reads_revenue and shown.account_id:
            of = read_account_months(
                self.pin.conn, scope, self.as_of, None, lambda table: table.c.account_id == shown.account_id
            )
            series = decline_series(card, of.at(self.as_of))
        return drawn(card, series) if series else None

    def _scope(self, reader: Route) -> Scope:
        return replace(reader_scope(reader), privacy=self.catalog.privacy)

    def _onset(self, shown: Incident) -> Onset | None:
        what = (shown.slice, shown.slot, shown.value)
        return read_onset(self.pin, self.catalog, shown.rule, what, EVERYTHING, self.as_of)

    def _others(self, conn: Connection, shown: Incident, reader: Route, zone: ZoneInfo) -> tuple[Link, ...]:
        standing = (
            [one for one in open_incidents(conn, EVERYTHING) if may_read(reader, one)] if shown.account_id else []
        )
        return other_incidents(shown, standing, self.catalog, self.public_url, zone)

    def _present(self, conn: Connection, shown: Incident, opened_by: Version) -> Mapping[str, Any] | None:
        newest = newest_slots(conn).get(shown.rule)
        until = newest.slot if newest else None
        of = (self.pin.conn, opened_by.rule, opened_by.metrics)
        return read_present(*of, shown, until, replace(EVERYTHING, privacy=self.catalog.privacy), self.as_of)

    def _evidence(
        self,
        conn: Connection,
        shown: Incident,
        opened_by: Version,
        history: Sequence[HistoryEntry],
        sample: Mapping[str, Any],
        scope: Scope,
    ) -> Evidence | None:
        rule, place = opened_by.rule, (shown.vertical, shown.touchpoint)
        if rule.case_table and (rule.is_case or shown.account_id):
            found = read_case_evidence(self.pin.conn, rule, shown, history, scope, self.as_of)
        # What is quiet has no rows that made its figure.
        elif opened_by.metric is None or "since" not in sample:
            return None
        else:
            by, frozen = slice_values(shown.slice), frozen_days(conn, shown.rule_hash, shown.slice)
            rows = question_of(rule, opened_by.metric, shown.slot, by, sample, frozen)
            found = gather(self.pin.conn, rows, place, scope, self.as_of)
        return with_revenue(self.pin.conn, found, self.currency, scope, self.as_of)


def other_incidents(
    found: Incident, standing: Iterable[Incident], catalog: Catalog, public_url: str, zone: ZoneInfo
) -> tuple[Link, ...]:
    """What else is open at an incident's account, the worst first; `standing` is what its readers may see."""
    rules = {rule.name: rule.label or rule.name for rule in catalog.rules}
    same = [one for one in standing if one.account_id == found.account_id is not None and one.id != found.id]
    same.sort(key=lambda one: (one.severity, one.opened_at, one.id))
    return tuple(
        Link(
            f"{rules.get(one.rule, one.rule)} (found {day_words(one.opened_at, zone)})",
            incident_link(public_url, one.id),
        )
        for one in same[:MOST]
    )


def incident_link(public_url: str, id_: str) -> str:
    """The address of an incident's page."""
    return f"{public_url}/incident?id={id_}"


def rule_at_opening(conn: Connection, catalog: Catalog, shown: Incident) -> Version:
    """The rule that an incident opened under; where its text is no longer understood, the rule of that name today."""
    stored = rule_version(conn, shown.rule_hash)
    if stored is not None:
        try:
            return read_version(stored.body)
        except ValueError:
            pass
    if shown.rule == NAME:
        return version(rule_of_faults(catalog.guard))
    for rule in catalog.rules:
        if rule.name == shown.rule:
            return version_of(catalog, rule)
    raise GoneRuleError(
        f"the rule {shown.rule} of incident {shown.id} has been removed; restore it in triggers.toml to see the card"
    )
