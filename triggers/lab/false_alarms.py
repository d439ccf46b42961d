"""What a setting of a rule makes of pure chance: its false alarms a year, from a null replay on the slices' own n."""

from dataclasses import dataclass, replace
from datetime import datetime

from config.models import WatchRule
from triggers.evaluation.kinds.registry import kind_of
from triggers.lab.calibrate import calibrate
from triggers.lab.what_if import Trial


@dataclass(frozen=True, slots=True)
class FalseAlarmRate:
    """False alarms a year without any change, with a 95% interval; None where no null replay is possible.

    `declared` is what the rule promises; `why` says why nothing was replayed; `alpha` is how sure it had to be for it.
    """

    declared: float
    a_year: float | None = None
    low: float | None = None
    high: float | None = None
    alpha: float | None = None
    why: str = ""
    warning: str = ""


def false_alarm_rate(of: Trial, rule: WatchRule, now: datetime, seed: int = 1) -> FalseAlarmRate:
    """Replay a setting without any change: seconds, so for one setting at a time."""
    subject = replace(of.subject, rule=rule)
    why = kind_of(subject.rule).uncalibrated
    found = calibrate(subject, of.basis, now, seed) if of.basis and not why else None
    if found is None:
        return FalseAlarmRate(rule.false_alarms_per_year, why=why or "there are too few rows to draw again")
    one = found.calibration
    return FalseAlarmRate(found.declared, one.found, one.low, one.high, one.alpha, warning=found.warning or "")
