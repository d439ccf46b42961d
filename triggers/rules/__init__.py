"""A rule as it is evaluated: its schedule, subject, versions, earlier state and state machine.

It may import queries and config.
"""
