"""Rules over counts, slot by slot: what is read, what it says, and what changed.

It may import the kinds, rules and queries.
"""
