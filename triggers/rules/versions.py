"""A rule with its metrics and goals as text: what is stored at its first evaluation, and what its hash is taken of."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from pydantic import TypeAdapter

from config.models import Catalog, Condition, Goal, Metric, Rule, duration_text

_RULE: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)


@dataclass(frozen=True, slots=True)
class Version:
    """A rule, the metrics it reads (its own, and what a gap is measured from), its goals, and the hash of it all."""

    rule: Rule
    metrics: tuple[Metric, ...]
    goals: tuple[Goal, ...]
    hash: str
    body: str

    @property
    def metric(self) -> Metric | None:
        """The rule's own metric; none for an event and for what is quiet."""
        return self.metrics[0] if self.metrics else None


def version_of(catalog: Catalog, rule: Rule) -> Version:
    """The version of a rule that the catalogue holds now."""
    # Only a rule that is held against goals has them in its hash: a new goal makes no other rule a new version.
    goals = tuple(goal for goal in catalog.goals if rule.has_goals and may_hold(goal, rule))
    return version(rule, tuple(catalog.metric(name) for name in rule.metric_names), goals)


def may_hold(goal: Goal, rule: Rule) -> bool:
    """Whether a figure of the rule can be held against the goal."""
    is_own = goal.metric in rule.metric_names and goal.function in {None, rule.function}
    return is_own and goal.suits(tuple(c for c in rule.where if c.column != "vertical"), rule.slice_columns)


@lru_cache(maxsize=4096)
def version(rule: Rule, metrics: tuple[Metric, ...] = (), goals: tuple[Goal, ...] = ()) -> Version:
    """The version that a rule, its metrics and its goals make up."""
    # Who is responsible changes nothing of what is found, but for a goal that is that function's: a rule that names
    # another function is no new version.
    is_kept = any(goal.function for goal in goals)
    plain = {name: part for name, part in _plain(rule).items() if is_kept or name != "function"}
    parts: dict[str, Any] = {"rule": plain, "metric": _plain(metrics[0]) if metrics else None}
    if metrics[1:]:
        parts["against"] = _plain(metrics[1])
    if goals:
        parts["goals"] = [_plain(goal.model_copy(update={"reference": None})) for goal in goals]
    body = json.dumps(parts, sort_keys=True)
    return Version(rule, metrics, goals, sha256(body.encode()).hexdigest()[:16], body)


@lru_cache(maxsize=4096)
def read_version(body: str) -> Version:
    """A version from its text. Raises pydantic.ValidationError where today's models no longer know it."""
    raw = json.loads(body)
    metrics = tuple(Metric.model_validate(raw[part]) for part in ("metric", "against") if raw.get(part))
    dated = ({**goal, "valid_from": date.fromisoformat(goal["valid_from"])} for goal in raw.get("goals", ()))
    goals = tuple(Goal.model_validate(goal) for goal in dated)
    rule = _RULE.validate_python(_dated(raw["rule"]))
    return Version(rule, metrics, goals, sha256(body.encode()).hexdigest()[:16], body)


def _dated(rule: dict[str, Any]) -> dict[str, Any]:
    """The dates of a chart's baseline, which JSON keeps as text."""
    baseline = rule.get("baseline")
    if not isinstance(baseline, dict):
        return rule
    days = {name: date.fromisoformat(baseline[name]) for name in ("since", "until") if name in baseline}
    return {**rule, "baseline": {**baseline, **days}}


def _plain(value: Any) -> Any:
    """A value as it would stand in TOML."""
    if isinstance(value, tuple) and value and isinstance(value[0], Condition):
        # Conditions stand by their column.
        return {c.column: {name: _plain(v) for name, v in c if name != "column" and v is not None} for c in value}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "model_fields_set"):
        return {name.rstrip("_"): _plain(part) for name, part in value if part not in (None, ())}
    return value
