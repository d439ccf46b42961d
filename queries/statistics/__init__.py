"""Estimates, intervals and tests, from counts alone: nothing here reads a database.

May import numpy and its kin and config, and no other room.
"""
