"""Find real inputs that a module accepts, by trying its forward pass."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

MAX_TRIES = 60


def accepted_inputs(module: nn.Module) -> tuple[Any, ...] | None:
    """Return the first arguments on which the forward pass runs; None if none was found."""
    names = _required(module)
    for number, args in enumerate(_candidates(module, names)):
        if number >= MAX_TRIES:
            return None
        try:
            with torch.no_grad():
                outputs = module(*args)
        except BaseException as error:
            if isinstance(error, TimeoutError):
                raise
            continue
        if outputs is not None:
            return args
    return None


def as_trace_text(args: tuple[Any, ...]) -> str:
    """Write the arguments as a user would, for `--trace`."""
    if args and all(arg.dtype == torch.float32 and arg.dim() for arg in args):
        return ",".join("x".join(map(str, arg.shape)) for arg in args)
    return "(" + " ".join(f"torch.zeros({tuple(arg.shape)}, dtype={arg.dtype})," for arg in args) + ")"


def _required(module: nn.Module) -> list[str]:
    parameters = inspect.signature(module.forward).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.default is parameter.empty
             and parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}]  # fmt: skip
    return names or [next(iter(inspect.signature(module.forward).parameters), "")][:1]


def _candidates(module: nn.Module, names: list[str]) -> Iterator[tuple[Any, ...]]:
    if names == [""]:
        yield ()
        return
    ids_first = any(word in names[0] for word in ("id", "token", "index", "label"))
    for first in (*_ids(), *_floats(module)) if ids_first else (*_floats(module), *_ids()):
        others: dict[str, tuple[Any, ...]] = {"names": tuple(_named(name, first) for name in names[1:])}
        if len(names) > 1:
            others["same"] = tuple(torch.randn_like(first) if first.is_floating_point() else first for _ in names[1:])
            others["index"] = tuple(torch.randint(0, 2, (first.shape[0],)) for _ in names[1:])
            others["edges"] = (torch.randint(0, first.shape[0], (2, 6)), *others["same"][1:])
            others["mask"] = tuple(torch.ones(first.shape[:2], dtype=torch.bool) for _ in names[1:])
        for further in others.values():
            yield (first.clone(), *further)


def _named(name: str, first: Tensor) -> Tensor:
    """Make a further argument by its name."""
    if "mask" in name:
        return torch.ones(first.shape[:2], dtype=torch.bool)
    if name in {"t", "time", "times", "timestep", "timesteps", "batch", "y", "labels", "label", "target"}:
        return torch.randint(0, 2, (first.shape[0],))
    if "edge_index" in name:
        return torch.randint(0, first.shape[0], (2, 6))
    return torch.randn_like(first) if first.is_floating_point() else first


def _floats(module: nn.Module) -> Iterator[Tensor]:
    shapes: list[tuple[int, ...]] = []
    for layer in module.modules():
        match layer:
            case nn.Conv2d():
                shapes += [(2, layer.in_channels, 32, 32), (1, layer.in_channels, 64, 64)]
            case nn.Conv1d():
                shapes += [(2, layer.in_channels, 64)]
            case nn.Conv3d():
                shapes += [(1, layer.in_channels, 16, 16, 16)]
            case nn.Linear():
                shapes += [(2, 8, layer.in_features), (2, layer.in_features)]
        if len(shapes) > 3:
            break
    sizes = dict.fromkeys(
        size for parameter in list(module.parameters())[:2] for size in parameter.shape[::-1] if size > 1
    )
    for size in (*sizes, 16):
        shapes += [(2, 8, size), (2, size), (2, size, 8, 8), (2, size, 8), (2, 3, 8, size), (2, 8, 8, size)]
    shapes += [(2, 3, 32, 32), (2, 1, 16, 16), (2, 1, 1024)]
    # Neither the mean is 0 nor the variance 1: the input must not look as if a norm had made it.
    yield from (1.5 * torch.randn(shape) + 0.25 for shape in dict.fromkeys(shapes))


def _ids() -> Iterator[Tensor]:
    yield from (torch.randint(0, 2, (2, 8)), torch.randint(0, 2, (8,)), torch.randint(0, 2, (2, 16)))
