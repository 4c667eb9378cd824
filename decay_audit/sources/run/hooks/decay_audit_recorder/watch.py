"""With `--watch` and `decay_audit.watch()`: print each change of the groups while the script trains.

A step costs a few comparisons for each group, whatever the number of parameters is.
"""

import sys
from typing import Any, Callable, Dict, List, Tuple

from . import choose, recording, settings

_MAX_RATIO = 10.0
"""A product of lr and weight_decay that changes by a larger factor is reported."""
_MAX_LINES = 3
"""How many changes of one group are printed: a group that changes more often has a schedule."""

State = Tuple[Any, Any, int]


class _Watched:
    """The last state of a group, its last printed product of lr and weight_decay, and how many changes were printed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.product = _product(state)
        self.changes = 0


_GROUPS: Dict[Tuple[int, int], _Watched] = {}
AT_FIRST_STEP: List[Callable[[Any], None]] = []
"""Functions that are called with the optimizer right before the first step."""


def before_step(optimizer: Any) -> None:
    """Compare the groups with what they were before the last step."""
    try:
        if recording.STEPS == 0:
            for function in AT_FIRST_STEP:
                function(optimizer)
        groups = enumerate(optimizer.param_groups)
        lines = [line for index, group in groups for line in _changes(optimizer, index, group)]
    except Exception as error:
        recording.note("watching failed: {!r}".format(error))
        return
    for line in lines:
        sys.stderr.write("decay-audit: step {}: {}\n".format(recording.STEPS, line))
    if settings.FOLDER and (lines or recording.STEPS == 0):
        recording.write("running", "step", stepping=optimizer if recording.STEPS == 0 else None)


def _changes(optimizer: Any, index: int, group: Dict[str, Any]) -> List[str]:
    params = group["params"]
    state = (choose.number(group.get("weight_decay")), choose.number(group.get("lr")), len(params))
    key = (id(optimizer), index)
    watched = _GROUPS.get(key)
    if watched is None:
        _GROUPS[key] = _Watched(state)
        return []
    if state == watched.state:
        return []
    before, watched.state = watched.state, state
    parts = []
    if state[0] != before[0]:
        parts.append("weight_decay {} became {}".format(before[0], state[0]))
    if state[2] != before[2]:
        parts.append("{} tensors became {}".format(before[2], state[2]))
    product = _product(state)
    if not parts and _differ(product, watched.product):
        parts.append("lr x weight_decay {:.2g} became {:.2g}".format(watched.product, product))
    if not parts:
        return []
    watched.product = product
    watched.changes += 1
    if watched.changes > _MAX_LINES:
        return []
    more = " (further changes of this group are not listed)" if watched.changes == _MAX_LINES else ""
    return ["group {} of {}: {}{}".format(index, type(optimizer).__name__, ", ".join(parts), more)]


def _product(state: State) -> float:
    return (state[0] or 0.0) * (state[1] or 0.0)


def _differ(product: float, other: float) -> bool:
    return product != other and (product == 0 or other == 0 or not 1 / _MAX_RATIO <= product / other <= _MAX_RATIO)
