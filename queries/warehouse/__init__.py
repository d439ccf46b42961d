"""The warehouse: its tables, its generations, and what is computed from the facts when one is made.

May import statistics, the engines and config, and nothing of queries besides.
"""
