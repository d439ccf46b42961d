"""Put an incident's card together: the incident and its history from the state, its evidence from the warehouse."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config.errors import EarshotError
from config.models import Catalog, Metric, Route, Rule
from queries.monitoring.evidence import Evidence, Question, gather, gather_case
from queries.scope import EVERYTHING, Scope
from queries.state import HistoryEntry, Incident, entries, incident, rule_version, slice_values, unnamed
from queries.warehouse import Pin
from triggers.data_faults.scan import NAME, rule_of_faults
from triggers.incidents.access import may_read, reader_scope
from triggers.messages.card import Card
from triggers.rules import Version, read_version, version, version_of


class GoneRuleError(EarshotError):
    """What an incident was evaluated by is not known any more."""


@dataclass(frozen=True, slots=True)
class CardReader:
    """What cards are made of. `as_of` is aware UTC: nothing later is shown."""

    pin: Pin
    catalog: Catalog
    public_url: str
    as_of: datetime

    def card(self, conn: Connection, id_: str, scope: Scope | None = None) -> Card:
        """The card of an incident, for its route's channel or for a reader's scope.

        Raises:
            UnknownIncidentError: there is none, or it is outside `scope`.
        """
        found = incident(conn, id_, scope or EVERYTHING)
        of = rule_at_opening(conn, self.catalog, found)
        route = self._route(found)
        history = entries(conn, id_)
        withheld = scope is None and not may_read(route, found)
        evidence = None if withheld else self._evidence(found, of, history, scope or reader_scope(route))
        zone, link = ZoneInfo(self.pin.generation.zone), f"{self.public_url}/incident?id={id_}"
        return Card(
            found,
            history,
            of.rule,
            of.metric,
            route,
            evidence,
            zone,
            link,
            self.catalog.people,
            unnamed(conn, id_),
            withheld,
        )

    def _route(self, found: Incident) -> Route:
        known = (route for route in self.catalog.routes if route.name == found.route)
        return next(known, Route(name=found.route))

    def _evidence(
        self, found: Incident, of: Version, history: tuple[HistoryEntry, ...], scope: Scope
    ) -> Evidence | None:
        place = (found.vertical, found.touchpoint)
        table = of.rule.case_table
        if table and (of.rule.is_case or found.account_id):
            return gather_case(self.pin.conn, table, found.account_id, found.slot, place, self.as_of)
        asked = question(of.rule, of.metric, found, history)
        return gather(self.pin.conn, asked, place, scope, self.as_of) if asked else None


def question(rule: Rule, metric: Metric | None, found: Incident, history: tuple[HistoryEntry, ...]) -> Question | None:
    """Which rows made the newest figure of an incident; None for what is quiet, which has none."""
    sample = next((entry.sample for entry in reversed(history) if entry.sample), None)
    if metric is None or sample is None or "since" not in sample:
        return None
    since, until = date.fromisoformat(sample["since"]), date.fromisoformat(sample["until"])
    return Question(metric, since, until, rule.where, tuple(slice_values(found.slice).items()))


def rule_at_opening(conn: Connection, catalog: Catalog, found: Incident) -> Version:
    """The rule that an incident opened under; where its text is no longer understood, the rule of that name today."""
    stored = rule_version(conn, found.rule_hash)
    if stored is not None:
        try:
            return read_version(stored.body)
        except ValueError:
            pass
    if found.rule == NAME:
        return version(rule_of_faults(catalog.guard))
    for rule in catalog.rules:
        if rule.name == found.rule:
            return version_of(catalog, rule)
    raise GoneRuleError(
        f"rule {found.rule} of incident {found.id} is gone; restore it in triggers.toml to read the card"
    )
