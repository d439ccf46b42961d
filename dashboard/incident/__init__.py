"""The page of incidents: one with its evidence, or all of them.

It may import the review (an action's effect) and what every page shares.
"""
