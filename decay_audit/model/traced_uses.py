"""The uses of parameters in a traced forward pass, and functions that add them to an Inventory."""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.inventory import Inventory, LateParameter
from decay_audit.model.parameters import DOWNSTREAM_SLOTS, Use


class AutomaticTrace(Struct, frozen=True, kw_only=True):
    """The result of an automatic trace.

    Attributes:
        uses: the uses of parameters by their names in torch.
        made_in_forward: the shapes of trainable parameters that the pass made, by their names in torch.
        inputs: a phrase for guessed inputs of the pass; "" if the model declares its inputs.
        refusal: why the model was not traced at all; "" if a pass was tried.
        failure: why the pass ended early; "" if it ran to its end.
    """

    uses: Mapping[str, tuple[Use, ...]] = {}
    made_in_forward: Mapping[str, tuple[int, ...]] = {}
    inputs: str = ""
    refusal: str = ""
    failure: str = ""


def with_automatic_uses(
    inventory: Inventory, names: Collection[str], traced: AutomaticTrace, prefix: str = ""
) -> Inventory:
    """Add what a trace found to an inventory: the uses of some parameters, and the parameters that the pass made.

    Args:
        names: the canonical names of the parameters to which uses are added.
        traced: the trace of the model, or of one of its submodules.
        prefix: what the inventory puts before the raw names in the trace; "" for the whole model.
    """
    uses = {f"{prefix}{name}": parameter_uses for name, parameter_uses in traced.uses.items()}
    parameters = tuple(
        replace(parameter, uses=used, rests_at=rests_at(used))
        if parameter.name in names and (used := uses.get(parameter.raw_name, parameter.uses)) is not None
        else parameter
        for parameter in inventory.parameters
    )
    late = late_parameters(inventory, {f"{prefix}{name}": shape for name, shape in traced.made_in_forward.items()})
    return replace(inventory, parameters=parameters, made_in_forward=(*inventory.made_in_forward, *late))


def rests_at(uses: Iterable[Use]) -> float | None:
    """Find the value that the model uses where a parameter is 0; None if it is not known, or differs between uses."""
    values = {use.at_zero for use in uses if use.slot not in DOWNSTREAM_SLOTS}
    return values.pop() if len(values) == 1 else None


def late_parameters(inventory: Inventory, shapes: Mapping[str, tuple[int, ...]]) -> tuple[LateParameter, ...]:
    """Give the parameters that a pass made canonical names.

    Args:
        shapes: the shape of each of these parameters, by its name in torch.
    """
    owners = {
        parameter.raw_name.rpartition(".")[0]: parameter.name.rpartition(".")[0] for parameter in inventory.parameters
    }
    late = []
    for raw_name, shape in shapes.items():
        raw_owner, _, leaf = raw_name.rpartition(".")
        owner = owners.get(raw_owner, raw_owner)
        late.append(LateParameter(name=f"{owner}.{leaf}" if owner else leaf, shape=shape))
    return tuple(late)
