"""Name the positions of a saved optimizer's param groups.

The file may have the names; else `align_positions` maps positions by order and shape. A position whose name is not
certain gets "".
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.sources.checkpoint.contents import SavedOptimizer, Tensor
from decay_audit.sources.checkpoint.optimizer_state.align_positions import align
from decay_audit.sources.checkpoint.pickle.inert_values import OpaqueObject
from decay_audit.sources.checkpoint.state_dict.canonical_names import without_wrappers
from decay_audit.sources.checkpoint.state_dict.merge import MergedModel, data_address
from decay_audit.sources.checkpoint.state_dict.pickled_modules import attributes, items_of
from decay_audit.text import count_noun, first_few

Shape = tuple[int, ...]

NAME_KEYS: Final = frozenset({"params", "param_names", "names"})
"""Keys of a param group that list its parameters."""

_MAX_STATE_KEYS: Final = 64
"""How many slots of one parameter are looked at."""
_MAX_LISTED: Final = 3
"""How many names a caveat lists."""


class GroupPositions(Struct, frozen=True, kw_only=True):
    """The positions of one param group.

    Attributes:
        names: their names; empty if the file does not have them.
        shapes: the shapes of the parameters, inferred from their states; None without a state.
    """

    names: tuple[str, ...]
    shapes: tuple[Shape | None, ...]


class PositionNaming(Struct, frozen=True, kw_only=True):
    """The names of all positions.

    Attributes:
        names: the names of the positions of each group; "" if the name is not certain.
        mismatched: names of parameters whose saved state has another shape.
        caveats: sentences about what is not certain.
    """

    names: Sequence[Sequence[str]]
    mismatched: tuple[str, ...]
    caveats: tuple[str, ...]


def param_groups(optimizer: SavedOptimizer) -> Sequence[Mapping[Any, object]]:
    """Return the param groups as dicts."""
    return [items_of(group) for group in _sequence(optimizer.content.get("param_groups"))]


def read_positions(optimizer: SavedOptimizer, model: MergedModel, file: int) -> Sequence[GroupPositions]:
    """Read what the file says about the positions of each group."""
    state = items_of(optimizer.content.get("state"))
    return [_group_positions(group, state, model, file) for group in param_groups(optimizer)]


def name_positions(
    positions: Sequence[GroupPositions], weight_decays: Sequence[object], model: MergedModel
) -> PositionNaming:
    """Name the positions of each group, by the names in the file if all groups have them, else by order and shape."""
    total = sum(len(group.shapes) for group in positions)
    if total and all(group.names or not group.shapes for group in positions):
        return _name_by_file(positions, model)
    return _name_by_alignment(positions, weight_decays, model, total)


def state_of(value: object) -> Mapping[Any, object]:
    """Return the state of one parameter as a dict; some optimizers keep it as an object."""
    return attributes(value) if type(value) is OpaqueObject and value.items is None else items_of(value)


def state_shape(state: Mapping[Any, object]) -> Shape | None:
    """Infer the shape of a parameter from the state that an optimizer keeps for it; None if it is not certain.

    Most states have the parameter's own shape. Adafactor keeps one state for the rows and one for the columns.
    """
    shapes = {
        key: value.shape
        for key, value in islice(state.items(), _MAX_STATE_KEYS)
        if type(value) is Tensor and key != "step"
    }
    for row, column in (("exp_avg_sq_row", "exp_avg_sq_col"), ("row_var", "col_var")):
        if row in shapes and column in shapes:
            return _unfactored(shapes[row], shapes[column])
    full = [shapes[key] for key in ("exp_avg", "momentum_buffer", "exp_avg_sq", "square_avg", "sum") if key in shapes]
    distinct = set(full or filter(None, shapes.values()) or shapes.values())
    return distinct.pop() if len(distinct) == 1 else None


def _unfactored(row: Shape, column: Shape) -> Shape | None:
    """Join the shapes of Adafactor's two states: means over the last dimension, and over the last but one."""
    if len(row) == len(column) and row[-1:] == (1,):
        return (*row[:-1], column[-1])
    return (*row, column[-1]) if column else None


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _group_positions(
    group: Mapping[Any, object], state: Mapping[Any, object], model: MergedModel, file: int
) -> GroupPositions:
    ids = _sequence(group.get("params"))
    states = (state.get(key) if isinstance(key, int | str | Tensor) else None for key in ids)
    shapes = tuple(state_shape(state_of(parameter_state)) for parameter_state in states)
    names = _sequence(group.get("param_names"))
    if len(names) == len(ids) and all(isinstance(name, str) for name in names):
        return GroupPositions(names=tuple(names), shapes=shapes)
    if ids and all(isinstance(key, str) for key in ids):
        return GroupPositions(names=tuple(ids), shapes=shapes)
    if ids and all(type(key) is Tensor for key in ids):
        return GroupPositions(names=tuple(_name_of(tensor, model, file) for tensor in ids), shapes=shapes)
    return GroupPositions(names=(), shapes=shapes)


def _name_of(tensor: Tensor, model: MergedModel, file: int) -> str:
    address = data_address(tensor, file)
    return model.names_by_address.get(address, "") if address else ""


def _name_by_file(positions: Sequence[GroupPositions], model: MergedModel) -> PositionNaming:
    shapes = {parameter.name: parameter.shape for parameter in model.parameters}
    aliases = {
        alias: parameter.name
        for parameter in model.parameters
        for alias in (parameter.name, parameter.raw_name, *parameter.tied_to)
    }
    names = [
        [aliases.get(name) or _canonical_name(name, aliases, model) for name in group.names] for group in positions
    ]
    mismatched = {
        name: shape
        for group, group_names in zip(positions, names, strict=True)
        for name, shape in zip(group_names, group.shapes, strict=True)
        if shape is not None and name in shapes and shape != shapes[name]
    }
    missing = [repr(name[:96]) for group_names in names for name in group_names if name not in shapes]
    caveats = _mismatch_caveats(mismatched, shapes)
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        listed = first_few(missing, _MAX_LISTED)
        caveats = (
            f"{count_noun(len(missing), 'parameter')} in its groups {verb} not in the state dict: {listed}",
            *caveats,
        )
    return PositionNaming(
        names=[[name if name in shapes else "" for name in group_names] for group_names in names],
        mismatched=tuple(mismatched),
        caveats=caveats,
    )


def _canonical_name(name: str, aliases: Mapping[str, str], model: MergedModel) -> str:
    """Return the canonical name for `name` in an optimizer, which may have wrapper parts that the state dict lacks."""
    bare = without_wrappers(name)
    spellings = (bare, model.canonical_names(name), bare.removeprefix("module."))
    return next((aliases[spelling] for spelling in spellings if spelling in aliases), bare)


def _mismatch_caveats(mismatched: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    listed = [f"{name[:96]!r} is {list(shapes[name])}, its state {list(shape)}" for name, shape in mismatched.items()]
    return (
        (f"saved states have other shapes than their parameters: {first_few(listed, _MAX_LISTED)}",) if listed else ()
    )


def _name_by_alignment(
    positions: Sequence[GroupPositions], weight_decays: Sequence[object], model: MergedModel, total: int
) -> PositionNaming:
    trained = tuple(parameter for parameter in model.parameters if parameter.trainable is not False)
    model = replace(model, parameters=trained) if len(trained) == total else model
    parameters = model.parameters
    groups = [group.shapes for group in positions]
    aligned = align(
        [parameter.shape for parameter in parameters], groups, weight_decays, in_model_order=model.in_model_order
    )
    names = [
        [
            parameters[aligned[index, position]].name if (index, position) in aligned else ""
            for position in range(len(group))
        ]
        for index, group in enumerate(groups)
    ]
    unnamed = total - len(aligned)
    mismatched, caveats = _mismatched(groups, model) if unnamed and total == len(parameters) else ((), ())
    alignment_caveats = _alignment_caveats(unnamed, total, model, groups, any_mismatch=bool(mismatched))
    return PositionNaming(names=names, mismatched=mismatched, caveats=(*caveats, *alignment_caveats))


def _mismatched(
    groups: Sequence[Sequence[Shape | None]], model: MergedModel
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find parameters whose shape fits no position: a single group is compared in order, several by shape."""
    shapes = {parameter.name: parameter.shape for parameter in model.parameters}
    if len(groups) == 1 and model.in_model_order:
        pairs = zip(shapes.items(), groups[0], strict=True)
        mismatched = {name: state for (name, shape), state in pairs if state is not None and state != shape}
        return tuple(mismatched), _mismatch_caveats(mismatched, shapes)
    states = {shape for group in groups for shape in group}
    if None in states:
        return (), ()
    unmatched = [name for name, shape in shapes.items() if shape not in states]
    listed = [f"{name[:96]!r} {list(shapes[name])}" for name in unmatched]
    return tuple(unmatched), (f"no saved state has the shape of {first_few(listed, _MAX_LISTED)}",) if listed else ()


def _alignment_caveats(
    unnamed: int, total: int, model: MergedModel, groups: Sequence[Sequence[Shape | None]], *, any_mismatch: bool
) -> tuple[str, ...]:
    caveats = []
    if total > len(model.parameters):
        caveats.append(
            f"its groups have {count_noun(total, 'parameter')}, and the state dict has {len(model.parameters):,}"
        )
    if not unnamed or any_mismatch:
        return tuple(caveats)
    states = {shape for group in groups for shape in group if shape}
    foreign = [str(list(shape)) for shape in sorted(states - {parameter.shape for parameter in model.parameters})]
    if foreign:
        listed = first_few(foreign, _MAX_LISTED)
        caveats.append(f"no parameter has the shape of its states {listed}: they may be flattened (ZeRO, FSDP)")
    else:
        why = (
            "their shapes fit in more than one order"
            if model.in_model_order
            else "safetensors does not keep the model's order"
        )
        caveats.append(f"{unnamed} of {total} parameters in its groups could not be matched to names: {why}")
    return tuple(caveats)
