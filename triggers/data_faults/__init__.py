"""Faults of the data itself: finding them, and saying which breaches they explain.

It may import evaluation, rules and its detectors.
"""
