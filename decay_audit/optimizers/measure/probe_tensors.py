"""A live optimizer goes in; out comes a copy on probe tensors: small tensors of known values instead of its parameters.

Nothing of the original is changed. Its state, its hooks and what schedulers have patched into it are left out.
"""

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from math import floor, isfinite, log2, prod
from typing import Any

import torch
from msgspec import Struct

from decay_audit.optimizers.find import is_optimizer
from decay_audit.optimizers.measure.deepcopy import Memo, deep_copy, refuse_finalizer
from decay_audit.optimizers.table.group_keys import PROGRESS_KEYS

TOTAL_ELEMENTS = 1 << 25
"""Elements of all probe tensors together."""
LARGEST = 8192
SMALLEST = 256
"""Elements of one probe tensor. So many, because some optimizers treat tensors below 4,096 elements differently."""
SAMPLE = 1 << 16
"""Elements of a parameter that are read to know its size."""
SMALLEST_SCALE, LARGEST_SCALE = -8, 4
"""Exponents of 2 between which a probe tensor is scaled."""
_PLAIN = (torch.Tensor, torch.nn.Parameter)
NARROW = 8
"""A dimension up to this size is kept: optimizers have rules on ranks, ones and narrow sides."""


class ProbeOptimizer(Struct, frozen=True, kw_only=True):
    """A copy of an optimizer, and its probe tensors by the ids of the original tensors."""

    optimizer: Any
    tensors: Mapping[int, torch.Tensor]


def copy_onto_probe_tensors(
    optimizer: torch.optim.Optimizer,
    dtype: torch.dtype | None = None,
    *,
    keep_state: bool = False,
    only: Collection[int] | None = None,
) -> ProbeOptimizer:
    """Copy an optimizer onto probe tensors.

    Args:
        dtype: of floating-point probe tensors; None keeps each parameter's own.
        keep_state: give the copy states like the original's, all zero; else it starts without any.
        only: ids of the tensors that its groups shall hold; None keeps all.

    Raises:
        OptimizerError: it cannot be copied without harm to the original.
    """
    originals = {id(tensor): tensor for group in optimizer.param_groups for tensor in group["params"]}
    limit = max(SMALLEST, min(LARGEST, TOTAL_ELEMENTS // max(1, len(originals))))
    tensors = {key: _probe_tensor(tensor, limit, dtype) for key, tensor in originals.items()}
    memo = Memo(tensors)
    memo.shapes = {tuple(originals[key].shape): tuple(tensor.shape) for key, tensor in tensors.items()}
    clone = _clone(optimizer, memo, lambda state: _zero_states(state, tensors) if keep_state else defaultdict(dict))
    selected = {key: tensor for key, tensor in tensors.items() if only is None or key in only}
    members = {id(tensor) for tensor in selected.values()}
    for group in clone.param_groups:
        _prepare_for_first_step(group, clone)
        group["params"][:] = [tensor for tensor in group["params"] if id(tensor) in members]
    return ProbeOptimizer(optimizer=clone, tensors=selected)


def shrink_shape(shape: Sequence[int], limit: int) -> tuple[int, ...]:
    """Shrink a shape to about `limit` elements: the same rank, narrow sides kept, wide ones in proportion."""
    return _shrink_shape(tuple(shape), limit)


@lru_cache(maxsize=256)
def _shrink_shape(shape: tuple[int, ...], limit: int) -> tuple[int, ...]:
    small = shape
    scale = 1.0
    while prod(small) > limit and any(size > NARROW for size in small):
        scale *= 0.9
        small = tuple(size if size <= NARROW else max(NARROW, round(size * scale)) for size in shape)
    return small


def known_values(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Fill a shape with known values: of both signs, magnitudes between 0.5 and 1.5, exact in every floating dtype."""
    return _known_values(tuple(shape), dtype).clone()


@lru_cache(maxsize=64)
def _known_values(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    index = torch.arange(prod(shape), dtype=torch.float64)
    magnitude = 0.5 + torch.remainder(index * 0.6180339887498949, 1.0)
    sign = torch.where(torch.remainder(index * 0.7548776662466927, 1.0) < 0.5, -1.0, 1.0)
    return (magnitude * sign).bfloat16().to(dtype).reshape(shape)


def _probe_tensor(original: torch.Tensor, limit: int, dtype: torch.dtype | None) -> torch.Tensor:
    probe_dtype = dtype if dtype is not None and original.is_floating_point() else original.dtype
    values = known_values(shrink_shape(original.shape, limit), probe_dtype)
    if (scale := _scale(original)) != 1:
        values *= scale
    tensor = torch.nn.Parameter(values, requires_grad=original.requires_grad)
    for name, value in vars(original).items():  # attributes that some optimizers read
        if isinstance(value, bool | int | float | str):
            setattr(tensor, name, value)
    return tensor


def _scale(original: torch.Tensor) -> float:
    """The power of two below a parameter's root mean square, as steps may depend on it; 1 where it is not known.

    A power of two keeps the values exact in every dtype.
    """
    if original.is_meta or original.layout is not torch.strided or type(original) not in _PLAIN:
        return 1.0
    if not original.is_floating_point() or not original.untyped_storage().size():  # sharded away
        return 1.0
    size = original.detach().reshape(-1)[:SAMPLE].double().square().mean().sqrt().item()
    return 2.0 ** min(max(floor(log2(size)), SMALLEST_SCALE), LARGEST_SCALE) if size > 0 and isfinite(size) else 1.0


def _clone(optimizer: object, memo: Memo, new_state: Callable[[Mapping[Any, Any]], object]) -> Any:  # noqa: ANN401 - of the original's class
    """Copy all attributes; `copy.deepcopy` would keep those of torch.optim.Optimizer only."""
    refuse_finalizer(optimizer)
    clone = object.__new__(type(optimizer))
    memo[id(optimizer)] = clone
    for value in vars(optimizer).values():
        if is_optimizer(value) and id(value) not in memo:
            _clone(value, memo, new_state)
    for name, value in vars(optimizer).items():
        if _is_patched_method(optimizer, name, value):
            continue
        if name == "state" and id(value) not in memo:
            memo[id(value)] = new_state(value)
        clone.__dict__[name] = OrderedDict() if _holds_hooks(name) else deep_copy(value, memo)
    return clone


def _is_patched_method(optimizer: object, name: str, value: object) -> bool:
    """Whether schedulers or profilers replaced a method on the instance: the replacement would step the original."""
    return callable(value) and callable(getattr(type(optimizer), name, None))


def _holds_hooks(name: str) -> bool:
    return name.startswith("_optimizer_") and name.endswith("_hooks")


def _prepare_for_first_step(group: dict[str, Any], optimizer: object) -> None:
    """Turn off what needs a GPU or a graph, and reset what tells how far the run has come."""
    defaults = getattr(optimizer, "defaults", {})
    for settings in (group, defaults):
        for key in ("fused", "capturable", "differentiable"):
            if settings.get(key):
                settings[key] = False
    if "step" in group and "step" not in defaults:
        del group["step"]  # a counter that is missing before the first step, and shows that states exist
    group.update({key: value for key, value in defaults.items() if key in PROGRESS_KEYS and key in group})


def _zero_states(state: Mapping[Any, Any], tensors: Mapping[int, torch.Tensor]) -> defaultdict[Any, Any]:
    """The same states for probe tensors, with zeros."""
    states: defaultdict[Any, Any] = defaultdict(dict)
    for key, entries in state.items():
        if id(key) in tensors and isinstance(entries, Mapping):
            tensor = tensors[id(key)]
            states[tensor] = {name: _zero_like(value, key, tensor) for name, value in entries.items()}
        elif not isinstance(key, torch.Tensor):
            states[key] = copy.deepcopy(entries)
    return states


def _zero_like(value: object, original: torch.Tensor, tensor: torch.Tensor) -> object:
    if not isinstance(value, torch.Tensor):
        return copy.deepcopy(value)
    shape = tensor.shape if value.shape == original.shape else shrink_shape(value.shape, SMALLEST)
    floating = value.is_floating_point() and value.dim() > 0
    return torch.zeros(shape, dtype=tensor.dtype if floating else value.dtype)
