"""Reading what was asked for: a target of any form, its forward pass traced, a checkpoint seen through its model."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import DecayAuditError
from decay_audit.model.inventory import Inventory
from decay_audit.sources import target as targets
from decay_audit.sources.checkpoint import onto_model

if TYPE_CHECKING:
    from decay_audit.model.choices import Device
    from decay_audit.sources.module import BuiltModel

DEFAULT_RULES = "no-norm-no-bias"
AUTO = "auto"
"""A `--trace` that leaves it to the model to say what it eats."""


def quiet(_: str) -> None:
    """Report no progress."""


class Request(Struct, frozen=True, kw_only=True):
    """What to read and how to decide: the options of the command line, by the same names."""

    target: str
    rules: str = DEFAULT_RULES
    weight_decay: float | None = None
    device: "Device" = "auto"
    key: str | None = None
    model: str | None = None
    trace: str | None = None
    optimizer: str | None = None
    checkpoint: str | None = None
    measure: bool = False
    progress: Callable[[str], None] = quiet


class Loaded(Struct, frozen=True, kw_only=True, eq=False):
    """What was read from a target, and the built model where there is one."""

    inventory: Inventory
    built: "BuiltModel | None" = None


def load(request: Request) -> Loaded:
    """Read a target of any form.

    Raises:
        DecayAuditError: it cannot be found, loaded, built or traced, or holds no parameter.
    """
    spec = targets.parse(request.target)
    if isinstance(spec, targets.CheckpointTarget):
        return _checkpoint(spec, request)
    if request.model:
        raise DecayAuditError(f"{request.target} is a model itself", "--model goes with a checkpoint")
    request.progress("importing torch")
    from decay_audit.sources import module

    built = module.build(spec, device=request.device, progress=request.progress)
    inventory = built.inventory if request.trace is None else _traced(built, request)
    return _with_parameters(Loaded(inventory=inventory, built=built))


def _checkpoint(spec: targets.CheckpointTarget, request: Request) -> Loaded:
    from decay_audit.sources import checkpoint

    if request.trace is not None and not request.model:
        raise DecayAuditError("a checkpoint has no forward pass to trace", "name the model as well: --model TARGET")
    modelled = load(replace(request, target=request.model, model=None)) if request.model else None
    request.progress(f"reading {spec.label}")
    known = modelled.inventory if modelled else None
    saved = checkpoint.read(spec.path, target=spec.label, key=request.key, model=known)
    if modelled is None:
        return _with_parameters(Loaded(inventory=saved))
    return replace(modelled, inventory=onto_model.fit(saved, modelled.inventory))


def _traced(built: "BuiltModel", request: Request) -> Inventory:
    from decay_audit.sources import trace

    request.progress("tracing the forward pass")
    inputs = trace.make_example_inputs(built.model, None if request.trace == AUTO else request.trace, built.namespace)
    return trace.with_uses(built.inventory, trace.trace(built.model, inputs))


def _with_parameters(loaded: Loaded) -> Loaded:
    if not loaded.inventory.parameters:
        raise DecayAuditError(
            f"{loaded.inventory.target} has no parameters",
            "no input is a failure, not a pass: name a model that has some",
        )
    return loaded


def beside(loaded: Loaded) -> AbstractContextManager[None]:
    """Let code import what lies beside the target's, or in the current folder."""
    from decay_audit.sources import module

    return module.activate(module.context_of_namespace(loaded.built.namespace if loaded.built else {}))


def file_of(target: str) -> str:
    """Name the file of a target as a code host knows it: relative to the current folder; "" for what is not in it."""
    spec = targets.parse(target)
    if isinstance(spec, targets.ModuleTarget) or spec.path.is_dir():
        return ""
    path, here = spec.path.resolve(), Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else ""
