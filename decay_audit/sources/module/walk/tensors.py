"""The live tensors of a model by the names that reading gives them, and those names by tensor."""

from torch import nn

from decay_audit.model.inventory import Inventory


def tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """Give each parameter by its raw name, those too that the model's own `named_parameters()` leaves out."""
    return {**dict(nn.Module.named_parameters(model)), **dict(model.named_parameters())}


def names(model: nn.Module, inventory: Inventory) -> dict[int, str]:
    """Give the canonical names of an inventory by the ids of the tensors of a model that it fits."""
    live = tensors(model)
    return {id(live[one.raw_name]): one.name for one in inventory.parameters if one.raw_name in live}
