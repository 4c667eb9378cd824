"""Trace a model without --trace, to add the uses of uncertain parameters to its Inventory.

Unlike `--trace`, it reports no unused parameters and no failures, because the user did not ask for a trace. Its budget
is counted in operators, so that the same model gives the same answer on every machine.
"""

import contextlib
import io
from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.sources.trace.example_inputs import make_example_inputs
from decay_audit.sources.trace.run import Trace, late_parameters, trace

CALLS, CALLS_PER_PARAMETER = 2_000, 30
"""The budget: how many operators the trace may call. So it takes about as long as building the model."""


class AutomaticTrace(Struct, frozen=True, kw_only=True):
    """The result of an automatic trace.

    Attributes:
        inventory: the inventory with the uses of the requested parameters.
        inputs: a phrase for guessed inputs of the pass; "" if the model declares its inputs.
        failure: why there is no trace, or why it ended early; "" if it ran to its end.
    """

    inventory: Inventory
    inputs: str = ""
    failure: str = ""


def trace_automatically(model: nn.Module, inventory: Inventory, names: Collection[str]) -> AutomaticTrace:
    """Trace the forward pass within a budget, and add the uses of these parameters, by their canonical names."""
    budget = CALLS + CALLS_PER_PARAMETER * len(inventory.parameters)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # each attempt would print again
            result = trace(model, make_example_inputs(model), max_calls=budget)
    except TargetError as error:
        return AutomaticTrace(inventory=inventory, failure=error.message)
    except Exception as error:  # noqa: BLE001 - a model may do anything; without a trace, structure still answers
        return AutomaticTrace(inventory=inventory, failure=f"{type(error).__name__}: {error}")
    parameters = tuple(
        replace(parameter, uses=result.uses.get(parameter.raw_name)) if parameter.name in names else parameter
        for parameter in inventory.parameters
    )
    traced = replace(inventory, parameters=parameters, made_in_forward=late_parameters(inventory, result))
    return AutomaticTrace(inventory=traced, inputs=_note(result, "traced with "), failure=_note(result, "the trace is"))


def _note(result: Trace, beginning: str) -> str:
    return next((note.removeprefix("traced with ") for note in result.notes if note.startswith(beginning)), "")
