"""Check what a checkpoint holds, and what loading its optimizer state would change: DA601, DA602, DA103.

`load_state_dict` of torch restores groups by position. It compares the number of groups and the number of parameters in
each group, and nothing else. Then all hyperparameters of the checkpoint replace those of the live optimizer.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isclose
from pathlib import PurePath

from msgspec import Struct

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text
from decay_audit.errors import shell_join
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import ALGORITHM_SETTINGS, Optimizer, ParamGroup
from decay_audit.model.optimizer_pairs import group_sizes, pair_optimizers
from decay_audit.model.position_order import explain_ambiguity
from decay_audit.text import count_noun, first_few, format_shape, join_words

MAX_EXAMPLES = 3
"""How many parameters a finding shows as examples."""

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each parameter of a model, by name."""


def check_checkpoint(inventories: Sequence[Inventory], optimizers: Sequence[Optimizer]) -> Iterator[Finding]:
    """Find saved states whose shapes do not fit (DA601), and code in pickles (DA602)."""
    for optimizer in optimizers:
        if optimizer.mismatched_state:
            yield finding(
                "DA601",
                f"the saved state of {optimizer.type} does not fit "
                f"{count_noun(len(optimizer.mismatched_state), 'parameter')} at its positions",
                optimizer.mismatched_state,
                expected="state tensors of the parameter's own shape",
                found="other shapes: the groups were saved in another order, or for another model",
                where=optimizer.name,
            )
    for inventory in inventories:
        if inventory.opaque:
            yield finding(
                "DA602",
                f"{_pickle_message(inventory)}, which was not imported or called: {first_few(inventory.opaque, 5)}",
                expected="tensors and plain values",
                found=", ".join(inventory.opaque),
                where=", ".join(inventory.files),
                severity="error" if inventory.dangerous else None,
            )


def _pickle_message(inventory: Inventory) -> str:
    if inventory.dangerous:
        return f"the pickle calls for {count_noun(len(inventory.dangerous), 'function')} that can run any code"
    return "the pickle refers to code outside the allow-list"


class Migration(Struct, frozen=True, kw_only=True):
    """The parts of a `decay-audit migrate` command, which rewrites a checkpoint for the live optimizers.

    Attributes:
        checkpoint: the path of the checkpoint.
        optimizer: the expression that makes the live optimizers.
        model: the target that names the model.
        options: the options of the audit that `migrate` takes, too.
        opaque: whether the checkpoint holds objects that torch does not load safely.
    """

    checkpoint: str
    optimizer: str
    model: str
    options: tuple[str, ...] = ()
    opaque: bool = False


def check_resume(
    optimizers: Sequence[Optimizer], shapes: Shapes, migration: Migration | None = None
) -> tuple[Finding, ...]:
    """Compare each live optimizer with the state that it would load: DA601, and DA103 for coefficients.

    Args:
        migration: the parts of the command that rewrites the checkpoint; None if the audit was called from Python.
    """
    live = [optimizer for optimizer in optimizers if optimizer.origin == "live"]
    saved = [optimizer for optimizer in optimizers if optimizer.origin == "checkpoint"]
    common_fix = "" if len(live) == len(saved) else "make as many optimizers as were saved, in the same order"
    if migration is not None and migration.opaque:
        common_fix = "save tensors and plain values only: `decay-audit migrate` loads no other objects"
    return tuple(
        finding
        for pair in pair_optimizers(live, saved)
        for finding in _compare(*pair, shapes, common_fix or _migration_fix(*pair, [*shapes], migration))
    )


def _migration_fix(live: Optimizer, saved: Optimizer, order: Sequence[str], migration: Migration | None) -> str:
    """Write the command that rewrites the saved state for the live groups. If it would refuse, say what to do instead.

    Args:
        order: the names of the parameters, in the order of the model.
    """
    if _algorithm(live) != _algorithm(saved):
        return f"start {live.type} without this state"
    saved_names = [name for group in saved.groups for name in group.parameters]
    live_names = [name for group in live.groups for name in group.parameters]
    if not all(saved_names) or saved.name_caveats or explain_ambiguity(saved, order):
        return (
            "make the groups in the order in which they were saved: the file has no names, and which state belongs to "
            "which parameter is not certain; optimizers that are given model.named_parameters() save names"
        )
    if migration is None:
        return "save it to a file, and rewrite that: decay-audit migrate FILE --to EXPR --model TARGET --output NEW"
    path = PurePath(migration.checkpoint)
    words = [
        *("decay-audit", "migrate", migration.checkpoint),
        *("--to", migration.optimizer, "--model", migration.model, *migration.options),
        *(word for name in saved_names if name not in live_names for word in ("--drop", name)),
        *(word for name in live_names if name not in saved_names for word in ("--init", name)),
        *("--output", str(path.with_name(f"{path.stem}-migrated{path.suffix}"))),
    ]
    return shell_join(words)


def _algorithm(optimizer: Optimizer) -> frozenset[str]:
    """Return the keys of the groups that show which algorithm the optimizer runs."""
    return frozenset(
        key for group in optimizer.groups[:1] for key in ALGORITHM_SETTINGS if key in group.hyperparameters
    )


def _compare(live: Optimizer, saved: Optimizer, shapes: Shapes, fix: str) -> Iterator[Finding]:
    if group_sizes(live) != group_sizes(saved):
        yield _refusal_finding(live, saved, fix)
        return
    yield from _find_other_class(live, saved)
    yield from _find_swapped_states(live, saved, fix)
    yield from _find_another_order(saved, fix)
    other_shapes = [*_find_other_shapes(live, saved, shapes, fix)]
    yield from other_shapes
    if not _is_in_another_order(live, saved):
        yield from _find_restored_coefficients(live, saved)
    elif not other_shapes:
        yield _reordered_groups_finding(live, saved, fix)


def _refusal_finding(live: Optimizer, saved: Optimizer, fix: str) -> Finding:
    regrouped = _parameters_that_changed_group(live, saved)
    return finding(
        "DA601",
        f"torch would refuse this state: it has {_sizes_text(saved)}, {live.type} has {_sizes_text(live)}"
        + (f"; {count_noun(len(regrouped), 'parameter')} changed group" if regrouped else ""),
        regrouped,
        expected=_sizes_text(saved),
        found=_sizes_text(live),
        where=saved.name,
        fix=fix,
    )


def _find_other_class(live: Optimizer, saved: Optimizer) -> Iterator[Finding]:
    """Find a state of another class whose groups lack settings that a step of the live class needs."""
    for index, (group, saved_group) in enumerate(zip(live.groups, saved.groups, strict=True)):
        missing_keys = [
            key for key in ALGORITHM_SETTINGS if key in group.hyperparameters and key not in saved_group.hyperparameters
        ]
        if missing_keys and saved.type not in ("unknown", live.type):
            yield finding(
                "DA601",
                f"torch would accept this state of {saved.type} for {live.type}, and group {index} would lose "
                f"{join_words(missing_keys)}",
                [name for name in group.parameters if name],
                expected=f"a state of {live.type}",
                found=f"a state of {saved.type}",
                where=f"group {index} of {saved.name}",
                fix=f"start {live.type} without this state",
            )
            return


def _find_swapped_states(live: Optimizer, saved: Optimizer, fix: str) -> Iterator[Finding]:
    """Find parameters that torch would give the state of another parameter, because the groups have another order.

    Parameters are swapped if their names form a cycle: `a` would get the state of `b`, and `b` would get the state of
    `a`. Without a cycle, parameters were probably renamed, and nothing is reported.
    """
    saved_names = {
        name: saved_name
        for group, saved_group in zip(live.groups, saved.groups, strict=True)
        for name, saved_name in zip(group.parameters, saved_group.parameters, strict=True)
        if name and saved_name and not saved_group.shapes  # with `shapes`, the file itself has no names
    }
    swapped = _names_on_cycles(saved_names)
    pairs = [(name, saved_name) for name, saved_name in saved_names.items() if name in swapped]
    if pairs:
        name, saved_name = pairs[0]
        yield finding(
            "DA601",
            f"torch would accept this state and give {count_noun(len(pairs), 'parameter')} the state and settings of "
            f"another: {name} would get those of {saved_name}",
            [name for name, _ in pairs],
            expected=", ".join(name for name, _ in pairs[:MAX_EXAMPLES]),
            found=", ".join(saved_name for _, saved_name in pairs[:MAX_EXAMPLES]),
            where=saved.name,
            fix=fix,
        )


def _find_another_order(saved: Optimizer, fix: str) -> Iterator[Finding]:
    """Report a state without names, in a file whose model has the same parameters in another order.

    It is only a warning: whether the state's groups were in the order of that model is not known.
    """
    if saved.state_of:
        (name, other), *_ = saved.state_of.items()
        yield finding(
            "DA601",
            f"the file has {count_noun(len(saved.state_of), 'parameter')} in another order than this model, and its "
            f"optimizer state has no names: torch would accept it, and probably give {name} the state of {other}",
            saved.state_of,
            expected=", ".join([*saved.state_of][:MAX_EXAMPLES]),
            found=", ".join([*saved.state_of.values()][:MAX_EXAMPLES]),
            where=saved.name,
            fix=fix,
            severity="warning",
        )


def _names_on_cycles(next_names: Mapping[str, str]) -> frozenset[str]:
    """Find the names on cycles of two or more names in the mapping.

    >>> sorted(_names_on_cycles({"a": "b", "b": "a", "c": "c", "d": "e"}))
    ['a', 'b']
    """
    swapped: set[str] = set()
    visited: set[str] = set()
    for start in next_names:
        path: list[str] = []
        name = start
        while name in next_names and name not in visited:
            visited.add(name)
            path.append(name)
            name = next_names[name]
        if name in path and len(path) - path.index(name) > 1:
            swapped.update(path[path.index(name) :])
    return frozenset(swapped)


def _is_in_another_order(live: Optimizer, saved: Optimizer) -> bool:
    """Whether a state without names has the live groups' sizes and coefficients, but in another order."""
    if any(name for group in saved.groups if not group.shapes for name in group.parameters):
        return False
    live_groups, saved_groups = (
        [(len(group.parameters), f"{group.weight_decay:.6g}") for group in optimizer.groups]
        for optimizer in (live, saved)
    )
    return live_groups != saved_groups and sorted(live_groups) == sorted(saved_groups)


def _reordered_groups_finding(live: Optimizer, saved: Optimizer, fix: str) -> Finding:
    pairs = [*zip(live.groups, saved.groups, strict=True)]
    different = [index for index, (group, other) in enumerate(pairs) if group.weight_decay != other.weight_decay]
    live_text, saved_text = (coefficient_text(group.weight_decay) for group in pairs[different[0]])
    names = [name for index in different for name in live.groups[index].parameters]
    return finding(
        "DA601",
        f"torch would accept this state, whose groups have the coefficients of the live ones in another order: group "
        f"{different[0]} was saved with {saved_text} and has {live_text} here; {count_noun(len(names), 'parameter')} "
        "would get the state and settings of other parameters of the same shapes",
        [name for name in names if name],
        expected=f"group {different[0]} with weight_decay {live_text}",
        found=f"group {different[0]} with weight_decay {saved_text}",
        where=saved.name,
        fix=fix,
    )


def _find_other_shapes(live: Optimizer, saved: Optimizer, shapes: Shapes, fix: str) -> Iterator[Finding]:
    """Find states in a file without names that have another shape than the parameter at their position."""
    state_shapes = {
        name: shape
        for group, saved_group in zip(live.groups, saved.groups, strict=True)
        if saved_group.shapes
        for name, shape in zip(group.parameters, saved_group.shapes, strict=True)
        if name and shape is not None and shape != shapes.get(name)
    }
    if state_shapes:
        name, shape = next(iter(state_shapes.items()))
        examples = [*state_shapes][:MAX_EXAMPLES]
        yield finding(
            "DA601",
            f"torch would accept this state and give {count_noun(len(state_shapes), 'parameter')} the state of "
            f"another: {name} would get a state of shape {format_shape(shape)}",
            state_shapes,
            expected=", ".join(f"{name} {format_shape(shapes.get(name, ()))}" for name in examples),
            found=", ".join(f"{name} {format_shape(state_shapes[name])}" for name in examples),
            where=saved.name,
            fix=fix,
        )


def _find_restored_coefficients(live: Optimizer, saved: Optimizer) -> Iterator[Finding]:
    for index, (group, saved_group) in enumerate(zip(live.groups, saved.groups, strict=True)):
        if not isclose(group.weight_decay, saved_group.weight_decay, rel_tol=1e-6):
            live_text, saved_text = coefficient_text(group.weight_decay), coefficient_text(saved_group.weight_decay)
            yield finding(
                "DA103",
                f"loading this state would change weight_decay of group {index} from {live_text} to {saved_text}",
                [name for name in group.parameters if name],
                expected=f"weight_decay {live_text} (live)",
                found=f"weight_decay {saved_text} (checkpoint)",
                where=f"group {index} of {saved.name}",
                fix="set the coefficient again after load_state_dict",
            )


def _parameters_that_changed_group(live: Optimizer, saved: Optimizer) -> list[str]:
    saved_index = _group_indices(saved.groups)
    return [name for name, index in _group_indices(live.groups).items() if saved_index.get(name, index) != index]


def _group_indices(groups: Sequence[ParamGroup]) -> dict[str, int]:
    return {name: index for index, group in enumerate(groups) for name in group.parameters if name}


def _sizes_text(optimizer: Optimizer) -> str:
    sizes = group_sizes(optimizer)
    return f"{count_noun(len(sizes), 'group')} of {' + '.join(map(str, sizes))} parameters"
