"""Make an Optimizer value from a saved optimizer: the settings of its param groups, and names for their positions."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.sources.checkpoint.contents import SavedOptimizer, Tensor
from decay_audit.sources.checkpoint.optimizer_state.infer_class import ADAPTIVE, infer_class
from decay_audit.sources.checkpoint.optimizer_state.position_names import (
    NAME_KEYS,
    name_positions,
    param_groups,
    read_positions,
    state_of,
)
from decay_audit.sources.checkpoint.pickle.inert_values import OpaqueObject
from decay_audit.sources.checkpoint.state_dict.merge import MergedModel
from decay_audit.sources.checkpoint.state_dict.pickled_modules import items_of

_NUMPY_FORMATS: Final = {"f2": "e", "f4": "f", "f8": "d", "i2": "h", "i4": "i", "i8": "q"}
"""The format of Python's `struct` for each code of a NumPy dtype."""
_NUMERIC_KEYS: Final = ("lr", "weight_decay")
"""The settings that are used only if they are numbers."""
_MAX_NUMBER: Final = 2**63 - 1
"""The largest number that counts as one: 64 bits with a sign."""
_MAX_LENGTH: Final = 64
"""The longest list that is kept as a setting."""


def read_optimizer(optimizer: SavedOptimizer, model: MergedModel, file: int) -> Optimizer:
    """Read one saved optimizer, and map its positions to the names of `model`.

    Args:
        file: the index of the optimizer's file, to find the names if a group holds tensors and not positions.
    """
    groups = param_groups(optimizer)
    settings = [_settings(group) for group in groups]
    positions = read_positions(optimizer, model, file)
    weight_decays = [group_settings.get("weight_decay") for group_settings in settings]
    naming = name_positions(positions, weight_decays, model)
    keys = [key for key in groups[0] if isinstance(key, str) and key not in NAME_KEYS] if groups else []
    class_name, semantics = infer_class(keys, settings[0] if groups else {}, _state_keys(optimizer), optimizer.type)
    return Optimizer(
        name=optimizer.name,
        type=class_name,
        groups=tuple(
            ParamGroup(
                weight_decay=_number(group_settings.get("weight_decay")) or 0.0,
                lr=_number(group_settings.get("lr")),
                parameters=tuple(names),
                hyperparameters=group_settings,
                shapes=() if group_positions.names else group_positions.shapes,
            )
            for group_settings, names, group_positions in zip(
                settings, _without_unread(naming.names, groups, settings), positions, strict=True
            )
        ),
        semantics=semantics,
        adaptive_denominator=semantics == "coupled" and class_name in ADAPTIVE,
        compensates_rounding=optimizer.has_master_weights,
        origin="checkpoint",
        notes=_unread_notes(groups, settings),
        name_caveats=naming.caveats,
        mismatched_state=naming.mismatched,
    )


def _without_unread(
    names: Sequence[Sequence[str]], groups: Sequence[Mapping[Any, object]], settings: Sequence[Mapping[str, object]]
) -> Sequence[Sequence[str]]:
    """Remove the names of groups whose weight_decay could not be read: nothing can be reported about them."""
    return [
        [""] * len(group_names) if "weight_decay" in group and "weight_decay" not in group_settings else group_names
        for group_names, group, group_settings in zip(names, groups, settings, strict=True)
    ]


def _number(value: object) -> float | None:
    """Return a finite number, None for anything else."""
    return float(value) if isinstance(value, int | float) and abs(value) <= _MAX_NUMBER else None


def _settings(group: Mapping[Any, object]) -> dict[str, object]:
    """Return the hyperparameters of a group that are plain data; lr and weight_decay only if they are numbers."""
    settings = {
        key: plain
        for key, value in group.items()
        if isinstance(key, str) and key not in NAME_KEYS and (plain := _plain(value)) is not Ellipsis
    }
    invalid = [key for key in _NUMERIC_KEYS if settings.get(key) is not None and _number(settings[key]) is None]
    return {key: value for key, value in settings.items() if key not in invalid}


def _plain(value: object) -> object:
    """Return a hyperparameter as plain data; Ellipsis if the pickle does not have its value (a tensor)."""
    if _is_plain(value):
        return value
    if isinstance(value, tuple | list) and len(value) <= _MAX_LENGTH:
        return tuple(value) if all(map(_is_plain, value)) else ...
    return _numpy_scalar(value)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, float | str) or (isinstance(value, int) and abs(value) <= _MAX_NUMBER)


def _numpy_scalar(value: object) -> object:
    """Decode a pickled NumPy number from the code of its dtype and its bytes; Ellipsis for anything else."""
    match value:
        case OpaqueObject(
            name="numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar",
            arguments=(OpaqueObject(name="numpy.dtype", arguments=(str() as code, *_)), bytes() as raw),
        ) if code in _NUMPY_FORMATS and len(raw) == struct.calcsize(_NUMPY_FORMATS[code]):
            return struct.unpack(f"<{_NUMPY_FORMATS[code]}", raw)[0]
        case _:
            return ...


def _unread_notes(groups: Sequence[Mapping[Any, object]], settings: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    unread = {
        (key, type(group[key]) is Tensor)
        for group, group_settings in zip(groups, settings, strict=True)
        for key in _NUMERIC_KEYS
        if key in group and key not in group_settings
    }
    return tuple(
        f"{key} was saved as a tensor, whose value is not read" if is_tensor else f"{key} is not a finite number"
        for key, is_tensor in sorted(unread)
    )


def _state_keys(optimizer: SavedOptimizer) -> frozenset[str]:
    first = next(iter(items_of(optimizer.content.get("state")).values()), None)
    return frozenset(key for key in state_of(first) if isinstance(key, str))
