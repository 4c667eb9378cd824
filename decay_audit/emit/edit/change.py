"""Put emitted code into a file of the user, and call its function where the optimizer is made."""

import ast
import re
import sys
from collections.abc import Iterator, Sequence

from msgspec import Struct

from decay_audit.emit.edit.call import ReplacedCall
from decay_audit.emit.edit.imports import Import, imported_names, missing_imports
from decay_audit.emit.edit.source import Replacement, SourceFile

FUNCTION = "param_groups"
FUNCTION_NAMES = (FUNCTION, "make_param_groups", "weight_decay_groups")
"""Names for the function; the first that the file does not use is taken."""
TITLE = "# param groups of `decay-audit emit`"
"""The comment above the function."""


class EmittedParts(Struct, frozen=True, kw_only=True):
    """The parts of an emitted module.

    Attributes:
        comments: the ruleset and the models on which the code was checked.
        body: the constants and the function.
        arguments: the names of the function's arguments.
    """

    comments: str
    imports: tuple[Import, ...]
    body: str
    arguments: tuple[str, ...]


def change(source: SourceFile, call: ReplacedCall, parts: EmittedParts, *, keeps_weight_decay: bool = True) -> str:
    """Return the text of the file with the function and its call.

    Args:
        parts: an emitted module with a function `param_groups`.
        keeps_weight_decay: whether the function gets the coefficient that the call has.

    Raises:
        DecayAuditError: the file uses a name of the code for something else, or the function needs an argument that the
            call does not set.
    """
    needed = [new for new in parts.imports if not _is_defined_in(source, new)]
    insertion_line = _insertion_line(source, call, [new.name for new in parts.imports if new not in needed])
    missing = missing_imports(source, needed, before_line=insertion_line)
    names = _names_of(source.tree)
    function = next((name for name in FUNCTION_NAMES if name not in names), None)
    constants = [name for name in _constants(parts.body) if name in names]
    if function is None or constants:
        name_in_use = constants[0] if constants else FUNCTION
        raise source.refusal(
            names[name_in_use], f"the name `{name_in_use}` is in use, and the code needs it", "rename it"
        )
    body = re.sub(rf"\bdef {FUNCTION}\b", f"def {function}", parts.body)
    replacements = [
        *_import_replacements(source, missing, insertion_line),
        _insertion(source, insertion_line, f"{TITLE}\n{parts.comments}{body}"),
        *_call_replacements(source, call, function, parts.arguments, keeps_weight_decay=keeps_weight_decay),
    ]
    text = source.replace(replacements)
    try:
        compile(text, source.name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise source.refusal(
            call.node.lineno, "the changed call would not be Python", "simplify its arguments"
        ) from error
    return text


def split(code: str) -> EmittedParts:
    """Split an emitted module into its parts."""
    tree = ast.parse(code)
    lines = code.splitlines(keepends=True)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    others = [node for node in tree.body[1:] if not isinstance(node, ast.Import | ast.ImportFrom)]
    function = next(node for node in others if isinstance(node, ast.FunctionDef) and node.name == FUNCTION)
    return EmittedParts(
        comments="".join(line for line in lines[: imports[0].lineno] if line.startswith("#")),
        imports=tuple(
            Import(name=name, path=path)
            for node in imports
            for name, path in imported_names(node)
            if name in _loaded_names(others)
        ),
        body="".join(lines[others[0].lineno - 1 : function.end_lineno]),
        arguments=tuple(argument.arg for argument in function.args.args),
    )


def _loaded_names(nodes: Sequence[ast.stmt]) -> set[str]:
    return {inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _constants(body: str) -> Iterator[str]:
    """List the names that the code defines besides its function `param_groups`."""
    for node in ast.parse(body).body:
        if isinstance(node, ast.FunctionDef) and node.name != FUNCTION:
            yield node.name
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _is_defined_in(source: SourceFile, new: Import) -> bool:
    """Whether an import names a class of the file itself."""
    module, _, name = new.path.rpartition(".")
    parts = module.split(".")
    path = source.path.resolve().with_suffix("").parts
    is_module = path[-len(parts) :] == tuple(parts) and bool(module)
    return is_module and any(isinstance(node, ast.ClassDef) and node.name == name for node in source.tree.body)


def _names_of(tree: ast.Module) -> dict[str, int]:
    """List every name that a file uses, with its first line."""
    names: dict[str, int] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.setdefault(name, node.lineno)
            case ast.Import() | ast.ImportFrom():
                for name, _ in imported_names(node):
                    names.setdefault(name, node.lineno)
            case _:
                pass
    return names


def _insertion_line(source: SourceFile, call: ReplacedCall, classes: Sequence[str]) -> int:
    """Choose the line above which the function is inserted: after the classes that it needs, before its call.

    Raises:
        DecayAuditError: a class is defined below the call's statement.
    """
    body, statement = source.tree.body, call.statement
    index = body.index(statement)
    for position, node in enumerate(body):
        if isinstance(node, ast.ClassDef) and node.name in classes and position > index:
            raise source.refusal(
                node.lineno, f"class {node.name}, which the function needs, stands below the optimizer", "move it up"
            )
    if isinstance(statement, ast.ClassDef) and statement.name in classes:
        return (statement.end_lineno or statement.lineno) + 1
    opens_block = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or _is_main(statement)
    if opens_block:
        return _first_line(source, statement)
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    before = [node for node in body[:index] if isinstance(node, definitions)]
    if not before:
        return _first_line(source, statement)
    return (before[-1].end_lineno or before[-1].lineno) + 1


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


def _first_line(source: SourceFile, statement: ast.stmt) -> int:
    """Return the first line of a statement, with its decorators and the comments right above it."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    line = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    lines = source.text.splitlines()
    while line > 1 and lines[line - 2].startswith(b"#") and not (line == 2 and lines[0].startswith(b"#!")):
        line -= 1
    return line


def _insertion(source: SourceFile, line: int, text: str) -> Replacement:
    """Insert definitions above a line, with two empty lines before and after them."""
    offset = _line_start(source, line)
    before, after = source.text[:offset].decode(), source.text[offset:].decode()
    ending = "" if not before or before.endswith(("\n", "\r")) else "\n"
    empty_before = _empty_lines(reversed(before.splitlines())) if before else 2
    empty_after = _empty_lines(iter(after.splitlines())) if after.strip() else 2
    new = ending + "\n" * max(0, 2 - empty_before) + text + "\n" * max(0, 2 - empty_after)
    return offset, offset, new


def _empty_lines(lines: Iterator[str]) -> int:
    count = 0
    for line in lines:
        if line.strip():
            return count
        count += 1
    return count


def _line_start(source: SourceFile, line: int) -> int:
    return source.line_starts[min(line - 1, len(source.line_starts) - 1)]


def _import_replacements(source: SourceFile, missing: Sequence[Import], insertion_line: int) -> Iterator[Replacement]:
    """Insert the imports: those of the standard library after its other imports, the rest after the last import."""
    statements = [
        node
        for node in source.tree.body
        if isinstance(node, ast.Import | ast.ImportFrom) and (node.end_lineno or 0) < insertion_line
    ]
    of_library = [node for node in statements if _root(node) in sys.stdlib_module_names]
    for from_library, nodes in ((True, of_library), (False, statements)):
        new = [item for item in missing if (_root_of(item.path) in sys.stdlib_module_names) is from_library]
        if new:
            yield _import_insertion(source, nodes, statements, [*map(_write_import, new)])


def _import_insertion(
    source: SourceFile, after: Sequence[ast.stmt], statements: Sequence[ast.stmt], lines: Sequence[str]
) -> Replacement:
    text = "".join(f"{line}\n" for line in lines)
    if after:
        offset = _line_start(source, (after[-1].end_lineno or 0) + 1)
        has_end = source.text[:offset].endswith((b"\n", b"\r"))
        return offset, offset, text if has_end else f"\n{text}"
    if statements:
        offset = _line_start(source, statements[0].lineno)
        return offset, offset, f"{text}\n"
    body = source.tree.body
    line = (body[0].end_lineno or 0) + 1 if ast.get_docstring(source.tree) else _first_line(source, body[0])
    offset = _line_start(source, line)
    return offset, offset, f"\n{text}" if ast.get_docstring(source.tree) else f"{text}\n"


def _root(node: ast.stmt) -> str:
    if isinstance(node, ast.Import):
        return _root_of(node.names[0].name)
    return _root_of(node.module or "") if isinstance(node, ast.ImportFrom) and not node.level else ""


def _root_of(path: str) -> str:
    return path.partition(".")[0]


def _write_import(item: Import) -> str:
    module, _, name = item.path.rpartition(".")
    return f"from {module} import {name}" if module else f"import {name}"


def _call_replacements(
    source: SourceFile, call: ReplacedCall, function: str, arguments: Sequence[str], *, keeps_weight_decay: bool
) -> Iterator[Replacement]:
    """Replace the parameters by the call of the function, and move the coefficient into that call."""
    passed = [call.model]
    if "lr" in arguments:
        if call.lr is None:
            raise source.refusal(
                call.node.lineno, "the call sets no lr, which the ruleset scales", "write lr=... in it"
            )
        passed.append(f"lr={source.code(call.lr)}")
    if call.weight_decay is not None:
        if "weight_decay" in arguments and keeps_weight_decay:
            passed.append(f"weight_decay={source.code(call.weight_decay.value)}")
        yield from _removal(source, call.node, call.weight_decay)
    start, end, new = source.start(call.parameters), source.end(call.parameters), f"{function}({', '.join(passed)})"
    shares_brackets = isinstance(call.parameters, ast.GeneratorExp) and end == source.end(call.node)
    yield start, end, f"({new})" if shares_brackets else new


def _removal(source: SourceFile, node: ast.Call, keyword: ast.keyword) -> Iterator[Replacement]:
    """Remove an argument with its comma, and with its line if it has one of its own.

    An argument with a comment beside it stays: each group has a coefficient of its own, so it has no effect.
    """
    text, start, end = source.text, source.start(keyword), source.end(keyword)
    rest = text[end : source.end(node)]
    comma = re.match(rb"\s*,[ \t]*", rest)
    line_start = max(text.rfind(b"\n", 0, start), text.rfind(b"\r", 0, start)) + 1
    if comma:
        end += comma.end()
        line_end = re.match(rb"\r?\n", text[end:])
        if text[end : end + 1] == b"#":
            return
        if not text[line_start:start].strip() and line_end:
            start, end = line_start, end + line_end.end()
        yield start, end, ""
        return
    ends = [*map(source.end, node.args), *map(source.end, node.keywords)]
    previous = max((other for other in ends if other <= start), default=start)
    between = text[previous:start]
    if b"#" in between or b"," not in between or b"#" in rest:
        return
    yield previous + between.rfind(b","), end, ""
