"""What a tick finds in the state, and how an instance is kept there."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from queries.messages import outbox
from queries.state import (
    Incident,
    Newest,
    Remembered,
    RuleError,
    baselines,
    calibrations,
    newest_slots,
    open_incidents,
    remembered,
    rule_errors,
    rule_hashes,
    rule_version,
)
from queries.warehouse import EVERYTHING
from triggers.rules.state_machine import Instance
from triggers.rules.versions import Version, read_version

_DAYS = ("slot", "since", "safe_since", "blind_since")


@dataclass(frozen=True, slots=True)
class FrozenBaseline:
    """A chart's baseline in one slice: its days [since, until) and its tally."""

    since: date
    until: date
    tally: tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class PreviousState:
    """The state before a tick.

    Args:
        instances: by rule and slice.
        slots: by rule how far it was evaluated.
        incidents: the open ones by id.
        told: the ids of those whose root message was queued.
        hashes: of every rule version stored.
        versions: those that open incidents began under, by hash.
        baselines: those that charts froze, by hash and slice.
        alphas: what null replays found, by hash.
        errors: the rules that could not be evaluated.
    """

    instances: Mapping[str, Mapping[str, Instance]]
    slots: Mapping[str, Newest]
    incidents: Mapping[str, Incident]
    told: frozenset[str]
    hashes: frozenset[str]
    versions: Mapping[str, Version]
    baselines: Mapping[str, Mapping[str, FrozenBaseline]] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    errors: tuple[RuleError, ...] = ()

    @property
    def generation(self) -> int:
        """The newest generation evaluated, 0 before the first."""
        return max((newest.generation for newest in self.slots.values()), default=0)


def read_previous_state(conn: Connection) -> PreviousState:
    """Everything of the state that a tick looks at."""
    instances: dict[str, dict[str, Instance]] = {}
    for row in remembered(conn):
        instances.setdefault(row.rule, {})[row.slice] = _instance(row)
    found = {incident.id: incident for incident in open_incidents(conn, EVERYTHING)}
    hashes = {incident.rule_hash for incident in found.values()}
    versions = {hash_: read for hash_ in hashes if (read := _version(conn, hash_)) is not None}
    told = outbox.notified_ids(conn, tuple(found))
    alphas = {hash_: calibration.alpha for hash_, calibration in calibrations(conn).items()}
    frozen: dict[str, dict[str, FrozenBaseline]] = {}
    for hash_, stored in baselines(conn).items():
        frozen[hash_] = {b.slice: FrozenBaseline(b.since, b.until, tuple(json.loads(b.tally))) for b in stored}
    slots, known, errors = newest_slots(conn), rule_hashes(conn), rule_errors(conn)
    return PreviousState(instances, slots, found, told, known, versions, frozen, alphas, errors)


def _version(conn: Connection, hash_: str) -> Version | None:
    """A stored rule, where today's models still know what it says."""
    stored = rule_version(conn, hash_)
    try:
        return replace(read_version(stored.body), hash=hash_) if stored else None
    except ValidationError:
        return None


def _instance(row: Remembered) -> Instance:
    body: dict[str, Any] = json.loads(row.body)
    days = {name: date.fromisoformat(body[name]) for name in _DAYS if name in body}
    return Instance(**{**body, **days})


def remember(rule: str, slice_: str, instance: Instance) -> Remembered:
    """An instance as it is stored."""
    body = {k: v.isoformat() if isinstance(v, date) else v for k, v in asdict(instance).items() if v is not None}
    text = json.dumps(body, sort_keys=True)
    return Remembered(rule, slice_, instance.state, instance.health, instance.slot, text, instance.incident)
