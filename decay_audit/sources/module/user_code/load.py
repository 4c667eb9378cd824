"""Import the Python module that a target names."""

import ast
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from traceback import walk_tb
from types import FrameType, ModuleType

from msgspec import Struct
from torch import nn
from torch.optim import Optimizer

from decay_audit.errors import TargetError
from decay_audit.sources.module.user_code.import_context import ImportContext, package_root
from decay_audit.sources.module.user_code.stop_at_training import (
    TrainingStarted,
    models_and_optimizers,
    stop_at_training,
    tensors,
)
from decay_audit.sources.module.user_code.user_errors import (
    SAME_ON_EVERY_DEVICE,
    as_target_error,
    location_in_user_code,
    missing_package_hint,
)
from decay_audit.sources.module.user_code.user_file_loader import UserFileLoader, load_user_files
from decay_audit.sources.target import FileTarget, ModuleTarget, nearest
from decay_audit.text import first_few

_SHOWN_NAMES = 8
"""How many names of a module a hint lists."""
_MODEL_MAKERS = ("create_model", "get_model")
"""Names of the function that makes a model by its name, in libraries that have a `list_models()`."""


class LoadedModule(Struct, frozen=True, kw_only=True):
    """A module, and the expression of the target that is evaluated in it.

    Attributes:
        expression: what to evaluate in it; "" where the target names the module alone.
        stopped_at: the `file:line` where its code was stopped because it starts to train, or where it raised an
            exception; "" if it ran to its end.
        error: the message of an exception that its code raised after it had made its model and optimizer; else "".
    """

    module: ModuleType
    expression: str
    stopped_at: str = ""
    error: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Say where the code was stopped, or which exception it raised."""
        if self.error:
            return (failure_note("the script", self.error),)
        return (stop_note("the script", self.stopped_at),) if self.stopped_at else ()


def stop_note(code: str, location: str) -> str:
    """Say that code was stopped at a `file:line`."""
    return f"{code} was stopped at {location}, where training starts: nothing has been trained"


def failure_note(code: str, message: str) -> str:
    """Say that code raised an exception after it had made its model and optimizer."""
    return f"{code} failed after it made its model and optimizer, which are used: {message}"


def load(
    target: FileTarget | ModuleTarget, context: ImportContext, *, is_retried: Callable[[], bool] = bool
) -> LoadedModule:
    """Import the module of a target, up to where it starts to train; a file is imported afresh each time.

    If a script raises after it has made its model and optimizer, they are in the returned module.

    Args:
        context: the active ImportContext.
        is_retried: tells whether the caller tries again on another device; then an exception that may depend on the
            device is raised, and the script's model so far is not used.

    Raises:
        TargetError: there is no such module, or it has no such attribute.
        Exception: whatever the user's code raises.
    """
    importlib.invalidate_caches()
    stops: list[TrainingStarted] = []
    with stop_at_training() as optimizers, load_user_files(context.folders):
        try:
            module, expression = _import_target(target, stops)
        except (Exception, SystemExit) as error:
            script = _failed_script(target, error, optimizers)
            if script is None or (is_retried() and not isinstance(error, (OSError, *SAME_ON_EVERY_DEVICE))):
                raise
            return LoadedModule(
                module=script,
                expression=target.expression,
                stopped_at=location_in_user_code(error, context),
                error=as_target_error(error, target.label, context).message,
            )
    if not stops:
        return LoadedModule(module=module, expression=expression)
    for name, value in models_and_optimizers(stops[0], vars(module)).items():
        vars(module).setdefault(name, value)
    location = location_in_user_code(stops[0], context)
    return LoadedModule(module=module, expression=expression, stopped_at=location)


def _import_target(target: FileTarget | ModuleTarget, stops: list[TrainingStarted]) -> tuple[ModuleType, str]:
    if isinstance(target, FileTarget):
        return _load_file(target.path.resolve(), stops), target.expression
    if target.expression:
        return _import(target.location, stops), target.expression
    return _resolve(target.location, stops)


def _failed_script(
    target: FileTarget | ModuleTarget, error: BaseException, optimizers: Sequence[Optimizer]
) -> ModuleType | None:
    """Give the script of a target as it was when it raised; None if it had not made a model and its optimizer."""
    script = next((frame for frame, _ in walk_tb(error.__traceback__) if _is_body_of(target, frame)), None)
    if script is None:
        return None
    name = script.f_globals["__name__"]
    module = sys.modules.get(name)
    if module is None or vars(module) is not script.f_globals:  # Python removes a module whose import fails
        module = ModuleType(name)
        vars(module).update(script.f_globals)
    for variable, value in models_and_optimizers(error, script.f_globals).items():
        vars(module).setdefault(variable, value)
    optimized = {id(tensor) for optimizer in optimizers for tensor in tensors(optimizer)}
    models = [value for value in vars(module).values() if isinstance(value, nn.Module)]
    if not any(id(parameter) in optimized for model in models for parameter in model.parameters()):
        return None
    sys.modules[name] = module
    return module


def _is_body_of(target: FileTarget | ModuleTarget, frame: FrameType) -> bool:
    """Whether a frame runs the body of the target's Python module, and not one of its functions."""
    if frame.f_code.co_name != "<module>":
        return False
    if isinstance(target, FileTarget):
        return Path(frame.f_code.co_filename) == target.path.resolve()
    return frame.f_globals.get("__name__") == target.location


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
    """Whether a file imports from its own package; if not, it may be a script that only lies in that folder."""
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
    """Import a Python module; if it starts to train, stop it and return it as it is at that moment."""
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
            raise missing_name(module.__name__, part, names_of(module))
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


def names_of(module: ModuleType) -> dict[str, object]:
    """List the names of a module with their values; a name that the module imports lazily has None."""
    return {**dict.fromkeys(dir(module)), **vars(module)}


def missing_name(location: str, name: str, names: Mapping[str, object]) -> TargetError:
    """Say that `location` has no such name, and which of its names is nearest, or which names it defines.

    A library of models may have them in a registry (`timm` has no `resnet50`, but `create_model('resnet50')`), or in a
    submodule: `torchvision` has no `resnet50`, but `torchvision.models` has.
    """
    message = f"{location} has no `{name}`"
    public = {key: value for key, value in names.items() if not key.startswith("_")}
    near, call = nearest(name, public), _registry_call(name, public)
    module_name = names.get("__name__")
    is_named_elsewhere = near.lower() == name.lower() or repr(name) in call
    if not is_named_elsewhere and (module := _submodule_with(name, str(module_name))):
        return TargetError(message, "did you mean this?", [f"{module}:{name}"])
    if near:
        return TargetError(message, f"did you mean `{near}`?")
    if call:
        return TargetError(message, "did you mean this?", [f"{location}:{call}"])
    defined = [
        key for key, value in public.items() if callable(value) and getattr(value, "__module__", None) == module_name
    ]
    return TargetError(message, f"it defines {first_few(defined, _SHOWN_NAMES)}" if defined else "")


def _submodule_with(name: str, package: str) -> str:
    """Find the imported module of a package that has a class or function of this name; the shortest path wins."""
    modules = [
        path
        for path, module in [*sys.modules.items()]
        if path.startswith(f"{package}.") and "._" not in path and _has(module, name)
    ]
    return min(modules, key=lambda path: (path.count("."), len(path), path), default="")


def _has(module: object, name: str) -> bool:
    return isinstance(module, ModuleType) and callable(vars(module).get(name))


def _registry_call(name: str, names: Mapping[str, object]) -> str:
    """Write the call that makes the registered model nearest to `name`; "" if the module has no registry of models."""
    list_models = names.get("list_models")
    maker = next((key for key in _MODEL_MAKERS if callable(names.get(key))), None)
    if not callable(list_models) or maker is None:
        return ""
    try:
        registered = [model for model in list_models() if isinstance(model, str)]
    except Exception:  # noqa: BLE001 - code of the library; without its list, there is no suggestion
        return ""
    near = nearest(name, registered)
    return f"{maker}({near!r})" if near else ""


def _missing_module(name: str, missing: str) -> TargetError:
    near = nearest(missing, (module.name for module in pkgutil.iter_modules())) if "." not in missing else ""
    return TargetError(
        f"no file or module named `{name}`" if missing == name else f"no module named `{missing}`",
        f"did you mean `{near}`?" if near else f"write a file with its .py; {missing_package_hint(missing)}",
    )
