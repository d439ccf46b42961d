"""The monthly review and the incident page: what is read for them, and the documents that are composed of it.

May import queries.monitoring, queries.metrics, queries.state and what stands below them.
"""
