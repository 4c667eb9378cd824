"""Measurements, each one command: `python -m benchmarks.NAME`. They print ratios within one run, never bare times."""
