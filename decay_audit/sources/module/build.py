"""From a target to a built model: load its module, choose the model, and build it on the first device that works."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace
from torch import nn
from torch.optim import Optimizer

from decay_audit.errors import DecayAuditError, TargetError
from decay_audit.model.choices import Device
from decay_audit.model.inventory import Inventory
from decay_audit.sources.module.build_devices import BUILD_DEVICES, BuildDevice, DroppedValues
from decay_audit.sources.module.find_factories import is_training_function
from decay_audit.sources.module.find_model import choose_model
from decay_audit.sources.module.to_module import module_from
from decay_audit.sources.module.user_code.evaluate import evaluate_in
from decay_audit.sources.module.user_code.import_context import ImportContext, Namespace, activate, context_of_target
from decay_audit.sources.module.user_code.load import LoadedModule, failure_note, load, stop_note
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
        expression: the expression that was evaluated for the model.
        optimizers: the optimizers that its code had made when it started to train and was stopped, or when it raised.
    """

    model: nn.Module
    inventory: Inventory
    namespace: Mapping[str, object]
    build_notes: tuple[str, ...] = ()
    expression: str = ""
    optimizers: tuple[Optimizer, ...] = ()


def build(
    target: FileTarget | ModuleTarget, *, device: Device = "auto", progress: Progress | None = None
) -> BuiltModel:
    """Build the model that a target names, and read it.

    Args:
        device: how to build it; `auto` tries `meta`, then `streamed`, then `cpu`. With `auto`, a function that trains
            runs only once if possible, with real values.
        progress: called with a few words when a module is loaded and when a model is built.

    Raises:
        TargetError: the model cannot be found, loaded, chosen or built, or has no parameters.
    """
    announce, context = progress or (lambda _: None), context_of_target(target)
    notes: tuple[str, ...] = ()
    loaded: _LoadResult | None = None
    unloadable: set[BuildDevice] = set()
    devices = [*_BUILD_ORDER[device]]
    while devices:
        build_device = devices.pop(0)
        # "kept" is the CPU, where the first 2^28 elements keep their values: see build_devices
        load_device: BuildDevice = "cpu" if build_device == "cpu" else "kept" if device == "auto" else "streamed"
        if load_device in unloadable:
            continue
        try:
            if loaded is None or not loaded.module.stopped_at:  # no code of a script runs twice
                unloadable.add(load_device)  # removed again if the loading succeeds
                loaded = _load_on(load_device, target, context, announce, is_retried=device == "auto")
                unloadable.clear()
            if (
                device == "auto"
                and build_device != "cpu"
                and is_training_function(loaded.expression, vars(loaded.module.module))
            ):
                build_device, devices = "kept", ["cpu"]  # its code shall run once
            return _build_on(build_device, target, loaded, context, announce, notes)
        except DecayAuditError:
            raise
        except (Exception, SystemExit) as error:
            if not devices or isinstance(error, SAME_ON_EVERY_DEVICE):
                raise _build_error(error, target, device, context) from error
            reason = as_target_error(error, "", context).message
            notes = (f"built on the CPU, because its code needs real values: {reason}",)
    raise AssertionError(device)  # never reached: the last device returns or raises


@contextmanager
def _no_retry_if_values_are_complete(values: DroppedValues, label: str, context: ImportContext) -> Iterator[None]:
    """Turn an exception into a TargetError if every parameter has its values: another device would not help."""
    try:
        yield
    except DecayAuditError:
        raise
    except (Exception, SystemExit) as error:
        if values.dropped:
            raise
        raise as_target_error(error, label, context) from error


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
    with (
        activate(context),
        BUILD_DEVICES[device]() as values,
        _no_retry_if_values_are_complete(values, target.label, context),
    ):
        module = load(target, context, is_retried=lambda: is_retried and values.dropped)
        expression, label = module.expression, target.label
        if not expression:
            expression = choose_model(module.module, target.location)
            label = f"{label}:{expression}"
    return _LoadResult(module=module, expression=expression, label=label, device=_actual_device(device, values))


def _actual_device(device: BuildDevice, values: DroppedValues) -> BuildDevice:
    """Return the device to report. `kept` counts as `cpu` if no values were dropped, else as `streamed`."""
    if device != "kept":
        return device
    return "streamed" if values.dropped else "cpu"


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
    location = f"{_module_part(target, expression)}:{expression}"
    stopped: _StoppedCode | None = None
    with activate(context):
        with BUILD_DEVICES[device]() as values, _no_retry_if_values_are_complete(values, target.label, context):
            try:
                with stop_at_training() as optimizers:
                    value = evaluate_in(namespace, expression)
                    model = module_from(value, location, namespace)
            except DecayAuditError:
                raise
            except (Exception, SystemExit, TrainingStarted) as error:  # noqa: BLE001 - it is raised again if need be
                stopped = _stopped_code(error, optimizers, location, context, values)
                value = model = stopped.model
        was_loaded = model is value and _is_dotted_name(expression)
        built_on = loaded.device if was_loaded else _actual_device(device, values)
        inventory = read(model, target=label, built_on=built_on)
    files = (target.path.name,) if isinstance(target, FileTarget) else ()
    notes_on_device = notes if device == "cpu" and not loaded.module.error else ()
    build_notes = (*loaded.module.notes, *([stopped.note] if stopped else []), *notes_on_device)
    inventory = replace(inventory, files=files, notes=(*inventory.notes, *build_notes))
    for name, variable in stopped.variables.items() if stopped else ():
        namespace.setdefault(name, variable)
    return BuiltModel(
        model=model,
        inventory=inventory,
        namespace=namespace,
        build_notes=build_notes,
        expression=expression,
        optimizers=stopped.optimizers if stopped else (),
    )


class _StoppedCode(Struct, frozen=True, kw_only=True):
    """What code had made when it started to train, or when it raised, and a note that says so."""

    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    variables: Mapping[str, object]
    note: str


def _stopped_code(
    error: BaseException,
    optimizers: Sequence[Optimizer],
    location: str,
    context: ImportContext,
    values: DroppedValues,
) -> _StoppedCode:
    """Choose a model among the variables of code that was stopped: the one with the most optimized parameters.

    Raises:
        BaseException: the error itself, if it is the code's own and another device may help, or if the code had not
            made a model and its optimizer.
    """
    stop_location, starts_training = location_in_user_code(error, context), isinstance(error, TrainingStarted)
    if not starts_training and values.dropped and not isinstance(error, (OSError, *SAME_ON_EVERY_DEVICE)):
        raise error
    optimized = {id(tensor) for optimizer in optimizers for tensor in tensors(optimizer)}
    if not starts_training and not optimized:
        raise error
    variables = models_and_optimizers(error)
    models = [value for value in variables.values() if isinstance(value, nn.Module)]
    submodules = {id(inner) for model in models for inner in model.modules() if inner is not model}
    whole = [model for model in models if id(model) not in submodules and next(model.parameters(), None) is not None]
    counts = {id(model): sum(id(parameter) in optimized for parameter in model.parameters()) for model in whole}
    if not starts_training and not any(counts.values()):
        raise error
    if not whole:
        raise TargetError(
            f"{location} starts to train at {stop_location}, and holds no model there",
            "name a function that returns the model",
        ) from error
    note = stop_note(location, stop_location)
    if not starts_training:
        note = failure_note(location, as_target_error(error, location, context).message)
    return _StoppedCode(
        model=max(whole, key=lambda model: counts[id(model)]),
        optimizers=tuple(optimizers),
        variables=variables,
        note=note,
    )


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
    """Return the part of a target that names its module: `pkg.mod` of `pkg.mod:NAME` and of `pkg.mod.NAME`."""
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
