"""Find out where foreign tensors come from: tensors in an optimizer that are not parameters of the model.

They may be what the model held before it was changed, parameters of another module such as a loss with weights, or
float32 copies of 16-bit parameters.
"""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from decay_audit.model.observations import ForeignSource, Optimizer
from decay_audit.optimizers.find import NamedOptimizers

PADDING = 0.25
"""The largest part of a flat tensor that may be padding."""
_LOW_PRECISION = (torch.float16, torch.bfloat16)


@contextmanager
def keep_modules() -> Iterator[list[nn.Module]]:
    """Keep every module alive that gets a parameter or submodule while the `with` statement runs.

    A loss may be gone later, but an optimizer still has its tensors.
    """
    modules: list[nn.Module] = []

    def keep(module: nn.Module, name: str, registered: nn.Parameter | nn.Module) -> None:  # noqa: ARG001
        modules.append(module)

    handles = (register_module_parameter_registration_hook(keep), register_module_module_registration_hook(keep))
    try:
        yield modules
    finally:
        for handle in handles:
            handle.remove()


class _AuditedModel(Struct, frozen=True, kw_only=True):
    """The model, and its trainable parameters that are in no optimizer, by name."""

    module: nn.Module
    without_optimizer: Mapping[str, torch.Tensor]


def with_sources(
    optimizers: Sequence[Optimizer],
    live: NamedOptimizers,
    model: nn.Module,
    names: Mapping[int, str],
    before: Mapping[str, torch.Tensor],
) -> tuple[Optimizer, ...]:
    """Add to each group where its foreign tensors come from.

    Args:
        live: the optimizers that were read, in the same order.
        names: the names of the model's parameters, by the ids of the tensors.
        before: the model's parameters by name, as they were before the optimizer was made, if that is known.
    """
    groups = [[_tensors(group) for group in optimizer.param_groups] for _, optimizer in live]
    in_optimizers = {id(tensor): tensor for tensors in groups for group in tensors for tensor in group}
    foreign = {key: tensor for key, tensor in in_optimizers.items() if key not in names}
    if not foreign:
        return tuple(optimizers)
    trainable = [parameter for parameter in model.parameters() if id(parameter) in names and parameter.requires_grad]
    without_optimizer = {names[id(tensor)]: tensor for tensor in trainable if id(tensor) not in in_optimizers}
    sources = _sources(foreign, _AuditedModel(module=model, without_optimizer=without_optimizer), before)
    return tuple(
        replace(
            optimizer,
            groups=tuple(
                replace(
                    group, foreign_sources=tuple(sources[id(tensor)] for tensor in tensors if id(tensor) in foreign)
                )
                for group, tensors in zip(optimizer.groups, tensors_by_group, strict=True)
            ),
        )
        for optimizer, tensors_by_group in zip(optimizers, groups, strict=True)
    )


def _tensors(group: Mapping[str, object]) -> list[torch.Tensor]:
    tensors = group.get("params", ())
    return [tensor for tensor in tensors if isinstance(tensor, torch.Tensor)] if isinstance(tensors, Iterable) else []


def _sources(
    foreign: Mapping[int, torch.Tensor], model: _AuditedModel, before: Mapping[str, torch.Tensor]
) -> dict[int, ForeignSource]:
    former = {id(tensor): name for name, tensor in before.items()}
    sources = {key: ForeignSource(kind="replaced", name=former[key]) for key in foreign if key in former}
    rest = {key: tensor for key, tensor in foreign.items() if key not in sources}
    copies = _as_copies(rest.values(), model.without_optimizer)
    if copies is not None:
        return sources | dict(zip(rest, copies, strict=True))
    if packed := _as_packed(rest, model.without_optimizer):
        return sources | packed
    return sources | _in_other_modules(rest, model.module)


def _as_copies(
    tensors: Iterable[torch.Tensor], without_optimizer: Mapping[str, torch.Tensor]
) -> list[ForeignSource] | None:
    """Pair each tensor with a parameter of its shape that no optimizer holds; None if some tensor has no such pair."""
    free: dict[tuple[int, ...], list[str]] = {}
    for name, tensor in without_optimizer.items():
        free.setdefault(tuple(tensor.shape), []).append(name)
    counts = Counter(tuple(tensor.shape) for tensor in tensors)
    if not counts or any(count > len(free.get(shape, ())) for shape, count in counts.items()):
        return None
    sources = []
    for tensor in tensors:
        name = free[tuple(tensor.shape)].pop(0)
        is_copy = tensor.dtype == torch.float32 and without_optimizer[name].dtype in _LOW_PRECISION
        sources.append(ForeignSource(kind="float32 copy" if is_copy else "same shapes", name=name))
    return sources


def _as_packed(
    tensors: Mapping[int, torch.Tensor], without_optimizer: Mapping[str, torch.Tensor]
) -> dict[int, ForeignSource]:
    """Find flat tensors whose elements are those of all parameters that no optimizer holds; {} if there are others.

    Each parameter is looked for at the next free place of each flat tensor, by its values. What is left at the end of
    a tensor is padding. On the meta device, only the numbers of elements are compared.
    """
    if any(tensor.ndim != 1 for tensor in tensors.values()):
        return {}
    if any(tensor.is_meta for tensor in tensors.values()):
        return _as_packed_by_size(tensors, without_optimizer)
    offsets, packed = dict.fromkeys(tensors, 0), {key: list[str]() for key in tensors}
    for name, parameter in without_optimizer.items():
        key = next((key for key, flat in tensors.items() if _has_at(flat, offsets[key], parameter)), None)
        if key is None:
            return {}
        packed[key].append(name)
        offsets[key] += parameter.numel()
    if not all(names and offsets[key] >= (1 - PADDING) * tensors[key].numel() for key, names in packed.items()):
        return {}
    return {key: ForeignSource(kind="packed", packed=tuple(names)) for key, names in packed.items()}


def _as_packed_by_size(
    tensors: Mapping[int, torch.Tensor], parameters: Mapping[str, torch.Tensor]
) -> dict[int, ForeignSource]:
    """Find one flat tensor with the elements of all parameters, or one for matrices and one for vectors."""
    matrices = tuple(name for name, parameter in parameters.items() if parameter.ndim > 1)
    vectors = tuple(name for name, parameter in parameters.items() if parameter.ndim < 2)
    sizes = [tensor.numel() for tensor in tensors.values()]
    for parts in ((tuple(parameters),), (matrices, vectors), (vectors, matrices)):
        if sizes == [sum(parameters[name].numel() for name in part) for part in parts] and all(parts):
            return {key: ForeignSource(kind="packed", packed=part) for key, part in zip(tensors, parts, strict=True)}
    return {}


def _has_at(flat: torch.Tensor, offset: int, parameter: torch.Tensor) -> bool:
    """Whether the next elements of a flat tensor are those of a parameter, perhaps in another dtype."""
    part = flat.detach()[offset : offset + parameter.numel()]
    if parameter.is_meta or part.numel() != parameter.numel():
        return False
    return torch.equal(part.to(parameter.dtype), parameter.detach().reshape(-1).to(flat.device))


def _in_other_modules(tensors: Mapping[int, torch.Tensor], model: nn.Module) -> dict[int, ForeignSource]:
    """Find, for tensors of other modules, the outermost module that contains them and does not contain the model."""
    # type(), vars() and nn.Module.named_parameters(): isinstance() and overridden methods may run code of the object
    ids_in_model = {id(module) for module in model.modules()}
    objects = [item for item in gc.get_objects() if issubclass(type(item), nn.Module) and id(item) not in ids_in_model]
    modules = [module for module in objects if "_parameters" in vars(module) and "_modules" in vars(module)]
    roots = [module for module in modules if not ids_in_model.intersection(_inside(module))]
    inner_modules = {key for root in roots for key in _inside(root)}
    sources = {key: ForeignSource(kind="unknown") for key in tensors}
    for root in (module for module in roots if id(module) not in inner_modules):
        for name, parameter in nn.Module.named_parameters(root):
            if id(parameter) in tensors:
                kind = type(root).__name__
                sources[id(parameter)] = ForeignSource(kind="another module", name=f"{kind}.{name}", module=kind)
    return sources


def _inside(module: nn.Module) -> set[int]:
    """Return the ids of the modules inside a module."""
    return {id(inner) for inner in nn.Module.modules(module) if inner is not module}
