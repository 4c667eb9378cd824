"""Copy a live optimizer onto probe tensors: small tensors of known values instead of its parameters.

Nothing of the original is changed. Its state, its hooks and what schedulers have patched into it are left out.
"""

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from math import floor, isfinite, log2, prod
from typing import Any, Literal

import torch
from msgspec import Struct

from decay_audit.optimizers.find import is_optimizer
from decay_audit.optimizers.measure.deepcopy import Memo, cut, deep_copy, refuse_finalizer
from decay_audit.optimizers.table.group_keys import PROGRESS_KEYS

MAX_TOTAL_ELEMENTS = 1 << 25
"""The most elements of all probe tensors together."""
LARGEST_LIMIT = 8192
"""The most elements of one probe tensor of a small model. Some optimizers treat tensors below 4,096 elements
differently."""
SMALLEST_LIMIT = 256
"""The most elements of one probe tensor of a model with very many parameters."""
SAMPLED_ELEMENTS = 1 << 16
"""How many elements of a parameter are read to estimate the size of its values."""
MIN_EXPONENT, MAX_EXPONENT = -8, 4
"""The values of a probe tensor are scaled by a power of 2 with an exponent in this range."""
COPY_SIMILARITY = 0.7
"""A state with a larger cosine similarity to its weight is a copy of earlier weights."""
_FEWEST_COMPARED = 16
"""The fewest elements for which the similarity of two tensors tells anything."""
_PLAIN_CLASSES = (torch.Tensor, torch.nn.Parameter)
"""The classes whose values are read; a subclass, such as DTensor, may not allow it."""
NARROW_SIZE = 8
"""A dimension up to this size is not shrunk: optimizers have rules on the number and the size of dimensions."""


States = Literal["flags", "none", "first"]
"""Which states a copy gets: flags alone, such as fastai's `do_wd`; none; or all, as they are before the first step.

Before the first step, moments and counters are 0. Three kinds of tensors keep their values: a tensor with equal
elements, which may be an initial value, as in Adagrad; a tensor of booleans, which is a mask; and a tensor that
resembles the weight, which is a copy of earlier weights.
"""


class ProbeOptimizer(Struct, frozen=True, kw_only=True):
    """A copy of an optimizer, on probe tensors.

    Attributes:
        tensors: the probe tensors, by the ids of the original tensors.
        weight_copies: the tensors in the copy that stand for copies of a parameter's values, each with the probe tensor
            of a parameter with these values. They may be initial values that the step pulls to, or master weights.
        meta_states: the tensors in the copy that stand for states on the meta device, each with its probe tensor. Their
            first values are not known, so they are zeros.
    """

    optimizer: Any
    tensors: Mapping[int, torch.Tensor]
    weight_copies: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()
    meta_states: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()


def copy_onto_probe_tensors(
    optimizer: torch.optim.Optimizer,
    dtype: torch.dtype | None = None,
    *,
    states: States = "flags",
    only: Collection[int] | None = None,
) -> ProbeOptimizer:
    """Copy an optimizer onto probe tensors.

    Args:
        dtype: the dtype of floating-point probe tensors; None keeps the dtype of each parameter.
        states: which states of the original the copy gets.
        only: ids of the original tensors whose probe tensors stay in the groups; None keeps all.

    Raises:
        OptimizerError: the optimizer cannot be copied without harm to the original.
    """
    originals = {id(tensor): tensor for group in optimizer.param_groups for tensor in group["params"]}
    limit = max(SMALLEST_LIMIT, min(LARGEST_LIMIT, MAX_TOTAL_ELEMENTS // max(1, len(originals))))
    tensors = {key: _probe_tensor(tensor, limit, dtype) for key, tensor in originals.items()}
    memo = Memo(tensors)
    memo.shapes = {tuple(originals[key].shape): tuple(tensor.shape) for key, tensor in tensors.items()}
    memo.first_states = lambda state: _new_states(state, states, originals, memo)
    weight_copies: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note_copy(value: torch.Tensor, duplicate: torch.Tensor) -> None:
        weight_copies.extend((duplicate, tensors[key]) for key in _equal_parameter(value, originals))

    memo.note_copy = note_copy
    clone = _clone(optimizer, memo)
    selected = {key: tensor for key, tensor in tensors.items() if only is None or key in only}
    _keep_only(clone, {id(tensor) for tensor in selected.values()})
    for group in edited_groups(clone):
        _prepare_for_first_step(group, clone, keep_counter=states == "first")
    return ProbeOptimizer(
        optimizer=clone,
        tensors=selected,
        weight_copies=weight_copies,
        meta_states=_meta_states(optimizer, clone, tensors) if states == "first" else (),
    )


def _meta_states(
    optimizer: torch.optim.Optimizer, clone: torch.optim.Optimizer, tensors: Mapping[int, torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pair the states in a clone that stand for states on the meta device with the probe tensors they belong to."""
    return [
        (clone.state[tensor][name], tensor)
        for parameter, entries in getattr(optimizer, "state", {}).items()
        if (tensor := tensors.get(id(parameter))) is not None and isinstance(entries, Mapping)
        for name, value in entries.items()
        if isinstance(value, torch.Tensor) and value.is_meta and value.shape == parameter.shape
    ]


def _equal_parameter(value: torch.Tensor, originals: Mapping[int, torch.Tensor]) -> list[int]:
    """Find a parameter that has the values of this tensor, rounded to its dtype; return a list of at most one id.

    If several parameters have them, any will do: their probe tensors are equal.
    """
    return [key for key, original in originals.items() if _has_values_of(value, original)][:1]


def _has_values_of(value: object, original: torch.Tensor) -> bool:
    """Whether a value is a tensor that equals a parameter, when it is rounded to the parameter's dtype."""
    return (
        isinstance(value, torch.Tensor)
        and value.shape == original.shape
        and type(original) in _PLAIN_CLASSES
        and type(value) in _PLAIN_CLASSES
        and not original.is_meta
        and original.device == value.device
        and torch.equal(value.detach().to(original.dtype), original.detach())
    )


def _keep_only(optimizer: Any, members: Collection[int]) -> None:  # noqa: ANN401 - of the original's class
    """Keep the tensors with these ids, and remove the others from the groups and from lists of the same length.

    Such a list has a tensor for each parameter, in the same order: initial values, or master weights.
    """
    params = [[*group["params"]] for group in optimizer.param_groups]
    for value in vars(optimizer).values():
        _filter_list(value, [tensor for tensors in params for tensor in tensors], members)
        if isinstance(value, list) and len(value) == len(params):
            for tensors, inner in zip(params, value, strict=True):
                _filter_list(inner, tensors, members)
    for tensors, group in zip(params, edited_groups(optimizer), strict=True):
        for value in group.values():
            _filter_list(value, tensors, members)


def _filter_list(values: object, tensors: Sequence[torch.Tensor], members: Collection[int]) -> None:
    """Keep the entries of a list that are at the positions of `members` in `tensors`, if all shapes are equal."""
    if not isinstance(values, list) or len(values) != len(tensors):
        return
    pairs = [*zip(values, tensors, strict=True)]
    if all(isinstance(value, torch.Tensor) and value.shape == tensor.shape for value, tensor in pairs):
        values[:] = [value for value, tensor in pairs if id(tensor) in members]


def edited_groups(optimizer: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - of the original's class
    """Yield the param groups, for the caller to change.

    If `param_groups` is a property that makes new dicts, the changed groups are assigned to it at the end.
    """
    groups = optimizer.param_groups
    yield from groups
    if optimizer.param_groups is not groups:
        with suppress(AttributeError):
            optimizer.param_groups = groups


def shrink_shape(shape: Sequence[int], limit: int) -> tuple[int, ...]:
    """Shrink a shape to about `limit` elements: the same rank, narrow sides kept, wide ones in proportion."""
    return _shrink_shape(tuple(shape), limit)


@lru_cache(maxsize=256)
def _shrink_shape(shape: tuple[int, ...], limit: int) -> tuple[int, ...]:
    small = shape
    scale = 1.0
    while prod(small) > limit and any(size > NARROW_SIZE for size in small):
        scale *= 0.9
        small = tuple(size if size <= NARROW_SIZE else max(NARROW_SIZE, round(size * scale)) for size in shape)
    return small


def known_values(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Fill a shape with known values: of both signs, magnitudes between 0.5 and 1.5, exact in bfloat16 and wider."""
    return _known_values(tuple(shape), dtype).clone()


@lru_cache(maxsize=64)
def _known_values(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    # multiples of the golden and of the plastic ratio are spread evenly over 0 to 1, and do not repeat
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
    """Return the power of two below a parameter's root mean square; 1 if the values cannot be read.

    Steps may depend on the size of the values. A power of two keeps the values exact.
    """
    if original.is_meta or original.layout is not torch.strided or type(original) not in _PLAIN_CLASSES:
        return 1.0
    if not original.is_floating_point() or not original.untyped_storage().size():  # no storage: it is sharded
        return 1.0
    size = original.detach().reshape(-1)[:SAMPLED_ELEMENTS].double().square().mean().sqrt().item()
    return 2.0 ** min(max(floor(log2(size)), MIN_EXPONENT), MAX_EXPONENT) if size > 0 and isfinite(size) else 1.0


def is_all_zero(original: torch.Tensor) -> bool:
    """Whether a parameter holds nothing but zeros, so that the size of its values in training is not known."""
    if original.is_meta or original.layout is not torch.strided or type(original) not in _PLAIN_CLASSES:
        return False
    return bool(original.untyped_storage().size()) and not original.detach().any().item()


def _clone(optimizer: object, memo: Memo) -> Any:  # noqa: ANN401 - of the original's class
    """Copy all attributes; `copy.deepcopy` would keep those of torch.optim.Optimizer only."""
    refuse_finalizer(optimizer)
    clone = object.__new__(type(optimizer))
    memo[id(optimizer)] = clone
    for value in vars(optimizer).values():
        if is_optimizer(value) and id(value) not in memo:
            _clone(value, memo)  # it puts the copy into the memo, where `deep_copy` finds it below
    for name, value in vars(optimizer).items():
        if _is_patched_method(optimizer, name, value):
            continue
        if name == "state" and id(value) not in memo:
            memo[id(value)] = memo.first_states(value)
        clone.__dict__[name] = OrderedDict() if _holds_hooks(name) else deep_copy(value, memo)
    return clone


def _is_patched_method(optimizer: object, name: str, value: object) -> bool:
    """Whether an attribute is a method that a scheduler or a profiler replaced: it would call the original's step."""
    return callable(value) and callable(getattr(type(optimizer), name, None))


def _holds_hooks(name: str) -> bool:
    return name.startswith("_optimizer_") and name.endswith("_hooks")


def _prepare_for_first_step(group: dict[str, Any], optimizer: object, *, keep_counter: bool) -> None:
    """Turn off settings that need a GPU or a graph, and reset counters of steps."""
    defaults = getattr(optimizer, "defaults", {})
    for settings in (group, defaults):
        for key in ("fused", "capturable", "differentiable"):
            if settings.get(key):
                settings[key] = False
    if "step" in group and "step" not in defaults and not keep_counter:
        del group["step"]  # such a counter is missing before the first step; its presence means that states exist
    group.update({key: value for key, value in defaults.items() if key in PROGRESS_KEYS and key in group})


def _new_states(
    state: Mapping[Any, Any], states: States, originals: Mapping[int, torch.Tensor], memo: Memo
) -> defaultdict[Any, Any]:
    """Make the states of a copy, by its probe tensors.

    Entries under a key that is no tensor, such as a name, are copied. States of a tensor in no group are left out.
    """
    new: defaultdict[Any, Any] = defaultdict(dict)
    copy_names = _names_of_weight_copies(state, originals) if states == "first" else frozenset()
    for key, entries in state.items() if states != "none" else ():
        identity = _identity(key)
        if identity not in originals:
            new.update({} if isinstance(key, torch.Tensor) else {key: deep_copy(entries, memo)})
        elif isinstance(entries, Mapping):
            original, tensor = originals[identity], memo[identity]
            if states == "first":
                own_entries = {
                    name: cut(value, memo) if name in copy_names else _first_value(name, value, original, tensor)
                    for name, value in entries.items()
                }
            else:
                own_entries = {name: value for name, value in entries.items() if isinstance(value, bool | str)}
            new.update({id(tensor) if isinstance(key, int) else tensor: own_entries} if own_entries else {})
    return new


def _identity(key: object) -> int:
    """Return the id of the parameter to which a key of the states belongs: the key is the parameter, or its id."""
    return key if isinstance(key, int) else id(key)


def _names_of_weight_copies(state: Mapping[Any, Any], originals: Mapping[int, torch.Tensor]) -> frozenset[object]:
    """Find the names of states that are copies of their parameters. Zeros do not count: moments may be 0, too."""
    return frozenset(
        name
        for key, entries in state.items()
        if (original := originals.get(_identity(key))) is not None and not is_all_zero(original)
        for name, value in (entries.items() if isinstance(entries, Mapping) else ())
        if _has_values_of(value, original)
    )


def _first_value(name: object, value: object, original: torch.Tensor, tensor: torch.Tensor) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return 0 if "step" in str(name) else value
    if not isinstance(value, torch.Tensor):
        return copy.deepcopy(value)
    has_weight_shape = value.shape == original.shape
    shape = tensor.shape if has_weight_shape else shrink_shape(value.shape, SMALLEST_LIMIT)
    floating = value.is_floating_point() and value.dim() > 0
    dtype = tensor.dtype if floating else value.dtype
    if has_weight_shape and (_is_mask(value) or _resembles(value, original)):
        return value.detach()[tuple(slice(size) for size in shape)].to(dtype=dtype, copy=True)
    return torch.full(shape, _common_value(value) if floating else 0, dtype=dtype)


def _common_value(value: torch.Tensor) -> float:
    """Return the value of all elements if they are equal; else 0."""
    if value.is_meta or not value.numel() or type(value) not in _PLAIN_CLASSES:
        return 0.0
    first = value.reshape(-1)[0].item()
    return float(first) if isfinite(first) and bool((value == first).all()) else 0.0


def _is_mask(value: torch.Tensor) -> bool:
    """Whether a state is a tensor of booleans: it says which elements a step changes."""
    return value.dtype == torch.bool and not value.is_meta and type(value) in _PLAIN_CLASSES


def _resembles(value: torch.Tensor, original: torch.Tensor) -> bool:
    """Whether a tensor points in about the direction of the weight, unlike moments of gradients."""
    if value.is_meta or original.is_meta or type(value) not in _PLAIN_CLASSES or original.numel() < _FEWEST_COMPARED:
        return False
    if not value.is_floating_point() or not original.untyped_storage().size():
        return False
    similarity = torch.cosine_similarity(value.detach().double().flatten(), original.detach().double().flatten(), dim=0)
    return similarity.item() > COPY_SIMILARITY
