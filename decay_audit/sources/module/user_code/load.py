"""Import the Python module that a target names."""

import ast
import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from decay_audit.errors import TargetError
from decay_audit.sources.module.user_code.import_context import ImportContext, package_root
from decay_audit.sources.module.user_code.stop_at_training import (
    TrainingStarted,
    models_and_optimizers,
    stop_at_training,
)
from decay_audit.sources.module.user_code.user_errors import location_in_user_code
from decay_audit.sources.module.user_code.user_file_loader import UserFileLoader, load_user_files
from decay_audit.sources.target import FileTarget, ModuleTarget, nearest


class LoadedModule(Struct, frozen=True, kw_only=True):
    """A module, and what the target asks for in it.

    Attributes:
        expression: what to evaluate in it; "" where the target names the module alone.
        stopped_at: the `file:line` where it starts to train, as a script does: its code ran up to there; else "".
    """

    module: ModuleType
    expression: str
    stopped_at: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Say where it was stopped."""
        return (stop_note("the script", self.stopped_at),) if self.stopped_at else ()


def stop_note(subject: str, location: str) -> str:
    """Say that code was stopped at a `file:line`."""
    return f"{subject} was stopped at {location}, where training starts: nothing has been trained"


def load(target: FileTarget | ModuleTarget, context: ImportContext) -> LoadedModule:
    """Import the module of a target, up to where it starts to train; a file is imported afresh each time.

    Args:
        context: the active one.

    Raises:
        TargetError: there is no such module, or it has no such attribute.
        Exception: whatever the user's code raises.
    """
    importlib.invalidate_caches()
    stops: list[TrainingStarted] = []
    with stop_at_training(), load_user_files(context.folders):
        if isinstance(target, FileTarget):
            module, expression = _load_file(target.path.resolve(), stops), target.expression
        elif target.expression:
            module, expression = _import(target.location, stops), target.expression
        else:
            module, expression = _resolve(target.location, stops)
    if not stops:
        return LoadedModule(module=module, expression=expression)
    for name, value in models_and_optimizers(stops[0], vars(module)).items():
        vars(module).setdefault(name, value)
    location = location_in_user_code(stops[0], context)
    return LoadedModule(module=module, expression=expression, stopped_at=location)


def _load_file(path: Path, stops: list[TrainingStarted]) -> ModuleType:
    root = package_root(path.parent)
    parts = path.relative_to(root).with_suffix("").parts
    if len(parts) > 1 and _imports_package(path, parts[0]):
        return _import_as_member(root, parts[:-1] if parts[-1] == "__init__" else parts, stops)
    name = re.sub(r"\W", "_", path.stem)
    while name in sys.modules:
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path, loader=UserFileLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise TargetError(f"Python cannot load {path.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except TrainingStarted as started:
        stops.append(started)
    return module


def _imports_package(path: Path, package: str) -> bool:
    """Whether a file imports from the package around it; if not, it may be a script that only lies in its folder."""
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        match node:
            case ast.ImportFrom(level=level, module=name) if level > 0 or _is_within(name or "", package):
                return True
            case ast.Import(names=aliases) if any(_is_within(alias.name, package) for alias in aliases):
                return True
    return False


def _is_within(name: str, package: str) -> bool:
    return name.partition(".")[0] == package


def _import_as_member(root: Path, parts: tuple[str, ...], stops: list[TrainingStarted]) -> ModuleType:
    """Import a file as a member of its package; first forget another package of the same name."""
    top = parts[0]
    if str(root / top) not in getattr(sys.modules.get(top), "__path__", ()):
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]
    return _import_module(".".join(parts), stops)


def _import_module(name: str, stops: list[TrainingStarted]) -> ModuleType:
    """Import a module; give it as it is where it starts to train."""
    try:
        return importlib.import_module(name)
    except TrainingStarted as started:
        stops.append(started)
        module = started.modules.get(name)
        if module is None:
            raise TargetError(f"importing `{name}` starts to train before it is reached") from started
        sys.modules[name] = module
        return module


def _import(name: str, stops: list[TrainingStarted]) -> ModuleType:
    try:
        return _import_module(name, stops)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise _missing_module(name, error.name) from error


def _resolve(dotted: str, stops: list[TrainingStarted]) -> tuple[ModuleType, str]:
    """Split `pkg.mod.NAME` into the module `pkg.mod` and the attribute `NAME`."""
    first, *rest = dotted.split(".")
    module = _import(first, stops)
    for index, part in enumerate(rest):
        value = getattr(module, part, None)
        if value is None and hasattr(module, "__path__"):
            value = _submodule(f"{module.__name__}.{part}", stops)
        if value is None:
            raise missing_name(module.__name__, part, dir(module))
        if not isinstance(value, ModuleType):
            return module, ".".join(rest[index:])
        module = value
    return module, ""


def _submodule(name: str, stops: list[TrainingStarted]) -> ModuleType | None:
    try:
        return _import_module(name, stops)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def missing_name(location: str, name: str, names: list[str]) -> TargetError:
    """Say that `location` has no such name, and which of its names is nearest."""
    near = nearest(name, (candidate for candidate in names if not candidate.startswith("_")))
    return TargetError(f"{location} has no `{name}`", f"did you mean `{near}`?" if near else "")


def _missing_module(name: str, missing: str) -> TargetError:
    near = nearest(missing, (module.name for module in pkgutil.iter_modules())) if "." not in missing else ""
    return TargetError(
        f"no file or module named `{name}`" if missing == name else f"no module named `{missing}`",
        f"did you mean `{near}`?"
        if near
        else "write a file with its .py; a module must be importable from the current folder",
    )
