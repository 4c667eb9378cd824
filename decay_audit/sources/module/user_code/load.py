"""From a target to the Python module that it names, imported in its surroundings."""

import ast
import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

from decay_audit.errors import TargetError
from decay_audit.sources.module.user_code.import_context import package_root
from decay_audit.sources.target import FileTarget, ModuleTarget, nearest


def load(target: FileTarget | ModuleTarget) -> tuple[ModuleType, str]:
    """Import what the target names, afresh if it is a file.

    Returns:
        The module, and the expression to evaluate in it; "" where the target names the module alone.

    Raises:
        TargetError: there is no such module, or it has no such attribute.
        Exception: whatever the user's code raises.
    """
    importlib.invalidate_caches()
    if isinstance(target, FileTarget):
        return _load_file(target.path.resolve()), target.expression
    if target.expression:
        return _import(target.location), target.expression
    return _resolve(target.location)


def _load_file(path: Path) -> ModuleType:
    root = package_root(path.parent)
    parts = path.relative_to(root).with_suffix("").parts
    if len(parts) > 1 and _imports_its_package(path, parts[0]):
        return _import_inside(root, parts[:-1] if parts[-1] == "__init__" else parts)
    name = re.sub(r"\W", "_", path.stem)
    while name in sys.modules:
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"Python cannot load {path.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _imports_its_package(path: Path, package: str) -> bool:
    """Whether a file is written as a member of the package around it; it might as well be a script that lies there."""
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        match node:
            case ast.ImportFrom(level=level, module=name) if level > 0 or _is_within(name or "", package):
                return True
            case ast.Import(names=names) if any(_is_within(each.name, package) for each in names):
                return True
    return False


def _is_within(name: str, package: str) -> bool:
    return name.partition(".")[0] == package


def _import_inside(root: Path, parts: tuple[str, ...]) -> ModuleType:
    """Import a file as the member of its package; another package of that name stands aside meanwhile."""
    top = parts[0]
    if str(root / top) not in getattr(sys.modules.get(top), "__path__", ()):
        for each in [each for each in sys.modules if each == top or each.startswith(f"{top}.")]:
            del sys.modules[each]
    return importlib.import_module(".".join(parts))


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise _no_module(name, error.name) from error


def _resolve(dotted: str) -> tuple[ModuleType, str]:
    """Split `pkg.mod.NAME`: modules as far as they go, attributes after that."""
    first, *rest = dotted.split(".")
    module = _import(first)
    for index, part in enumerate(rest):
        value = getattr(module, part, None)
        if value is None and hasattr(module, "__path__"):
            value = _submodule(f"{module.__name__}.{part}")
        if value is None:
            raise no_attribute(module.__name__, part, dir(module))
        if not isinstance(value, ModuleType):
            return module, ".".join(rest[index:])
        module = value
    return module, ""


def _submodule(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def no_attribute(place: str, name: str, known: list[str]) -> TargetError:
    """Say that `place` has no such name, and which one is nearest."""
    near = nearest(name, (each for each in known if not each.startswith("_")))
    return TargetError(f"{place} has no `{name}`", f"did you mean `{near}`?" if near else "")


def _no_module(name: str, missing: str) -> TargetError:
    near = nearest(missing, (each.name for each in pkgutil.iter_modules())) if "." not in missing else ""
    return TargetError(
        f"there is neither a file nor a module `{name}`" if missing == name else f"there is no module `{missing}`",
        f"did you mean `{near}`?" if near else "a file is named with its .py; a module must be importable from here",
    )
