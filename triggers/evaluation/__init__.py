"""Rules over counts, slot by slot: what is read, what it says, and what changed.

It may import the kinds, rules and queries.
"""

from triggers.evaluation.decline_rules import DeclineRuleEvaluator
from triggers.evaluation.evaluate import Evaluation, Standing, clock, design_effects_at
from triggers.evaluation.event_rules import EventRuleResult, SevereCase, find_cases
from triggers.evaluation.failures import contained, log_errors, reason, rule_errors
from triggers.evaluation.metric_rules import EvaluationInput, evaluate_rule, evaluation_input, reader
from triggers.evaluation.quiet_rules import QuietRuleEvaluator, as_quiet
from triggers.evaluation.replay import EvaluatedRule, EvaluatedWindow, StateChange, replay
