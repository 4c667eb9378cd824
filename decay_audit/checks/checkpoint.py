"""What a checkpoint alone gives away: optimizer state that does not fit, and code that its pickle names."""

from collections.abc import Iterator, Sequence

from decay_audit.checks.codes import Finding, finding
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Optimizer
from decay_audit.text import count_noun, first_few


def check_checkpoint(inventories: Sequence[Inventory], optimizers: Sequence[Optimizer]) -> tuple[Finding, ...]:
    """Find DA601 among saved optimizers, and DA602 in the target and in a checkpoint beside it."""
    return (*_misfits(optimizers), *(found for inventory in inventories for found in _opaque(inventory)))


def _misfits(optimizers: Sequence[Optimizer]) -> Iterator[Finding]:
    for optimizer in optimizers:
        if optimizer.mismatched_state:
            yield finding(
                "DA601",
                f"saved state of {optimizer.type} does not fit "
                f"{count_noun(len(optimizer.mismatched_state), 'parameter')} at its positions",
                optimizer.mismatched_state,
                expected="state tensors of the parameter's own shape",
                found="other shapes: the groups were saved in another order, or for another model",
                where=optimizer.name,
            )


def _opaque(inventory: Inventory) -> Iterator[Finding]:
    if inventory.opaque:
        yield finding(
            "DA602",
            f"the pickle names code outside the allow-list; it was not imported or called: "
            f"{first_few(inventory.opaque, 5)}",
            expected="tensors and plain values",
            found=", ".join(inventory.opaque),
            where=", ".join(inventory.files),
        )
