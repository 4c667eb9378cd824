"""Observing: what optimizers hold, saved, and measurably do."""
