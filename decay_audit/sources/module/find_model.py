"""Which model a module means when the target names none: an instance, a factory or a class. Calls no function."""

import ast
import inspect
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

from decay_audit.errors import TargetError
from decay_audit.sources.module.example_calls import example, needs_arguments, required
from decay_audit.sources.module.find_factories import factories, is_model_class
from decay_audit.sources.module.to_module import models_inside

Makers = dict[str, Any]
"""Functions and classes by name, which make a model when they are called."""


def choose(module: ModuleType, place: str) -> str:
    """Name the one model of the module.

    Args:
        place: how the user names the module, for the targets in a message.

    Raises:
        TargetError: there is none, or several, or it needs arguments.
    """
    source = _source(module)
    names = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own = _under_one_name({name: value for name, value in names.items() if _is_of(module, value)})
    makers = (factories(own, source), _unused_classes(own, source))
    kinds = (_instances(names, source), *map(_ready, makers))
    first: Mapping[str, Any] = next(filter(None, kinds), {})
    if len(first) == 1:
        return next(iter(first))
    needy = {name: value for kind in makers for name, value in kind.items() if required(value)}
    every = {name: value for kind in (*kinds, needy) for name, value in kind.items()}
    if len(every) > 1:
        raise _several(every, names, place)
    for name, value in every.items():
        raise needs_arguments(value, f"{place}:{name}", names)
    raise _none([name for name, value in own.items() if isinstance(value, FunctionType)], names, place)


def _ready(makers: Makers) -> Makers:
    """Those that need no arguments. Losses are modules too: of several, classes without parameters are not meant."""
    ready = {name: value for name, value in makers.items() if not required(value)}
    holding = {name: value for name, value in ready.items() if _holds_parameters(value)} if len(ready) > 1 else {}
    return holding or ready


def _under_one_name(values: Mapping[str, Any]) -> Makers:
    """Leave out further names of one thing; the one that it was defined under stays."""
    first: dict[int, str] = {}
    for name, value in values.items():
        if first.setdefault(id(value), name) != name and getattr(value, "__name__", None) == name:
            first[id(value)] = name
    return {name: value for name, value in values.items() if first[id(value)] == name}


def _several(candidates: Mapping[str, Any], names: Mapping[str, object], place: str) -> TargetError:
    targets = [
        f"{place}:{name}" if isinstance(value, nn.Module) else example(value, f"{place}:{name}", names)
        for name, value in candidates.items()
    ]
    return TargetError(f"{place} has {len(candidates)} models, and one must be named", "one of:", targets)


def _none(functions: list[str], names: Mapping[str, Any], place: str) -> TargetError:
    """Models that other values keep are named, or functions that might make one, which are not run."""
    kept = [f"{place}:{name}{inside}" for name, value in names.items() for inside in models_inside(value)]
    targets = kept or [example(names[name], f"{place}:{name}", names) for name in functions[:3]]
    return TargetError(f"{place} defines no model", "name what makes it:", targets or [f"{place}:NAME"])


def _source(module: ModuleType) -> ast.Module:
    """The module's syntax tree; an empty one where there is no source to read."""
    try:
        return ast.parse(Path(inspect.getsourcefile(module) or "").read_bytes())
    except (OSError, TypeError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])


def _is_of(module: ModuleType, value: object) -> bool:
    """Whether it is defined in the module, or inside the package that the module is."""
    home = getattr(value, "__module__", None) or ""
    return home == module.__name__ or (hasattr(module, "__path__") and home.startswith(f"{module.__name__}."))


def _instances(names: Mapping[str, object], source: ast.Module) -> dict[str, nn.Module]:
    """The models that the module keeps, without those that are part of another."""
    imports = [node for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    held: dict[int, tuple[str, nn.Module]] = {}
    for name, value in names.items():
        if isinstance(value, nn.Module) and name not in imported and next(value.parameters(), None) is not None:
            held.setdefault(id(value), (name, value))
    parts = {id(part) for _, value in held.values() for part in value.modules() if part is not value}
    return {name: value for key, (name, value) in held.items() if key not in parts}


def _unused_classes(own: Mapping[str, object], source: ast.Module) -> Makers:
    """The classes of models that no other such class is made of."""
    classes = {name: value for name, value in own.items() if is_model_class(value) and not inspect.isabstract(value)}
    used = {
        name
        for node in source.body
        if isinstance(node, ast.ClassDef) and node.name in classes
        for name in _named_in(node)
        if name != node.name
    }
    return {name: value for name, value in classes.items() if name not in used} or classes


def _named_in(node: ast.AST) -> Iterator[str]:
    """The names in a class's body; those that it only compares types with are no parts of it."""
    match node:
        case ast.Name(id=name):
            yield name
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass")):
            return
    for child in ast.iter_child_nodes(node):
        yield from _named_in(child)


def _holds_parameters(value: Any) -> bool:  # noqa: ANN401
    """Whether an instance has any; a function is not called, and a class that raises says so when it is named."""
    if not isinstance(value, type):
        return True
    try:
        with warnings.catch_warnings(action="ignore"):
            return any(True for _ in value().parameters())
    except Exception:  # noqa: BLE001
        return True
