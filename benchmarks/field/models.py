"""A package in, module classes out, each built with guessed arguments. Sockets do not connect: nothing is fetched."""

import importlib
import inspect
import pkgutil
import random
import socket
from collections.abc import Iterator
from typing import Any

from torch import nn

MAX_CLASSES = 16  # of one library
MAX_ELEMENTS = 60_000_000

_BY_NAME: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("dropout", "drop", "prob", "momentum", "alpha", "beta", "eps", "rate", "temperature", "sigma", "scale"), 0.1),
    (("depth", "num_layers", "n_layers", "layers", "blocks", "stages", "num_iters", "iters", "repeat", "experts"), 2),
    (("heads", "nhead", "groups", "stride", "dilation", "padding", "order", "degree"), 2),
    (("kernel",), 3),
    (("fn", "net", "module"), nn.Linear(16, 16)),
    (("image_size", "img_size", "input_size", "image", "resolution"), 32),
    (("patch",), 8),
    (("vocab", "num_tokens", "num_embeddings", "classes", "num_entities", "num_relations", "num_words"), 20),
    (("activation", "act", "nonlinearity"), nn.ReLU()),
    (("use_", "is_", "has_", "with_", "bias", "causal"), False),
    (("seq_len", "length", "window", "horizon", "steps", "context", "lookback"), 8),
)
"""What an argument of this name is likely to be; any other is a width."""


def forbid_network() -> None:
    """Let no code of a library connect to anything."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.create_connection = refuse  # type: ignore[assignment]
    socket.getaddrinfo = refuse  # type: ignore[assignment]


def classes(package: str) -> Iterator[type[nn.Module]]:
    """Yield the module classes of a package that make parameters of their own; a sample if there are many."""
    root = importlib.import_module(package)
    found: dict[str, type[nn.Module]] = {}
    names = [package]
    for info in pkgutil.walk_packages(getattr(root, "__path__", ()), f"{package}.", onerror=lambda _: None):
        if not any(
            part in {"test", "tests", "__main__", "train", "scripts", "examples"} for part in info.name.split(".")
        ):
            names.append(info.name)
    for name in names:
        try:
            module = importlib.import_module(name)
        except BaseException:  # noqa: BLE001 - another library's module
            continue
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__.startswith(package):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    holders = [found[name] for name in sorted(found) if _makes_parameters(found[name], package)]
    yield from random.Random(0).sample(holders, min(len(holders), MAX_CLASSES))


def _makes_parameters(cls: type, package: str) -> bool:
    """Whether the source of a class, or of a base of the same package, makes parameters of its own."""
    for base in cls.__mro__:
        if base.__module__.startswith(package):
            try:
                source = inspect.getsource(base)
            except (OSError, TypeError):
                return True
            if "Parameter(" in source or "register_parameter" in source:
                return True
    return False


def build(cls: type[nn.Module]) -> nn.Module | None:
    """Build a class with guessed arguments; None if no guess is accepted."""
    for width in (16, 32):
        try:
            model = cls(**_arguments(cls, width))
        except BaseException:  # noqa: BLE001 - another library's constructor
            continue
        elements = sum(parameter.numel() for parameter in model.parameters() if not nn.parameter.is_lazy(parameter))
        return model.eval() if 0 < elements < MAX_ELEMENTS else None
    return None


def _arguments(cls: type[nn.Module], width: int) -> dict[str, Any]:
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return {
        parameter.name: _value(parameter.name, str(parameter.annotation), width)
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    }


def _value(name: str, annotation: str, width: int) -> Any:  # noqa: ANN401
    if "bool" in annotation:
        return False
    if "str" in annotation and "Optional" not in annotation:
        return "relu"
    if any(word in annotation for word in ("List[int]", "list[int]", "Sequence[int]", "Tuple[int", "tuple[int")):
        return [width, width]
    value = next((value for words, value in _BY_NAME if any(word in name.lower() for word in words)), width)
    return float(value) if "float" in annotation and isinstance(value, int) else value
