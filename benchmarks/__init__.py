"""Measured side by side, in one run, against what a user would do instead: `python -m benchmarks.all`."""
