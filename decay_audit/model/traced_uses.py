"""The uses of parameters in a traced forward pass, and functions that add them to an Inventory."""

from collections.abc import Collection, Mapping

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.inventory import Inventory, LateParameter
from decay_audit.model.parameters import Use


class AutomaticTrace(Struct, frozen=True, kw_only=True):
    """The result of an automatic trace.

    Attributes:
        uses: the uses of parameters by their names in torch.
        made: the shapes of trainable parameters that the pass made, by their names in torch.
        inputs: a phrase for guessed inputs of the pass; "" if the model declares its inputs.
        refusal: why the model was not traced at all; "" if a pass was tried.
        failure: why the pass ended early; "" if it ran to its end.
    """

    uses: Mapping[str, tuple[Use, ...]] = {}
    made: Mapping[str, tuple[int, ...]] = {}
    inputs: str = ""
    refusal: str = ""
    failure: str = ""


def with_automatic_uses(
    inventory: Inventory, names: Collection[str], traced: AutomaticTrace, prefix: str = ""
) -> Inventory:
    """Add the uses of these parameters. Parameters that the pass made are added, too.

    Args:
        inventory: the inventory.
        names: the canonical names of the parameters that get uses.
        traced: the trace of the model, or of one of its submodules.
        prefix: what the inventory puts before the raw names in the trace; "" for the whole model.
    """
    uses = {f"{prefix}{name}": parameter_uses for name, parameter_uses in traced.uses.items()}
    parameters = tuple(
        replace(parameter, uses=uses.get(parameter.raw_name, parameter.uses)) if parameter.name in names else parameter
        for parameter in inventory.parameters
    )
    made = late_parameters(inventory, {f"{prefix}{name}": shape for name, shape in traced.made.items()})
    return replace(inventory, parameters=parameters, made_in_forward=(*inventory.made_in_forward, *made))


def late_parameters(inventory: Inventory, made: Mapping[str, tuple[int, ...]]) -> tuple[LateParameter, ...]:
    """List the parameters that a pass made; their names begin with the canonical name of their module."""
    owners = {
        parameter.raw_name.rpartition(".")[0]: parameter.name.rpartition(".")[0] for parameter in inventory.parameters
    }
    late = []
    for raw_name, shape in made.items():
        raw_owner, _, leaf = raw_name.rpartition(".")
        owner = owners.get(raw_owner, raw_owner)
        late.append(LateParameter(name=f"{owner}.{leaf}" if owner else leaf, shape=shape))
    return tuple(late)
