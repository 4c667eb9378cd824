"""Find further models whose parameters an optimizer holds, and add these parameters to the inventory.

An example is a loss with parameters of its own. The user names it by an expression or a class, and the names of its
parameters begin with that name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from msgspec.structs import replace
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Parameter
from decay_audit.sources.module.build import BuiltModel
from decay_audit.sources.module.make_optimizer import evaluate_expression
from decay_audit.sources.module.walk import names_by_tensor, read
from decay_audit.text import describe_value


def find_other(text: str, built: BuiltModel, made_with_optimizer: Sequence[nn.Module] = ()) -> nn.ModuleDict:
    """Find the modules that a text names; they are keyed by that name.

    Args:
        text: the class of a module that was made with the optimizer or is in the file of the model, or an expression
            in the form that `--optimizer` takes.
        made_with_optimizer: the modules that were made with the optimizer.

    Raises:
        TargetError: there is no such module, or the expression gives something else.
    """
    in_file = [value for value in built.namespace.values() if isinstance(value, nn.Module)]
    of_class = _of_class(text, made_with_optimizer) or _of_class(text, in_file)
    if of_class:
        return nn.ModuleDict({_key(text, index): module for index, module in enumerate(of_class)})
    with _keys_of_new_modules() as new:
        value = evaluate_expression(text, built)
    if isinstance(value, nn.Module) and id(value) in new:
        raise TargetError(
            f"--with {text} makes a new module: the optimizer was made before, and cannot hold its parameters",
            f"name a module that exists: by its class (--with {type(value).__name__}) or its variable",
        )
    if not isinstance(value, nn.Module):
        raise TargetError(
            f"--with {text} gives {describe_value(value)}, not a torch.nn.Module",
            "name a module, or the class of one that is made with the optimizer",
        )
    return nn.ModuleDict({_key(text.rpartition(":")[2].rpartition(".")[2], 0): value})


@contextmanager
def _keys_of_new_modules() -> Iterator[set[int]]:
    """Collect the ids of the modules that get parameters or submodules during the with-statement."""
    keys: set[int] = set()

    def note(module: nn.Module, name: str, value: nn.Parameter | nn.Module) -> None:  # noqa: ARG001
        keys.add(id(module))

    handles = (register_module_parameter_registration_hook(note), register_module_module_registration_hook(note))
    try:
        yield keys
    finally:
        for handle in handles:
            handle.remove()


def with_others(inventory: Inventory, model: nn.Module, others: Sequence[nn.ModuleDict]) -> Inventory:
    """Add the parameters of other models to an inventory. A parameter that the model shares keeps the model's name."""
    parameters: list[Parameter] = list(inventory.parameters)
    used_names = {parameter.name for parameter in parameters}
    known = set(names_by_tensor(model, inventory))
    for other in others:
        added = read(other)
        names = names_by_tensor(other, added)
        shared = {name for key, name in names.items() if key in known}
        parameters += [parameter for parameter in added.parameters if parameter.name not in shared | used_names]
        used_names |= {parameter.name for parameter in added.parameters}
        known |= set(names)
    return replace(inventory, parameters=tuple(parameters))


def names_of_all(model: nn.Module, inventory: Inventory, others: Sequence[nn.ModuleDict]) -> dict[int, str]:
    """Map the ids of the tensors of several models to the inventory's names; the first model's names win."""
    names: dict[int, str] = {}
    models: list[torch.nn.Module] = [model, *others]
    for candidate in reversed(models):
        names |= names_by_tensor(candidate, inventory)
    return names


def _of_class(name: str, modules: Sequence[nn.Module]) -> list[nn.Module]:
    """Return the modules of a class that are not submodules of another of these modules."""
    submodules = {id(child) for module in modules for child in module.modules() if child is not module}
    distinct = {id(module): module for module in modules}
    return [module for key, module in distinct.items() if type(module).__name__ == name and key not in submodules]


def _key(text: str, index: int) -> str:
    """A name without the characters that a ModuleDict refuses."""
    name = "".join(character if character.isalnum() else "_" for character in text).strip("_") or "other"
    return f"{name}_{index + 1}" if index else name
