"""Trace a model without --trace, to add the uses of uncertain parameters to its Inventory.

Unlike `--trace`, it reports no unused parameters and raises no error, because the user did not ask for a trace: why a
trace failed or was refused is part of the answer. Its budget is counted in operators and lines of code, so that the
same model gives the same answer on every machine.
"""

import contextlib
import io

from torch import nn

from decay_audit.errors import TargetError
from decay_audit.model.traced_uses import AutomaticTrace
from decay_audit.sources.trace.example_inputs import make_example_inputs
from decay_audit.sources.trace.limits import Limits
from decay_audit.sources.trace.run import Trace, trace

CALLS, CALLS_PER_PARAMETER = 2_000, 30
LINES, LINES_PER_PARAMETER = 1_000_000, 2_000
"""The budget: how many operators and lines of code a trace may run. So it takes about as long as building the model."""

_SHARDING_CLASSES = ("torch.distributed.", "deepspeed.", "fairscale.")


def trace_automatically(model: nn.Module, parameters: int) -> AutomaticTrace:
    """Trace the forward pass within a budget.

    Args:
        model: the model to be traced.
        parameters: the number of its parameters, on which the budget depends.
    """
    limits = Limits(calls=CALLS + CALLS_PER_PARAMETER * parameters, lines=LINES + LINES_PER_PARAMETER * parameters)
    try:
        if reason := _sharding(model):
            return AutomaticTrace(refusal=reason)
        with contextlib.redirect_stdout(io.StringIO()):  # each attempt would print again
            result = trace(model, make_example_inputs(model), limits)
    except TargetError as error:
        return AutomaticTrace(failure=error.message)
    except Exception as error:  # noqa: BLE001 - a model may raise anything; without a trace, classes and names decide
        return AutomaticTrace(failure=f"{type(error).__name__}: {error}")
    return AutomaticTrace(
        uses=result.uses,
        made_in_forward=result.made_in_forward,
        inputs=_note(result, "traced with "),
        failure=_note(result, "the trace is"),
    )


def _sharding(model: nn.Module) -> str:
    """Say how the parameters are sharded, so that the forward pass needs other processes; "" if they are not."""
    for module in model.modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            return "the model is sharded by FullyShardedDataParallel"
        for parameter in module.parameters(recurse=False):
            kinds = (f"{kind.__module__}.{kind.__name__}" for kind in type(parameter).__mro__)
            sharded = next((kind for kind in kinds if kind.startswith(_SHARDING_CLASSES)), None)
            if sharded is not None or hasattr(parameter, "ds_id"):
                return f"the parameters are sharded ({(sharded or 'DeepSpeed').rpartition('.')[2]})"
    return ""


def _note(result: Trace, beginning: str) -> str:
    """Return the first note with this beginning; `traced with ` itself is left out."""
    return next((note.removeprefix("traced with ") for note in result.notes if note.startswith(beginning)), "")
