"""The frozen models that check what analysts write: metrics, rules, routes, sources, calendar.

They import only errors.
"""
