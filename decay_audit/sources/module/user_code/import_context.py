"""Where the user's code runs: its folders importable, its output on stderr, and all of it undone afterwards."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import torch
from msgspec import Struct

from decay_audit.sources.target import FileTarget, ModuleTarget


class Home(Struct, frozen=True, kw_only=True):
    """Where a target's code lives.

    Attributes:
        folders: what is importable while it runs, the nearest first.
        program: what `sys.argv[0]` says meanwhile; there are no further arguments.
        modules: what was imported from the folders; kept out of `sys.modules` except while the code runs, so that two
            targets may each have a `layers.py` of their own.
    """

    folders: tuple[str, ...]
    program: str
    modules: dict[str, ModuleType]


class Namespace(dict[str, object]):
    """The names of the target's module, and that of its package.

    What a lazy module makes only when asked (`transformers`) is asked for.
    """

    def __init__(self, module: ModuleType, home: Home) -> None:
        super().__init__(vars(module))
        self.module = module
        self.home = home

    def __missing__(self, name: str) -> object:
        try:
            return getattr(self.module, name)
        except AttributeError:
            if name == self.module.__name__.partition(".")[0] and name in sys.modules:
                return sys.modules[name]
            raise KeyError(name) from None


def home(target: FileTarget | ModuleTarget) -> Home:
    """Find the folders: the file's own, the one that holds its outermost package, and the current one."""
    here = str(Path.cwd())
    if isinstance(target, ModuleTarget):
        return Home(folders=(here,), program=target.location, modules={})
    own = target.path.resolve().parent
    folders = dict.fromkeys((str(own), str(package_root(own)), here))
    return Home(folders=tuple(folders), program=target.location, modules={})


def home_of(namespace: Mapping[str, object]) -> Home:
    """Where the code of a namespace lives: the current folder, if the names are of no module that was loaded."""
    if isinstance(namespace, Namespace):
        return namespace.home
    return Home(folders=(str(Path.cwd()),), program="", modules={})


def package_root(folder: Path) -> Path:
    """Give the folder that holds the outermost package around `folder`; `folder` itself if it is in none."""
    while (folder / "__init__.py").exists() and folder.parent != folder:
        folder = folder.parent
    return folder


@contextlib.contextmanager
def running(home: Home) -> Iterator[None]:
    """Make the home's folders importable and send what is printed to stderr; restore everything at the end."""
    path, argv, modules = list(sys.path), sys.argv, dict(sys.modules)
    dtype = torch.get_default_dtype()
    sys.path[:0] = home.folders
    sys.argv = [home.program]
    sys.modules.update(home.modules)
    try:
        with _printing_to_stderr():
            yield
    finally:
        torch.set_default_dtype(dtype)
        sys.path[:], sys.argv = path, argv
        _take_home(home, path, modules)


def _take_home(home: Home, path: list[str], before: dict[str, ModuleType]) -> None:
    """Move what came from the home's folders out of `sys.modules`; what it displaced comes back."""
    added = tuple(folder + os.sep for folder in home.folders if folder not in path)
    nested = tuple(entry.rstrip(os.sep) + os.sep for entry in path if entry.startswith(added))
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        if before.get(name) is module and name not in home.modules:
            continue
        if origin.startswith(added) and not origin.startswith(nested) and _is_new(name, before):
            home.modules[name] = module
    for name in home.modules:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def _is_new(name: str, before: dict[str, ModuleType]) -> bool:
    """A further submodule of a package that was there before belongs to that package."""
    top = name.partition(".")[0]
    return top not in before or before[top] is not sys.modules.get(top)


@contextlib.contextmanager
def _printing_to_stderr() -> Iterator[None]:
    """Both Python's stdout and the file descriptor, which programs that the code starts inherit."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        with contextlib.suppress(OSError):
            saved = os.dup(1)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, 1)
            os.dup2(2, 1)
        yield
