"""Compare the param groups that a function of the user makes with a Plan, parameter by parameter."""

from collections.abc import Mapping, Sequence
from typing import Any

from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.plan import Plan
from decay_audit.text import describe_value


def find_differences(value: object, plan: Plan, model: Any) -> dict[str, str]:  # noqa: ANN401
    """Say for each parameter how the groups differ from the plan; {} if they are equal.

    Args:
        value: a list of param groups, as optimizers of torch take it, with or without names.

    Raises:
        DecayAuditError: the value is no list of param groups.
    """
    coefficients = _coefficients(value, {id(p): name for name, p in model.named_parameters()})
    differences: dict[str, str] = {"": "it is not a parameter of the model"} if "" in coefficients else {}
    for decision in plan.decisions:
        actual = coefficients.get(decision.classified.parameter.raw_name, [])
        if len(actual) > 1:
            differences[decision.name] = f"it is in {len(actual)} groups"
        elif not actual and decision.grouped:
            differences[decision.name] = "it is in no group"
        elif actual and not decision.grouped:
            differences[decision.name] = "it is frozen, and in a group"
        elif actual and actual[0] is None:
            differences[decision.name] = "its group sets no weight_decay, so the optimizer's default is in effect"
        elif actual and actual[0] != decision.weight_decay:
            differences[decision.name] = f"weight_decay {actual[0]:g}, not {decision.weight_decay:g}"
    return differences


def _coefficients(value: object, names: Mapping[int, str]) -> dict[str, list[float | None]]:
    """List the coefficients of the groups that each parameter is in. The key "" stands for tensors of no parameter."""
    coefficients: dict[str, list[float | None]] = {}
    for group in _groups(value):
        tensors = group["params"] if isinstance(group["params"], list | tuple) else [group["params"]]
        for item in tensors:
            tensor = item[1] if isinstance(item, tuple) else item
            coefficients.setdefault(names.get(id(tensor), ""), []).append(group.get("weight_decay"))
    return coefficients


def _groups(value: object) -> Sequence[Mapping[str, Any]]:
    groups = [*value] if isinstance(value, Sequence) and not isinstance(value, str) else []
    if not groups or not all(isinstance(group, Mapping) and "params" in group for group in groups):
        raise DecayAuditError(
            f"--verify: {describe_value(value)} is no list of param groups",
            "name a function that takes the model and returns the groups; `check --optimizer` compares an optimizer",
        )
    return groups
