"""Training scripts with real bugs and their repairs: each has `model`, `broken` and `repaired`."""
