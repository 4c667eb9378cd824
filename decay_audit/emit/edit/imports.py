"""What the names of a Python file are bound to, and the imports that emitted code still needs in it."""

import ast
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from decay_audit.emit.edit.source import SourceFile


class Import(Struct, frozen=True, kw_only=True):
    """A name that an import binds, and the dotted path of what it is bound to.

    Attributes:
        line: the first line of the import; 0 for an import that the file does not have yet.
        at_top: the import is a statement of the module itself, outside any `if`, `try` or function.
    """

    name: str
    path: str
    line: int = 0
    at_top: bool = False


def list_imports(tree: ast.Module) -> list[Import]:
    """List what the imports of a whole file bind; a star import binds the name `*`."""
    top = {id(statement) for statement in tree.body}
    return [
        Import(name=name, path=path, line=node.lineno, at_top=id(node) in top)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, path in imported_names(node)
    ]


def imported_names(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield the names that an import binds, each with the path of its value. A relative path begins with dots."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, f"{'.' * node.level}{node.module or ''}.{alias.name}"
        elif alias.asname:
            yield alias.asname, alias.name
        else:
            root = alias.name.partition(".")[0]
            yield root, root


def resolve(expression: ast.expr, tree: ast.Module) -> str | None:
    """Find the dotted path of what an expression such as `optim.AdamW` refers to; None if it is not known.

    Names are followed through imports, and through assignments if the file assigns the name once.
    """
    attributes: list[str] = []
    while isinstance(expression, ast.Attribute):
        attributes.insert(0, expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        return None
    name = expression.id
    paths = {bound.path for bound in list_imports(tree) if bound.name == name}
    values = _assigned_values(name, tree)
    if len(values) == 1 and not paths and values[0] is not None and not _mentions(values[0], name):
        root = resolve(values[0], tree)
    elif len(paths) == 1 and not values:
        (root,) = paths
    else:
        return None
    return None if root is None else ".".join((root, *attributes))


def _mentions(expression: ast.expr, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(expression))


def _assigned_values(name: str, tree: ast.Module) -> list[ast.expr | None]:
    """List the values of each assignment to a name; None for other ways to bind it, such as an argument."""
    values: list[ast.expr | None] = []
    simple: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=target) as target_node], value=value) if target == name:
                values.append(value)
                simple.add(id(target_node))
            case ast.Name(id=target, ctx=ast.Store()) if target == name and id(node) not in simple:
                values.append(None)
            case ast.arg(arg=target) if target == name:
                values.append(None)
            case ast.FunctionDef(name=target) | ast.ClassDef(name=target) if target == name:
                values.append(None)
            case _:
                pass
    return values


def module_bindings(tree: ast.Module) -> dict[str, int]:
    """List the names that the module itself binds other than by an import, each with its first line."""
    lines: dict[str, int] = {}
    for node in _module_scope(tree.body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                lines.setdefault(node.name, node.lineno)
            case ast.Name(ctx=ast.Store()):
                lines.setdefault(node.id, node.lineno)
            case _:
                pass
    return lines


def _module_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of a module without those inside of functions and classes."""
    for node in nodes:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _module_scope(ast.iter_child_nodes(node))


def missing_imports(source: SourceFile, needed: Sequence[Import], before_line: int) -> list[Import]:
    """List the imports that a file lacks above a line.

    Raises:
        DecayAuditError: the file gives one of the names to something else.
    """
    imports, bindings = list_imports(source.tree), module_bindings(source.tree)
    missing = []
    for new in needed:
        same_name = [bound for bound in imports if bound.name == new.name]
        clash = next((bound.line for bound in same_name if not is_same(bound.path, new.path)), bindings.get(new.name))
        if clash is not None:
            raise source.refusal(
                clash,
                f"`{new.name}` is something else than `{new.path}`, which the emitted function needs",
                "rename it in this file, or --style names needs fewer imports",
            )
        if not any(bound.at_top and bound.line < before_line for bound in same_name):
            missing.append(new)
    return missing


def is_same(path: str, other: str) -> bool:
    """Whether two dotted paths lead to one object: `timm.layers.LayerNorm` and `timm.layers.norm.LayerNorm`."""
    if path == other:
        return True
    value = find_object(path)
    return value is not None and value is find_object(other)


def find_object(path: str) -> object | None:
    """Find the object at a dotted path. Only torch and modules that are imported already are searched."""
    module, _, rest = path, "", ""
    while module:
        if module in sys.modules or module.startswith("torch."):
            try:
                value: object = sys.modules.get(module) or importlib.import_module(module)
                for name in filter(None, rest.split(".")):
                    value = getattr(value, name)
            except (ImportError, AttributeError):
                pass
            else:
                return value
        module, _, name = module.rpartition(".")
        rest = f"{name}.{rest}" if rest else name
    return None
