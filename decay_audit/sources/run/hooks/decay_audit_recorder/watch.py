"""With `--watch` and `decay_audit.watch()`: print each change of the groups while the script trains.

A step costs a few comparisons for each group, whatever the number of parameters is.
"""

import sys
from typing import Any, Callable, Dict, List, Tuple

from . import choose, recording, settings

_MAX_RATIO = 10.0
"""A change of lr x weight_decay by a larger factor is printed."""
_MAX_LINES = 3
"""How many changes of one group are printed: a group that changes more often has a schedule."""

State = Tuple[Any, Any, int]
"""The weight_decay, the lr and the number of tensors of a group."""


class _GroupHistory:
    """What is known of a group.

    Attributes:
        state: its state at the last step.
        product: lr x weight_decay when the latest change was seen, or at the first step if no change was seen.
        changes: how many changes were seen that are worth a line.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.product = _product(state)
        self.changes = 0


_GROUPS: Dict[Tuple[int, int], _GroupHistory] = {}
"""The history of each group, by the id of its optimizer and its index."""
AT_FIRST_STEP: List[Callable[[Any], None]] = []
"""Functions that are called with the optimizer right before the first step."""


def before_step(optimizer: Any) -> None:
    """Print what changed in the groups since the step before."""
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
    """Say in at most one line how a group differs from its state at the last step, and keep its new state."""
    params = group["params"]
    state = (choose.number(group.get("weight_decay")), choose.number(group.get("lr")), len(params))
    key = (id(optimizer), index)
    history = _GROUPS.get(key)
    if history is None:
        _GROUPS[key] = _GroupHistory(state)
        return []
    if state == history.state:
        return []
    before, history.state = history.state, state
    changes = []
    if state[0] != before[0]:
        changes.append("weight_decay {} became {}".format(before[0], state[0]))
    if state[2] != before[2]:
        changes.append("{} tensors became {}".format(before[2], state[2]))
    product = _product(state)
    if not changes and _differ(product, history.product):
        changes.append("lr x weight_decay {:.2g} became {:.2g}".format(history.product, product))
    if not changes:
        return []
    history.product = product
    history.changes += 1
    if history.changes > _MAX_LINES:
        return []
    more = " (further changes of this group are not listed)" if history.changes == _MAX_LINES else ""
    return ["group {} of {}: {}{}".format(index, type(optimizer).__name__, ", ".join(changes), more)]


def _product(state: State) -> float:
    return (state[0] or 0.0) * (state[1] or 0.0)


def _differ(product: float, other: float) -> bool:
    """Whether one product is more than _MAX_RATIO times the other."""
    return product != other and (product == 0 or other == 0 or not 1 / _MAX_RATIO <= product / other <= _MAX_RATIO)
