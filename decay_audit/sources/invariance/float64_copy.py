"""Copy a model to float64 with random weights, so that rounding and special initial values hide nothing.

Weights that start at zero (the last gain of a residual branch, LoRA's B), or that start equal, would make the output
insensitive to other weights: the copy has random weights instead. It has neither `eps` nor dropout, which would change
the output.
"""

import copy
import re
from typing import Any

import torch
from torch import nn

from decay_audit.errors import DecayAuditError
from decay_audit.text import count_noun

MAX_ELEMENTS = 300_000_000
"""The most elements of a model that is copied: 2.4 GB in float64, and as much for the gradient."""
TINY = 1e-40
"""The value that replaces every `eps`."""

_EPS = re.compile(r"(?i)(^|_)eps(ilon)?$")
_DROP = re.compile(r"(?i)drop")
_EMPTY_STATISTICS = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0}
"""Buffers of BatchNorm, with their initial values. In training mode, they do not change the output."""


class NotMeasurableError(DecayAuditError):
    """The scale invariance of this model cannot be measured; the message is the reason."""


class MissingValuesError(NotMeasurableError):
    """A tensor that is not a parameter has no values, because the model was built on the meta device."""


def float64_copy(model: nn.Module) -> nn.Module:
    """Copy a model to the CPU, in float64 and in training mode, with random weights.

    Raises:
        NotMeasurableError: the model is too large, has tensors of special classes, or cannot be copied.
    """
    parameters = dict(model.named_parameters())
    _require_plain(parameters)
    generator = torch.Generator().manual_seed(0)
    memo: dict[int, Any] = {}
    for name, parameter in parameters.items():
        value = nn.Parameter(_random_weights(name, parameter, generator))
        value.__dict__.update(parameter.__dict__)
        memo[id(parameter)] = value
    for module in model.modules():
        for name, tensor in (*module._buffers.items(), *vars(module).items()):
            if isinstance(tensor, torch.Tensor) and id(tensor) not in memo:
                memo[id(tensor)] = _constant(name, tensor)
    try:
        copied = copy.deepcopy(model, memo)
    except Exception as error:
        raise NotMeasurableError(f"the model cannot be copied: {type(error).__name__}: {error}") from error
    set_mode(copied, training=True)
    return copied


def set_mode(model: nn.Module, *, training: bool) -> None:
    """Set the mode of a copy, without dropout; BatchNorm uses the statistics of the batch in both modes."""
    for module in model.modules():
        is_dropout = _DROP.search(type(module).__name__) is not None
        module.training = (training or "running_mean" in module._buffers) and not is_dropout
        attributes = vars(module)
        for name, value in attributes.items():
            if _EPS.search(name) and isinstance(value, float | torch.Tensor):
                attributes[name] = torch.full_like(value, TINY) if isinstance(value, torch.Tensor) else TINY
            elif _DROP.search(name) and isinstance(value, float):
                attributes[name] = 0.0


def _require_plain(parameters: dict[str, nn.Parameter]) -> None:
    for parameter in parameters.values():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise NotMeasurableError("lazy parameters have no shape yet")
        if parameter.is_quantized or not parameter.is_floating_point():
            raise NotMeasurableError(f"the weights are of dtype {str(parameter.dtype).removeprefix('torch.')}")
        if type(parameter).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
            raise NotMeasurableError(f"the weights are tensors of the class {type(parameter).__name__}")
    elements = sum(parameter.numel() for parameter in parameters.values())
    if elements > MAX_ELEMENTS:
        limit = count_noun(MAX_ELEMENTS, "element")
        raise NotMeasurableError(
            f"{count_noun(elements, 'element')} are too many for float64 on a CPU (at most {limit})"
        )


def _random_weights(name: str, parameter: nn.Parameter, generator: torch.Generator) -> torch.Tensor:
    """Draw weights that keep activations near 1: by the number of inputs, gains around 1, biases around 0."""
    shape = parameter.shape
    values = torch.empty(shape, dtype=torch.float64)
    if parameter.dim() >= 2:
        return values.normal_(0, (max(shape[0], 1) / max(parameter.numel(), 1)) ** 0.5, generator=generator)
    if "bias" in name.rpartition(".")[2]:
        return values.normal_(0, 0.5, generator=generator)
    return values.uniform_(0.5, 1.5, generator=generator)


def _constant(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Copy a buffer, or a tensor that a module keeps as an attribute."""
    dtype = torch.float64 if tensor.is_floating_point() else torch.complex128 if tensor.is_complex() else tensor.dtype
    if not tensor.is_meta:
        return tensor.detach().to("cpu", dtype, copy=True)
    if name in _EMPTY_STATISTICS:
        return torch.full(tensor.shape, _EMPTY_STATISTICS[name], dtype=dtype)
    raise MissingValuesError(f"the model was built without values, and needs those of {name}")
