"""Rules on the past: backtests, other settings, budgets, and calibration by simulation.

It may import incidents, data_faults, evaluation and rules.
"""

from triggers.lab.backtest import HEAD, Past, iso_instant, past, rule_named
from triggers.lab.calibrate import Replayed
from triggers.lab.parameter_sweep import (
    Budget,
    FalseAlarmRate,
    ParameterSweep,
    Proposal,
    days_open,
    false_alarm_rate,
    is_in_normal,
    own_metric,
    propose,
    recovery_words,
    setting,
    sweep_setting,
    toml_lines,
    typical_range,
    with_value,
)
from triggers.lab.rule_toml import rule_as_toml
from triggers.lab.scores import Pair, Score, Scores, paired, scored
from triggers.lab.what_if import (
    Trial,
    TrialIncident,
    TrialOutcome,
    UntriedError,
    fault_scanner,
    is_tried,
    outcome,
    rows,
    trial,
)
