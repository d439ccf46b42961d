"""What a metric is worth: its figures by period and slice, how they are written, and revenue in one currency.

May import queries.scope, queries.warehouse, queries.statistics, queries.engine and config.
"""
