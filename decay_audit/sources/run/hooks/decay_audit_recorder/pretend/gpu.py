"""With `--pretend gpu`: calls to CUDA run on the CPU, so that a script that needs a GPU comes to its first step."""

import contextlib
import functools
from types import SimpleNamespace
from typing import Any, Callable, Dict

import torch

from .. import recording

# functions of torch.cuda, by what their replacements return
_RETURNING_NONE = ("set_device", "synchronize", "empty_cache", "reset_peak_memory_stats", "reset_max_memory_allocated",
                   "manual_seed", "manual_seed_all", "seed", "seed_all", "init", "_lazy_init", "ipc_collect",
                   "set_rng_state", "set_rng_state_all", "set_per_process_memory_fraction")  # fmt: skip
_RETURNING_ZERO = ("current_device", "memory_allocated", "max_memory_allocated", "memory_reserved",
                   "max_memory_reserved", "memory_cached", "max_memory_cached")  # fmt: skip
# classes of torch.cuda, each replaced by the class of torch with the same name
_TENSOR_TYPES = ("FloatTensor", "DoubleTensor", "HalfTensor", "LongTensor", "IntTensor", "ByteTensor", "BoolTensor")


def set_hooks() -> None:
    """Replace the functions that need CUDA. Needs torch 2.0 or newer."""
    try:
        from torch.overrides import TorchFunctionMode
    except ImportError:
        recording.note("--pretend gpu needs torch 2.0 or newer: nothing is pretended")
        return

    class OnTheCPU(TorchFunctionMode):
        """Replaces CUDA devices by the CPU in the arguments of all functions of torch."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "")
            if name in ("cuda", "pin_memory") and args and isinstance(args[0], torch.Tensor):
                return args[0]
            return func(*[_on_cpu(value) for value in args], **{k: _on_cpu(v) for k, v in (kwargs or {}).items()})

    OnTheCPU().__enter__()  # type: ignore[no-untyped-call]
    _replace_cuda()
    _replace_wrappers()


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu") if value.type == "cuda" else value
    if isinstance(value, str) and value.partition(":")[0] == "cuda":
        return "cpu"
    return value


def _replace_cuda() -> None:
    cuda: Any = torch.cuda
    for name in _RETURNING_NONE:
        setattr(cuda, name, _constant(None))
    for name in _RETURNING_ZERO:
        setattr(cuda, name, _constant(0))
    for name in _TENSOR_TYPES:
        setattr(cuda, name, getattr(torch, name))
    properties = SimpleNamespace(name="pretended", total_memory=2**36, major=8, minor=0, multi_processor_count=100)
    answers: Dict[str, Any] = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "get_device_name": "pretended",
        "get_device_capability": (8, 0),
        "get_device_properties": properties,
        "is_bf16_supported": True,
        "get_rng_state_all": [],
        "mem_get_info": (2**36, 2**36),
    }
    for name, answer in answers.items():
        setattr(cuda, name, _constant(answer))
    cuda.get_rng_state = lambda *_, **__: torch.get_rng_state()
    cuda.Stream = cuda.Event = _Idle
    cuda.stream = lambda *_, **__: contextlib.nullcontext()
    cuda.device = lambda *_, **__: contextlib.nullcontext()
    cuda.current_stream = cuda.default_stream = _Idle


class _Idle:
    """A stream or an event that does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return _constant(0.0)


def _constant(answer: Any) -> Callable[..., Any]:
    """Make a function that takes any arguments and returns `answer`."""

    def constant(*_: Any, **__: Any) -> Any:
        return answer

    return constant


def _replace_wrappers() -> None:
    """Replace wrappers and loaders that place data on devices themselves."""
    parallel, loader, load = torch.nn.DataParallel, torch.utils.data.DataLoader, torch.load
    parallel.__init__ = _init_without_devices(parallel.__init__)  # type: ignore[method-assign]
    parallel.forward = lambda self, *args, **kwargs: self.module(*args, **kwargs)  # type: ignore[method-assign]
    distributed = torch.nn.parallel.DistributedDataParallel.__init__
    torch.nn.parallel.DistributedDataParallel.__init__ = _with_arguments(  # type: ignore[method-assign]
        distributed, {"device_ids": None, "output_device": None}
    )
    loader.__init__ = _with_arguments(loader.__init__, {"pin_memory": False})  # type: ignore[method-assign]
    torch.nn.SyncBatchNorm.convert_sync_batchnorm = staticmethod(  # type: ignore[method-assign]
        lambda module, process_group=None: module  # it needs a GPU  # noqa: ARG005
    )
    torch.load = _with_arguments(load, {"map_location": "cpu"})
    torch.amp.GradScaler.__init__ = _with_arguments(torch.amp.GradScaler.__init__, {"enabled": False})  # type: ignore[method-assign]


def _init_without_devices(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def __init__(self: Any, module: Any, *_: Any, **__: Any) -> None:  # noqa: N807
        torch.nn.Module.__init__(self)
        self.module, self.device_ids, self.dim = module, [], 0

    return __init__


def _with_arguments(function: Callable[..., Any], arguments: Dict[str, Any]) -> Callable[..., Any]:
    """Wrap a function: replace these keyword arguments where the caller gives them; always give `enabled`."""

    @functools.wraps(function)
    def with_arguments(*args: Any, **kwargs: Any) -> Any:
        kwargs.update({name: value for name, value in arguments.items() if name in kwargs or name == "enabled"})
        return function(*args, **kwargs)

    return with_arguments
