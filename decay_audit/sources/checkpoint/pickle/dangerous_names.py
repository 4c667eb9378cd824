"""Recognize the names of dangerous functions in a pickle; reports show them before all other names."""

from typing import Final

_MODULES: Final = frozenset(
    {
        *("os", "posix", "nt", "subprocess", "sys", "pty", "runpy", "importlib", "imp", "code", "codeop", "commands"),
        *("shutil", "socket", "socketserver", "ssl", "http", "urllib", "urllib2", "requests", "httpx", "aiohttp"),
        *("ftplib", "smtplib", "poplib", "telnetlib", "xmlrpc", "webbrowser", "antigravity", "asyncio", "ctypes"),
        *("_ctypes", "cffi", "marshal", "pdb", "bdb", "timeit", "cProfile", "profile", "trace", "doctest", "pydoc"),
        *("pip", "setuptools", "distutils", "site", "venv", "ensurepip", "zipimport", "pkgutil", "idlelib", "signal"),
        *("_posixsubprocess", "_winapi", "_socket", "_frozen_importlib", "_frozen_importlib_external", "lib2to3"),
    }
)
"""Modules of processes, files, networks and imports: no state dict needs anything in them."""

_LOADERS: Final = frozenset(
    {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "torch", "shelve", "yaml"}
)
"""Modules that can load another pickle."""
_LOADS: Final = frozenset({"load", "loads", "Unpickler", "_Unpickler", "unsafe_load", "full_load", "open"})
"""The functions and classes of these modules that load a pickle."""
_BUILTINS: Final = frozenset({"eval", "exec", "execfile", "compile", "__import__", "open", "input", "breakpoint"})
"""Builtins that run code or open files."""
_FUNCTIONS: Final = frozenset(
    {
        *("torch.hub.load", "torch.serialization.load", "torch.utils.cpp_extension.load"),
        *("torch.utils.cpp_extension.load_inline", "torch.package.package_importer.PackageImporter"),
        *("numpy.testing._private.utils.runstring", "numpy.lib.npyio.load", "numpy.load"),
    }
)
"""Single functions that run code or load files, in modules that are otherwise harmless."""
_CALLS: Final = frozenset({"system", "popen", "Popen", "run", "call", "check_output", "check_call", "spawn", "execv"})
"""Functions of the dangerous modules that start processes."""
_INDIRECT: Final = frozenset(
    {
        *("builtins.getattr", "builtins.setattr", "builtins.delattr", "builtins.globals", "builtins.locals"),
        *("builtins.vars", "builtins.map", "builtins.filter", "builtins.type", "operator.attrgetter"),
        *("operator.methodcaller", "functools.partial", "functools.reduce", "types.CodeType", "types.FunctionType"),
        *("torch.storage._load_from_bytes", "torch.fx.graph_module.reduce_graph_module", "copyreg.add_extension"),
    }
)
"""Functions that call their arguments. Harmless files have them, too: they are listed early, and raise no DA602."""


def runs_code(qualified: str) -> bool:
    """Tell whether a function runs commands or code, reads or writes files, or opens a connection.

    >>> runs_code("posix.system"), runs_code("pathlib.os.system"), runs_code("model.Config")
    (True, True, False)
    """
    module, *rest = qualified.split(".")
    if module in _MODULES or qualified in _FUNCTIONS:
        return True
    if module in ("builtins", "__builtin__"):
        return bool(rest) and rest[0] in _BUILTINS
    if module in _LOADERS and rest and rest[-1] in _LOADS:
        return True
    # `pathlib.os.system`: a harmless module gives access to a dangerous one that it imports
    return not _MODULES.isdisjoint(rest[:-1]) and (rest[-1] in _CALLS | _BUILTINS or rest[-2] in _MODULES)


def sort_dangerous_first(names: tuple[str, ...]) -> tuple[str, ...]:
    """Sort names: first the names that run code, then the functions that call their arguments, then the rest."""
    return tuple(sorted(names, key=lambda name: (not runs_code(name), name not in _INDIRECT)))
