"""The frozen models that check what analysts write: metrics, rules, routes, sources, calendar.

They import only config itself.
"""

from config.models.calendar import Calendar
from config.models.catalog import Catalog, Named
from config.models.metrics import INEXACT, BaselinePeriod, Benchmark, ContactCost, Cutoffs, Goal, Metric, Shape, goal_of
from config.models.rate_rules import ChangeRule, ChartRule, GapRule, GoalRule, RateRule, ThresholdRule
from config.models.routing import Audience, Person, Privacy, ReviewSettings, Route, Step, called, label_of
from config.models.rule_fields import Against, Baseline, CaseFields, Guard
from config.models.rules import (
    BY_KIND,
    DATA_FAULT,
    DECEIVES,
    RULES,
    DeclineRule,
    EventRule,
    QuietRule,
    Rule,
    WatchRule,
    program_rule,
)
from config.models.sources import TABLES, Source, SourceInput
from config.models.values import (
    FIRST_DAY,
    LAST_DAY,
    LONGEST,
    ZERO,
    ChannelId,
    Condition,
    Conditions,
    Duration,
    FrozenModel,
    KeyedError,
    Listed,
    Name,
    Scalar,
    TooLongError,
    Zone,
    conditions_text,
    duration_text,
    matching,
    out_of_reach,
    parse_duration,
)
