"""Pair each live optimizer with the saved optimizer state that it would load."""

from collections.abc import Sequence

from decay_audit.model.observations import Optimizer


def pair_optimizers(live: Sequence[Optimizer], saved: Sequence[Optimizer]) -> tuple[tuple[Optimizer, Optimizer], ...]:
    """Pair live optimizers with saved states, which a file may hold in any order.

    No file says which state belongs to which optimizer. The function pairs them by name first; then by class and group
    sizes; then by group sizes alone; and what is left by order.
    """
    unpaired = [*saved]
    state_of: dict[int, Optimizer] = {}
    for matches in (_same_name, _same_class_and_sizes, _same_sizes, _always):
        for position, optimizer in enumerate(live):
            state = next((state for state in unpaired if matches(optimizer, state)), None)
            if state is not None and position not in state_of:
                state_of[position] = state
                unpaired = [other for other in unpaired if other is not state]
    return tuple((optimizer, state_of[position]) for position, optimizer in enumerate(live) if position in state_of)


def group_sizes(optimizer: Optimizer) -> tuple[int, ...]:
    """Count the parameters of each group."""
    return tuple(len(group.parameters) for group in optimizer.groups)


def _same_name(live: Optimizer, saved: Optimizer) -> bool:
    return live.name == saved.name.rpartition(".")[2]


def _same_class_and_sizes(live: Optimizer, saved: Optimizer) -> bool:
    return live.type == saved.type and _same_sizes(live, saved)


def _same_sizes(live: Optimizer, saved: Optimizer) -> bool:
    return group_sizes(live) == group_sizes(saved)


def _always(_live: Optimizer, _saved: Optimizer) -> bool:
    return True
