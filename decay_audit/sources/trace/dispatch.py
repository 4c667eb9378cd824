"""Dispatch modes: give each operator of a forward pass a fake result, and record uses of parameters in TensorStates.

Small constants of the pass (grids, masks, position ids) are computed for real, so that control flow on them works.
What depends on a parameter or on the input has a shape and a dtype, but no values.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from decay_audit.sources.trace.data_dependent import ASSUMED_RESULTS, REPLACED_KERNELS
from decay_audit.sources.trace.dataflow.at_zero import WITH_NUMBER
from decay_audit.sources.trace.dataflow.feeds import feeds_of
from decay_audit.sources.trace.dataflow.operators import SHAPE_ONLY
from decay_audit.sources.trace.dataflow.propagate import propagate
from decay_audit.sources.trace.dataflow.provenance import Operand, OperatorCall, Provenance
from decay_audit.sources.trace.limits import TraceLimitError
from decay_audit.sources.trace.tensor_states import MAX_CONSTANT, TensorStates

MAX_UNBOUND = 20_000
"""The most tensors that one `unbind` may return."""


def run_operator(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
    """Call an operator of the model. Errors from this call are the model's; other errors in this folder are bugs."""
    return func(*args, **kwargs)


class DispatchRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Run every operator of the pass on fake tensors, and record uses and provenance in the states."""

    def __init__(self, states: TensorStates) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.states = states

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Record one operator call and return its fake result."""
        with self.states.lines.paused():
            return self._dispatch(func, args, dict(kwargs or {}))

    def _dispatch(self, func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        if func.namespace == "prim":
            return run_operator(func, args, kwargs)
        states = self.states
        states.calls += 1
        if states.in_forward and states.calls > states.limits.calls:
            raise TraceLimitError(f"the forward pass calls more than {states.limits.calls:,} operators")
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        arguments = list(_tensor_arguments(func, args, kwargs))
        provenances = [states.provenance(tensor) for _, tensor in arguments]
        # (*args, 0)[1] is the dimension, which is 0 by default
        if func._schema.name == "aten::unbind" and (count := args[0].shape[(*args, 0)[1]]) > MAX_UNBOUND:
            raise TraceLimitError(f"the forward pass iterates over {count} rows one by one")
        if not any(provenances):
            return self._constant(func, args, kwargs, [tensor for _, tensor in arguments])
        call = _operator_call(func, args, kwargs, arguments, provenances, states.calls)
        if call.operator in WITH_NUMBER:
            call = replace(call, number=self._number(func, args, kwargs))
        uses, provenance = propagate(call)
        if provenance is None and call.operator in SHAPE_ONLY:
            return self._shape_only(func, args, kwargs)
        has_values = all(states.has_values(tensor) for _, tensor in arguments)
        computed = has_values and not list(_written_tensors(func, args, kwargs))
        result = run_operator(func, args, kwargs) if computed else self._run_fake(func, args, kwargs)
        for name, use in uses:  # only now, as the operator may have rejected its arguments
            states.add_use(name, use)
        for gain, fed in feeds_of(call):
            states.feeds.setdefault(gain, {})[fed] = None
        return self._record(func, args, kwargs, result, provenance)

    def _number(self, func: Any, args: Any, kwargs: Any) -> float | None:  # noqa: ANN401
        """Return the number that an operator adds to a tensor or multiplies it with, also if it fills a tensor."""
        values = {argument.name: value for argument, value in _arguments(func, args, kwargs)}
        factor = values.get("alpha", 1)
        for value in (values.get("other"), values.get("self")):
            number = self._filled_with(value) if isinstance(value, torch.Tensor) else value
            if isinstance(number, int | float) and isinstance(factor, int | float):
                return float(number) * factor
        return None

    def _filled_with(self, tensor: torch.Tensor) -> float | None:
        """Return the value of all elements of a constant; None if they differ or are not known."""
        if self.states.provenance(tensor) is not None or not self.states.has_values(tensor) or not tensor.numel():
            return None
        value = tensor.reshape(-1)[0].item()
        return float(value) if isinstance(value, int | float) and bool((tensor == value).all()) else None

    def _run_fake(self, func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        states = self.states
        args, kwargs = _map_tensors(states.fake, (args, kwargs))
        operator = str(func._schema.name).removeprefix("aten::")
        kernel = REPLACED_KERNELS.get(operator) or ASSUMED_RESULTS.get(operator)
        if kernel is not None:
            with states.fake_mode:
                result = kernel(func, args, kwargs)
            if result is not None:
                states.assumed_operators.update({operator} & ASSUMED_RESULTS.keys())
                return result
        with states.fake_mode:
            return run_operator(func, args, kwargs)

    def _record(self, func: Any, args: Any, kwargs: Any, result: Any, provenance: Provenance | None) -> Any:  # noqa: ANN401
        """Record the provenance of the results. An operator that writes in place returns the argument that it wrote."""
        states = self.states
        written = list(_written_tensors(func, args, kwargs))
        for tensor in written:
            states.add_written(tensor, provenance)
        if written and len(written) == len(func._schema.returns):
            return written[0] if len(written) == 1 else tuple(written)
        fakes = {id(states.fake(tensor)) for tensor in written}
        states.add_results((tensor for tensor in _tensors(result) if id(tensor) not in fakes), provenance, ())
        return result

    def _shape_only(self, func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        """Run an operator that reads only the shapes of its arguments: on empty tensors of these shapes."""
        if any(tensor.numel() > MAX_CONSTANT for tensor in _tensors((args, kwargs))):
            return self._record(func, args, kwargs, self._run_fake(func, args, kwargs), None)
        args, kwargs = _map_tensors(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype), (args, kwargs))
        return self._constant(func, args, kwargs, [])

    def _constant(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:  # noqa: ANN401
        """Compute a small constant for real if it writes only to memory of the pass; else give a fake result."""
        states = self.states
        written = list(_written_tensors(func, args, kwargs))
        has_values = all(map(states.has_values, tensors))
        if not (has_values and all(map(states.owns_memory, written)) and _is_small(args, kwargs)):
            return self._record(func, args, kwargs, self._run_fake(func, args, kwargs), None)
        result = run_operator(func, args, kwargs)
        states.add_results(_tensors(result), None, tensors)
        return result


# Operators that decompose into matrix products and pointwise steps before a dispatch mode gets them. The values are the
# slots of initial states.
COMPOSITES = {
    "lstm": "hx", "gru": "hx", "rnn_tanh": "hx", "rnn_relu": "hx",
    "lstm_cell": "hx", "gru_cell": "hx", "rnn_tanh_cell": "hx", "rnn_relu_cell": "hx",
    "rms_norm": "",
}  # fmt: skip


class CompositeRecorder(TorchFunctionMode):
    """Record recurrent layers and RMS norms as one operator each, before they decompose."""

    def __init__(self, states: TensorStates) -> None:
        super().__init__()
        self.states = states

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Record the uses of parameters if this is a composite, and run it unchanged."""
        name = getattr(func, "__name__", "")
        if name in COMPOSITES:
            with torch._C.DisableTorchFunction():
                self._record_uses(name, args, kwargs or {})
        return run_operator(func, args, kwargs or {})

    def _record_uses(self, name: str, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        initial_states = {id(tensor) for tensor in _tensors(_initial_states(name, args))}
        operands = []
        for position, tensor in enumerate(_tensors((args, kwargs))):
            provenance = self.states.provenance(tensor)
            slot = "input" if position == 0 else ("weight" if tensor.dim() > 1 or name == "rms_norm" else "bias")
            if position > 0 and (provenance is None or provenance.is_data or id(tensor) in initial_states):
                slot = COMPOSITES[name]
            operands.append(Operand(slot=slot, shape=tuple(tensor.shape), provenance=provenance, tensor_id=position))
        for parameter, use in propagate(OperatorCall(operator=name, operands=tuple(operands)))[0]:
            self.states.add_use(parameter, use)


def _initial_states(name: str, args: Any) -> Any:  # noqa: ANN401
    """Return the initial states among the arguments of a recurrent layer: they may be learned.

    A layer gets its weights in a list. A cell gets its state before its weights.
    """
    if not COMPOSITES[name]:
        return ()
    return args[1:2] if name.endswith("_cell") else [arg for arg in args[1:] if not isinstance(arg, list)]


def _is_small(args: Any, kwargs: Any) -> bool:  # noqa: ANN401
    """Whether the arguments are so small that the result must be small, too."""
    elements = [max(tensor.numel(), 1) for tensor in _tensors((args, kwargs))]
    sizes = [
        prod(max(size, 1) for size in value) if isinstance(value, list | tuple) else abs(value)
        for value in (*args, *kwargs.values())
        if _is_shape(value) or (not elements and type(value) is int)
    ]
    return max(sizes, default=0) <= MAX_CONSTANT and prod(elements) <= MAX_CONSTANT * 64


def _is_shape(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list | tuple) and bool(value) and all(type(size) is int for size in value)


def _tensors(value: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    match value:
        case torch.Tensor():
            yield value
        case list() | tuple():
            for item in value:
                yield from _tensors(item)
        case dict():
            yield from _tensors(list(value.values()))


def _map_tensors(function: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:  # noqa: ANN401
    match value:
        case torch.Tensor():
            return function(value)
        case list():
            return [_map_tensors(function, item) for item in value]
        case tuple():
            return tuple(_map_tensors(function, item) for item in value)
        case dict():
            return {key: _map_tensors(function, item) for key, item in value.items()}
        case _:
            return value


def _arguments(func: Any, args: Any, kwargs: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    schema = func._schema.arguments
    yield from zip(schema, args, strict=False)
    yield from ((argument, kwargs[argument.name]) for argument in schema if argument.name in kwargs)


def _tensor_arguments(func: Any, args: Any, kwargs: Any) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ANN401
    for argument, value in _arguments(func, args, kwargs):
        for tensor in _tensors(value):
            yield argument.name, tensor


def _written_tensors(func: Any, args: Any, kwargs: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    """Yield the arguments that an operator writes in place."""
    for argument, value in _arguments(func, args, kwargs):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(value)


def _operator_call(
    func: Any,  # noqa: ANN401
    args: Any,  # noqa: ANN401
    kwargs: Any,  # noqa: ANN401
    arguments: list[tuple[str, torch.Tensor]],
    provenances: list[Provenance | None],
    index: int,
) -> OperatorCall:
    operator = func._schema.name.partition("::")[2]
    operator = operator.removesuffix("_") if func._schema.is_mutable else operator
    values = {argument.name: value for argument, value in _arguments(func, args, kwargs)}
    return OperatorCall(
        operator=operator,
        index=index,
        operands=tuple(
            Operand(slot=slot, shape=tuple(tensor.shape), provenance=provenance, tensor_id=id(tensor))
            for (slot, tensor), provenance in zip(arguments, provenances, strict=True)
        ),
        groups=values.get("groups", 1) if isinstance(values.get("groups", 1), int) else 1,
        squares=operator == "pow" and values.get("exponent") in (2, 2.0),
        inverts=operator == "pow" and isinstance(exponent := values.get("exponent"), int | float) and exponent < 0,
        dimensions=_summed_dimensions(values) if operator in {"sum", "mean"} else (),
        consecutive_indices=operator in {"embedding", "index", "index_select"} and _consecutive_indices(values),
    )


def _summed_dimensions(values: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the dimensions that a sum is taken over, counted from the last; () for a sum over all."""
    tensor, dimensions = values["self"], values.get("dim") or ()
    return tuple(dimension if dimension < 0 else dimension - tensor.dim() for dimension in dimensions)


def _consecutive_indices(values: Mapping[str, Any]) -> bool:
    """Whether the indices of a lookup are known and go up by one; such indices are positions."""
    index = values.get("indices", values.get("index"))
    index = index[0] if isinstance(index, list) and len(index) == 1 else index
    if not isinstance(index, torch.Tensor) or isinstance(index, FakeTensor) or index.device.type != "cpu":
        return False
    row = index.reshape(-1, index.shape[-1])[0] if index.dim() and index.numel() else index.reshape(-1)
    return row.numel() > 1 and not row.dtype.is_floating_point and bool((row.diff() == 1).all())


@contextmanager
def recording(states: TensorStates) -> Iterator[None]:
    """Record every operator in the `with` statement, without gradients and fused fast paths that hide operators.

    Logs and warnings are off: torch would log each failure on a fake tensor, and models warn about their inputs.
    `.to()` and `.half()` of a module do nothing meanwhile: they would replace its parameters.
    """
    apply = nn.Module._apply
    fastpath = torch.backends.mha.get_fastpath_enabled()
    log = logging.getLogger("torch._subclasses.fake_tensor")
    log_disabled = log.disabled
    torch.backends.mha.set_fastpath_enabled(False)
    log.disabled = True
    nn.Module._apply = lambda self, fn, recurse=True: self  # type: ignore[method-assign]  # noqa: ARG005
    try:
        with warnings.catch_warnings(), torch.no_grad(), CompositeRecorder(states), DispatchRecorder(states):
            warnings.simplefilter("ignore")
            yield
    finally:
        nn.Module._apply = apply  # type: ignore[method-assign]
        log.disabled = log_disabled
        torch.backends.mha.set_fastpath_enabled(fastpath)
