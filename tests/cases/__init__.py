"""Training scripts with real bugs, each beside its repair: `model`, `broken` and `repaired`."""
