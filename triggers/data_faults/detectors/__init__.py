"""One detector a file for each way in which data deceives. Pure.

They may import queries/monitoring and queries/statistics.
"""
