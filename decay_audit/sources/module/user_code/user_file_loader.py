"""Load the user's Python files so that none of their handlers swallows the stop at the start of training.

A bare `except:` catches every exception, and so does `except BaseException:`. In a copy of the syntax tree, each `try`
with such a handler gets a handler before it that raises TrainingStarted again. Nothing is written to a cache.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

_TRAINING_STARTED = (
    "__import__('decay_audit.sources.module.user_code.stop_at_training', fromlist=['_']).TrainingStarted"
)
"""An expression for the handler; Python evaluates it only when an exception is handled."""


class UserFileLoader(SourceFileLoader):
    """Compiles a file afresh, with handlers that raise TrainingStarted again."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the file, without a cache."""
        path = self.get_filename(fullname)
        tree = compile(self.get_data(path), path, "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
        assert isinstance(tree, ast.Module)
        for node in ast.walk(tree):
            if isinstance(node, ast.Try):
                node.handlers = [*_with_reraising_handler(node.handlers)]
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


class UserFileFinder(MetaPathFinder):
    """Finds modules in the user's folders, for `UserFileLoader`."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = tuple(folders)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as Python does; None if it is outside the user's folders: Python then loads it."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return None
        if not spec.origin.startswith(self.folders) or "site-packages" in spec.origin:
            return None
        spec.loader = UserFileLoader(fullname, spec.origin)
        spec.cached = None
        return spec


@contextmanager
def load_user_files(folders: Sequence[str]) -> Iterator[None]:
    """Load modules from these folders by `UserFileLoader` during the with-statement."""
    finder = UserFileFinder(folders)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _with_reraising_handler(handlers: Sequence[ast.ExceptHandler]) -> Iterator[ast.ExceptHandler]:
    """Put a handler that raises TrainingStarted again before the first handler that would catch it."""
    inserted = False
    for handler in handlers:
        if not inserted and _catches_everything(handler.type):
            inserted = True
            handler_before = ast.ExceptHandler(
                type=ast.parse(_TRAINING_STARTED, mode="eval").body, name=None, body=[ast.Raise()]
            )
            yield ast.copy_location(handler_before, handler)
        yield handler


def _catches_everything(exception_class: ast.expr | None) -> bool:
    """Whether a handler for this class, or with no class, catches TrainingStarted."""
    match exception_class:
        case None:
            return True
        case ast.Tuple(elts=classes):
            return any(map(_catches_everything, classes))
        case ast.Name(id="BaseException") | ast.Attribute(attr="BaseException"):
            return True
    return False
