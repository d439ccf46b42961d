"""The state: incidents and what was evaluated, sent, decided and done about them, and its versions.

May import scope, warehouse, statistics, the engine and config.
"""
