"""From a target to a built model: load its module, choose the model, and build it on the first device that works."""

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from decay_audit.errors import DecayAuditError, TargetError
from decay_audit.model.choices import Device
from decay_audit.model.inventory import Inventory
from decay_audit.sources.module.build_devices import BUILD_DEVICES, BuildDevice
from decay_audit.sources.module.find_model import choose_model
from decay_audit.sources.module.to_module import module_from
from decay_audit.sources.module.user_code.evaluate import evaluate_in
from decay_audit.sources.module.user_code.import_context import ImportContext, Namespace, activate, context_of_target
from decay_audit.sources.module.user_code.load import LoadedModule, load, stop_note
from decay_audit.sources.module.user_code.stop_at_training import (
    TrainingStarted,
    models_and_optimizers,
    stop_at_training,
)
from decay_audit.sources.module.user_code.user_errors import (
    SAME_ON_EVERY_DEVICE,
    as_target_error,
    location_in_user_code,
)
from decay_audit.sources.module.walk import read
from decay_audit.sources.target import FileTarget, ModuleTarget

Progress = Callable[[str], None]

_BUILD_ORDER: dict[Device, tuple[BuildDevice, ...]] = {
    "auto": ("meta", "streamed", "cpu"),
    "meta": ("meta",),
    "streamed": ("streamed",),
    "cpu": ("cpu",),
}


class BuiltModel(Struct, frozen=True, kw_only=True):
    """A model and its inventory.

    Attributes:
        namespace: the names of the model's Python module, for further expressions.
        build_notes: the notes of the inventory that say how the model was built.
    """

    model: nn.Module
    inventory: Inventory
    namespace: Mapping[str, object]
    build_notes: tuple[str, ...] = ()


def build(
    target: FileTarget | ModuleTarget, *, device: Device = "auto", progress: Progress | None = None
) -> BuiltModel:
    """Build the model that a target names, and read it.

    Args:
        device: how to build it; `auto` tries `meta`, then `streamed`, then `cpu`.
        progress: called with a few words when a module is loaded and when a model is built.

    Raises:
        TargetError: the model cannot be found, loaded, chosen or built, or has no parameters.
    """
    announce, context = progress or (lambda _: None), context_of_target(target)
    notes: tuple[str, ...] = ()
    loaded: _LoadResult | None = None
    unloadable: set[BuildDevice] = set()
    for build_device in _BUILD_ORDER[device]:
        load_device: BuildDevice = "cpu" if build_device == "cpu" else "streamed"
        if load_device in unloadable:
            continue
        try:
            if loaded is None or not loaded.module.stopped_at:  # no code of a script runs twice
                unloadable.add(load_device)
                is_retried = device == "auto" and load_device == "streamed"
                loaded = _load_on(load_device, target, context, announce, is_retried=is_retried)
                unloadable.clear()
            return _build_on(build_device, target, loaded, context, announce, notes)
        except DecayAuditError:
            raise
        except (Exception, SystemExit) as error:
            if build_device == _BUILD_ORDER[device][-1] or isinstance(error, SAME_ON_EVERY_DEVICE):
                raise _build_error(error, target, device, context) from error
            reason = as_target_error(error, "", context).message
            notes = (f"built on the CPU, because its code needs real values: {reason}",)
    raise AssertionError(device)


class _LoadResult(Struct, frozen=True, kw_only=True):
    """A loaded module, the expression for its model, the target with that expression, and the device of the loading."""

    module: LoadedModule
    expression: str
    label: str
    device: BuildDevice


def _load_on(
    device: BuildDevice,
    target: FileTarget | ModuleTarget,
    context: ImportContext,
    announce: Progress,
    *,
    is_retried: bool,
) -> _LoadResult:
    """Load the user's file afresh, and choose its model."""
    context.modules.clear()
    announce(f"loading {target.label}")
    with activate(context), BUILD_DEVICES[device]():
        module = load(target, context, is_retried=is_retried)
        expression, label = module.expression, target.label
        if not expression:
            expression = choose_model(module.module, target.location)
            label = f"{label}:{expression}"
    return _LoadResult(module=module, expression=expression, label=label, device=device)


def _build_on(
    device: BuildDevice,
    target: FileTarget | ModuleTarget,
    loaded: _LoadResult,
    context: ImportContext,
    announce: Progress,
    notes: tuple[str, ...],
) -> BuiltModel:
    namespace, expression, label = Namespace(loaded.module.module, context), loaded.expression, loaded.label
    announce(f"building {label} ({device})")
    with activate(context):
        with BUILD_DEVICES[device]():
            location = f"{_module_part(target, expression)}:{expression}"
            try:
                with stop_at_training():
                    value = evaluate_in(namespace, expression)
                    model = module_from(value, location, namespace)
                notes_on_stop: tuple[str, ...] = ()
            except TrainingStarted as started:
                value = model = _model_in_training(started, location, context)
                notes_on_stop = (stop_note(location, location_in_user_code(started, context)),)
        was_loaded = model is value and _is_dotted_name(expression)
        inventory = read(model, target=label, built_on=loaded.device if was_loaded else device)
    files = (target.path.name,) if isinstance(target, FileTarget) else ()
    notes_on_device = notes if device == "cpu" and not loaded.module.error else ()
    build_notes = (*loaded.module.notes, *notes_on_stop, *notes_on_device)
    inventory = replace(inventory, files=files, notes=(*inventory.notes, *build_notes))
    return BuiltModel(model=model, inventory=inventory, namespace=namespace, build_notes=build_notes)


def _model_in_training(started: TrainingStarted, location: str, context: ImportContext) -> nn.Module:
    """Choose a model among the variables of code that starts to train: the one with the most optimized parameters."""
    optimized = {
        id(tensor) for optimizer in started.optimizers for group in optimizer.param_groups for tensor in group["params"]
    }
    models = [value for value in models_and_optimizers(started).values() if isinstance(value, nn.Module)]
    parts = {id(part) for model in models for part in model.modules() if part is not model}
    whole = [model for model in models if id(model) not in parts and next(model.parameters(), None) is not None]
    if not whole:
        raise TargetError(
            f"{location} starts to train at {location_in_user_code(started, context)}, and holds no model there",
            "name a function that returns the model",
        ) from started
    return max(whole, key=lambda model: sum(id(parameter) in optimized for parameter in model.parameters()))


def read_again(built: BuiltModel, model: nn.Module, notes: tuple[str, ...] = ()) -> BuiltModel:
    """Read a model once more, after code has changed it.

    Args:
        model: the built model, or the model that replaced it.
        notes: how code changed it.

    Raises:
        TargetError: the model has no parameters any more.
    """
    before, build_notes = built.inventory, (*built.build_notes, *notes)
    current = read(model, target=before.target, built_on=before.built_on)
    inventory = replace(current, files=before.files, notes=(*current.notes, *build_notes))
    return replace(built, model=model, inventory=inventory, build_notes=build_notes)


def _module_part(target: FileTarget | ModuleTarget, expression: str) -> str:
    """The part of a target before its colon; `pkg.mod.NAME` has no colon."""
    if target.expression or isinstance(target, FileTarget):
        return target.location
    return target.location.removesuffix(f".{expression}")


def _is_dotted_name(expression: str) -> bool:
    """Whether an expression is `NAME` or `NAME.NAME`: its value was made when the module was loaded."""
    return all(part.isidentifier() for part in expression.split("."))


def _build_error(
    error: BaseException, target: FileTarget | ModuleTarget, device: Device, context: ImportContext
) -> TargetError:
    """Describe the user's exception; where the user chose the device, suggest to try all of them."""
    described = as_target_error(error, target.label, context)
    if device in ("meta", "streamed") and not isinstance(error, SAME_ON_EVERY_DEVICE):
        return TargetError(
            described.message, f"--device {device} does not suit every model: --device auto also tries the others"
        )
    return described
