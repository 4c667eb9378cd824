"""Evaluate an expression that makes optimizers, then read the model, which the expression may change or replace."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Device

if TYPE_CHECKING:
    from torch import nn

    from decay_audit.optimizers.find import NamedOptimizers
    from decay_audit.optimizers.watch_construction import ConstructionLog
    from decay_audit.sources.module import BuiltModel

Build = Callable[[Device], "BuiltModel"]
"""A function that builds a new model on a device."""


class MadeOptimizers(Struct, frozen=True, kw_only=True, eq=False):
    """The optimizers, the model as it was after they were made, and what was recorded while they were made.

    Attributes:
        parameters_before: the parameters that the model had before the optimizers were made, by name.
        modules: modules that were created with the optimizers, such as a loss; their tensors may be in the optimizers.
    """

    built: "BuiltModel"
    optimizers: "NamedOptimizers"
    log: "ConstructionLog"
    parameters_before: "Mapping[str, nn.Parameter]"
    modules: "tuple[nn.Module, ...]"


def make_optimizers(expression: str, build: Build, device: Device, progress: Callable[[str], None]) -> MadeOptimizers:
    """Build the model, make its optimizers, and read the model as it is afterwards.

    Code that needs the values of tensors gets a model that is built on the CPU.

    Args:
        expression: the Python expression that makes the optimizer.
        build: builds a new model on a device.
        device: the device to build on; with `auto`, the model may be built again on the CPU.
        progress: called with a message when a step begins.

    Raises:
        DecayAuditError: the model cannot be built, or the expression cannot be evaluated or makes no optimizer.
    """
    from decay_audit.optimizers import watch_construction

    with watch_construction.watch() as log:
        built = build(device)
        progress("making the optimizer")
        try:
            return _make(expression, built, log)
        except DecayAuditError as error:
            # Only an error about meta tensors is a reason to build again: the values are missing on that device.
            if built.inventory.built_on == "cpu" or device != "auto" or "meta" not in str(error.__cause__):
                raise
        progress("building on the CPU: the optimizer needs the values of tensors")
        return _make(expression, build("cpu"), log)


def _make(expression: str, built: "BuiltModel", log: "ConstructionLog") -> MadeOptimizers:
    from decay_audit.optimizers import find, foreign
    from decay_audit.sources import module

    before = module.tensors_by_name(built.model)
    with foreign.keep_modules() as modules:
        result = module.evaluate_optimizer(expression, built)
    optimizers = find.find(result.value, source=result.source)
    trained = _trained_model(result.value, built.model, optimizers)
    notes = result.notes
    if trained is not built.model:  # the source is a beginning of a sentence: "train.py:make(model) returned"
        notes = (*notes, f"{result.source} the optimizer and another model; the other model is audited")
    return MadeOptimizers(
        built=module.read_again(built, trained, notes),
        optimizers=optimizers,
        log=log,
        parameters_before=before,
        modules=tuple(modules),
    )


def _trained_model(value: object, model: "nn.Module", optimizers: "NamedOptimizers") -> "nn.Module":
    """Choose, from the model and the modules in the value, the one with the most parameters in the optimizers."""
    from decay_audit.sources import module

    optimized = {
        id(tensor) for _, optimizer in optimizers for group in optimizer.param_groups for tensor in group["params"]
    }
    return max(
        (model, *module.modules_in(value)),
        key=lambda candidate: sum(id(parameter) in optimized for parameter in candidate.parameters()),
    )
