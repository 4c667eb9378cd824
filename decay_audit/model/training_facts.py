"""Facts about one model and its optimizers in a running script: groups that changed, parameters without a gradient."""

from msgspec import Struct


class GroupChange(Struct, frozen=True, kw_only=True):
    """A param group that changed after its optimizer was made.

    Attributes:
        weight_decay: the coefficient before and after the change; equal where something else changed.
        added: parameters that the group did not hold before.
        removed: how many tensors the group does not hold any more.
        is_schedule: whether the coefficient had several values in the steps of the run, as under a schedule.
    """

    optimizer: str
    group: int
    weight_decay: tuple[float, float]
    parameters: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: int = 0
    is_schedule: bool = False


class TrainingFacts(Struct, frozen=True, kw_only=True):
    """Facts that were recorded until the script was stopped.

    Attributes:
        without_gradient: parameters of the optimizers that had no gradient right before the first step.
        zero_gradient: parameters of the optimizers whose gradient was zero in every element right before that step.
        decayed: parameters in a group with a coefficient above zero.
        changes: the groups that changed after their optimizer was made.
        steps: how many steps the optimizers had taken.
    """

    without_gradient: tuple[str, ...] = ()
    zero_gradient: tuple[str, ...] = ()
    decayed: frozenset[str] = frozenset()
    changes: tuple[GroupChange, ...] = ()
    steps: int = 0
