"""What loading a saved optimizer state into the live optimizer would do.

torch restores groups by position: it compares how many there are and how many parameters each holds, and nothing else;
every hyperparameter of the checkpoint then replaces the live one.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isclose

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.fixes import migration
from decay_audit.checks.phrases import number
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.text import count_noun, format_shape, join_words

SHOWN = 3
_OF_THE_ALGORITHM = ("betas", "momentum", "rho", "alpha")
"""Hyperparameters without which a class that has them cannot step."""


Shapes = Mapping[str, tuple[int, ...]]


def check_resume(optimizers: Sequence[Optimizer], shapes: Shapes, target: str = "") -> tuple[Finding, ...]:
    """Compare each live optimizer with the state saved of it: DA601, and DA103 for what would be restored.

    Args:
        shapes: of the model's parameters, by name.
        target: the target in the commands that a fix names; "" for a model in Python.
    """
    live = [one for one in optimizers if one.origin == "live"]
    saved = [one for one in optimizers if one.origin == "checkpoint"]
    return tuple(found for now, then in counterparts(live, saved) for found in _compare(now, then, shapes, target))


def counterparts(live: Sequence[Optimizer], saved: Sequence[Optimizer]) -> tuple[tuple[Optimizer, Optimizer], ...]:
    """Pair live optimizers with the states that they would load, of several in a file in whatever order.

    No file says which state is whose: the name decides, then the class and the sizes of the groups, then the sizes
    alone, and at last the place.
    """
    left = [*saved]
    found: dict[int, Optimizer] = {}
    for alike in (_same_name, _same_kind, _same_sizes, _whichever):
        for place, now in enumerate(live):
            then = next((each for each in left if alike(now, each)), None)
            if then is not None and place not in found:
                found[place] = then
                left = [each for each in left if each is not then]
    return tuple((now, found[place]) for place, now in enumerate(live) if place in found)


def _same_name(live: Optimizer, saved: Optimizer) -> bool:
    return live.name == saved.name.rpartition(".")[2]


def _same_kind(live: Optimizer, saved: Optimizer) -> bool:
    return live.type == saved.type and _same_sizes(live, saved)


def _same_sizes(live: Optimizer, saved: Optimizer) -> bool:
    return _lengths(live) == _lengths(saved)


def _whichever(_live: Optimizer, _saved: Optimizer) -> bool:
    return True


def _compare(live: Optimizer, saved: Optimizer, shapes: Shapes, target: str) -> Iterator[Finding]:
    if _lengths(live) != _lengths(saved):
        yield _refused(live, saved, target)
        return
    yield from _foreign(live, saved)
    yield from _swapped(live, saved, target)
    yield from _reshaped(live, saved, shapes, target)
    yield from _restored(live, saved)


def _refused(live: Optimizer, saved: Optimizer, target: str) -> Finding:
    now, then = _lengths(live), _lengths(saved)
    moved = _moved(live, saved)
    return finding(
        "DA601",
        f"torch would refuse this state: {_sizes(then)} were saved, {live.type} has {_sizes(now)}"
        + (f"; {count_noun(len(moved), 'parameter')} changed group" if moved else ""),
        moved,
        expected=_sizes(then),
        found=_sizes(now),
        where=saved.name,
        fix=migration(target),
    )


def _foreign(live: Optimizer, saved: Optimizer) -> Iterator[Finding]:
    """The state of another class: its groups replace the live ones, and a step misses what they do not hold."""
    for index, (now, then) in enumerate(zip(live.groups, saved.groups, strict=True)):
        lost = [key for key in _OF_THE_ALGORITHM if key in now.hyperparameters and key not in then.hyperparameters]
        if lost and saved.type not in ("unknown", live.type):
            yield finding(
                "DA601",
                f"torch would accept this state of {saved.type} for {live.type}: group {index} would have no "
                f"{join_words(lost)} any more",
                [name for name in now.parameters if name],
                expected=f"a state of {live.type}",
                found=f"a state of {saved.type}",
                where=f"group {index} of {saved.name}",
                fix=f"start {live.type} without this state",
            )
            return


def _swapped(live: Optimizer, saved: Optimizer, target: str) -> Iterator[Finding]:
    """Same sizes, other names: accepted without a word, and state and settings go to the wrong parameters."""
    pairs = [
        (new, old)
        for group, before in zip(live.groups, saved.groups, strict=True)
        for new, old in zip(group.parameters, before.parameters, strict=True)
        if new and old and new != old and not before.shapes
    ]
    if pairs:
        new, old = pairs[0]
        yield finding(
            "DA601",
            f"torch would accept this state and give {count_noun(len(pairs), 'parameter')} the state and settings of "
            f"another: {new} would get those of {old}",
            [one for one, _ in pairs],
            expected=", ".join(one for one, _ in pairs[:SHOWN]),
            found=", ".join(one for _, one in pairs[:SHOWN]),
            where=saved.name,
            fix=migration(target),
        )


def _reshaped(live: Optimizer, saved: Optimizer, shapes: Shapes, target: str) -> Iterator[Finding]:
    """The same where the file names no positions: only their shapes can tell."""
    found = {
        new: held
        for group, before in zip(live.groups, saved.groups, strict=True)
        if before.shapes
        for new, held in zip(group.parameters, before.shapes, strict=True)
        if new and held not in (None, shapes.get(new))
    }
    if found:
        expected = [f"{name} {format_shape(shapes.get(name, ()))}" for name in [*found][:SHOWN]]
        yield finding(
            "DA601",
            f"torch would accept this state and give {count_noun(len(found), 'parameter')} the state of another: "
            f"{next(iter(found))} would get one of shape {format_shape(next(iter(found.values())) or ())}",
            found,
            expected=", ".join(expected),
            found=", ".join(f"{name} {format_shape(found[name] or ())}" for name in [*found][:SHOWN]),
            where=saved.name,
            fix=migration(target),
        )


def _restored(live: Optimizer, saved: Optimizer) -> Iterator[Finding]:
    for index, (new, old) in enumerate(zip(live.groups, saved.groups, strict=True)):
        if not isclose(new.weight_decay, old.weight_decay, rel_tol=1e-6):
            yield finding(
                "DA103",
                f"loading this state would set weight_decay of group {index} back to {number(old.weight_decay)}, from "
                f"{number(new.weight_decay)}",
                [name for name in new.parameters if name],
                expected=f"weight_decay {number(new.weight_decay)} (live)",
                found=f"weight_decay {number(old.weight_decay)} (checkpoint)",
                where=f"group {index} of {saved.name}",
                fix="set the coefficient again after load_state_dict",
            )


def _moved(live: Optimizer, saved: Optimizer) -> list[str]:
    """Parameters whose group is another one, by the position of the group."""
    before, after = _group_of(saved.groups), _group_of(live.groups)
    return [name for name, index in after.items() if before.get(name, index) != index]


def _group_of(groups: Sequence[ParamGroup]) -> dict[str, int]:
    return {name: index for index, group in enumerate(groups) for name in group.parameters if name}


def _lengths(optimizer: Optimizer) -> tuple[int, ...]:
    return tuple(len(group.parameters) for group in optimizer.groups)


def _sizes(sizes: tuple[int, ...]) -> str:
    return f"{count_noun(len(sizes), 'group')} of {' + '.join(map(str, sizes))} parameters"
