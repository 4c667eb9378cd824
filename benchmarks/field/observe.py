"""Observe a module: its parameters, their uses in traces, and their actions in a real pass, as a struct for a file."""

from msgspec import Struct
from torch import nn

from benchmarks.field.dataflow import parameter_actions
from benchmarks.field.inputs import accepted_inputs, as_trace_text
from benchmarks.zoo.readings import Reading, make_reading
from decay_audit import Inventory, read
from decay_audit.api.loading import uncertain_names
from decay_audit.model.parameters import Use
from decay_audit.sources.trace import make_example_inputs, trace, trace_automatically, with_uses


class ObservedModule(Struct, frozen=True, kw_only=True):
    """One module class that was built and run.

    Attributes:
        reading: its parameters, with the uses of a trace with the input.
        default_uses: by name, the uses of the automatic trace.
        actions: by name, the actions of the parameters in a real forward pass.
        trace: the input, as it is written for `--trace`.
    """

    reading: Reading
    default_uses: dict[str, tuple[Use, ...]]
    actions: dict[str, tuple[str, ...]]
    trace: str


def has_own_parameters(model: nn.Module) -> bool:
    """Whether a class outside torch.nn holds a parameter of its own."""
    return any(
        not parameter.owner.types[0].startswith("torch.nn.") for parameter in read(model, no_trace=True).parameters
    )


def observe(model: nn.Module) -> ObservedModule | None:
    """Run a module for real and traced; None if no real input was found."""
    args = accepted_inputs(model)
    if args is None:
        return None
    text = as_trace_text(args)
    actions = {
        name: tuple(sorted({item.action for item in items})) for name, items in parameter_actions(model, args).items()
    }
    inventory = read(model, no_trace=True)
    traced = with_uses(inventory, trace(model, make_example_inputs(model, text, {})))
    return ObservedModule(
        reading=make_reading(type(model).__qualname__, traced, {}),
        default_uses=_default_uses(model, inventory),
        actions=actions,
        trace=text,
    )


def _default_uses(model: nn.Module, inventory: Inventory) -> dict[str, tuple[Use, ...]]:
    names = uncertain_names(inventory)
    uses = trace_automatically(model, len(inventory.parameters)).uses if names else {}
    return {item.raw_name: uses[item.raw_name] for item in inventory.parameters
            if item.name in names and item.raw_name in uses}  # fmt: skip
