"""Find the expression and the import by which code refers to a class, from the qualified name of the class.

Only modules that are imported already are searched: nothing is imported here.
"""

import sys
from functools import lru_cache
from keyword import iskeyword
from pathlib import PurePath
from types import ModuleType

from msgspec import Struct

TORCH_NN = "torch.nn."
"""How the qualified names of torch's own modules begin."""
_INSTALL_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""Folders into which packages are installed."""


class ClassReference(Struct, frozen=True, kw_only=True):
    """How code refers to a class: an expression, with the module and the name of the import that it needs."""

    expression: str
    module: str
    name: str


@lru_cache(maxsize=1024)
def find_reference(qualified_name: str) -> ClassReference | None:
    """Find how to import a class. None if code cannot import it: a function defines the class, for example."""
    if not all(part.isidentifier() and part.isascii() and not iskeyword(part) for part in qualified_name.split(".")):
        return None
    if qualified_name.startswith(TORCH_NN) and "." not in (name := qualified_name.removeprefix(TORCH_NN)):
        return ClassReference(expression=f"nn.{name}", module="torch", name="nn")
    module, path = _split_at_module(qualified_name)
    if module is None or not path or module.__name__ == "__main__":
        return None
    if not isinstance(_get_attribute(module, path), type):
        return None
    return ClassReference(expression=path, module=module.__name__, name=path.partition(".")[0])


def is_installed(module: str) -> bool:
    """Whether a module belongs to an installed package, not to the user's own code; True if it has no file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or not _INSTALL_FOLDERS.isdisjoint(PurePath(file).parts)


def _split_at_module(qualified_name: str) -> tuple[ModuleType | None, str]:
    """Split a qualified name into an imported module and the path of the class in it."""
    module, path = qualified_name, ""
    while module:
        if module in sys.modules:
            return sys.modules[module], path
        module, _, name = module.rpartition(".")
        path = f"{name}.{path}" if path else name
    return None, path


def _get_attribute(module: ModuleType, path: str) -> object:
    value: object = module
    for name in path.split("."):
        value = vars(value).get(name) if hasattr(value, "__dict__") else None
    return value
