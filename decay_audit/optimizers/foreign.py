"""Tensors of an optimizer that are not the model's go in; out comes what they are, as far as it can be known.

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
from torch.nn.modules.module import register_module_parameter_registration_hook

from decay_audit.model.observations import ForeignSource, Optimizer
from decay_audit.optimizers.find import NamedOptimizers

_LOW_PRECISION = (torch.float16, torch.bfloat16)


@contextmanager
def keep_modules() -> Iterator[list[nn.Module]]:
    """Keep the modules alive that get parameters in this block: a loss may be gone when only its tensors are left."""
    kept: list[nn.Module] = []

    def keep(module: nn.Module, name: str, parameter: nn.Parameter) -> None:  # noqa: ARG001
        kept.append(module)

    handle = register_module_parameter_registration_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


class _Model(Struct, frozen=True, kw_only=True):
    """The model, and those of its trainable parameters, by name, that no optimizer holds."""

    module: nn.Module
    unheld: Mapping[str, torch.Tensor]


def with_sources(
    optimizers: Sequence[Optimizer],
    live: NamedOptimizers,
    model: nn.Module,
    names: Mapping[int, str],
    before: Mapping[str, torch.Tensor],
) -> tuple[Optimizer, ...]:
    """Say of each group's foreign tensors where they come from.

    Args:
        live: the optimizers that were read, in the same order.
        names: the names of the model's parameters, by the ids of the tensors.
        before: what the model's parameters were before the optimizer was made, where that is known.
    """
    groups = [[_tensors(group) for group in optimizer.param_groups] for _, optimizer in live]
    held = {id(tensor): tensor for tensors in groups for group in tensors for tensor in group}
    foreign = {key: tensor for key, tensor in held.items() if key not in names}
    if not foreign:
        return tuple(optimizers)
    parameters = {names[id(each)]: each for each in model.parameters() if id(each) in names and each.requires_grad}
    unheld = {name: tensor for name, tensor in parameters.items() if id(tensor) not in held}
    sources = _sources(foreign, _Model(module=model, unheld=unheld), before)
    return tuple(
        replace(
            optimizer,
            groups=tuple(
                replace(group, foreign_sources=tuple(sources[id(each)] for each in tensors if id(each) in foreign))
                for group, tensors in zip(optimizer.groups, tensors_by_group, strict=True)
            ),
        )
        for optimizer, tensors_by_group in zip(optimizers, groups, strict=True)
    )


def _tensors(group: Mapping[str, object]) -> list[torch.Tensor]:
    tensors = group.get("params", ())
    return [each for each in tensors if isinstance(each, torch.Tensor)] if isinstance(tensors, Iterable) else []


def _sources(
    foreign: Mapping[int, torch.Tensor], model: _Model, before: Mapping[str, torch.Tensor]
) -> dict[int, ForeignSource]:
    former = {id(tensor): name for name, tensor in before.items()}
    sources = {key: ForeignSource(kind="replaced", name=former[key]) for key in foreign if key in former}
    rest = {key: tensor for key, tensor in foreign.items() if key not in sources}
    copied = _copied(rest.values(), model.unheld)
    if copied is not None:
        return sources | dict(zip(rest, copied, strict=True))
    return sources | _in_other_modules(rest, model.module)


def _copied(tensors: Iterable[torch.Tensor], unheld: Mapping[str, torch.Tensor]) -> list[ForeignSource] | None:
    """Pair the tensors with parameters of the same shapes that no optimizer holds; None if there are none for some."""
    free: dict[tuple[int, ...], list[str]] = {}
    for name, tensor in unheld.items():
        free.setdefault(tuple(tensor.shape), []).append(name)
    counts = Counter(tuple(tensor.shape) for tensor in tensors)
    if not counts or any(count > len(free.get(shape, ())) for shape, count in counts.items()):
        return None
    sources = []
    for tensor in tensors:
        name = free[tuple(tensor.shape)].pop(0)
        is_copy = tensor.dtype == torch.float32 and unheld[name].dtype in _LOW_PRECISION
        sources.append(ForeignSource(kind="float32 copy" if is_copy else "same shapes", name=name))
    return sources


def _in_other_modules(tensors: Mapping[int, torch.Tensor], model: nn.Module) -> dict[int, ForeignSource]:
    """Find the modules that hold tensors, each by the outermost module that holds it and not the model."""
    own = {id(module) for module in model.modules()}
    modules = [each for each in gc.get_objects() if issubclass(type(each), nn.Module) and id(each) not in own]
    modules = [each for each in modules if "_parameters" in vars(each) and "_modules" in vars(each)]
    roots = [each for each in modules if not own.intersection(_inside(each))]
    parts = {key for root in roots for key in _inside(root)}
    sources = {key: ForeignSource(kind="unknown") for key in tensors}
    for root in (each for each in roots if id(each) not in parts):
        for name, parameter in nn.Module.named_parameters(root):
            if id(parameter) in tensors:
                kind = type(root).__name__
                sources[id(parameter)] = ForeignSource(kind="another module", name=f"{kind}.{name}", module=kind)
    return sources


def _inside(module: nn.Module) -> set[int]:
    """Give the ids of the modules inside a module."""
    return {id(each) for each in nn.Module.modules(module) if each is not module}
