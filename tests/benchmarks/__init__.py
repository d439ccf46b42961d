"""Benchmarks: ratios side by side in one run, against the engine's bare limit and a naive baseline. They never fail."""
