"""What was seen of one model and its optimizers while a script ran: changes, and parameters without a gradient."""

from msgspec import Struct


class GroupChange(Struct, frozen=True, kw_only=True):
    """A param group that changed after its optimizer was made.

    Attributes:
        weight_decay: the coefficient before and after the change; equal where something else changed.
        added: parameters that the group did not hold before.
        removed: how many tensors the group does not hold any more.
    """

    optimizer: str
    group: int
    weight_decay: tuple[float, float]
    parameters: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: int = 0


class TrainingFacts(Struct, frozen=True, kw_only=True):
    """What was seen until the script was stopped.

    Attributes:
        without_gradient: parameters of the optimizers that had no gradient right before the first step.
        zero_gradient: those whose gradient was exactly zero.
        decayed: parameters in a group with a coefficient above zero.
        steps: how many steps had been taken.
    """

    without_gradient: tuple[str, ...] = ()
    zero_gradient: tuple[str, ...] = ()
    decayed: frozenset[str] = frozenset()
    changes: tuple[GroupChange, ...] = ()
    steps: int = 0
