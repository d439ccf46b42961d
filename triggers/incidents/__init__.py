"""Incidents from their opening to their end: the tick, the ladder of escalation, budgets, and what people do by hand.
It may import data_faults, evaluation, rules and what stands below triggers; never messages or slack.
"""

from triggers.incidents.access import channel_reader, may_name_accounts, may_read, reader_scope, scope_of
from triggers.incidents.actions import OverError, acknowledge, complete_action, reassign, resolve, snooze, take_action
from triggers.incidents.escalation import (
    STEPS,
    addressed,
    begins,
    due_sentence,
    due_steps,
    named_people,
    overdue_steps,
    parse_ladder,
    snapshot,
)
