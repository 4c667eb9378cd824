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
# a pattern that begins with a newline is searched much faster than one with ^
_TOP_LEVEL = re.compile(r"\n(?=[^\s#)\]}])")
"""Matches in front of a line that begins at the margin, and is no comment or closing bracket."""
_CLASS = re.compile(r"\nclass[ \t]+(\w+)[ \t]*\(([^()]*)\)[ \t]*:")
_CALL = re.compile(r"[ \t\n(\[{,=.:+*/%@~<>&|^;!-]([A-Z]\w*)(?=\s*\()")  # twice as fast as with \b


class ModelClass(Struct, frozen=True, kw_only=True):
    """A class whose instances are models.

    Attributes:
        file: relative to the folder that was searched.
        text: the code of the class.
    """

    file: str
    line: int
    name: str
    text: str

    @property
    def needs_arguments(self) -> bool:
        """Whether the constructor has arguments without a default."""
        return _needs_arguments(self.text)


class _Class(Struct, frozen=True):
    """A class at the top level of a file, whose text has a newline in front of its first line."""

    file: str
    file_text: str
    start: int
    name: str
    bases: tuple[str, ...]

    def text(self) -> str:
        """The code of the class. It ends where the next line begins at the margin."""
        end = _TOP_LEVEL.search(self.file_text, self.start)
        return self.file_text[self.start : end.start() + 1 if end else None]


def find(texts: Mapping[str, str]) -> tuple[ModelClass, ...]:
    """List the subclasses of nn.Module that no other subclass calls or derives from; leave out losses and private ones.

    Args:
        texts: the text of each file, by its name.
    """
    classes = [cls for file, text in texts.items() if "class " in text for cls in _classes(file, f"\n{text}")]
    modules = _modules(classes)
    used: set[str] = set()
    for cls in modules:
        used |= {name for name in _CALL.findall(cls.text()) if name != cls.name}
        used |= {base.rpartition(".")[2] for base in cls.bases}
    return tuple(
        ModelClass(file=cls.file, line=_line(cls), name=cls.name, text=cls.text())
        for cls in modules
        if cls.name not in used and not cls.name.startswith("_") and not cls.name.endswith("Loss")
    )


def _classes(file: str, text: str) -> Iterator[_Class]:
    """Yield the classes that are defined at the margin of a file."""
    for header in _CLASS.finditer(text):
        bases = tuple(base.strip() for base in header[2].split(",") if "=" not in base)
        yield _Class(file, text, header.start() + 1, header[1], bases)


def _line(cls: _Class) -> int:
    return cls.file_text.count("\n", 0, cls.start)


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
