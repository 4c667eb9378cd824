"""The context that user code runs in: its folders can be imported, and its output goes to stderr; undone afterwards."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import torch
from msgspec import Struct

from decay_audit import files
from decay_audit.sources.target import FileTarget, ModuleTarget


class ImportContext(Struct, frozen=True, kw_only=True):
    """The folders, arguments and modules of user code while it runs.

    Attributes:
        folders: the folders that it can import from, the nearest first.
        program: the value of `sys.argv[0]`; there are no further arguments.
        modules: the modules imported from these folders. They are in `sys.modules` only while the code runs, so that
            two targets may each have a `layers.py` of their own.
    """

    folders: tuple[str, ...]
    program: str
    modules: dict[str, ModuleType]


class Namespace(dict[str, object]):
    """The names of the target's module, and the name of its package.

    A lazy module such as `transformers` makes some of its names on demand: missing names are looked up in the module.
    """

    def __init__(self, module: ModuleType, context: ImportContext) -> None:
        super().__init__(vars(module))
        self.module = module
        self.context = context

    def __missing__(self, name: str) -> object:
        try:
            return getattr(self.module, name)
        except AttributeError:
            if name == self.module.__name__.partition(".")[0] and name in sys.modules:
                return sys.modules[name]
            raise KeyError(name) from None


def context_of_target(target: FileTarget | ModuleTarget) -> ImportContext:
    """Make the context of a target: it imports from the folders of a file, and then from the current folder."""
    current = str(Path.cwd())
    if isinstance(target, ModuleTarget):
        return ImportContext(folders=(current,), program=target.location, modules={})
    folder = target.path.resolve().parent
    folders = dict.fromkeys((str(folder), str(package_root(folder)), current))
    return ImportContext(folders=tuple(folders), program=target.location, modules={})


def context_of_namespace(namespace: Mapping[str, object]) -> ImportContext:
    """Give the context of the namespace's module; a plain mapping gets one that imports from the current folder."""
    if isinstance(namespace, Namespace):
        return namespace.context
    return ImportContext(folders=(str(Path.cwd()),), program="", modules={})


def package_root(folder: Path) -> Path:
    """Give the folder that holds the outermost package around `folder`; `folder` itself if it is in none."""
    while (folder / "__init__.py").exists() and folder.parent != folder:
        folder = folder.parent
    return folder


@contextlib.contextmanager
def activate(context: ImportContext) -> Iterator[None]:
    """Run user code in this context; at the end, put the process back as it was."""
    path, argv, modules = list(sys.path), sys.argv, dict(sys.modules)
    dtype = torch.get_default_dtype()
    sys.path[:0] = context.folders
    sys.argv = [context.program]
    sys.modules.update(context.modules)
    try:
        with _printing_to_stderr():
            yield
    finally:
        torch.set_default_dtype(dtype)
        sys.path[:], sys.argv = path, argv
        _move_modules(context, path, modules)


def _move_modules(context: ImportContext, path: list[str], before: dict[str, ModuleType]) -> None:
    """Move the modules of the context's folders from `sys.modules` to the context, and restore the earlier ones."""
    # `added`: folders that only this context added; `nested`: older entries inside them, which keep their modules
    added = tuple(folder + os.sep for folder in context.folders if folder not in path)
    nested = tuple(entry.rstrip(os.sep) + os.sep for entry in path if entry.startswith(added))
    for name, module in list(sys.modules.items()):
        if before.get(name) is module and name not in context.modules:
            continue
        origin = _origin(module)
        if origin.startswith(added) and not origin.startswith(nested) and _is_new(name, before):
            context.modules[name] = module
            files.remember_imported(Path(origin))
    for name in context.modules:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def _origin(module: ModuleType) -> str:
    """Give the file or folder of a module; "" if it has none. A lazy module would import itself when it is asked."""
    try:
        attributes = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return ""
    origin = attributes.get("__file__") or next(iter(attributes.get("__path__") or ()), "")
    return origin if isinstance(origin, str) else ""


def _is_new(name: str, before: dict[str, ModuleType]) -> bool:
    """Whether a module's package is new; a new submodule of an older package stays with that package."""
    top = name.partition(".")[0]
    return top not in before or before[top] is not sys.modules.get(top)


@contextlib.contextmanager
def _printing_to_stderr() -> Iterator[None]:
    """Redirect Python's stdout, and also file descriptor 1, which programs that the code starts inherit."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        with contextlib.suppress(OSError):
            saved = os.dup(1)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, 1)
            os.dup2(2, 1)
        yield
