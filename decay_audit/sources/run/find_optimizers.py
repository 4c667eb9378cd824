"""Find where Python files make optimizers of torch.optim, from the texts of the files. Nothing is imported.

A name is resolved only by the imports of its own file. Optimizers of other libraries are not listed.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from decay_audit.sources.run import python_files

_MAY_CALL = re.compile(r"optim(?<!\woptim)(?:(?:\.\w+)*\.[A-Z]\w*\s*\(|(?<=torch\.optim)[\w.]* import\b|[\w.]* as\b)")
"""Matches calls and imports of names in torch.optim. A file without a match is not parsed, because parsing is slow."""
_IMPORTED_NAMES = re.compile(r"[ \t]*(?:\(([^)]*)|((?:[^\\\n]|\\.)*))", re.DOTALL)
"""Matches what follows `import`: names in parentheses, or names to the end of the line."""
_WORD_OF_TRAINING = re.compile("train|main|tune|fit|run")
"""Matches names of files that probably train."""
_MAX_IMPORTS = 4
"""The most files that may stand between a script and the file that makes its optimizer."""
_LINE_OF_SCRIPT = re.compile(r"\n(?:if __name__\b|for |while )")  # begins with a newline: faster than with ^
"""Matches `if __name__ == "__main__"`, or a loop outside functions."""
_READ_NODES = (ast.Call, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef
_NOT_OPTIMIZERS = frozenset({"Optimizer"})
"""Classes of torch.optim that are no optimizers."""


class OptimizerCall(Struct, frozen=True, kw_only=True):
    """One place that makes an optimizer.

    Attributes:
        file: relative to the folder that was searched.
        parameters: the first argument, as it is written.
        weight_decay: as it is written; None if the call does not set it.
        may_set_weight_decay: the call has `**kwargs` or groups, which may set a coefficient.
        function: the outermost function that contains the call; "" outside functions.
        required_arguments: how many arguments without a default this function has.
        is_script: whether the file is a script: it has `if __name__ == "__main__"` or a loop outside functions, or the
            call itself is outside functions.
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
    """The places that make optimizers.

    Attributes:
        scripts: for a file that makes optimizers and is no script, a script that imports it.
    """

    calls: tuple[OptimizerCall, ...]
    scripts: dict[str, str]


def find(texts: Mapping[str, str]) -> OptimizerCalls:
    """Find the calls in the texts of Python files.

    Args:
        texts: the text of each file, by its name.
    """
    calls = [call for name, text in texts.items() for call in _calls_in(text, name)]
    files = {call.file for call in calls if not call.is_script}
    importing = python_files.importing_files(texts) if files else {}
    return OptimizerCalls(
        calls=tuple(calls),
        scripts={file: script for file in files if (script := _script_of(file, importing, texts))},
    )


def _script_of(file: str, importing: Mapping[str, Sequence[str]], texts: Mapping[str, str]) -> str:
    """Find a script that imports a file, directly or through other files; "" if there is none."""
    reached = {file}
    files = [file]
    for _ in range(_MAX_IMPORTS):
        files = [*dict.fromkeys(name for path in files for name in importing.get(_module_name(path), ()))]
        files = [name for name in files if name not in reached]
        reached.update(files)
        importing_scripts = [name for name in files if _is_script(texts[name])]
        if importing_scripts:
            return min(importing_scripts, key=lambda name: _WORD_OF_TRAINING.search(Path(name).name) is None)
    return ""


def _is_script(text: str) -> bool:
    return _LINE_OF_SCRIPT.search(f"\n{text}") is not None


def _module_name(path: str) -> str:
    """Return the word by which import lines name a file: the name of the file, or of the folder for a package."""
    return Path(path).parent.name if Path(path).stem == "__init__" else Path(path).stem


def _calls_in(text: str, name: str) -> Iterator[OptimizerCall]:
    if "torch" not in text or not any(_is_used(match, text) for match in _MAY_CALL.finditer(text)):
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from _calls(tree, name, is_script=_is_script(text))


def _is_used(match: re.Match[str], text: str) -> bool:
    """Whether a match of _MAY_CALL calls a class, or imports a name that the text calls. True if that is not known."""
    if match[0].endswith("("):
        return not _is_other_package(match[0])
    if match[0].endswith(" as"):
        return True
    names = _IMPORTED_NAMES.match(text, match.end())
    listed = "" if names is None else re.sub(r"#.*", "", names[1] or names[2] or "")
    words = [word for entry in listed.split(",") if (word := entry.split())]
    return any(
        word[-1] == "*" or re.search(rf"\b{re.escape(word[-1])}\s*[.(]", text) is not None
        for word in words
        if word[0] not in _NOT_OPTIMIZERS and not _is_other_package(word[0])
    )


def _is_other_package(name: str) -> bool:
    """Whether a name in torch.optim belongs to the schedulers or to the averaging of weights."""
    return "lr_scheduler" in name or "swa_utils" in name


def _calls(tree: ast.Module, file: str, *, is_script: bool) -> Iterator[OptimizerCall]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, _READ_NODES)]
    names = _aliases(nodes)
    if not any(name.startswith("torch") for name in names.values()):
        return
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in sorted((node for node in nodes if isinstance(node, ast.Call)), key=lambda call: call.lineno):
        kind = _optimizer_class(node.func, names)
        if kind:
            function = _outermost_function(node, functions)
            yield _describe(node, kind, file, function, is_script=is_script or function is None)


def _outermost_function(call: ast.Call, functions: Sequence[Function]) -> Function | None:
    enclosing = [
        function for function in functions if function.lineno <= call.lineno <= (function.end_lineno or call.lineno)
    ]
    return min(enclosing, key=lambda function: function.lineno, default=None)


def _aliases(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Map the imported names of a file to their full names: `optim` to `torch.optim`."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    if "*" in names:  # it may import torch, too
        names.setdefault("torch", "torch")
    return names


def _optimizer_class(function: ast.expr, names: dict[str, str]) -> str:
    """Return the class of torch.optim that is called; "" for anything else."""
    dotted = _dotted(function)
    head, _, rest = dotted.partition(".")
    full_name = f"{names.get(head, '')}.{rest}" if rest else names.get(head, "")
    package, _, name = full_name.rpartition(".")
    if not f"{package}.".startswith("torch.optim.") or _is_other_package(package):
        return ""
    return name if name[:1].isupper() and name not in _NOT_OPTIMIZERS else ""


def _dotted(node: ast.expr) -> str:
    """Write an expression such as `torch.optim.SGD` as text; "" if it has anything but names and dots."""
    words = []
    while isinstance(node, ast.Attribute):
        words.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(words)]) if isinstance(node, ast.Name) else ""


def _describe(call: ast.Call, kind: str, file: str, function: Function | None, *, is_script: bool) -> OptimizerCall:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    params = call.args[0] if call.args else keywords.get("params")
    return OptimizerCall(
        file=file,
        line=call.lineno,
        type=kind,
        parameters="" if params is None else ast.unparse(params),
        weight_decay=ast.unparse(keywords["weight_decay"]) if "weight_decay" in keywords else None,
        may_set_weight_decay=None in keywords or not _is_parameters_call(params),
        function=function.name if function is not None else "",
        required_arguments=_required_arguments(function),
        is_script=is_script,
    )


def _required_arguments(function: Function | None) -> int:
    if function is None:
        return 0
    return len(function.args.posonlyargs + function.args.args) - len(function.args.defaults)


def _is_parameters_call(params: ast.expr | None) -> bool:
    """Whether an expression is `X.parameters()`, perhaps inside `filter` or `list`: then it makes no groups."""
    if not isinstance(params, ast.Call):
        return False
    if isinstance(params.func, ast.Attribute):
        return params.func.attr == "parameters"
    is_filter = isinstance(params.func, ast.Name) and params.func.id in ("filter", "list", "chain", "iter")
    return is_filter and bool(params.args) and _is_parameters_call(params.args[-1])
