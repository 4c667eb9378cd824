"""Find the places in a folder of Python files that make optimizers of torch.optim. Nothing is imported.

Names are resolved only by the imports of the file that they are in. Optimizers of other libraries are not listed.
"""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

_SKIPPED_FOLDERS = frozenset({"node_modules", "site-packages", "build", "dist", "__pycache__", "tests", "test"})
_MENTIONS_TORCH_OPTIM = re.compile(r"torch\.optim|from torch import [^\n]*optim")
_IS_SCRIPT = re.compile(r"^(if __name__\b|for |while )", re.MULTILINE)
"""Matches a `__main__` part, or a loop outside functions."""
_IMPORT_OF = r"(?m)^\s*(from|import)\s[^\n]*\b{}\b"
_MAX_BYTES = 2_000_000
"""Larger files are not read."""
_NOT_OPTIMIZERS = frozenset({"Optimizer"})


class OptimizerCall(Struct, frozen=True, kw_only=True):
    """One place that makes an optimizer.

    Attributes:
        file: relative to the folder that was searched.
        parameters: the first argument, as it is written.
        weight_decay: as it is written; None if the call does not set it.
        may_set_weight_decay: the call has `**kwargs` or groups, which may set a coefficient.
        function: the outermost function that contains the call; "" outside functions.
        required_arguments: how many arguments without a default this function has.
        is_script: the file is a script: it has a `__main__` part or a loop outside functions, or the call is there.
    """

    file: str
    line: int
    type: str
    parameters: str
    weight_decay: str | None
    may_set_weight_decay: bool
    function: str
    required_arguments: int
    is_script: bool


class OptimizerCalls(Struct, frozen=True, kw_only=True):
    """The places in a folder that make optimizers.

    Attributes:
        scripts: for the name of each module that makes optimizers, the scripts that import the module.
        files: how many Python files were read.
    """

    calls: tuple[OptimizerCall, ...]
    scripts: dict[str, tuple[str, ...]]
    files: int


def find(folder: Path) -> OptimizerCalls:
    """Read all Python files in a folder, or one file."""
    base = folder if folder.is_dir() else folder.parent
    texts = {os.path.relpath(path, base): _text(path) for path in _python_files(folder)}
    calls = [
        call for name, text in texts.items() if _MENTIONS_TORCH_OPTIM.search(text) for call in _calls_in(text, name)
    ]
    modules = {Path(call.file).stem for call in calls if not call.is_script}
    scripts = {name: text for name, text in texts.items() if modules and _IS_SCRIPT.search(text)}
    return OptimizerCalls(
        calls=tuple(calls),
        scripts={
            module: tuple(
                name for name, text in scripts.items() if re.search(_IMPORT_OF.format(re.escape(module)), text)
            )
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
            if not name.startswith(".")
            and name not in _SKIPPED_FOLDERS
            and not (Path(parent) / name / "pyvenv.cfg").exists()
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
    calls = []
    while stack:
        node, function = stack.pop()
        if isinstance(node, ast.Call) and (kind := _optimizer_class(node.func, names)):
            calls.append(_describe(node, kind, file, function, is_script=is_script or function is None))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and function is None:
            function = node
        stack += [(child, function) for child in ast.iter_child_nodes(node)]
    yield from sorted(calls, key=lambda call: call.line)


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Map the imported names of a file to their full names: `optim` to `torch.optim`."""
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
    full_name = f"{names.get(head, '')}.{rest}" if rest else names.get(head, "")
    package, _, name = full_name.rpartition(".")
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
    return OptimizerCall(
        file=file,
        line=call.lineno,
        type=kind,
        parameters="" if first is None else ast.unparse(first),
        weight_decay=ast.unparse(keywords["weight_decay"]) if "weight_decay" in keywords else None,
        may_set_weight_decay=None in keywords or not _is_parameters_call(first),
        function=function.name if function is not None else "",
        required_arguments=_required_arguments(function),
        is_script=is_script,
    )


def _required_arguments(function: ast.FunctionDef | ast.AsyncFunctionDef | None) -> int:
    if function is None:
        return 0
    return len(function.args.posonlyargs + function.args.args) - len(function.args.defaults)


def _is_parameters_call(first: ast.expr | None) -> bool:
    """Whether the first argument is `X.parameters()`, perhaps filtered, and so has no groups."""
    if isinstance(first, ast.Call):
        is_filter = isinstance(first.func, ast.Name) and first.func.id in ("filter", "list", "chain", "iter")
        inner = first.args[-1] if is_filter and first.args else None
        return (isinstance(first.func, ast.Attribute) and first.func.attr == "parameters") or (
            inner is not None and _is_parameters_call(inner)
        )
    return False
