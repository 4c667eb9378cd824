"""Run the forward pass of a model on example inputs, and on other candidates if it rejects the first.

This module uses torch, but no roles.
"""

import dataclasses
import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Fed, Use
from decay_audit.model.traced_uses import late_parameters, rests_at
from decay_audit.sources.trace.dataflow.feeds import RESIDUAL
from decay_audit.sources.trace.dispatch import recording, run_operator
from decay_audit.sources.trace.example_inputs.candidates import ExampleInputs, with_alternatives
from decay_audit.sources.trace.example_inputs.declared import declared_inputs
from decay_audit.sources.trace.example_inputs.size_errors import corrected
from decay_audit.sources.trace.limits import Limits, TraceLimitError, stall_guard
from decay_audit.sources.trace.model_state import install_placeholders, restored
from decay_audit.sources.trace.tensor_states import TensorStates
from decay_audit.text import first_few

MAX_CORRECTIONS = 3
"""How often the sizes of one candidate are corrected."""
MAX_SAME_FAILURES = 4
"""After this many equal failures of one `_layout`, no further candidate of this layout is tried."""
MAX_NAMES = 5
"""How many names a note lists."""
MAX_ATTEMPTS = 40
"""How many attempts to run one module may fail."""


class Trace(Struct, frozen=True, kw_only=True):
    """The result of tracing a forward pass.

    Attributes:
        uses: the uses of each parameter, by its name in torch, in the order of the pass; unused ones have no key.
        complete: whether the pass reached its end; only then is a parameter without uses known to be unused.
        feeds: what each gain feeds, by its name in torch; parameters that scale nothing have no key.
        made_in_forward: the shapes of trainable parameters that the pass created, by their names in torch.
        notes: what was assumed and what failed, one sentence each.
    """

    uses: Mapping[str, tuple[Use, ...]]
    complete: bool
    feeds: Mapping[str, tuple[Fed, ...]] = {}
    made_in_forward: Mapping[str, tuple[int, ...]] = {}
    notes: tuple[str, ...] = ()


def trace(model: nn.Module, inputs: ExampleInputs, limits: Limits | None = None) -> Trace:
    """Run the forward pass on fake tensors and record which operator slots each parameter flows into.

    The pass runs in evaluation mode, and again in training mode if it left parameters unused (auxiliary heads, mask
    tokens). Nothing is computed but small constants. The model is left as it was: training flags, buffers, gradients,
    hooks, plain attributes and the random state.

    An exception from the model's code ends the pass and becomes a note; what was recorded before it counts.

    Args:
        model: the model to be traced.
        inputs: the first candidate for the inputs; its `alternatives` are the others.
        limits: how much work all passes together may do.
    """
    parameters = dict(model.named_parameters())
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in parameters.values()):
        return Trace(uses={}, complete=False, notes=("not traced: lazy parameters have no shape yet",))
    states = TensorStates(parameters, limits or Limits())
    with restored(model), recording(states):
        install_placeholders(model, states)
        before = {id(parameter): parameter for parameter in model.parameters()}
        outcome = _trace_model(model, inputs, states, parameters)
        separate = _trace_unused_modules(model, states, parameters, interrupted=outcome.interrupted)
        made = {
            name: tuple(parameter.shape)
            for name, parameter in model.named_parameters()
            if id(parameter) not in before and parameter.requires_grad  # new, or in the place of another
        }
    notes = [*outcome.inputs.notes]
    if states.assumed_operators:
        operators = ", ".join(sorted(states.assumed_operators))
        notes.append(f"control flow depends on tensor values ({operators}); one branch was traced")
    if separate:
        names = ", ".join(separate)
        notes.append(f"modules traced separately, because the model's forward pass did not reach them: {names}")
    if outcome.failure is not None:
        recorded = f"{len(states.uses)} of {len(parameters)} parameters"
        notes.append(f"the trace is incomplete; it shows the use of {recorded}: {outcome.failure}")
    uses = {name: tuple(parameter_uses) for name, parameter_uses in states.uses.items()}
    feeds = {gain: _kinds(states.feeds[gain], states.heads) for gain in states.feeds}
    return Trace(uses=uses, complete=outcome.failure is None, feeds=feeds, made_in_forward=made, notes=tuple(notes))


def _kinds(fed: Iterable[str], heads: Collection[str]) -> tuple[Fed, ...]:
    """Name what a gain feeds: each kind once."""
    kinds: list[Fed] = ["residual" if name == RESIDUAL else "head" if name in heads else "linear" for name in fed]
    return tuple(dict.fromkeys(kinds))


class _Outcome(Struct, frozen=True, kw_only=True):
    """The result of the attempts to run one module.

    Attributes:
        failure: why the first candidate failed; None if any candidate ran to its end.
        inputs: the candidate that ran to its end, or else the first one.
        interrupted: at least one attempt failed, so that it may have reached only some parameters of a submodule.
    """

    failure: str | None
    inputs: ExampleInputs
    interrupted: bool


def _trace_model(
    model: nn.Module, inputs: ExampleInputs, states: TensorStates, parameters: Collection[str]
) -> _Outcome:
    """Run the whole model, and again in training mode if it left parameters unused."""
    model = unwrapped(model)
    outcome = _run_candidates(model, inputs, states, parameters)
    if outcome.failure is None and len(states.uses) < len(parameters):
        _run(model, outcome.inputs, states, training=True)
    return outcome


def _run_candidates(model: nn.Module, inputs: ExampleInputs, states: TensorStates, names: Collection[str]) -> _Outcome:
    """Run the model on one candidate after the other, until it accepts one or all uses are known."""
    failures: list[tuple[tuple[object, ...], str]] = []
    tried: set[tuple[object, ...]] = set()
    for alternative in (inputs, *inputs.alternatives):
        layout = _layout(alternative)
        repeats = Counter(failure for failed_layout, failure in failures if failed_layout == layout)
        if max(repeats.values(), default=0) >= MAX_SAME_FAILURES:
            continue
        candidate: ExampleInputs | None = alternative
        corrections = MAX_CORRECTIONS if alternative.inferred else 0
        while candidate is not None and len(failures) < MAX_ATTEMPTS and not states.stopped:
            tried.add(_shapes(candidate))
            failure = _run(model, candidate, states, training=False)
            if failure is None:
                return _Outcome(failure=None, inputs=candidate, interrupted=candidate is not inputs)
            failures.append((layout, failure))
            if all(map(states.met_data, names)):
                return _Outcome(failure=failures[0][1], inputs=inputs, interrupted=True)
            candidate = corrected(candidate, failure) if corrections > 0 else None
            candidate = None if candidate is not None and _shapes(candidate) in tried else candidate
            corrections -= 1
    return _Outcome(failure=failures[-1 if states.stopped else 0][1], inputs=inputs, interrupted=True)


def _layout(inputs: ExampleInputs) -> tuple[object, ...]:
    """Return the number of dimensions and the dtype of each argument, with its name or position."""
    arguments = (*enumerate(inputs.args), *inputs.kwargs.items())
    return tuple(
        (name, (value.dim(), value.dtype) if isinstance(value, torch.Tensor) else None) for name, value in arguments
    )


def _shapes(inputs: ExampleInputs) -> tuple[object, ...]:
    """Return the shape and the dtype of each argument, with its name or position."""
    arguments = (*enumerate(inputs.args), *inputs.kwargs.items())
    return tuple(
        (name, (tuple(value.shape), value.dtype) if isinstance(value, torch.Tensor) else None)
        for name, value in arguments
    )


def _trace_unused_modules(
    model: nn.Module, states: TensorStates, parameters: Collection[str], *, interrupted: bool
) -> list[str]:
    """Run submodules that the pass did not reach and that declare their own inputs, such as towers of other modalities.

    Args:
        model: the whole model.
        states: the states of its tensors.
        parameters: the names of all parameters.
        interrupted: an attempt failed, so that it may have reached only some parameters of a submodule.

    Returns:
        The names of the submodules that were run.
    """
    separate = []
    for name, module in model.named_modules():
        names = [f"{name}.{leaf}" for leaf, _ in module.named_parameters() if f"{name}.{leaf}" in parameters]
        used = sum(parameter in states.uses for parameter in names)
        if not name or used == len(names) or (used and not interrupted):
            continue
        candidates = declared_inputs(module)
        if candidates and not states.stopped:
            _run_candidates(module, with_alternatives(candidates), states, names)
            separate.append(name)
    return separate


def with_uses(inventory: Inventory, trace: Trace) -> Inventory:
    """Add the uses to the parameters. A parameter that a complete pass did not use gets (), and a note lists it.

    Parameters that the pass made are added as `made_in_forward`.
    """
    unused = () if trace.complete else None
    parameters = tuple(
        replace(
            parameter,
            uses=trace.uses.get(parameter.raw_name, unused),
            rests_at=rests_at(trace.uses.get(parameter.raw_name, ())),
            feeds=trace.feeds.get(parameter.raw_name, ()) if trace.complete else None,
        )
        for parameter in inventory.parameters
    )
    names = [parameter.name for parameter in parameters if parameter.uses == ()]
    late = late_parameters(inventory, trace.made_in_forward)
    notes = [*inventory.notes, *trace.notes]
    if names:
        notes.append(f"the forward pass did not use {first_few(names, MAX_NAMES)}")
    if late:
        late_names = first_few([parameter.name for parameter in late], MAX_NAMES)
        notes.append(f"the first forward pass makes parameters, which are not listed here: {late_names}")
    return replace(inventory, parameters=parameters, made_in_forward=late, notes=tuple(notes))


def _fake_inputs(value: Any, states: TensorStates) -> Any:  # noqa: ANN401
    match value:
        case torch.Tensor():
            return states.add_input(value)
        case list():
            return [_fake_inputs(item, states) for item in value]
        case tuple():
            return tuple(_fake_inputs(item, states) for item in value)
        case dict():
            return {key: _fake_inputs(item, states) for key, item in value.items()}
        case _:
            return value


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside DataParallel, DistributedDataParallel and torch.compile, which are not traced."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
            continue
        compiled = getattr(model, "_orig_mod", None)
        if not isinstance(compiled, nn.Module):
            return model
        model = compiled


def _run(model: nn.Module, inputs: ExampleInputs, states: TensorStates, *, training: bool) -> str | None:
    """Run one forward pass; return the error as text, or None if the pass reached its end."""
    for module in model.modules():
        module.training = training
    args = _fake_inputs(inputs.args, states)
    kwargs = {**_fake_inputs(dict(inputs.kwargs), states), **inputs.constants}
    states.in_forward = True
    try:
        with stall_guard(lambda: states.calls), states.lines.counting():
            output = model(*args, **kwargs)
        for tensor in _output_tensors(output):
            states.add_output(tensor)
    except TraceLimitError as error:
        states.stopped = True
        return str(error)
    except (Exception, SystemExit) as error:
        if _raised_by_tracer(error):
            raise
        # The model's own code, on tensors without values: it may raise anything.
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]
    finally:
        states.in_forward = False
    return None


def _output_tensors(value: Any, depth: int = 4) -> Iterator[torch.Tensor]:  # noqa: ANN401
    """List the tensors of an output. Of an output with logits, they alone: the rest are caches and inner values."""
    if isinstance(value, torch.Tensor):
        yield value
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, Mapping):
        value = vars(value)
    if isinstance(value, Mapping):
        value = [value["logits"]] if isinstance(value.get("logits"), torch.Tensor) else list(value.values())[:1]
    if isinstance(value, list | tuple) and depth:
        for item in value:
            yield from _output_tensors(item, depth - 1)


def _raised_by_tracer(error: BaseException) -> bool:
    """Whether code of this folder raised the error: then it is a bug of the tracer, and not an error of the model."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    code = frame.f_code
    return Path(__file__).parent in Path(code.co_filename).parents and code is not run_operator.__code__
