"""Read the parameters of a live `nn.Module` as plain data.

    visit_modules     a model -> its parameters, in one pass: names without wrapper parts, owners, ties
    describe_module   one module -> class names, settings, what its no_weight_decay() returns, whether it is a wrapper
    describe_tensor   one tensor -> shape, dtype, attributes; its unsharded shape if FSDP1 has sharded it
    timm_layers       a timm model -> the layer number of each parameter

`read` makes an Inventory from what was visited; the other functions connect the names in it with the tensors.
"""

from collections.abc import Iterator

from msgspec.structs import replace
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.sources.module.walk.describe_tensor import whole_shapes
from decay_audit.sources.module.walk.visit_modules import MAX_VISITS, ModelContents, visit_modules
from decay_audit.text import count_noun, first_few

__all__ = ["names_by_tensor", "read", "tensors_by_name"]


def read(model: nn.Module, *, target: str = "model", built_on: str | None = None) -> Inventory:
    """Read the parameters of a model, in the order of `named_parameters()`, tied ones once.

    Args:
        target: what to call the model.
        built_on: the device on which decay-audit built the model; None if the user built it.

    Raises:
        TargetError: the model has no parameters.
    """
    contents = visit_modules(model)
    parameters = contents.parameters
    for key, names in contents.tied_names.items():
        parameters[key] = replace(parameters[key], tied_to=tuple(names))
    for key, shape in whole_shapes(model).items():
        if key in parameters:
            parameters[key] = replace(parameters[key], shape=shape)
    if not parameters:
        raise _no_parameters(target, contents)
    return Inventory(
        target=target, built_on=built_on, parameters=tuple(parameters.values()), notes=tuple(_notes(contents))
    )


def tensors_by_name(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return all parameters by raw name, also those that an overridden `named_parameters()` does not list."""
    return {**dict(nn.Module.named_parameters(model)), **dict(model.named_parameters())}


def names_by_tensor(model: nn.Module, inventory: Inventory) -> dict[int, str]:
    """Return, for the id of each tensor of a model, its canonical name in the inventory."""
    tensors = tensors_by_name(model)
    return {
        id(tensors[parameter.raw_name]): parameter.name
        for parameter in inventory.parameters
        if parameter.raw_name in tensors
    }


def _notes(contents: ModelContents) -> Iterator[str]:
    yield from contents.notes
    parameters, visits = contents.parameters, contents.visits
    if lazy := [parameter.name for parameter in parameters.values() if parameter.lazy]:
        yield f"{_list(lazy)}: lazy, without a shape before the first forward pass"
    if contents.overridden is not None and (hidden := parameters.keys() - contents.overridden.keys()):
        names = sorted(parameters[key].name for key in hidden)
        yield f"{_list(names)}: not listed by the model's own named_parameters()"
    if contents.quantized:
        yield f"{_list(contents.quantized)}: quantized weights are packed; no optimizer can update them"
    for name, modules in contents.unregistered:
        unseen = [
            module for module in modules if id(module) not in visits and next(module.parameters(), None) is not None
        ]
        if unseen:
            count = count_noun(len(unseen), "module")
            yield f"{name} holds {count} in a plain list or dict: torch does not register their parameters"
    if any(count > MAX_VISITS for count in visits.values()):
        yield f"some modules have more than {MAX_VISITS} names: not every tied name is listed"


def _list(names: list[str]) -> str:
    return first_few([name or "the model itself" for name in names], 3)


def _no_parameters(target: str, contents: ModelContents) -> TargetError:
    if contents.quantized:
        return TargetError(
            f"{target} has no parameters: the weights of {_list(contents.quantized)} are quantized and packed",
            "inspect the model before it is quantized",
        )
    return TargetError(f"{target} has no parameters", "there is nothing to decay: is this the whole model?")
