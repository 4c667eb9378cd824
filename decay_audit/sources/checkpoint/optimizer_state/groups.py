"""A saved optimizer becomes an Optimizer value: its groups' hyperparameters, and its positions as parameter names."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.sources.checkpoint.optimizer_state.align_positions import align
from decay_audit.sources.checkpoint.optimizer_state.infer_class import ADAPTIVE, type_and_semantics
from decay_audit.sources.checkpoint.pickle.values import Opaque, Saved, Tensor
from decay_audit.sources.checkpoint.state_dict.canonical_names import without_wrappers
from decay_audit.sources.checkpoint.state_dict.merge import Model, place
from decay_audit.sources.checkpoint.state_dict.pickled_modules import attributes, mapping
from decay_audit.text import first_few

Shape = tuple[int, ...]

_SCALARS: Final = {"f2": "e", "f4": "f", "f8": "d", "i2": "h", "i4": "i", "i8": "q"}
_SPECIAL: Final = frozenset({"params", "param_names", "names"})
_MEASURED: Final = ("lr", "weight_decay")

LARGEST: Final = 2**63 - 1
"""The largest number that is taken for a setting."""

MAX_STATES: Final = 64


class Positions(Struct, frozen=True, kw_only=True):
    """What the file says about the positions of one group: names if it has them, and the shapes of their states."""

    names: tuple[str, ...]
    shapes: tuple[Shape | None, ...]


def optimizer(saved: Saved, model: Model, file: int) -> Optimizer:
    """Read one saved optimizer, and map its positions to the names of `model`.

    Args:
        file: index of the file that holds it, for optimizers that hold the tensors themselves.
    """
    state = mapping(saved.content.get("state"))
    groups = [mapping(group) for group in _list(saved.content.get("param_groups"))]
    settings = [_hyperparameters(group) for group in groups]
    positions = read_positions(saved, model, file)
    named, misfits, doubts = _named(positions, settings, model)
    keys = [str(key) for key in groups[0] if key not in _SPECIAL] if groups else []
    kind, semantics = type_and_semantics(keys, settings[0] if groups else {}, _state_keys(state), saved.type)
    return Optimizer(
        name=saved.name,
        type=kind,
        groups=tuple(
            ParamGroup(
                weight_decay=_number(held.get("weight_decay")) or 0.0,
                lr=_number(held.get("lr")),
                parameters=tuple(names),
                hyperparameters=held,
                shapes=() if said.names else said.shapes,
            )
            for held, names, said in zip(settings, _certain(named, groups, settings), positions, strict=True)
        ),
        semantics=semantics,
        adaptive_denominator=semantics == "coupled" and kind in ADAPTIVE,
        origin="checkpoint",
        notes=_unread(groups, settings),
        name_caveats=doubts,
        mismatched_state=misfits,
    )


def _certain(
    named: Sequence[Sequence[str]], groups: Sequence[Mapping[Any, object]], settings: Sequence[Mapping[str, object]]
) -> Sequence[Sequence[str]]:
    """Take the names from positions whose weight_decay could not be read: nothing is claimed of those."""
    return [
        [""] * len(names) if "weight_decay" in group and "weight_decay" not in held else names
        for names, group, held in zip(named, groups, settings, strict=True)
    ]


def entries(saved: Saved) -> Iterator[int]:
    """Count what reading each group will look at; groups may share their lists, so that a short file has endless."""
    for held in map(mapping, _list(saved.content.get("param_groups"))):
        yield 1 + len(held) + len(_list(held.get("params")))


def read_positions(saved: Saved, model: Model, file: int) -> Sequence[Positions]:
    """Tell what the file says about the positions of each group."""
    state = mapping(saved.content.get("state"))
    groups = _list(saved.content.get("param_groups"))
    return [_positions(mapping(group), state, model, file) for group in groups]


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _number(value: object) -> float | None:
    """Give a finite number, None for anything else."""
    return float(value) if isinstance(value, int | float) and abs(value) <= LARGEST else None


def _hyperparameters(group: Mapping[Any, object]) -> dict[str, object]:
    found = {
        key: plain
        for key, value in group.items()
        if isinstance(key, str) and key not in _SPECIAL and (plain := _plain(value)) is not Ellipsis
    }
    odd = [key for key in _MEASURED if found.get(key) is not None and _number(found[key]) is None]
    return {key: value for key, value in found.items() if key not in odd}


def _plain(value: object) -> object:
    """Give a hyperparameter as plain data, Ellipsis where its value is not in the header (a tensor's)."""
    if _is_plain(value):
        return value
    if isinstance(value, tuple | list) and len(value) <= 64:
        return tuple(value) if all(map(_is_plain, value)) else ...
    return _numpy_scalar(value)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, float | str) or (isinstance(value, int) and abs(value) <= LARGEST)


def _numpy_scalar(value: object) -> object:
    """Decode a pickled NumPy number: the type's code, and its bytes."""
    match value:
        case Opaque(
            name="numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar",
            arguments=(Opaque(name="numpy.dtype", arguments=(str() as code, *_)), bytes() as raw),
        ) if code in _SCALARS and len(raw) == struct.calcsize(_SCALARS[code]):
            return struct.unpack(f"<{_SCALARS[code]}", raw)[0]
        case _:
            return ...


def _unread(groups: Sequence[Mapping[Any, object]], settings: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    unread = {
        (key, type(group[key]) is Tensor)
        for group, held in zip(groups, settings, strict=True)
        for key in _MEASURED
        if key in group and key not in held
    }
    return tuple(
        f"{key} was saved as a tensor; its value is not in the header" if tensor else f"{key} is no finite number"
        for key, tensor in sorted(unread)
    )


def _state_keys(state: Mapping[Any, object]) -> frozenset[str]:
    first = next(iter(state.values()), None)
    return frozenset(key for key in _held(first) if isinstance(key, str))


def _held(value: object) -> Mapping[Any, object]:
    return attributes(value) if type(value) is Opaque and value.items is None else mapping(value)


def _positions(group: Mapping[Any, object], state: Mapping[Any, object], model: Model, file: int) -> Positions:
    ids = _list(group.get("params"))
    shapes = tuple(state_shape(_held(_of(state, each))) for each in ids)
    names = _list(group.get("param_names"))
    if len(names) == len(ids) and all(isinstance(name, str) for name in names):
        return Positions(names=tuple(names), shapes=shapes)
    if ids and all(isinstance(each, str) for each in ids):
        return Positions(names=tuple(ids), shapes=shapes)
    if ids and all(type(each) is Tensor for each in ids):
        found = (model.places.get(where, "") if (where := place(each, file)) else "" for each in ids)
        return Positions(names=tuple(found), shapes=shapes)
    return Positions(names=(), shapes=shapes)


def _of(state: Mapping[Any, object], key: object) -> object:
    return state.get(key) if isinstance(key, int | str | Tensor) else None


def state_shape(state: Mapping[Any, object]) -> Shape | None:
    """Tell the shape of the parameter from the state that an optimizer keeps for it; None if it cannot be told.

    Most states have the parameter's own shape. Adafactor keeps one for the rows and one for the columns.
    """
    held = islice(state.items(), MAX_STATES)
    shapes = {key: value.shape for key, value in held if type(value) is Tensor and key != "step"}
    for row, column in (("exp_avg_sq_row", "exp_avg_sq_col"), ("row_var", "col_var")):
        if row in shapes and column in shapes:
            return _factored(shapes[row], shapes[column])
    full = [shapes[key] for key in ("exp_avg", "momentum_buffer", "exp_avg_sq", "square_avg", "sum") if key in shapes]
    distinct = set(full or filter(None, shapes.values()) or shapes.values())
    return distinct.pop() if len(distinct) == 1 else None


def _factored(row: Shape, column: Shape) -> Shape | None:
    """Undo Adafactor's factors: means over the last dimension and over the one before it, kept as 1 or dropped."""
    if len(row) == len(column) and row[-1:] == (1,):
        return (*row[:-1], column[-1])
    return (*row, column[-1]) if column else None


def _named(
    positions: Sequence[Positions], settings: Sequence[Mapping[str, object]], model: Model
) -> tuple[Sequence[Sequence[str]], tuple[str, ...], tuple[str, ...]]:
    """Give the names of each group's positions, the misfits, and what could not be mapped."""
    total = sum(len(each.shapes) for each in positions)
    if all(each.names or not each.shapes for each in positions) and total:
        return _as_named(positions, model)
    return _as_aligned(positions, settings, model, total)


def _as_named(
    positions: Sequence[Positions], model: Model
) -> tuple[Sequence[Sequence[str]], tuple[str, ...], tuple[str, ...]]:
    shapes = {each.name: each.shape for each in model.parameters}
    known = {name: each.name for each in model.parameters for name in (each.name, each.raw_name, *each.tied_to)}
    named = [[known.get(name) or _canonical(name, known, model) for name in each.names] for each in positions]
    misfits = {
        name: shape
        for each, names in zip(positions, named, strict=True)
        for name, shape in zip(names, each.shapes, strict=True)
        if shape is not None and name in shapes and shape != shapes[name]
    }
    strangers = [repr(name[:96]) for names in named for name in names if name not in shapes]
    notes = (
        (f"{len(strangers)} of its parameters are not in the state dict: {first_few(strangers, 3)}",)
        if strangers
        else ()
    )
    kept = [[name if name in shapes else "" for name in names] for names in named]
    return kept, tuple(misfits), (*notes, *_misfit_notes(misfits, shapes))


def _canonical(name: str, known: Mapping[str, str], model: Model) -> str:
    """Give the canonical name of what the optimizer calls `name`: it may be wrapped where the state dict is not."""
    plain = without_wrappers(name)
    forms = (plain, model.canonical(name), plain.removeprefix("module."))
    return next((known[form] for form in forms if form in known), plain)


def _misfit_notes(misfits: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    listed = [f"{name[:96]!r} is {list(shapes[name])}, its state {list(held)}" for name, held in misfits.items()]
    return (f"saved states of other shapes than their parameters: {first_few(listed, 3)}",) if listed else ()


def _as_aligned(
    positions: Sequence[Positions], settings: Sequence[Mapping[str, object]], model: Model, total: int
) -> tuple[Sequence[Sequence[str]], tuple[str, ...], tuple[str, ...]]:
    trained = tuple(each for each in model.parameters if each.trainable is not False)
    model = replace(model, parameters=trained) if len(trained) == total else model
    parameters = model.parameters
    groups = [each.shapes for each in positions]
    alike = [held.get("weight_decay") for held in settings]
    found = align([each.shape for each in parameters], groups, alike, ordered=model.ordered)
    named = [
        [parameters[found[index, at]].name if (index, at) in found else "" for at in range(len(group))]
        for index, group in enumerate(groups)
    ]
    lost = total - len(found)
    misfits, shown = _misfits(groups, model) if lost and total == len(parameters) else ((), ())
    return named, misfits, (*shown, *_alignment_notes(lost, total, model, groups, fits=not misfits))


def _misfits(groups: Sequence[Sequence[Shape | None]], model: Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the parameters that no mapping of all positions to all of them can suit: by order, else by shape."""
    shapes = {each.name: each.shape for each in model.parameters}
    if len(groups) == 1 and model.ordered:
        pairs = zip(model.parameters, groups[0], strict=True)
        misfits = {each.name: held for each, held in pairs if held not in (None, each.shape)}
        return tuple(misfits), _misfit_notes({name: held or () for name, held in misfits.items()}, shapes)
    saved = {held for group in groups for held in group}
    alone = [name for name, shape in shapes.items() if shape not in saved] if None not in saved else []
    listed = [f"{name[:96]!r} {list(shapes[name])}" for name in alone]
    return tuple(alone), (f"no saved state has the shape of {first_few(listed, 3)}",) if listed else ()


def _alignment_notes(
    lost: int, total: int, model: Model, groups: Sequence[Sequence[Shape | None]], *, fits: bool
) -> tuple[str, ...]:
    notes = []
    count = len(model.parameters)
    if total > count:
        notes.append(f"it holds {total} positions, the state dict {count} parameters")
    held = {shape for group in groups for shape in group if shape}
    strange = [str(list(shape)) for shape in sorted(held - {each.shape for each in model.parameters})]
    if lost and fits and strange:
        notes.append(
            f"no parameter has the shape of its states, {first_few(strange, 3)}: are they flattened (ZeRO, FSDP)?"
        )
    elif lost and fits:
        why = "shapes allow more than one order" if model.ordered else "safetensors does not keep the model's order"
        notes.append(f"{lost} of {total} positions could not be mapped to names for certain: {why}")
    return tuple(notes)
