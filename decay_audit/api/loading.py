"""Read what a Request names: a live model, or a target of any form, with its forward pass traced."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from decay_audit import roles
from decay_audit.api import making
from decay_audit.api.options import AUTO
from decay_audit.api.request import Request
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Device
from decay_audit.model.inventory import Inventory
from decay_audit.model.traced_uses import AutomaticTrace, with_automatic_uses
from decay_audit.sources import target as targets
from decay_audit.sources.checkpoint import onto_model
from decay_audit.text import count_noun

if TYPE_CHECKING:
    from torch import nn

    from decay_audit.api.making import MadeOptimizers
    from decay_audit.sources.module import BuiltModel


class LoadedTarget(Struct, frozen=True, kw_only=True, eq=False):
    """The inventory of a target, and the objects that were made to read it.

    Attributes:
        built: the model that was built for the target; None for a checkpoint and a live model.
        made_optimizers: its optimizers, if the request has an expression for them. The model is read after they were
            made.
        other_models: the models of `--with`, whose parameters are in the inventory, too.
    """

    inventory: Inventory
    built: "BuiltModel | None" = None
    made_optimizers: "MadeOptimizers | None" = None
    other_models: "tuple[nn.ModuleDict, ...]" = ()

    @property
    def of_other_models(self) -> frozenset[str]:
        """The names of those parameters in the inventory that belong to other models."""
        if self.built is None or not self.other_models:
            return frozenset()
        of_model = {parameter.name for parameter in self.built.inventory.parameters}
        return frozenset(parameter.name for parameter in self.inventory.parameters if parameter.name not in of_model)


def load(request: Request) -> LoadedTarget:
    """Read the live model or the target of a request, and measure its scale invariance if the request asks for it.

    Raises:
        DecayAuditError: the model cannot be found, loaded, built or traced, has no parameters, or its optimizer cannot
            be made.
    """
    loaded = _load(request)
    return loaded if request.invariance is None else _with_scaling(loaded, request)


def _load(request: Request) -> LoadedTarget:
    if request.live is not None:
        from decay_audit.sources import module

        model = module.require_module(request.live.model)
        inventory = module.read(model)
        return LoadedTarget(inventory=inventory if request.no_trace else trace_uncertain(model, inventory))
    spec = targets.parse(request.target, use_cache=not request.no_cache)
    if isinstance(spec, targets.CheckpointTarget):
        return _load_checkpoint(spec, request)
    if request.model:
        raise DecayAuditError(f"{request.target} is a model itself", "--model is for a TARGET that is a checkpoint")
    request.progress("importing torch")
    from decay_audit.sources import module

    def build(device: Device) -> "BuiltModel":
        return module.build(spec, device=device, progress=request.progress)

    made_optimizers = None
    if request.optimizer is not None:
        made_optimizers = making.make_optimizers(request.optimizer, build, request.device, request.progress)
    built = made_optimizers.built if made_optimizers is not None else build(request.device)
    others = tuple(
        module.find_other(text, built, made_optimizers.modules if made_optimizers else ()) for text in request.with_
    )
    inventory = module.with_others(_inventory_with_uses(built, request), built.model, others)
    if others and not request.no_trace:
        with module.activate(module.context_of_namespace(built.namespace)):
            inventory = _trace_others(inventory, others)
    return _require_parameters(
        LoadedTarget(inventory=inventory, built=built, made_optimizers=made_optimizers, other_models=others)
    )


def loading_key(request: Request) -> object:
    """Make a key of the options that `load` reads: requests with equal keys may share its result."""
    live = request.live and (id(request.live.model), id(request.live.optimizer))  # models cannot be compared by value
    traced = (request.trace, request.no_trace, request.invariance)
    return (request.target, live, request.optimizer, request.device, request.key, request.model, traced, request.with_)


def _load_checkpoint(spec: targets.CheckpointTarget, request: Request) -> LoadedTarget:
    from decay_audit.sources import checkpoint

    if request.trace is not None and not request.model:
        raise DecayAuditError("a checkpoint has no forward pass to trace", "name its model as well: --model TARGET")
    model = _load(replace(request, target=request.model, model=None)) if request.model else None
    request.progress(f"reading {spec.label}")
    model_inventory = model.inventory if model else None
    saved = checkpoint.read(spec.path, target=spec.label, key=request.key, model=model_inventory)
    if model is None:
        return _require_parameters(LoadedTarget(inventory=saved))
    return replace(model, inventory=onto_model.fit(saved, model.inventory))


def _with_scaling(loaded: LoadedTarget, request: Request) -> LoadedTarget:
    """Measure what the output does when a parameter is multiplied by 2."""
    if loaded.built is None and request.live is None:
        raise DecayAuditError("a checkpoint has no forward pass to run", "name its model as well: --model TARGET")
    from decay_audit.sources import invariance, module, trace

    text = request.invariance if request.invariance != AUTO else request.trace
    built = loaded.built
    model = built.model if built else module.require_module(request.live.model if request.live else None)
    namespace = built.namespace if built else {}
    request.progress("measuring scale invariance")
    with module.activate(module.context_of_namespace(namespace)):
        inputs = trace.make_example_inputs(model, None if text == AUTO else text, namespace)
        measured = invariance.measure(model, inputs)
    if measured.lacks_values and built is not None and request.device == "auto":
        request.progress("building on the CPU: the forward pass needs the values of buffers")
        target = request.model or request.target
        streamed = replace(request, target=target, model=None, device="streamed", no_trace=True, trace=None, with_=())
        rebuilt = _load(streamed).built
        if rebuilt is not None:
            with module.activate(module.context_of_namespace(rebuilt.namespace)):
                measured = invariance.measure(rebuilt.model, inputs)
    return replace(loaded, inventory=invariance.with_scaling(loaded.inventory, measured))


def _inventory_with_uses(built: "BuiltModel", request: Request) -> Inventory:
    """Trace how parameters are used: all of them with `--trace`, else only those whose role is uncertain."""
    if request.no_trace:
        return built.inventory
    from decay_audit.sources import module, trace

    request.progress("tracing the forward pass")
    with module.activate(module.context_of_namespace(built.namespace)):
        if request.trace is None:
            return trace_uncertain(built.model, built.inventory)
        text = None if request.trace == AUTO else request.trace
        inputs = trace.make_example_inputs(built.model, text, built.namespace)
        return trace.with_uses(built.inventory, trace.trace(built.model, inputs))


def trace_uncertain(model: "nn.Module", inventory: Inventory) -> Inventory:
    """If the role of a parameter is not certain, trace the model, and add what the trace found to the inventory."""
    names = uncertain_names(inventory)
    if not names:
        return inventory
    from decay_audit.sources import trace

    return add_uses(inventory, names, trace.trace_automatically(model, len(inventory.parameters)))


def traced_data(model: "nn.Module") -> dict[str, Any]:
    """Trace a model of a running script. The result is an AutomaticTrace as plain data; {} if every role is certain."""
    from decay_audit.sources import module, trace

    inventory = module.read(model)
    if not uncertain_names(inventory):
        return {}
    data: dict[str, Any] = to_builtins(trace.trace_automatically(model, len(inventory.parameters)))
    return data


def uncertain_names(inventory: Inventory) -> frozenset[str]:
    """Name the parameters whose classes and names leave the role uncertain."""
    classified = roles.classify(inventory.parameters)
    return frozenset(item.parameter.name for item in classified if item.confidence != "certain")


def add_uses(inventory: Inventory, names: frozenset[str], traced: AutomaticTrace, prefix: str = "") -> Inventory:
    """Add what an automatic trace found, and a note on how many roles it changed, or on why nothing was traced.

    Args:
        names: the parameters whose role is uncertain.
        prefix: what the inventory puts before the traced model's own names.
    """
    with_uses = with_automatic_uses(inventory, names, traced, prefix)
    before, after = roles.classify(inventory.parameters), roles.classify(with_uses.parameters)
    changed = sum(old.role != new.role for old, new in zip(before, after, strict=True))
    if not changed:
        notes = [f"not traced: {traced.refusal}; roles come from classes and names"] if traced.refusal else []
        return replace(with_uses, notes=(*inventory.notes, *notes))
    inputs = f" with {traced.inputs}" if traced.inputs else ""
    failure = f"; {traced.failure}" if traced.failure else ""
    roles_text = f"roles of {count_noun(changed, 'parameter')} come from a traced forward pass"
    note = f"{roles_text}{inputs}{failure}; --no-trace (in Python: no_trace=True) turns this off"
    return replace(with_uses, notes=(*inventory.notes, note))


def _trace_others(inventory: Inventory, others: "tuple[nn.ModuleDict, ...]") -> Inventory:
    """Trace the modules that are audited with the model."""
    from decay_audit.sources import module, trace

    for name, other in ((name, other) for modules in others for name, other in modules.items()):
        names = uncertain_names(inventory) & {f"{name}.{parameter.name}" for parameter in module.read(other).parameters}
        if names:
            traced = trace.trace_automatically(other, len(inventory.parameters))
            inventory = add_uses(inventory, names, traced, f"{name}.")
    return inventory


def _require_parameters(loaded: LoadedTarget) -> LoadedTarget:
    if not loaded.inventory.parameters:
        raise DecayAuditError(
            f"{loaded.inventory.target} has no parameters",
            "weight decay has nothing to act on: name a model that has parameters",
        )
    return loaded


def import_context(loaded: LoadedTarget) -> AbstractContextManager[None]:
    """Make a context in which code can import what the target's code can import.

    If no model was built, code can import what is in the current folder.
    """
    from decay_audit.sources import module

    return module.activate(module.context_of_namespace(loaded.built.namespace if loaded.built else {}))
