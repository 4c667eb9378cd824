"""Measure what the output of a model does when one parameter is multiplied by 2.

One backward pass gives the derivative of the output by the scale of every parameter. Where it is not zero, the output
changes. Where it is zero, a pass with the changed parameter decides: multiplied by 2, or, if even its gradient is zero,
with other values. In float64, a scale-invariant weight changes nothing but the last digits.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Scaling
from decay_audit.sources.invariance.exact_pass import Arguments, difference, run
from decay_audit.sources.invariance.float64_copy import MissingValuesError, NotMeasurableError, float64_copy, set_mode
from decay_audit.sources.invariance.input_values import input_variants, text_of, with_values
from decay_audit.sources.trace.example_inputs import ExampleInputs
from decay_audit.sources.trace.example_inputs.size_errors import corrected
from decay_audit.sources.trace.run import unwrapped
from decay_audit.text import count_noun

SAME, CHANGED = 1e-9, 1e-5
"""Outputs that differ by less are the same; those that differ by more are not. In between, nothing is known."""
MAX_PASSES = 12
"""How many kinds of parameters are tested by a pass, each on one of its parameters, to confirm the gradients."""
_MAX_INPUTS = 12
"""How many inputs are tried."""
_SHOWN_ERROR = 200
"""How many characters of an error of the model are quoted."""

_SENSITIVE, _INVARIANT = Scaling(effect="sensitive"), Scaling(effect="scale-invariant")
_INERT = Scaling(effect="inert")


_Kind = tuple[str, str, tuple[int, ...]]
"""The effect that the gradient suggests ("" for none), the parameter's name with `#` for each number, and its shape."""


class ScalingMeasurement(Struct, frozen=True, kw_only=True):
    """The effect of scaling each parameter, by its name in torch, and a note on how the effects were measured.

    Attributes:
        lacks_values: nothing was measured because the model was built on the meta device and needs values.
    """

    scaling: Mapping[str, Scaling]
    note: str
    lacks_values: bool = False


class _ReferencePass(Struct, frozen=True, kw_only=True, eq=False):
    """A copy of a model with inputs that it accepts, and its output."""

    model: nn.Module
    arguments: Arguments
    buffers: Mapping[str, torch.Tensor]
    output: Sequence[torch.Tensor]
    inputs: ExampleInputs
    training: bool


def measure(model: nn.Module, inputs: ExampleInputs) -> ScalingMeasurement:
    """Measure a model on a float64 copy. Where that is not possible, each parameter has the reason.

    Args:
        inputs: the first candidate for the inputs; its `alternatives` are the others.
    """
    model = unwrapped(model)
    names = [name for name, _ in model.named_parameters()]
    try:
        with torch.enable_grad():
            reference = _find_inputs(float64_copy(model), inputs)
            sensitivities = _sensitivities(reference)
    except NotMeasurableError as error:
        reason = error.message
        unknown = Scaling(effect="not measured", reason=reason)
        return ScalingMeasurement(
            scaling=dict.fromkeys(names, unknown),
            note=f"scale invariance was not measured: {reason}",
            lacks_values=isinstance(error, MissingValuesError),
        )
    scaling, tested, untested = _decide(reference, sensitivities)
    mode = "" if reference.training else ", in evaluation mode with BatchNorm's statistics of the batch"
    rest = f", {untested:,} more like them by their gradients" if untested else ""
    confirmed = f"; {count_noun(tested, 'parameter was', 'parameters were')} tested by a pass{rest}" if tested else ""
    note = (
        f"scale invariance was measured in float64 with random weights on inputs of {text_of(reference.inputs)}{mode}"
        f"{confirmed}"
    )
    return ScalingMeasurement(scaling={name: scaling[name] for name in names}, note=note)


def with_scaling(inventory: Inventory, measured: ScalingMeasurement) -> Inventory:
    """Add a measurement to the parameters of an inventory."""
    unknown = Scaling(effect="not measured", reason="it is not a parameter of the model that was run")
    parameters = tuple(
        replace(parameter, scaling=measured.scaling.get(parameter.raw_name, unknown))
        for parameter in inventory.parameters
    )
    return replace(inventory, parameters=parameters, notes=(*inventory.notes, measured.note))


def _find_inputs(model: nn.Module, inputs: ExampleInputs) -> _ReferencePass:
    """Find inputs that the copy accepts, in training mode if possible."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    failure = ""
    for training in (True, False):
        set_mode(model, training=training)
        candidates = [variant for first in (inputs, *inputs.alternatives) for variant in input_variants(model, first)]
        tried = 0
        while candidates and tried < _MAX_INPUTS:
            candidate, tried = candidates.pop(0), tried + 1
            arguments = with_values(model, candidate)
            try:
                output = run(model, arguments, buffers)
            except NotMeasurableError:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the model's own code may raise anything
                text = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:_SHOWN_ERROR]
                failure = failure or text
                better = corrected(candidate, text) if candidate.inferred else None
                candidates = [*([better] if better else []), *candidates]
                continue
            return _ReferencePass(
                model=model,
                arguments=arguments,
                buffers=buffers,
                output=[tensor.detach() for tensor in output],
                inputs=candidate,
                training=training,
            )
    raise NotMeasurableError(f"the forward pass raised {failure}")


class _Sensitivity(Struct, frozen=True, kw_only=True):
    """How much the output changes, relative to its size.

    Attributes:
        by_scale: if the parameter is multiplied by a number near 1, relative to the change of the number.
        by_value: if its values change in any direction, relative to the values.
        reached: whether any element has a gradient.
    """

    by_scale: float
    by_value: float
    reached: bool


def _sensitivities(reference: _ReferencePass) -> dict[str, _Sensitivity]:
    """Differentiate a random projection of the output; {} if the model's code cannot be differentiated."""
    parameters = dict(reference.model.named_parameters())
    generator = torch.Generator().manual_seed(2)
    try:
        output = run(reference.model, reference.arguments, reference.buffers)
        projections = [_projection(tensor, generator) for tensor in output if tensor.requires_grad]
        total = torch.stack(projections).sum() if projections else torch.zeros(())
        gradients = torch.autograd.grad(total, [*parameters.values()], allow_unused=True)
    except (RuntimeError, NotImplementedError, TypeError):
        return {}
    return {
        name: _sensitivity(parameter.detach(), gradient)
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
    }


def _projection(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    direction = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator)
    projection: torch.Tensor = (direction * tensor).sum() / max(
        tensor.detach().norm().item(), torch.finfo(torch.float64).tiny
    )
    return projection


def _sensitivity(parameter: torch.Tensor, gradient: torch.Tensor | None) -> _Sensitivity:
    if gradient is None:
        return _Sensitivity(by_scale=0.0, by_value=0.0, reached=False)
    return _Sensitivity(
        by_scale=abs((gradient * parameter).sum().item()),
        by_value=(gradient.norm() * parameter.norm()).item(),
        reached=bool(gradient.any().item()),
    )


def _decide(
    reference: _ReferencePass, sensitivities: Mapping[str, _Sensitivity]
) -> tuple[dict[str, Scaling], int, int]:
    """Decide each parameter. Also return how many were tested by a pass, and how many only by their gradient."""
    parameters = dict(reference.model.named_parameters())
    decided: dict[str, Scaling] = {}
    kinds: dict[_Kind, list[str]] = {}
    for name, parameter in parameters.items():
        known = sensitivities.get(name)
        if known is not None and known.by_scale > CHANGED:
            decided[name] = _SENSITIVE
        elif known is None or not known.reached or known.by_scale > SAME:
            kinds[("", name, ())] = [name]
        else:
            expected = "inert" if known.by_value < SAME else "scale-invariant"
            kinds.setdefault((expected, re.sub(r"\d+", "#", name), tuple(parameter.shape)), []).append(name)

    def test(names: Sequence[str]) -> dict[str, Scaling]:
        return {name: _test(reference, parameters[name], sensitivities.get(name)) for name in names}

    tested: dict[str, Scaling] = {}
    for (expected, *_), members in _sampled(kinds):
        answers = test(members[len(members) // 2 :][:1])
        if any(answer.effect != expected for answer in answers.values()):
            answers |= test([name for name in members if name not in answers])
        tested |= answers
    for (expected, *_), members in kinds.items():
        by_gradient = _INERT if expected == "inert" else _INVARIANT
        decided |= {name: tested.get(name, by_gradient) for name in members}
    return decided, len(tested), sum(map(len, kinds.values())) - len(tested)


def _sampled(kinds: Mapping[_Kind, list[str]]) -> list[tuple[_Kind, list[str]]]:
    """Choose the kinds to test: MAX_PASSES of those that seem scale-invariant, evenly spread, and all others."""
    others = [(kind, members) for kind, members in kinds.items() if kind[0] != "scale-invariant"]
    invariant = [(kind, members) for kind, members in kinds.items() if kind[0] == "scale-invariant"]
    count = min(MAX_PASSES, len(invariant))
    return [*others, *(invariant[index * len(invariant) // count] for index in range(count))]


def _test(reference: _ReferencePass, parameter: nn.Parameter, known: _Sensitivity | None) -> Scaling:
    """Return the effect of scaling a parameter, from passes in which it has other values, or is multiplied by 2."""
    may_be_inert = known is None or not known.reached or known.by_value < SAME
    if may_be_inert:
        generator = torch.Generator().manual_seed(3)
        spread = parameter.detach().abs().mean().item()
        noise = torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
        changed = _change(reference, parameter, spread * noise - parameter.detach())  # most signs change, too
        if changed < SAME:
            if known is not None and known.reached:
                return _INERT
            return Scaling(effect="not measured", reason="the output of this pass does not depend on it")
        if changed < CHANGED:
            return _too_little(changed)
    changed = _change(reference, parameter, 2 * parameter.detach())
    if changed < SAME:
        return _INVARIANT
    return _SENSITIVE if changed > CHANGED else _too_little(changed)


def _too_little(changed: float) -> Scaling:
    return Scaling(effect="not measured", reason=f"the output changes by {changed:.0e} of its size, too little to tell")


def _change(reference: _ReferencePass, parameter: nn.Parameter, values: torch.Tensor) -> float:
    """Compute how much the output changes with other values of a parameter."""
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.copy_(values)
        try:
            return difference(reference.output, run(reference.model, reference.arguments, reference.buffers))
        except (NotMeasurableError, RuntimeError, ValueError):
            return 1.0
        finally:
            parameter.copy_(before)
