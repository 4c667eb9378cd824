"""Find the models in the texts of Python files: subclasses of nn.Module that no other subclass calls.

Classes are matched by their names, so a base class may be in another file. Nothing is imported.
"""

import ast
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

_MODULE_NAMES = frozenset(
    {"nn.Module", "torch.nn.Module", "LightningModule", "pl.LightningModule", "L.LightningModule"}
)
"""How code writes the base class of a model."""
_TOP_LEVEL = re.compile(r"^(?=[^\s#)\]}])", re.MULTILINE)
"""Matches the start of a line that begins at the margin, and is no comment or closing bracket."""
_CLASS = re.compile(r"class[ \t]+(\w+)[ \t]*\(([^()]*)\)[ \t]*:")
_CALL = re.compile(r"\b([A-Z]\w*)\s*\(")


class ModelClass(Struct, frozen=True, kw_only=True):
    """A class whose instances are models.

    Attributes:
        file: relative to the folder that was searched.
        needs_arguments: its constructor has arguments without a default.
    """

    file: str
    line: int
    name: str
    needs_arguments: bool


class _Class(Struct, frozen=True):
    """A class at the top level of a file, with its text."""

    file: str
    line: int
    name: str
    bases: tuple[str, ...]
    text: str


def find(texts: Mapping[str, str]) -> tuple[ModelClass, ...]:
    """List the subclasses of nn.Module that no other subclass calls or derives from; leave out losses and private ones.

    Args:
        texts: the text of each file, by its name.
    """
    classes = [cls for file, text in texts.items() if "class " in text for cls in _classes(file, text)]
    modules = _modules(classes)
    used: set[str] = set()
    for cls in modules:
        used |= {name for name in _CALL.findall(cls.text) if name != cls.name}
        used |= {base.rpartition(".")[2] for base in cls.bases}
    return tuple(
        ModelClass(file=cls.file, line=cls.line, name=cls.name, needs_arguments=_needs_arguments(cls.text))
        for cls in modules
        if cls.name not in used and not cls.name.startswith("_") and not cls.name.endswith("Loss")
    )


def _classes(file: str, text: str) -> Iterator[_Class]:
    """Yield the classes that are defined at the margin of a file. A class ends where the next such line begins."""
    starts = [match.start() for match in _TOP_LEVEL.finditer(text)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        header = _CLASS.match(text, start, end)
        if header:
            bases = tuple(base.strip() for base in header[2].split(",") if "=" not in base)
            yield _Class(file, text.count("\n", 0, start) + 1, header[1], bases, text[start:end])


def _modules(classes: list[_Class]) -> list[_Class]:
    """Keep the classes that derive from nn.Module, directly or through other classes."""
    names = {cls.name for cls in classes if _MODULE_NAMES.intersection(cls.bases)}
    while True:
        derived = {cls.name for cls in classes if any(base.rpartition(".")[2] in names for base in cls.bases)}
        if derived <= names:
            return [cls for cls in classes if cls.name in names]
        names |= derived


def _needs_arguments(text: str) -> bool:
    """Whether the constructor has arguments without a default, from the text of a class."""
    try:
        (cls,) = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    for node in cls.body if isinstance(cls, ast.ClassDef) else ():
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = node.args
            required = len(arguments.posonlyargs + arguments.args) - len(arguments.defaults) - 1
            return required > 0 or any(default is None for default in arguments.kw_defaults)
    return False
