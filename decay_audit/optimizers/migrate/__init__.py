"""Rewrite a saved optimizer state, and the states of its schedulers, for the param groups of another optimizer.

- matching: match the parameters of the new optimizer with the saved positions, by name
- state: rewrite the state dict of an optimizer
- schedulers: rewrite the lists of schedulers that have one entry for each param group
"""

from decay_audit.optimizers.migrate.matching import NO_CHANGES, MatchedParameters, ParameterChanges, match
from decay_audit.optimizers.migrate.schedulers import find_scheduler_states, is_unchanged, rewrite_schedulers
from decay_audit.optimizers.migrate.state import (
    find_state,
    find_state_paths,
    group_sources,
    replace_state,
    rewrite_state,
)

__all__ = [
    "NO_CHANGES",
    "MatchedParameters",
    "ParameterChanges",
    "find_scheduler_states",
    "find_state",
    "find_state_paths",
    "group_sources",
    "is_unchanged",
    "match",
    "replace_state",
    "rewrite_schedulers",
    "rewrite_state",
]
