"""The monthly review, and what can be downloaded from it.

It may import what every page shares, and queries/review.
"""
