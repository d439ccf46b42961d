"""A rule with its metric as text: what is stored when it is first evaluated, and what its hash is taken of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from pydantic import TypeAdapter

from config.catalog import EventRule, Metric, Rule, ThresholdRule
from config.values import Condition, duration_text

_RULE: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)


@dataclass(frozen=True, slots=True)
class Version:
    """A rule and its metric (none for an event), and the hash that names the two."""

    rule: ThresholdRule | EventRule
    metric: Metric | None
    hash: str
    body: str


@lru_cache(maxsize=4096)
def version(rule: ThresholdRule | EventRule, metric: Metric | None) -> Version:
    """The version that a rule and its metric make up."""
    body = json.dumps({"rule": _plain(rule), "metric": _plain(metric)}, sort_keys=True)
    return Version(rule, metric, sha256(body.encode()).hexdigest()[:16], body)


@lru_cache(maxsize=4096)
def read_version(body: str) -> Version:
    """A version from its text. Raises pydantic.ValidationError where today's models no longer know it."""
    raw = json.loads(body)
    metric = Metric.model_validate(raw["metric"]) if raw["metric"] else None
    rule = _RULE.validate_python(raw["rule"])
    return Version(rule, metric, sha256(body.encode()).hexdigest()[:16], body)


def _plain(value: Any) -> Any:
    """A value as it would stand in TOML."""
    if isinstance(value, tuple):
        return _conditions(value) if value and isinstance(value[0], Condition) else [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "model_fields_set"):
        return {name.rstrip("_"): _plain(part) for name, part in value if part not in (None, ())}
    return value


def _conditions(conditions: tuple[Condition, ...]) -> Mapping[str, Any]:
    return {
        c.column: {name: _plain(part) for name, part in c if name != "column" and part is not None} for c in conditions
    }
