"""What the rules are evaluated on besides metrics: activity, revenue coverage, severe cases, row profiles, evidence.

May import queries.metrics, queries.warehouse, queries.statistics, queries.engine and config.
"""
