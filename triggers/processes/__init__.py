"""Processes that go on for ever: run, the watchdog with its audit, and the lease of a tick.

They may import every room of triggers but the commands.
"""
