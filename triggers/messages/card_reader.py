"""Put an incident's card together: the incident and its history from the state, its evidence from the warehouse."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog, Route
from queries.monitoring.evidence import Evidence, Question, gather, gather_case
from queries.review.document import Onset
from queries.review.onset import read_onset
from queries.scope import EVERYTHING, Scope
from queries.state import HistoryEntry, Incident, entries, read_incident, rule_version, slice_values, unnamed
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

    def card(self, conn: Connection, id_: str, reader: Route) -> Card:
        """The card of an incident, for whoever reads a channel (see `access.channel_reader`).

        Raises:
            UnknownIncidentError: there is none.
        """
        shown = read_incident(conn, id_, EVERYTHING)
        opened_by = rule_at_opening(conn, self.catalog, shown)
        history = entries(conn, id_)
        withheld = not may_read(reader, shown)
        return Card(
            shown,
            history,
            opened_by.rule,
            opened_by.metric,
            reader,
            None if withheld else self._evidence(shown, opened_by, history, reader_scope(reader)),
            ZoneInfo(self.pin.generation.zone),
            f"{self.public_url}/incident?id={id_}",
            self.catalog.people,
            unnamed(conn, id_),
            None if withheld else self._onset(shown),
            withheld,
        )

    def _onset(self, shown: Incident) -> Onset | None:
        what = (shown.slice, shown.slot, shown.value)
        return read_onset(self.pin, self.catalog, shown.rule, what, EVERYTHING, self.as_of)

    def _evidence(
        self, shown: Incident, opened_by: Version, history: tuple[HistoryEntry, ...], scope: Scope
    ) -> Evidence | None:
        rule, place = opened_by.rule, (shown.vertical, shown.touchpoint)
        if rule.case_table and (rule.is_case or shown.account_id):
            return gather_case(self.pin.conn, rule.case_table, shown.account_id, shown.slot, place, self.as_of)
        sample = next((entry.sample for entry in reversed(history) if entry.sample), None)
        # What is quiet has no rows that made its figure.
        if opened_by.metric is None or sample is None or "since" not in sample:
            return None
        since, until = date.fromisoformat(sample["since"]), date.fromisoformat(sample["until"])
        rows = Question(opened_by.metric, since, until, rule.where, tuple(slice_values(shown.slice).items()))
        return gather(self.pin.conn, rows, place, scope, self.as_of)


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
        f"rule {shown.rule} of incident {shown.id} is gone; restore it in triggers.toml to read the card"
    )
