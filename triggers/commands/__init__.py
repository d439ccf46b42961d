"""What `python -m triggers` does, a module for each command or a few that belong together.

They may import every room of triggers.
"""
