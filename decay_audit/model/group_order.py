"""Compare the param groups of new code with those of a saved optimizer, position by position."""

from collections.abc import Sequence

from decay_audit.text import count_noun

Groups = Sequence[Sequence[str]]
"""The names in each param group, in order."""


def find_group_order(groups: Groups, saved: Groups) -> tuple[int, ...] | None:
    """Find the order in which new groups have the parameters of the saved ones at each position; None if there is none.

    >>> find_group_order([["a", "b"], ["c"]], [["c"], ["a", "b"]])
    (1, 0)
    >>> find_group_order([["a", "b"], ["c"]], [["a", "b", "c"]]) is None
    True
    """
    index_of = {tuple(group): index for index, group in enumerate(groups)}
    order = tuple(index_of.get(tuple(group), -1) for group in saved)
    return order if sorted(order) == [*range(len(groups))] else None


def describe_loading(groups: Groups, saved: Groups) -> str:
    """Say what `load_state_dict` of an optimizer with these groups does with the saved state.

    >>> describe_loading([["a"], ["b"]], [["b"], ["a"]])
    'torch would accept this state and give 2 parameters the state of another'
    >>> describe_loading([["a"], ["b"]], [["a", "b"]])
    'torch would refuse this state: it has 1 group of 2 parameters, the new code makes 2 groups of 1 + 1'
    """
    if [*map(len, groups)] != [*map(len, saved)]:
        return (
            f"torch would refuse this state: it has {_sizes(saved, ' parameters')}, the new code makes {_sizes(groups)}"
        )
    moved = [
        name
        for group, saved_group in zip(groups, saved, strict=True)
        for name, saved_name in zip(group, saved_group, strict=True)
        if name != saved_name
    ]
    if moved:
        return f"torch would accept this state and give {count_noun(len(moved), 'parameter')} the state of another"
    return "this state loads unchanged: each parameter is at the position at which it was saved"


def _sizes(groups: Groups, noun: str = "") -> str:
    return f"{count_noun(len(groups), 'group')} of {' + '.join(str(len(group)) for group in groups)}{noun}"
