"""Choose the model of a module if the target names none: an instance, a factory or a class. No function is called."""

import ast
import inspect
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel

from decay_audit.errors import TargetError
from decay_audit.sources.module.example_calls import example_call, missing_arguments, required_parameters
from decay_audit.sources.module.find_factories import factories, is_model_class, returns_optimizer
from decay_audit.sources.module.to_module import models_inside

Callables = dict[str, Any]
"""Functions and classes by name. Each returns a model when it is called."""


def choose_model(module: ModuleType, location: str) -> str:
    """Give the name of the only model in the module.

    Instances come before factories, and factories before classes. Functions and classes that need arguments count only
    if there is nothing else.

    Args:
        location: how the user names the module, for the targets in a message.

    Raises:
        TargetError: there is no model, or there are several, or it needs arguments.
    """
    source = _source(module)
    names = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    defined = _without_aliases({name: value for name, value in names.items() if _is_defined_in(module, value)})
    callables = (factories(defined, source), _unused_classes(defined, source))
    by_kind = (_instances(names, source), *map(_callable_without_arguments, callables))
    chosen: Mapping[str, Any] = next(filter(None, by_kind), {})
    if len(chosen) == 1:
        return next(iter(chosen))
    others = {name: value for kind in callables for name, value in kind.items() if required_parameters(value)}
    candidates = {name: value for kind in (*by_kind, others) for name, value in kind.items()}
    if len(candidates) > 1:
        raise _several_models(candidates, names, location)
    for name, value in candidates.items():
        raise missing_arguments(value, f"{location}:{name}", names)
    functions = [
        name for name, value in defined.items() if isinstance(value, FunctionType) and not returns_optimizer(value)
    ]
    raise _no_model(functions, names, location)


def _callable_without_arguments(callables: Callables) -> Callables:
    """Keep the callables that need no arguments. If several do, drop classes without parameters, such as losses."""
    ready = {name: value for name, value in callables.items() if not required_parameters(value)}
    trainable = {name: value for name, value in ready.items() if _has_parameters(value)} if len(ready) > 1 else {}
    return trainable or ready


def _without_aliases(values: Mapping[str, Any]) -> Callables:
    """Give each value under one name: the name that it was defined with, if it has it here."""
    first: dict[int, str] = {}
    for name, value in values.items():
        if first.setdefault(id(value), name) != name and getattr(value, "__name__", None) == name:
            first[id(value)] = name
    return {name: value for name, value in values.items() if first[id(value)] == name}


def _several_models(candidates: Mapping[str, Any], names: Mapping[str, object], location: str) -> TargetError:
    targets = [
        f"{location}:{name}" if isinstance(value, nn.Module) else example_call(value, f"{location}:{name}", names)
        for name, value in candidates.items()
    ]
    return TargetError(f"{location} has {len(candidates)} models: name the one that you mean", "one of:", targets)


def _no_model(functions: list[str], names: Mapping[str, Any], location: str) -> TargetError:
    """Suggest models inside other values, or else functions: they may return a model, and were not called."""
    inside = [f"{location}:{name}{path}" for name, value in names.items() for path in models_inside(value)]
    targets = inside or [example_call(names[name], f"{location}:{name}", names) for name in functions[:3]]
    return TargetError(
        f"{location} defines no model", "name a model, or a function that returns one:", targets or [f"{location}:NAME"]
    )


def _source(module: ModuleType) -> ast.Module:
    """The module's syntax tree; an empty one where there is no source."""
    try:
        return ast.parse(Path(inspect.getsourcefile(module) or "").read_bytes())
    except (OSError, TypeError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])


def _is_defined_in(module: ModuleType, value: object) -> bool:
    """Whether a value is defined in the module, or in a submodule if it is a package."""
    defined_in = getattr(value, "__module__", None) or ""
    is_package = hasattr(module, "__path__")
    return defined_in == module.__name__ or (is_package and defined_in.startswith(f"{module.__name__}."))


def _instances(names: Mapping[str, object], source: ast.Module) -> dict[str, nn.Module]:
    """The models among the module's values, without imported models and submodules of other models."""
    imports = [node for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    models: dict[int, tuple[str, nn.Module]] = {}
    for name, value in names.items():
        if isinstance(value, nn.Module) and name not in imported and next(value.parameters(), None) is not None:
            models.setdefault(id(value), (name, value))
    submodules = {id(inner) for _, value in models.values() for inner in value.modules() if inner is not value}
    return _trained({name: value for key, (name, value) in models.items() if key not in submodules})


def _trained(models: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Leave out averaged and frozen copies, such as an EMA or a teacher, if another model is there."""
    trained = {
        name: value
        for name, value in models.items()
        if not isinstance(value, AveragedModel) and any(parameter.requires_grad for parameter in value.parameters())
    }
    return trained or models


def _unused_classes(defined: Mapping[str, object], source: ast.Module) -> Callables:
    """The classes of models that no other class of models uses for a submodule."""
    classes = {
        name: value for name, value in defined.items() if is_model_class(value) and not inspect.isabstract(value)
    }
    used = {
        name
        for node in source.body
        if isinstance(node, ast.ClassDef) and node.name in classes
        for name in _used_names(node)
        if name != node.name
    }
    return {name: value for name, value in classes.items() if name not in used} or classes


def _used_names(node: ast.AST) -> Iterator[str]:
    """The names in a class's body, without those in `isinstance` and `issubclass`: these are not submodules."""
    match node:
        case ast.Name(id=name):
            yield name
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass")):
            return
    for child in ast.iter_child_nodes(node):
        yield from _used_names(child)


def _has_parameters(value: Any) -> bool:  # noqa: ANN401
    """Make an instance of a class, and tell whether it has parameters. True for functions and classes that raise."""
    if not isinstance(value, type):
        return True
    try:
        with warnings.catch_warnings(action="ignore"):
            return any(True for _ in value().parameters())
    except Exception:  # noqa: BLE001
        return True
