"""Three ways to run a constructor: on the meta device, with each parameter dropped to meta, and plainly on the CPU."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

Stage = Literal["meta", "streamed", "cpu"]


@contextlib.contextmanager
def _on_meta() -> Iterator[None]:
    with torch.device("meta"), _StayingPut():
        yield


@contextlib.contextmanager
def _streamed() -> Iterator[None]:
    """Numbers are real, so `.item()` works; a parameter loses them as soon as a module has it."""
    handle = register_module_parameter_registration_hook(_drop)
    try:
        with _StayingPut():
            yield
    finally:
        handle.remove()


def _drop(module: nn.Module, name: str, parameter: nn.Parameter) -> None:  # noqa: ARG001
    """Swap the tensor inside the Parameter, which stays the same object: ties and attributes survive."""
    if type(parameter) is not nn.Parameter or parameter.is_meta:
        return
    attributes = dict(parameter.__dict__)
    with contextlib.suppress(RuntimeError):  # it is watched or already part of a graph: it stays where it is
        hollow = torch.empty_like(parameter, device="meta")
        torch.utils.swap_tensors(  # type: ignore[no-untyped-call]
            parameter, nn.Parameter(hollow, requires_grad=parameter.requires_grad)
        )
        parameter.__dict__.update(attributes)


class _StayingPut(TorchFunctionMode):
    """Leaves tensors where they are when a constructor moves its model, to a GPU that may not be there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        if func in _MOVES and _stays(args[0], func, args[1:], kwargs):
            return args[0]
        if func is Tensor.to and _stays(args[0], func, args[1:], kwargs):
            return func(args[0], torch._C._nn._parse_to(*args[1:], **kwargs)[1] or args[0].dtype)
        return func(*args, **kwargs)


_MOVES = {Tensor.cuda, Tensor.cpu}


def _stays(tensor: Tensor, func: Callable[..., Any], args: Any, kwargs: Any) -> bool:  # noqa: ANN401
    if tensor.is_meta:
        return True
    if func is Tensor.cuda:
        return not torch.cuda.is_available()
    if func is Tensor.cpu:
        return False
    with contextlib.suppress(TypeError, RuntimeError):
        device = torch._C._nn._parse_to(*args, **kwargs)[0]
        return device is not None and device.type == "cuda" and not torch.cuda.is_available()
    return False


STAGES: dict[Stage, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "meta": _on_meta,
    "streamed": _streamed,
    "cpu": contextlib.nullcontext,
}
