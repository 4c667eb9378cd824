"""A copy of a live optimizer that holds small stand-ins for its parameters, so that steps can be tried on it.

Nothing of the original is touched: its state, its hooks and what schedulers have patched into it stay behind.
"""

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import torch
from msgspec import Struct

from decay_audit.optimizers.find import is_optimizer
from decay_audit.optimizers.measure.deepcopy import Memo, copied

BUDGET = 1 << 25
"""Elements of all stand-ins together."""
LARGEST = 8192
SMALLEST = 256
"""Elements of one stand-in. Some optimizers treat tensors below 4,096 elements apart, hence so many."""
_PROGRESS = frozenset({"step", "k", "weight_sum", "lr_max", "train_mode", "lookahead_step"})
"""Keys of groups that tell how far a run has come: a copy starts as a new optimizer does."""
NARROW = 8
"""A dimension up to this size is kept as it is: rules ask about ranks, ones and narrow sides."""


class Copy(Struct, frozen=True, kw_only=True):
    """An optimizer's copy, and the stand-in of each of its tensors by the id of the tensor."""

    optimizer: Any
    stand_ins: Mapping[int, torch.Tensor]


def duplicate(
    optimizer: torch.optim.Optimizer,
    dtype: torch.dtype | None = None,
    *,
    keep_state: bool = False,
    only: Collection[int] | None = None,
) -> Copy:
    """Copy an optimizer onto stand-ins.

    Args:
        dtype: dtype of floating stand-ins; None keeps each parameter's own.
        keep_state: give the copy states like the original's, all zero; otherwise it starts without any.
        only: ids of the tensors that its groups shall hold; None keeps all.
    """
    tensors = {id(tensor): tensor for group in optimizer.param_groups for tensor in group["params"]}
    limit = max(SMALLEST, min(LARGEST, BUDGET // max(1, len(tensors))))
    stand_ins = {key: _stand_in(tensor, limit, dtype) for key, tensor in tensors.items()}
    memo: Memo = dict(stand_ins)
    clone = _clone(optimizer, memo, lambda state: _zeros(state, stand_ins) if keep_state else defaultdict(dict))
    kept = {key: one for key, one in stand_ins.items() if only is None or key in only}
    members = {id(one) for one in kept.values()}
    for group in clone.param_groups:
        _settle(group, clone)
        group["params"][:] = [one for one in group["params"] if id(one) in members]
    return Copy(optimizer=clone, stand_ins=kept)


def shape_of(shape: Sequence[int], limit: int) -> tuple[int, ...]:
    """Shrink a shape to about `limit` elements: the same rank, narrow sides kept, wide ones in proportion."""
    return _small(tuple(shape), limit)


@lru_cache(maxsize=256)
def _small(sizes: tuple[int, ...], limit: int) -> tuple[int, ...]:
    small = sizes
    scale = 1.0
    while prod(small) > limit and any(size > NARROW for size in small):
        scale *= 0.9
        small = tuple(size if size <= NARROW else max(NARROW, round(size * scale)) for size in sizes)
    return small


def values(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Fill a shape with known values: of both signs, magnitudes between 0.5 and 1.5, exact in every floating dtype."""
    return _values(tuple(shape), dtype).clone()


@lru_cache(maxsize=64)
def _values(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    index = torch.arange(prod(shape), dtype=torch.float64)
    magnitude = 0.5 + torch.remainder(index * 0.6180339887498949, 1.0)
    sign = torch.where(torch.remainder(index * 0.7548776662466927, 1.0) < 0.5, -1.0, 1.0)
    return (magnitude * sign).bfloat16().to(dtype).reshape(shape)


def _stand_in(tensor: torch.Tensor, limit: int, dtype: torch.dtype | None) -> torch.Tensor:
    kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    stand_in = torch.nn.Parameter(values(shape_of(tensor.shape, limit), kind), requires_grad=tensor.requires_grad)
    for name, value in vars(tensor).items():  # marks that some optimizers look at
        if isinstance(value, bool | int | float | str):
            setattr(stand_in, name, value)
    return stand_in


def _clone(optimizer: object, memo: Memo, fresh: Callable[[Mapping[Any, Any]], object]) -> Any:  # noqa: ANN401 - of the original's class
    """Copy all attributes; `copy.deepcopy` would keep those of torch.optim.Optimizer only."""
    clone = object.__new__(type(optimizer))
    memo[id(optimizer)] = clone
    for value in vars(optimizer).values():
        if is_optimizer(value) and id(value) not in memo:
            _clone(value, memo, fresh)
    for name, value in vars(optimizer).items():
        if _is_patch(optimizer, name, value):
            continue
        if name == "state" and id(value) not in memo:
            memo[id(value)] = fresh(value)
        clone.__dict__[name] = OrderedDict() if _is_hooks(name) else copied(value, memo)
    return clone


def _is_patch(optimizer: object, name: str, value: object) -> bool:
    """A method replaced on the instance, as schedulers and profilers do: it would step the original."""
    return callable(value) and callable(getattr(type(optimizer), name, None))


def _is_hooks(name: str) -> bool:
    return name.startswith("_optimizer_") and name.endswith("_hooks")


def _settle(group: dict[str, Any], optimizer: object) -> None:
    """Make a group fit for the CPU, for leaves and for a first step."""
    for settings in (group, getattr(optimizer, "defaults", {})):
        for key in ("fused", "capturable", "differentiable"):
            if settings.get(key):
                settings[key] = False
    if "step" in group and "step" not in getattr(optimizer, "defaults", {}):
        del group["step"]  # a counter that says that the states exist
    group.update(
        {key: value for key, value in getattr(optimizer, "defaults", {}).items() if key in _PROGRESS & {*group}}
    )


def _zeros(state: Mapping[Any, Any], stand_ins: Mapping[int, torch.Tensor]) -> defaultdict[Any, Any]:
    small: defaultdict[Any, Any] = defaultdict(dict)
    for key, entries in state.items():
        if id(key) in stand_ins and isinstance(entries, Mapping):
            stand_in = stand_ins[id(key)]
            small[stand_in] = {name: _zero(value, key, stand_in) for name, value in entries.items()}
        elif not isinstance(key, torch.Tensor):
            small[key] = copy.deepcopy(entries)
    return small


def _zero(value: object, tensor: torch.Tensor, stand_in: torch.Tensor) -> object:
    if not isinstance(value, torch.Tensor):
        return copy.deepcopy(value)
    shape = stand_in.shape if value.shape == tensor.shape else shape_of(value.shape, SMALLEST)
    floating = value.is_floating_point() and value.dim() > 0
    return torch.zeros(shape, dtype=stand_in.dtype if floating else value.dtype)
