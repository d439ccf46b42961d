"""The threshold lab: what another setting of a rule would have done.

It may import what every page shares, and triggers/lab.
"""
