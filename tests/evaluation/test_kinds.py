"""Every kind of rule says all that is asked of it."""

from typing import Any, Final

import pytest
from pydantic import TypeAdapter

from config.models import RULES, QuietRule, RateRule, Rule, WatchRule
from triggers.evaluation.kinds import kind_of
from triggers.evaluation.kinds.kind import MetricKind
from triggers.evaluation.kinds.registry import KINDS
from triggers.lab import rule_as_toml

_RULE: Final = {"name": "r", "severity": 2, "route": "delivery", "owner": "delivery-lead"}
_WATCH: Final = {**_RULE, "window": "28d", "every": "7d", "false_alarms_per_year": 0.5, "keep_firing": "14d"}
_RATE: Final = {**_WATCH, "metric": "defect-rate", "floor": 0.02, "recover": 0.01}
WRITTEN: Final[dict[str, dict[str, Any]]] = {
    "threshold": {**_RATE, "limit": 0.25},
    "goal": _RATE,
    "change": {**_RATE, "baseline": "previous"},
    "gap": {**_RATE, "against": {"metric": "other"}},
    "chart": {**_RATE, "method": "p", "baseline": {"first": "140d"}},
    "quiet": {**_WATCH, "of": "source", "at_least": "21d"},
    "decline": {**_WATCH, "window": "365d", "fall": 0.1, "recover": 0.05, "floor": 100_000},
    "event": {**_RULE, "table": "response", "dated_by": "invited_at"},
}
"""The least that a rule of each kind must write."""

ANY_RULE: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)
MODELS: Final = {model: model.model_fields["kind"].annotation.__args__[0] for model in RULES}  # type: ignore[union-attr]


@pytest.mark.parametrize("model", RULES, ids=MODELS.__getitem__)
def test_no_kind_leaves_anything_out(model: type[Any]) -> None:
    rule = ANY_RULE.validate_python({**WRITTEN[MODELS[model]], "kind": MODELS[model]})
    kind = kind_of(rule)  # an abstract one could not be made
    assert isinstance(kind, MetricKind) == bool(rule.metric_names) == isinstance(rule, RateRule)
    assert isinstance(rule, WatchRule) != rule.is_case
    assert not isinstance(rule, WatchRule) or rule.breach
    assert all(key in type(rule).model_fields for key in kind.keys)
    assert rule_as_toml(rule).startswith(f'[[rule]]\nname = "r"\nkind = "{rule.kind}"\n')
    setting = kind.setting(None)
    assert (setting is None) == rule.is_case
    if setting is not None:
        assert setting.field in kind.keys or setting.field == "floor"
        assert kind.setting(None) == kind_of(kind.with_value(setting.value)).setting(None)
        assert kind.is_allowed(None, setting.value)


def test_every_rule_has_its_kind() -> None:
    assert set(KINDS) == set(RULES)


SILENT: Final = {"value": 12.0, "held": 4.0, "until": "2026-11-13", "tally": [9, 0, 0, 0, 0]}
COVERED: Final = {"value": 0.62, "held": 0.5, "until": "2026-11-13", "tally": [30, 0, 0, 0, 0]}


@pytest.mark.parametrize(
    ("of", "sample", "open_", "over"),
    [
        ("account", SILENT, "Ashgrove has not been in touch since", "Ashgrove is in touch again, last on 1 November"),
        (
            "instrument",
            SILENT,
            "The survey Ashgrove has invited nobody",
            "The survey Ashgrove is inviting people again",
        ),
        ("source", SILENT, "The source Ashgrove has delivered nothing", "The source Ashgrove is delivering again"),
        ("coverage", COVERED, "In Ashgrove feedback covers 62%", "In Ashgrove feedback again covers 62%"),
    ],
)
def test_what_was_quiet_is_said_to_be_heard_again(of: str, sample: dict[str, Any], open_: str, over: str) -> None:
    kind = kind_of(QuietRule.model_construct(**{**WRITTEN["quiet"], "kind": "quiet", "of": of}))
    assert kind.sentence("Ashgrove", None, sample).startswith(open_)
    assert kind.sentence("Ashgrove", None, sample, has_recovered=True).startswith(over)
