"""Messages between the state and Slack: what is to be sent and by whom, what came in, and what is kept back.

May import stores, state, scope, warehouse, statistics, the engine and config.
"""
