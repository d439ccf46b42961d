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
_LAST: Final = frozenset({"severity", "route", "owner", "runbook", "inhibited_by", "enabled"})


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
    if isinstance(value, Sequence):
        return _conditions(value) if value and isinstance(value[0], Condition) else f"[{', '.join(map(_text, value))}]"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, timedelta):
        return f'"{duration_text(value)}"'
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _conditions(conditions: Sequence[Condition]) -> str:
    return _table({condition.column: _asked(condition) for condition in conditions})


def _asked(condition: Condition) -> Any:
    """A value, a list of them, or a table of what is asked."""
    asked = {name: part for name, part in condition if name != "column" and part is not None}
    if set(asked) == {"any_of"}:
        return asked["any_of"][0] if len(asked["any_of"]) == 1 else asked["any_of"]
    return asked


def _table(parts: Mapping[str, Any]) -> str:
    if not parts:
        return "{}"
    texts = {key: _table(part) if isinstance(part, Mapping) else _text(part) for key, part in parts.items()}
    return f"{{ {', '.join(f'{_key(key)} = {text}' for key, text in texts.items())} }}"


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else json.dumps(key, ensure_ascii=False)
