"""The kinds of rule, a module each, and the registry that says what a kind must offer.

They may import rules and queries/statistics.
"""
