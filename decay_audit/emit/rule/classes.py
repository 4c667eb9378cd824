"""A class, by its qualified name, becomes the expression and the import by which code refers to it.

Only classes of modules that are imported already are looked up: nothing is imported here.
"""

import sys
from functools import lru_cache
from keyword import iskeyword
from pathlib import PurePath
from types import ModuleType

from msgspec import Struct

TORCH_NN = "torch.nn."
_INSTALLED = frozenset({"site-packages", "dist-packages"})


class ClassReference(Struct, frozen=True, kw_only=True):
    """How code refers to a class: an expression, and the name that it imports from a module."""

    expression: str
    module: str
    name: str


@lru_cache(maxsize=1024)
def refer(qualified_name: str) -> ClassReference | None:
    """Find how to import a class; None if code cannot import it, as with a class that a function defines."""
    if not all(part.isidentifier() and part.isascii() and not iskeyword(part) for part in qualified_name.split(".")):
        return None
    if qualified_name.startswith(TORCH_NN) and "." not in (name := qualified_name.removeprefix(TORCH_NN)):
        return ClassReference(expression=f"nn.{name}", module="torch", name="nn")
    module, path = _split(qualified_name)
    if module is None or not path or module.__name__ == "__main__":
        return None
    if not isinstance(_attribute(module, path), type):
        return None
    return ClassReference(expression=path, module=module.__name__, name=path.partition(".")[0])


def is_installed(module: str) -> bool:
    """Whether a module is of an installed package; the rest is the user's own code."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or not _INSTALLED.isdisjoint(PurePath(file).parts)


def _split(qualified_name: str) -> tuple[ModuleType | None, str]:
    """Split into the module, which must be imported already, and the path of the class in it."""
    module, path = qualified_name, ""
    while module:
        if module in sys.modules:
            return sys.modules[module], path
        module, _, name = module.rpartition(".")
        path = f"{name}.{path}" if path else name
    return None, path


def _attribute(module: ModuleType, path: str) -> object:
    value: object = module
    for name in path.split("."):
        value = vars(value).get(name) if hasattr(value, "__dict__") else None
    return value
