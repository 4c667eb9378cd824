"""Find out whether it is certain which parameter is at each position of a saved optimizer."""

from collections.abc import Sequence

from decay_audit.model.observations import Optimizer


def explain_ambiguity(saved: Optimizer, order: Sequence[str]) -> str:
    """Say why it is not certain which parameter is at each position of a saved optimizer; "" if it is certain.

    If the names were not saved, the reader of checkpoints guesses them from coefficients and shapes. It may confuse
    groups with the same coefficient, and positions of one shape that are not in the order of the model. The audit is
    right all the same, but a migration would move states to the wrong parameters.

    Args:
        order: the names of the parameters, in the order of the model that was trained.
    """
    if not any(group.shapes for group in saved.groups):  # the names were saved
        return ""
    coefficients = [group.hyperparameters.get("weight_decay") for group in saved.groups]
    if len({*map(str, coefficients)}) < len(coefficients):
        return f"the {len(coefficients)} groups have no names, and some have the same weight_decay"
    index_of = {name: index for index, name in enumerate(order)}
    indices = [[index_of[name] for name in group.parameters if name in index_of] for group in saved.groups]
    shapes_repeat = any(len(set(group.shapes)) < len(group.shapes) for group in saved.groups)
    if shapes_repeat and any(listed != sorted(listed) for listed in indices):
        return "the groups have no names and are not in the order of the model, and some parameters have the same shape"
    return ""
