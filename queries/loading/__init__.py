"""How a source's rows come into the warehouse: inputs, sandbox, contract, merge, quarantine.

May import the warehouse, metrics for their design effects, the engines and config.
"""
