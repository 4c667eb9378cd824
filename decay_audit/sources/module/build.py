"""From a target to a built model: loaded, chosen, and made on the first of three stages that its code bears."""

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from decay_audit.errors import DecayAuditError, TargetError
from decay_audit.model.choices import Device
from decay_audit.model.inventory import Inventory
from decay_audit.sources.module.build_devices import STAGES, Stage
from decay_audit.sources.module.find_model import choose
from decay_audit.sources.module.to_module import model_from
from decay_audit.sources.module.user_code.evaluate import value_of
from decay_audit.sources.module.user_code.import_context import Home, Namespace, home, running
from decay_audit.sources.module.user_code.load import load
from decay_audit.sources.module.user_code.user_errors import FINAL, failure
from decay_audit.sources.module.walk import read
from decay_audit.sources.target import FileTarget, ModuleTarget

Say = Callable[[str], None]

_ORDER: dict[Device, tuple[Stage, ...]] = {
    "auto": ("meta", "streamed", "cpu"),
    "meta": ("meta",),
    "streamed": ("streamed",),
    "cpu": ("cpu",),
}


class Built(Struct, frozen=True, kw_only=True):
    """A model, what was read of it, and the names of its module for further expressions."""

    model: nn.Module
    inventory: Inventory
    namespace: Mapping[str, object]


def build(target: FileTarget | ModuleTarget, *, device: Device = "auto", progress: Say | None = None) -> Built:
    """Build the model that a target names, and read it.

    Args:
        device: how to build it; `auto` tries `meta`, then `streamed`, then `cpu`.
        progress: called with a few words as each stage starts.

    Raises:
        TargetError: it cannot be found, loaded, chosen or built, or has no parameters.
    """
    say, place = progress or (lambda _: None), home(target)
    notes: tuple[str, ...] = ()
    for stage in _ORDER[device]:
        try:
            return _attempt(target, stage, place, say, notes)
        except DecayAuditError:
            raise
        except (Exception, SystemExit) as error:
            if stage == _ORDER[device][-1] or isinstance(error, FINAL):
                raise _failed(error, target, device, place) from error
            notes = (f"built on the CPU, because its code needs real numbers: {failure(error, '', place).message}",)
    raise AssertionError(device)


def _attempt(target: FileTarget | ModuleTarget, stage: Stage, place: Home, say: Say, notes: tuple[str, ...]) -> Built:
    """Build on one stage; every attempt starts from a fresh load of the user's file."""
    loaded_on: Stage = "cpu" if stage == "cpu" else "streamed"
    place.modules.clear()
    say(f"loading {target.label}")
    with running(place):
        with STAGES[loaded_on]():
            module, expression = load(target)
            label = target.label
            if not expression:
                expression = choose(module, target.location)
                label = f"{label}:{expression}"
        namespace = Namespace(module, place)
        say(f"building {label} ({stage})")
        with STAGES[stage]():
            value = value_of(expression, namespace)
            model = model_from(value, f"{_module_of(target, expression)}:{expression}", namespace)
        built_on = loaded_on if model is value and _is_name(expression) else stage
        inventory = read(model, target=label, built_on=built_on)
    files = (target.path.name,) if isinstance(target, FileTarget) else ()
    inventory = replace(inventory, files=files, notes=(*inventory.notes, *(notes if stage == "cpu" else ())))
    return Built(model=model, inventory=inventory, namespace=namespace)


def _module_of(target: FileTarget | ModuleTarget, expression: str) -> str:
    """The part of a target before its colon; `pkg.mod.NAME` has none."""
    if target.expression or isinstance(target, FileTarget):
        return target.location
    return target.location.removesuffix(f".{expression}")


def _is_name(expression: str) -> bool:
    """A name, or a chain of them: what it stands for was there before."""
    return all(part.isidentifier() for part in expression.split("."))


def _failed(error: BaseException, target: FileTarget | ModuleTarget, device: Device, place: Home) -> TargetError:
    """Report the user's exception; where one way of building was forced, another may do."""
    told = failure(error, target.label, place)
    if device in ("meta", "streamed") and not isinstance(error, FINAL):
        return TargetError(told.message, f"not every constructor bears --device {device}; --device auto tries others")
    return told
