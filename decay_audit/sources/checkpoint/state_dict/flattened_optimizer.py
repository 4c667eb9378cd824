"""Rebuild `state` and `param_groups` from the flat dict in which torch.distributed saves the state of an optimizer.

Examples of its keys are `state.NAME.exp_avg` and `param_groups.NAME.weight_decay`; NAME is the name of a parameter.
"""

from collections.abc import Mapping
from typing import Any, Final

SLOT_NAMES: Final = frozenset(
    {
        *("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg", "grad_avg", "sqr_avg"),
        *("acc_delta", "exp_avg_sq_row", "exp_avg_sq_col", "row_var", "col_var", "max_exp_avg_sqs", "exp_avg_diff"),
        *("momentum", "sum_sq", "exp_hessian", "step"),
    }
)
"""The names of the tensors that optimizers keep for each parameter."""

_GROUPS: Final = "param_groups."
"""How a key for a setting of a param group begins."""
_STATE: Final = "state."
"""How a key for a slot begins."""


def unflatten(node: object) -> Mapping[str, object]:
    """Return the state dict of an optimizer; {} if the value is no such flat dict.

    Parameters whose plain settings (None, bool, int, float, str) agree get into one group. It takes other settings,
    such as betas, from its first parameter.
    """
    if not isinstance(node, dict) or not any(type(key) is str and key.startswith(_GROUPS) for key in node):
        return {}
    settings: dict[str, dict[str, object]] = {}
    states: dict[str, dict[str, object]] = {}
    for key, value in node.items():
        if type(key) is not str:
            return {}
        by_name = settings if key.startswith(_GROUPS) else states
        name, _, last = key.removeprefix(_GROUPS).removeprefix(_STATE).rpartition(".")
        by_name.setdefault(name, {})[last] = value
    groups: dict[object, dict[str, Any]] = {}
    for name, hyperparameters in settings.items():
        plain = tuple((key, value) for key, value in sorted(hyperparameters.items()) if _is_plain(value))
        groups.setdefault(plain, {**hyperparameters, "params": []})["params"].append(name)
    return {"state": states, "param_groups": list(groups.values())}


def _is_plain(value: object) -> bool:
    return value is None or type(value) in (bool, int, float, str)
