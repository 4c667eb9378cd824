"""What the reimplemented rules share: names, shapes, and the modules on the way to a parameter."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn


class RefusesError(Exception):
    """The codebase stops with an error of its own on purpose: it has no answer for a parameter."""


Reimplementation = Callable[[nn.Module, float], dict[str, tuple[Any, ...]]]


Spares = Callable[[str, Tensor], bool]


def first_names(model: nn.Module, *, frozen: bool) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, each) for name, each in model.named_parameters() if frozen or each.requires_grad)


def homes(model: nn.Module) -> dict[str, tuple[nn.Module, list[nn.Module]]]:
    """The module that holds each parameter, and all modules on the way to it below the root, it among them."""
    found = {}
    for name, _ in model.named_parameters(remove_duplicate=False):
        path = name.split(".")[:-1]
        way = [model.get_submodule(".".join(path[: depth + 1])) for depth in range(len(path))]
        found[name] = (way[-1] if way else model, way)
    return found


def homes_of(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])


def by_name_and_shape(spares: Spares, *, frozen: bool = False) -> Reimplementation:
    """A codebase that asks for nothing but names and shapes."""
    return lambda model, base: {
        name: (0.0 if spares(name, each) else base,) for name, each in first_names(model, frozen=frozen)
    }


def has(*parts: str) -> Spares:
    return lambda name, _: any(part in name for part in parts)


def flat(_: str, tensor: Tensor) -> bool:
    return tensor.dim() == 1


def dotted_bias(name: str, _: Tensor) -> bool:
    return name.rsplit(".", maxsplit=1)[-1] == "bias" and "." in name


def bare_bias(name: str, _: Tensor) -> bool:
    return name.endswith("bias")


def either(*tests: Spares) -> Spares:
    return lambda name, tensor: any(test(name, tensor) for test in tests)


def declared(model: nn.Module, hook: str = "no_weight_decay") -> set[str]:
    method: Any = getattr(model, hook, None)
    return set(method()) if method else set()


def by_owner(
    classes: tuple[type, ...], spares: Spares = lambda *_: False, *, frozen: bool = False, above: bool = False
) -> Reimplementation:
    """A codebase that asks for the class of the module that holds a parameter, or of any module on the way."""

    def rule(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
        home = homes(model)
        return {
            name: (
                0.0
                if any(isinstance(module, classes) for module in (home[name][1] if above else home[name][:1]))
                or spares(name, each)
                else base,
            )
            for name, each in first_names(model, frozen=frozen)
        }

    return rule
