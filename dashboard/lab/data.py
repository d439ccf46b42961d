"""What the lab reads: a trial is read once, and each setting of it is judged and replayed once."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from config.reading import Drafts, parse_drafts
from dashboard.cache import Hashes, Key, copied, shared
from dashboard.charts import finished
from dashboard.lab.charts import IncidentTimeline, attention_curve, time_line
from queries.monitoring.conditions import ConditionPeriod, condition_periods
from queries.warehouse import COLUMNS, Pin
from triggers.lab import (
    FalseAlarmRate,
    ParameterSweep,
    Trial,
    TrialOutcome,
    false_alarm_rate,
    fault_scanner,
    outcome,
    own_metric,
    sweep_setting,
    trial,
    with_value,
)


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """What the lab tries: a rule of the configuration, or of a draft, over the days [since, until).

    `alphas` are what null replays found, by the version's hash: part of the key, for the state is never cached.
    """

    rule: str
    draft: str
    since: date
    until: date
    alphas: tuple[tuple[str, float], ...] = ()


_TRIED: Final[Hashes] = {TrialRequest: repr}
# A trial holds every row that its rule reads, in memory: far fewer are kept than of other results.
TRIALS: Final = 24


def drafted(key: Key, draft: str) -> Drafts:
    """The rules of a draft, and the catalogue with them. Raises ConfigError with the draft's mistakes."""
    return parse_drafts(draft, key.catalog, COLUMNS) if draft else Drafts((), key.catalog)


@shared(_TRIED, spinner="Reading the rule's past …", entries=TRIALS)
def rule_trial(key: Key, _pin: Pin, request: TrialRequest) -> Trial:
    """A rule with all that it reads."""
    catalog = drafted(key, request.draft).catalog
    return trial(_pin, catalog, catalog.rule(request.rule), request.since, request.until, dict(request.alphas))


@shared(_TRIED, spinner="Trying every setting …", entries=TRIALS)
def rule_sweep(key: Key, _pin: Pin, request: TrialRequest) -> ParameterSweep:
    """What the rule would have done at every setting worth trying."""
    return sweep_setting(_pin.conn, rule_trial(key, _pin, request))


@shared(_TRIED, spinner="Simulating it without any change …")
def rule_noise(key: Key, _pin: Pin, request: TrialRequest, value: float) -> FalseAlarmRate:
    """The false alarms of one setting."""
    tried = rule_trial(key, _pin, request)
    return false_alarm_rate(tried, with_value(tried.rule, value), key.as_of)


@shared(_TRIED, spinner="Checking for data faults …")
def rule_outcome(key: Key, _pin: Pin, request: TrialRequest, value: float) -> TrialOutcome:
    """What one setting would have done, after the data's own faults were asked for."""
    tried = rule_trial(key, _pin, request)
    return outcome(_pin.conn, tried, with_value(tried.rule, value), fault_scanner(_pin, tried))


@shared()
def spans(key: Key, _pin: Pin) -> tuple[ConditionPeriod, ...]:
    """The conditions that held."""
    return condition_periods(_pin.conn, key.tz)


@copied(_TRIED)
def curve_spec(key: Key, _pin: Pin, request: TrialRequest, value: float) -> dict[str, Any]:
    """The finished chart of what each setting asks of each reader."""
    metric = own_metric(rule_trial(key, _pin, request))
    return finished(attention_curve(rule_sweep(key, _pin, request), metric, value))


@copied({**_TRIED, IncidentTimeline: repr})
def time_spec(key: Key, _pin: Pin, request: TrialRequest, line: IncidentTimeline) -> dict[str, Any]:
    """The finished chart of the incidents on the time line."""
    return finished(time_line(line, request.since, request.until, spans(key, _pin)))
