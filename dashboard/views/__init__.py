"""Stubs that Streamlit runs by path: they keep the imports of a page until somebody opens it.

Each imports its own page.
"""
