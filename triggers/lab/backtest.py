"""What the rules would have done: the tick that runs live, over the past, against a state that nobody keeps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog, Rule
from queries.metrics import csv_cell
from queries.state import Calibration, Incident, entries, passing_state, read_incidents, store_calibration
from queries.warehouse import EVERYTHING, Pin
from triggers.incidents.notification_load import Notification, NotificationLoad, notification_loads, notifications
from triggers.incidents.tick import tick
from triggers.rules import midnight, version_of

HEAD: Final = ("rule", "slice", "class", "opened_at", "resolved_at", "value", "n")
NO_CALIBRATIONS: Final[Mapping[str, Calibration]] = {}


@dataclass(frozen=True, slots=True)
class Row:
    """One incident that would have been. Instants are aware UTC; `resolved_at` is None while it holds at the end.

    Args:
        value: what opened it, not the worst that it came to.
        window: the days [since, until) that it was found in; None for a severe case.
        incident: the incident as it stands at the end.
    """

    rule: str
    slice: str
    class_: str
    opened_at: datetime
    resolved_at: datetime | None
    value: float | None
    n: int | None
    window: tuple[date, date] | None
    incident: Incident

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as CSV cells, in the order of HEAD."""
        over = iso_instant(self.resolved_at) if self.resolved_at else None
        parts = (self.rule, self.slice, self.class_, iso_instant(self.opened_at), over, self.value, self.n)
        return tuple(csv_cell(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Past:
    """What would have been in [since, until).

    Args:
        rows: the incidents that opened, oldest first.
        told: who would have been told of those and of older ones, were nobody to take one on.
        sure: of the rules that weigh evidence, those that were as sure as their null replay found they must be.
        bounded: those for which there is none, which were as sure as Bonferroni's bound asks.
    """

    since: date
    until: date
    rows: tuple[Row, ...]
    told: tuple[Notification, ...]
    sure: tuple[str, ...]
    bounded: tuple[str, ...]

    @property
    def attention(self) -> tuple[NotificationLoad, ...]:
        """What it asks of each reader."""
        return notification_loads(self.told, self.since, self.until)


def backtest(pin: Pin, catalog: Catalog, since: date, until: date) -> tuple[Row, ...]:
    """The incidents of `past` alone."""
    return past(pin, catalog, since, until).rows


def past(
    pin: Pin,
    catalog: Catalog,
    since: date,
    until: date,
    calibrations: Mapping[str, Calibration] = NO_CALIBRATIONS,
    names: frozenset[str] | None = None,
) -> Past:
    """The incidents that would have opened in [since, until), oldest first, with nothing known before it happened.

    The whole past is replayed from the first day of data on, so that what held already at `since` does not open there.
    `opened_at` is when the breach was knowable: its slot's end and the time the data takes to settle.

    Args:
        pin: the generation to read.
        catalog: its enabled rules are tested.
        since: the first day, in the reporting zone.
        until: the day after the last one; nothing that happened from then on is read.
        calibrations: what null replays found, by the version's hash (`queries.state.calibrations`).
        names: the only rules that are asked about; then faults of the data that explain nothing are not looked for.
    """
    zone = ZoneInfo(pin.generation.zone)
    end, states = midnight(until, zone), passing_state()
    try:
        with states.begin() as conn:
            for calibration in calibrations.values():
                store_calibration(conn, calibration)
        report = tick(states, pin, _turned_on(catalog, names), end, scans=names is None)
        if report.errors:
            ill = "; ".join(f"{error.where}: {error.reason}" for error in report.errors)
            raise EarshotError(f"the backtest failed, because some rules could not be evaluated ({ill})")
        with states.connect() as conn:
            found = read_incidents(conn, EVERYTHING, until=end)
            rows = _rows(conn, found, midnight(since, zone), names)
    finally:
        states.dispose()
    told = tuple(
        notification
        for notification in notifications(found, catalog, zone, end)
        if notification.at >= midnight(since, zone) and (names is None or notification.rule in names)
    )
    return Past(since, until, rows, told, *_certainty(catalog, calibrations, names))


def _turned_on(catalog: Catalog, names: frozenset[str] | None) -> Catalog:
    """With the rules asked about alone, turned on, and those that speak for them."""
    if names is None:
        return catalog
    asked = [rule.model_copy(update={"enabled": True}) for rule in catalog.rules if rule.name in names]
    parents = {rule.inhibited_by for rule in asked} - names
    kept = (*asked, *(rule for rule in catalog.rules if rule.name in parents))
    return catalog.model_copy(update={"rules": kept})


def _rows(
    conn: Connection, found: Iterable[Incident], since: datetime, names: frozenset[str] | None
) -> tuple[Row, ...]:
    rows: list[Row] = []
    for incident in found:
        if incident.opened_at < since or (names is not None and incident.rule not in names):
            continue
        sample = entries(conn, incident.id)[0].sample or {}
        n = round(sample["tally"][0]) if "tally" in sample else incident.n
        ends = [date.fromisoformat(sample[end]) for end in ("since", "until") if end in sample]
        days = (ends[0], ends[1]) if ends else None
        name, times = incident.rule, (incident.opened_at, incident.resolved_at)
        rows.append(Row(name, incident.slice, incident.class_, *times, sample.get("value"), n, days, incident))
    return tuple(sorted(rows, key=lambda row: (row.opened_at, row.rule, row.slice)))


def _certainty(
    catalog: Catalog, calibrations: Mapping[str, Calibration], names: frozenset[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tested = [rule for rule in catalog.rules if (rule.enabled if names is None else rule.name in names)]
    weighing = [rule for rule in tested if rule.metric_names and rule.is_weighed]
    sure = {rule.name: version_of(catalog, rule).hash in calibrations for rule in weighing}
    return tuple(n for n, known in sure.items() if known), tuple(n for n, known in sure.items() if not known)


def rule_named(catalog: Catalog, rule: str) -> Rule:
    """The rule of that name. Raises EarshotError where there is none."""
    found = next((r for r in catalog.rules if r.name == rule), None)
    if found is None:
        names = ", ".join(r.name for r in catalog.rules)
        raise EarshotError(f"no rule named {rule!r}; the rules are {names}")
    return found


def only(catalog: Catalog, rule: str | None) -> Catalog:
    """The catalogue with one rule alone, turned on. Raises EarshotError where there is no such rule."""
    if rule is None:
        return catalog
    return catalog.model_copy(update={"rules": (rule_named(catalog, rule).model_copy(update={"enabled": True}),)})


def iso_instant(at: datetime) -> str:
    """An instant in ISO 8601, UTC, to the second."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat()
