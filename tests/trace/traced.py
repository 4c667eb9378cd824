"""From a model to what its trace shows, in one call: uses, slots, roles."""

from typing import Any

import torch
from torch import nn

from decay_audit import read
from decay_audit.model.parameters import Parameter
from decay_audit.roles import by_usage
from decay_audit.sources.trace import ExampleInputs, Trace, trace, with_uses
from decay_audit.sources.trace.limits import Limits


def traced(model: nn.Module, *args: Any, limits: Limits | None = None, **kwargs: Any) -> Trace:
    """Trace a model on these arguments; a tuple of sizes stands for a tensor."""
    tensors = tuple(torch.empty(arg) if isinstance(arg, tuple) else arg for arg in args)
    return trace(model, ExampleInputs(args=tensors, kwargs=kwargs), limits)


def parameters(model: nn.Module, *args: Any, **kwargs: Any) -> tuple[Parameter, ...]:
    """Read a model's parameters with their uses."""
    return with_uses(read(model, no_trace=True), traced(model, *args, **kwargs)).parameters


def slots(model: nn.Module, *args: Any, **kwargs: Any) -> dict[str, list[str]]:
    """Return the slots of each parameter, as `operator.slot`."""
    return {
        parameter.name: [f"{use.operator}.{use.slot}" for use in parameter.uses or ()]
        for parameter in parameters(model, *args, **kwargs)
    }


def roles(model: nn.Module, *args: Any, **kwargs: Any) -> dict[str, str]:
    """Return the role of each parameter by use alone, with its confidence."""
    strongest = {
        parameter.name: next(iter(by_usage.evidence(parameter)), None)
        for parameter in parameters(model, *args, **kwargs)
    }
    return {name: f"{first.role} {first.confidence}" if first else "nothing" for name, first in strongest.items()}
