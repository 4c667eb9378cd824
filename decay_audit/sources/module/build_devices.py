"""Four ways to run a constructor, or the code of a file.

meta       on the meta device: no values at all
streamed   on the CPU, but each parameter moves to meta as soon as a module registers it: `.item()` works, and the
           peak memory is the largest parameter, not the model
kept       as streamed, but the first `KEPT_ELEMENTS` keep their values: most code then runs as on the CPU, and
           need not run a second time
cpu        on the CPU
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

BuildDevice = Literal["meta", "streamed", "kept", "cpu"]
KEPT_ELEMENTS = 1 << 28
"""Elements of parameters that keep their values on the device `kept`: 1 GiB in float32."""


class DroppedValues:
    """Drops the values of parameters, and records whether any were dropped.

    If any were, an exception may be due to that, and may not come again on the CPU.

    Attributes:
        kept_elements: how many more elements may keep their values.
        dropped: whether the values of a parameter were dropped.
    """

    def __init__(self, kept_elements: int = 0, *, dropped: bool = False) -> None:
        self.kept_elements, self.dropped = kept_elements, dropped

    def on_registration(self, module: nn.Module, name: str, parameter: nn.Parameter) -> None:  # noqa: ARG002
        """Drop the values of a parameter unless they fit into what may be kept."""
        if parameter.is_meta:
            return
        self.kept_elements -= parameter.numel()
        if self.kept_elements < 0:
            self.dropped = True
            _move_to_meta(parameter)


@contextlib.contextmanager
def _on_meta() -> Iterator[DroppedValues]:
    with torch.device("meta"), _IgnoreMoves():
        yield DroppedValues(dropped=True)


@contextlib.contextmanager
def _streamed(kept_elements: int = 0) -> Iterator[DroppedValues]:
    values = DroppedValues(kept_elements)
    handle = register_module_parameter_registration_hook(values.on_registration)
    try:
        with _IgnoreMoves():
            yield values
    finally:
        handle.remove()


@contextlib.contextmanager
def _on_cpu() -> Iterator[DroppedValues]:
    with _IgnoreMoves():
        yield DroppedValues()


def _move_to_meta(parameter: nn.Parameter) -> None:
    """Swap the tensor inside the Parameter. The Parameter stays the same object, so ties and attributes survive."""
    if type(parameter) is not nn.Parameter:
        return
    attributes = dict(parameter.__dict__)
    with contextlib.suppress(RuntimeError):  # a tensor with weak references or in a graph stays on the CPU
        empty = torch.empty_like(parameter, device="meta")
        torch.utils.swap_tensors(  # type: ignore[no-untyped-call]
            parameter, nn.Parameter(empty, requires_grad=parameter.requires_grad)
        )
        parameter.__dict__.update(attributes)


class _IgnoreMoves(TorchFunctionMode):
    """Ignores moves of meta tensors and moves to a GPU that is missing, and creates no tensors on a missing GPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        if func not in _MOVES:
            return func(*args, **_without_missing_gpu(kwargs))
        device, dtype = _destination(func, args[1:], kwargs)
        if device is None or not (args[0].is_meta or _is_missing(device)):
            return func(*args, **kwargs)
        return args[0] if dtype is None else args[0].to(dtype)


_MOVES = frozenset({Tensor.to, Tensor.cuda, Tensor.cpu})


def _destination(func: object, args: Any, kwargs: Any) -> tuple[torch.device | None, torch.dtype | None]:  # noqa: ANN401
    """Return the device that a call moves its tensor to, and the dtype that it casts the tensor to."""
    if func is not Tensor.to:
        return torch.device("cpu" if func is Tensor.cpu else "cuda"), None
    kwargs = {key: value for key, value in kwargs.items() if key != "copy"}
    with contextlib.suppress(TypeError, RuntimeError):
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        return device, dtype
    return None, None


def _without_missing_gpu(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call that makes a tensor, without a `device` that is a missing GPU."""
    device = kwargs.get("device")
    if isinstance(device, str | torch.device) and _is_missing(torch.device(device)):
        return {name: value for name, value in kwargs.items() if name != "device"}
    return kwargs


def _is_missing(device: torch.device) -> bool:
    return device.type == "cuda" and not torch.cuda.is_available()


BUILD_DEVICES: dict[BuildDevice, Callable[[], contextlib.AbstractContextManager[DroppedValues]]] = {
    "meta": _on_meta,
    "streamed": _streamed,
    "kept": partial(_streamed, KEPT_ELEMENTS),
    "cpu": _on_cpu,
}
