"""Rules on the past: backtests, other settings, budgets, and calibration by simulation.

It may import incidents, data_faults, evaluation and rules.
"""
