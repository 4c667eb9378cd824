"""A folder of Python files goes in; out come the places that make optimizers of torch.optim. Nothing is imported.

A name is followed through the imports of its own file, and no further: a class of another library is not listed.
"""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

_SKIPPED = frozenset({"node_modules", "site-packages", "build", "dist", "__pycache__", "tests", "test"})
_NAMES_OPTIM = re.compile(r"torch\.optim|from torch import [^\n]*optim")
_IS_SCRIPT = re.compile(r"^(if __name__\b|for |while )", re.MULTILINE)
"""A `__main__` part, or a loop at the level of the module."""
_IMPORTS = r"(?m)^\s*(from|import)\s[^\n]*\b{}\b"
_MAX_BYTES = 2_000_000
_NOT_OPTIMIZERS = frozenset({"Optimizer"})


class OptimizerCall(Struct, frozen=True, kw_only=True):
    """One place that makes an optimizer.

    Attributes:
        file: relative to the folder that was searched.
        parameters: the first argument, as it is written.
        weight_decay: as it is written; None if the call does not set it.
        maybe_set: the call has `**kwargs` or groups, which may set a coefficient.
        function: the outermost function around it; "" at the level of the module.
        needs: how many arguments this function needs.
        is_script: the file is run as a script: the call is at its own level, or it has a `__main__` part.
    """

    file: str
    line: int
    type: str
    parameters: str
    weight_decay: str | None
    maybe_set: bool
    function: str
    needs: int
    is_script: bool


class FoundCalls(Struct, frozen=True, kw_only=True):
    """All places, and for a module's name the scripts of the folder that import it."""

    calls: tuple[OptimizerCall, ...]
    scripts: dict[str, tuple[str, ...]]
    files: int


def find(folder: Path) -> FoundCalls:
    """Read all Python files in a folder, or one file."""
    base = folder if folder.is_dir() else folder.parent
    texts = {os.path.relpath(path, base): _text(path) for path in _python_files(folder)}
    calls = [call for name, text in texts.items() if _NAMES_OPTIM.search(text) for call in _calls_in(text, name)]
    modules = {Path(call.file).stem for call in calls if not call.is_script}
    scripts = {name: text for name, text in texts.items() if modules and _IS_SCRIPT.search(text)}
    return FoundCalls(
        calls=tuple(calls),
        scripts={
            module: tuple(name for name, text in scripts.items() if re.search(_IMPORTS.format(re.escape(module)), text))
            for module in modules
        },
        files=len(texts),
    )


def _calls_in(text: str, name: str) -> Iterator[OptimizerCall]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from _calls(tree, name, is_script=_IS_SCRIPT.search(text) is not None)


def _python_files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _SKIPPED and not (Path(parent) / name / "pyvenv.cfg").exists()
        )
        yield from (Path(parent) / name for name in sorted(names) if name.endswith(".py"))


def _text(path: Path) -> str:
    try:
        return "" if path.stat().st_size > _MAX_BYTES else path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _calls(tree: ast.Module, file: str, *, is_script: bool) -> Iterator[OptimizerCall]:
    names = _aliases(tree)
    stack: list[tuple[ast.AST, ast.FunctionDef | ast.AsyncFunctionDef | None]] = [(node, None) for node in tree.body]
    found = []
    while stack:
        node, function = stack.pop()
        if isinstance(node, ast.Call) and (kind := _optimizer_class(node.func, names)):
            found.append(_describe(node, kind, file, function, is_script=is_script or function is None))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and function is None:
            function = node
        stack += [(child, function) for child in ast.iter_child_nodes(node)]
    yield from sorted(found, key=lambda call: call.line)


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What the names of the file stand for, where they are imported."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _optimizer_class(function: ast.expr, names: dict[str, str]) -> str:
    """The class of torch.optim that is called; "" for anything else."""
    dotted = _dotted(function)
    head, _, rest = dotted.partition(".")
    whole = f"{names.get(head, '')}.{rest}" if rest else names.get(head, "")
    package, _, name = whole.rpartition(".")
    is_class = package == "torch.optim" or (package.startswith("torch.optim.") and "lr_scheduler" not in package)
    is_class = is_class and "swa_utils" not in package
    return name if is_class and name[:1].isupper() and name not in _NOT_OPTIMIZERS else ""


def _dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _describe(
    call: ast.Call, kind: str, file: str, function: ast.FunctionDef | ast.AsyncFunctionDef | None, *, is_script: bool
) -> OptimizerCall:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    first = call.args[0] if call.args else keywords.get("params")
    arguments = function.args if function is not None else None
    return OptimizerCall(
        file=file,
        line=call.lineno,
        type=kind,
        parameters="" if first is None else ast.unparse(first),
        weight_decay=ast.unparse(keywords["weight_decay"]) if "weight_decay" in keywords else None,
        maybe_set=None in keywords or not _is_bare(first),
        function=function.name if function is not None else "",
        needs=0 if arguments is None else len(arguments.posonlyargs + arguments.args) - len(arguments.defaults),
        is_script=is_script,
    )


def _is_bare(first: ast.expr | None) -> bool:
    """Whether the first argument is `X.parameters()`, perhaps filtered: no group of its own sets a coefficient."""
    if isinstance(first, ast.Call):
        is_filter = isinstance(first.func, ast.Name) and first.func.id in ("filter", "list", "chain", "iter")
        inner = first.args[-1] if is_filter and first.args else None
        return (isinstance(first.func, ast.Attribute) and first.func.attr == "parameters") or (
            inner is not None and _is_bare(inner)
        )
    return False
