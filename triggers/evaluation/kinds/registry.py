"""The kinds of rules. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final, overload

from config.models import RateRule, Rule
from triggers.evaluation.kinds.chart import Chart
from triggers.evaluation.kinds.decline import Decline
from triggers.evaluation.kinds.difference import Change, Gap
from triggers.evaluation.kinds.event import Event
from triggers.evaluation.kinds.kind import MetricKind, RuleKind
from triggers.evaluation.kinds.quiet import Quiet
from triggers.evaluation.kinds.threshold import Goal, Threshold

KINDS: Final[Mapping[type[Any], Callable[[Any], RuleKind[Any]]]] = {
    kind.model: kind for kind in (Threshold, Goal, Change, Gap, Chart, Quiet, Decline, Event)
}


@overload
def kind_of(rule: RateRule) -> MetricKind[Any]: ...
@overload
def kind_of(rule: Rule) -> RuleKind[Any]: ...
def kind_of(rule: Rule) -> RuleKind[Any]:
    """A rule as a rule of its kind."""
    return KINDS[type(rule)](rule)
