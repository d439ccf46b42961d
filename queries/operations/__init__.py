"""What keeps an installation: backup and restore, erasure, the demo, its status and its health.

May import every other room of queries, and config.
"""
