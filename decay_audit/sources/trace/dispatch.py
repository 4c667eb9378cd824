"""Run operators on fake tensors and record where parameters meet data. Knows torch, and no roles.

Constants that the pass makes for itself (grids, masks, position ids) are small and are really computed, so that
control flow on them works; whatever a parameter or the input is in has a shape and a dtype, and no values.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from decay_audit.sources.trace.call import Call, Operand
from decay_audit.sources.trace.data_dependent import ASSUMED, STOOD_IN
from decay_audit.sources.trace.operators import SHAPE_ONLY
from decay_audit.sources.trace.propagate import follow
from decay_audit.sources.trace.provenance import Trail
from decay_audit.sources.trace.tensor_state import MAX_CONSTANT, Ledger

MAX_CALLS = 200_000
MAX_PIECES = 20_000


class TraceLimitError(Exception):
    """The forward pass calls more operators than a trace is worth."""


def through(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
    """Call what the model called; what this raises is the model's doing, and what else is raised here is not."""
    return func(*args, **kwargs)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Send every operator of the pass to fake tensors, and write what it does into the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ledger = ledger

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Record one operator call and run it without computing."""
        kwargs = dict(kwargs or {})
        if func.namespace == "prim":
            return through(func, args, kwargs)
        ledger = self.ledger
        ledger.calls += 1
        if ledger.running and ledger.calls > MAX_CALLS:
            raise TraceLimitError(f"the forward pass calls more than {MAX_CALLS} operators")
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        operands = list(_operands(func, args, kwargs))
        trails = [ledger.trail(tensor) for _, tensor in operands]
        if func._schema.name == "aten::unbind" and (pieces := args[0].shape[(*args, 0)[1]]) > MAX_PIECES:
            raise TraceLimitError(f"the forward pass walks over {pieces} rows one by one")
        if not any(trails):
            return self._constant(func, args, kwargs, [tensor for _, tensor in operands])
        call = _call(func, args, kwargs, operands, trails, ledger.calls)
        meetings, trail = follow(call)
        if trail is None and call.operator in SHAPE_ONLY:
            return self._shape_only(func, args, kwargs)
        known = all(ledger.real(tensor) for _, tensor in operands) and not list(_written(func, args, kwargs))
        result = through(func, args, kwargs) if known else self._run_fake(func, args, kwargs)
        for name, use in meetings:  # not before: the operator may not take what it was given
            ledger.record(name, use)
        return self._settle(func, args, kwargs, result, trail)

    def _run_fake(self, func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        ledger = self.ledger
        args, kwargs = _map((args, kwargs), ledger.twin)
        operator = str(func._schema.name).removeprefix("aten::")
        stand_in = STOOD_IN.get(operator) or ASSUMED.get(operator)
        if stand_in is not None:
            with ledger.fake:
                found = stand_in(func, args, kwargs)
            if found is not None:
                ledger.assumed.update({operator} & ASSUMED.keys())
                return found
        with ledger.fake:
            return through(func, args, kwargs)

    def _settle(self, func: Any, args: Any, kwargs: Any, result: Any, trail: Trail | None) -> Any:  # noqa: ANN401
        """Give the results their trail; an operator that writes in place returns what it was given."""
        ledger = self.ledger
        written = list(_written(func, args, kwargs))
        for tensor in written:
            ledger.wrote(tensor, trail)
        if written and len(written) == len(func._schema.returns):
            return written[0] if len(written) == 1 else tuple(written)
        twins = {id(ledger.twin(tensor)) for tensor in written}
        ledger.made((tensor for tensor in _tensors(result) if id(tensor) not in twins), trail, ())
        return result

    def _shape_only(self, func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        shapes = list(_tensors((args, kwargs)))
        if any(tensor.numel() > MAX_CONSTANT for tensor in shapes):
            return self._settle(func, args, kwargs, self._run_fake(func, args, kwargs), None)
        args, kwargs = _map((args, kwargs), lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))
        return self._constant(func, args, kwargs, [])

    def _constant(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:  # noqa: ANN401
        """Compute a small constant for real, in memory of the pass's own; fake the rest."""
        ledger = self.ledger
        written = list(_written(func, args, kwargs))
        real = all(map(ledger.real, tensors)) and all(map(ledger.owns, written)) and _small(args, kwargs)
        if not real:
            return self._settle(func, args, kwargs, self._run_fake(func, args, kwargs), None)
        result = through(func, args, kwargs)
        ledger.made(_tensors(result), None, tensors)
        return result


# Operators that decompose into matrix products and pointwise steps before a dispatch mode sees them, by slot.
COMPOSITES = {
    "lstm": "hx", "gru": "hx", "rnn_tanh": "hx", "rnn_relu": "hx",
    "lstm_cell": "hx", "gru_cell": "hx", "rnn_tanh_cell": "hx", "rnn_relu_cell": "hx",
    "rms_norm": "",
}  # fmt: skip


class Composites(TorchFunctionMode):
    """Record the recurrent layers and RMS norms as one operator each, before they fall apart."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Record the call if it is one of the composites, and let it run as it is."""
        name = getattr(func, "__name__", "")
        if name in COMPOSITES:
            with torch._C.DisableTorchFunction():
                self._record(name, args, kwargs or {})
        return through(func, args, kwargs or {})

    def _record(self, name: str, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        states = {id(tensor) for tensor in _tensors(_states(name, args))}
        operands = []
        for position, tensor in enumerate(_tensors((args, kwargs))):
            trail = self.ledger.trail(tensor)
            slot = "input" if position == 0 else ("weight" if tensor.dim() > 1 or name == "rms_norm" else "bias")
            if position > 0 and (trail is None or trail.data or id(tensor) in states):
                slot = COMPOSITES[name]
            operands.append(Operand(slot=slot, shape=tuple(tensor.shape), trail=trail, key=position))
        for parameter, use in follow(Call(operator=name, operands=tuple(operands)))[0]:
            self.ledger.record(parameter, use)


def _states(name: str, args: Any) -> Any:  # noqa: ANN401
    """Pick what a recurrent layer starts from, which may be learned. Its weights are in a list, a cell's come last."""
    if not COMPOSITES[name]:
        return ()
    return args[1:2] if name.endswith("_cell") else [arg for arg in args[1:] if not isinstance(arg, list)]


def _small(args: Any, kwargs: Any) -> bool:  # noqa: ANN401
    """Say whether neither the sizes asked for nor the shapes put together can make a big tensor."""
    shapes = [max(tensor.numel(), 1) for tensor in _tensors((args, kwargs))]
    asked = [
        prod(max(size, 1) for size in value) if isinstance(value, list | tuple) else abs(value)
        for value in (*args, *kwargs.values())
        if _is_sizes(value) or (not shapes and type(value) is int)
    ]
    return max(asked, default=0) <= MAX_CONSTANT and prod(shapes) <= MAX_CONSTANT * 64


def _is_sizes(value: Any) -> bool:  # noqa: ANN401
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


def _map(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:  # noqa: ANN401
    match value:
        case torch.Tensor():
            return change(value)
        case list():
            return [_map(item, change) for item in value]
        case tuple():
            return tuple(_map(item, change) for item in value)
        case dict():
            return {key: _map(item, change) for key, item in value.items()}
        case _:
            return value


def _arguments(func: Any, args: Any, kwargs: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    schema = func._schema.arguments
    yield from zip(schema, args, strict=False)
    yield from ((argument, kwargs[argument.name]) for argument in schema if argument.name in kwargs)


def _operands(func: Any, args: Any, kwargs: Any) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ANN401
    for argument, value in _arguments(func, args, kwargs):
        for tensor in _tensors(value):
            yield argument.name, tensor


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    for argument, value in _arguments(func, args, kwargs):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(value)


def _call(
    func: Any,  # noqa: ANN401
    args: Any,  # noqa: ANN401
    kwargs: Any,  # noqa: ANN401
    operands: list[tuple[str, torch.Tensor]],
    trails: list[Trail | None],
    serial: int,
) -> Call:
    operator = func._schema.name.partition("::")[2]
    operator = operator.removesuffix("_") if func._schema.is_mutable else operator
    values = {argument.name: value for argument, value in _arguments(func, args, kwargs)}
    return Call(
        operator=operator,
        serial=serial,
        operands=tuple(
            Operand(slot=slot, shape=tuple(tensor.shape), trail=trail, key=id(tensor))
            for (slot, tensor), trail in zip(operands, trails, strict=True)
        ),
        groups=values.get("groups", 1) if isinstance(values.get("groups", 1), int) else 1,
        squared=operator == "pow" and values.get("exponent") in (2, 2.0),
        positions=operator in {"embedding", "index", "index_select"} and _counts_up(values),
    )


def _counts_up(values: Mapping[str, Any]) -> bool:
    """Say whether the indices of a lookup are known and go up by one: positions, not kinds."""
    index = values.get("indices", values.get("index"))
    index = index[0] if isinstance(index, list) and len(index) == 1 else index
    if not isinstance(index, torch.Tensor) or isinstance(index, FakeTensor) or index.device.type != "cpu":
        return False
    row = index.reshape(-1, index.shape[-1])[0] if index.dim() and index.numel() else index.reshape(-1)
    return row.numel() > 1 and not row.dtype.is_floating_point and bool((row.diff() == 1).all())


@contextmanager
def recording(ledger: Ledger) -> Iterator[None]:
    """Record every operator called inside, without gradients and without fused shortcuts that hide operators.

    torch logs every failure on a fake tensor with its traceback, and models warn about their inputs: a trace runs
    nothing real, so it is silent, and says in a note how it ended. A module that moves or casts another on its way
    leaves it as it is: torch would swap the parameters under their names.
    """
    apply = nn.Module._apply
    fast = torch.backends.mha.get_fastpath_enabled()
    log = logging.getLogger("torch._subclasses.fake_tensor")
    silent = log.disabled
    torch.backends.mha.set_fastpath_enabled(False)
    log.disabled = True
    nn.Module._apply = lambda self, fn, recurse=True: self  # type: ignore[method-assign]  # noqa: ARG005
    try:
        with warnings.catch_warnings(), torch.no_grad(), Composites(ledger), Recorder(ledger):
            warnings.simplefilter("ignore")
            yield
    finally:
        nn.Module._apply = apply  # type: ignore[method-assign]
        log.disabled = silent
        torch.backends.mha.set_fastpath_enabled(fast)
