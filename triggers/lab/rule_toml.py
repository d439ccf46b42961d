"""A rule as TOML to paste into triggers.toml. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from config.models import Condition, FrozenModel, Rule, duration_text

_FIRST: Final = (
    "name", "label", "kind", "of", "metric", "method", "table", "dated_by", "by", "where", "against", "strata",
    "baseline", "limit", "recover", "floor", "at_least",
)  # fmt: skip
_LAST: Final = frozenset({"severity", "route", "owner", "function", "runbook", "inhibited_by", "enabled"})


def rule_as_toml(rule: Rule) -> str:
    """The `[[rule]]` that reads as this rule: what its author wrote, in the order of the fields."""
    return "\n".join(("[[rule]]", *(f"{key} = {_text(value)}" for key, value in _written(rule)))) + "\n"


def _written(value: FrozenModel) -> Iterator[tuple[str, Any]]:
    """The fields that differ from what they are where nothing is written: what, when, and last who hears of it."""
    fields = type(value).model_fields
    for name in sorted(fields, key=lambda name: (name in _LAST, _FIRST.index(name) if name in _FIRST else len(_FIRST))):
        part = getattr(value, name)
        if part is not None and (fields[name].is_required() or part != fields[name].default):
            yield fields[name].alias or name, part


def _text(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, FrozenModel):
        return _table(dict(_written(value)))
    if isinstance(value, Sequence) and value and isinstance(value[0], Condition):
        # Of a column stands a value, a list of them, or a table of what is asked.
        columns = dict[str, Any]()
        for condition in value:
            parts = {name: part for name, part in condition if name != "column" and part is not None}
            names = parts.get("any_of", ())
            is_plain = set(parts) == {"any_of"}
            columns[condition.column] = parts if not is_plain else names[0] if len(names) == 1 else names
        return _table(columns)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, timedelta):
        return f'"{duration_text(value)}"'
    number = f"{value:.10g}" if isinstance(value, float) else str(value)
    return number.lower() if isinstance(value, bool) else number


def _table(parts: Mapping[str, Any]) -> str:
    if not parts:
        return "{}"
    pairs: list[str] = []
    for key, part in parts.items():
        is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
        name = key if is_bare else json.dumps(key, ensure_ascii=False)
        pairs.append(f"{name} = {_table(part) if isinstance(part, Mapping) else _text(part)}")
    return f"{{ {', '.join(pairs)} }}"
