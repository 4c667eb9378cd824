"""Find the module classes of a package, and build each with guessed arguments. Sockets do not connect."""

import dataclasses
import importlib
import inspect
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

MAX_CLASSES = 48  # of one library
MAX_ELEMENTS = 60_000_000

_VALUE_BY_NAME: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("dropout", "drop", "prob", "momentum", "alpha", "beta", "eps", "rate", "temperature", "sigma", "scale"), 0.1),
    (
        (
            "depth",
            "depths",
            "num_layers",
            "n_layers",
            "layers",
            "blocks",
            "stages",
            "num_iters",
            "iters",
            "repeat",
            "experts",
        ),
        2,
    ),
    (("heads", "nhead", "groups", "stride", "dilation", "padding", "order", "degree"), 2),
    (("kernel",), 3),
    (("fn", "net", "module"), nn.Linear(16, 16)),
    (("image_size", "img_size", "input_size", "image_height", "image_width", "resolution"), 32),
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
    by_name: dict[str, type[nn.Module]] = {}
    for name in (package, *_modules_with_parameters(root)):
        try:
            module = importlib.import_module(name)
        except BaseException:  # noqa: BLE001 - another library's module
            continue
        for value in list(vars(module).values()):
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__.startswith(package):
                by_name[f"{value.__module__}.{value.__qualname__}"] = value
    owners = [by_name[name] for name in sorted(by_name) if _makes_parameters(by_name[name], package)]
    yield from random.Random(0).sample(owners, min(len(owners), MAX_CLASSES))


def _modules_with_parameters(root: ModuleType) -> Iterator[str]:
    """Yield the names of a package's modules whose source makes parameters, without tests and scripts."""
    for folder in map(Path, getattr(root, "__path__", ())):
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            if not {"test", "tests", "__main__", "train", "scripts", "examples"} & set(parts):
                source = file.read_text(encoding="utf-8", errors="ignore")
                if "Parameter(" in source or "register_parameter" in source:
                    yield ".".join((root.__name__, *(part for part in parts if part != "__init__")))


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
    for width in (16, 32, 64):
        try:
            model = cls(**_arguments(cls, width))
        except BaseException:  # noqa: BLE001 - another library's constructor
            continue
        elements = sum(parameter.numel() for parameter in model.parameters() if not nn.parameter.is_lazy(parameter))
        return model.eval() if 0 < elements < MAX_ELEMENTS else None
    return None


def _arguments(cls: type, width: int) -> dict[str, Any]:
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {
        parameter.name: _value(parameter.name, parameter.annotation, width)
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    }


def _value(name: str, annotation: Any, width: int) -> Any:  # noqa: ANN401
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):  # a configuration
        return annotation(**_arguments(annotation, width))
    text = str(annotation)
    if "bool" in text:
        return False
    if "str" in text and "Optional" not in text:
        return "relu"
    if any(word in text for word in ("List[int]", "list[int]", "Sequence[int]", "Tuple[int", "tuple[int")):
        return [width, width]
    value = next((value for words, value in _VALUE_BY_NAME if any(word in name.lower() for word in words)), width)
    return float(value) if "float" in text and isinstance(value, int) else value
