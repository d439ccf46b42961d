"""Incidents from their opening to their end: the tick, the ladder of escalation, budgets, and what people do by hand.
It may import data_faults, evaluation, rules and what stands below triggers; never messages or slack.
"""
