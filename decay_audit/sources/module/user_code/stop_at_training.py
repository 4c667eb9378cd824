"""Stop a script where its training starts, so that its model and optimizer exist untrained.

Training starts at the first backward pass, at an optimizer step with gradients, or in a loop that calls an optimized
module or reads a DataLoader. The script ends by an exception that `except Exception` does not catch.
"""

import ast
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader

import decay_audit

_TORCH_FOLDER = str(Path(torch.__file__).parent) + os.sep
_OWN_FOLDER = str(Path(decay_audit.__file__).parent) + os.sep
_LOOPS = (ast.For, ast.AsyncFor, ast.While)


class TrainingStarted(BaseException):
    """User code was about to train.

    Attributes:
        modules: a copy of `sys.modules` at that moment: Python removes a module from it when its import fails.
        optimizers: the optimizers that were made before, in order.
    """

    def __init__(self, optimizers: Sequence[Optimizer] = ()) -> None:
        super().__init__("training starts here")
        self.modules = dict(sys.modules)
        self.optimizers = tuple(optimizers)


class _TrainingWatch:
    """Raises TrainingStarted where training starts, and again if the code catches it and goes on."""

    def __init__(self) -> None:
        self.active, self.stopped = True, False
        self.optimizers: list[Optimizer] = []

    def stop(self) -> None:
        if self.active and not _is_import_of_a_library(sys._getframe(1)):
            self.stopped = True
            raise TrainingStarted(self.optimizers)

    def after_optimizer_init(self, init: Callable[..., None]) -> Callable[..., None]:
        @wraps(init)
        def __init__(optimizer: Optimizer, *args: object, **kwargs: object) -> None:  # noqa: N807
            init(optimizer, *args, **kwargs)
            self.optimizers.append(optimizer)

        return __init__

    def before_backward(self, backward: Callable[..., object]) -> Callable[..., object]:
        @wraps(backward)
        def stopping(*args: object, **kwargs: object) -> object:
            self.stop()
            return backward(*args, **kwargs)

        return stopping

    def before_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:  # noqa: ARG002
        if any(tensor.grad is not None for tensor in tensors(optimizer)):  # without gradients a step changes nothing
            self.stop()

    def before_forward(self, module: nn.Module, args: object) -> None:  # noqa: ARG002
        if not self.optimizers:
            return
        optimized = {id(tensor) for optimizer in self.optimizers for tensor in tensors(optimizer)}
        if any(id(parameter) in optimized for parameter in module.parameters()) and _is_in_a_loop(sys._getframe(1)):
            self.stop()

    def before_iteration(self, iterate: Callable[..., object]) -> Callable[..., object]:
        @wraps(iterate)
        def stopping(loader: object) -> object:
            if self.optimizers and _is_in_a_loop(sys._getframe(1)):
                self.stop()
            return iterate(loader)

        return stopping

    def unless_stopped(self, save: Callable[..., None]) -> Callable[..., None]:
        @wraps(save)
        def save_unless_stopped(*args: object, **kwargs: object) -> None:
            if not (self.active and self.stopped):  # `finally` blocks and `with` statements run, and may save
                save(*args, **kwargs)

        return save_unless_stopped


@contextmanager
def stop_at_training() -> Iterator[Sequence[Optimizer]]:
    """Raise TrainingStarted where user code in the `with` statement starts to train. Yield the optimizers it makes."""
    watch = _TrainingWatch()
    with ExitStack() as stack:
        for owner, name, function in (
            (Optimizer, "__init__", watch.after_optimizer_init(Optimizer.__init__)),
            (torch.autograd, "backward", watch.before_backward(torch.autograd.backward)),
            (DataLoader, "__iter__", watch.before_iteration(DataLoader.__iter__)),
            (torch, "save", watch.unless_stopped(torch.save)),
        ):
            stack.callback(setattr, owner, name, vars(owner)[name])
            setattr(owner, name, function)
        stack.callback(register_optimizer_step_pre_hook(watch.before_step).remove)
        stack.callback(register_module_forward_pre_hook(watch.before_forward).remove)
        try:
            yield watch.optimizers
        finally:
            watch.active = False


def tensors(optimizer: Optimizer) -> Iterator[torch.Tensor]:
    """List the tensors that an optimizer holds."""
    for group in getattr(optimizer, "param_groups", ()):
        yield from (tensor for tensor in group["params"] if isinstance(tensor, torch.Tensor))


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """List the frames of user code, the innermost first. Frames of decay-audit itself are left out."""
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    while frame is not None and not frame.f_code.co_filename.startswith(_OWN_FOLDER):
        yield frame
        frame = frame.f_back


def _is_import_of_a_library(frame: FrameType) -> bool:
    """Whether an installed package runs this code while it is imported, to test itself: that is no training."""
    modules = (caller.f_code.co_filename for caller in _frames(frame) if caller.f_code.co_name == "<module>")
    return "site-packages" in next(modules, "")


def _is_in_a_loop(frame: FrameType) -> bool:
    return any(
        first <= caller.f_lineno <= last
        for caller in _frames(frame)
        if not caller.f_code.co_filename.startswith((_TORCH_FOLDER, "<"))
        for first, last in _loops(caller.f_code.co_filename)
    )


@lru_cache(maxsize=64)
def _loops(filename: str) -> tuple[tuple[int, int], ...]:
    """Give the first and the last line of each loop of a file."""
    try:
        tree = ast.parse(Path(filename).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple((node.lineno, node.end_lineno or node.lineno) for node in ast.walk(tree) if isinstance(node, _LOOPS))


def _is_model_or_optimizer(value: object) -> bool:
    """Whether a value is a model or an optimizer. A module whose constructor has not run yet does not count."""
    return isinstance(value, Optimizer) or (isinstance(value, nn.Module) and "_parameters" in vars(value))


def models_and_optimizers(error: BaseException, module: Mapping[str, Any] | None = None) -> dict[str, object]:
    """Find the models and optimizers among the local variables of functions that were running.

    Args:
        error: the exception that ended the functions.
        module: the globals of the module whose functions count; None: functions of every module count.
    """
    variables: dict[str, object] = {}
    trace = error.__traceback__
    while trace is not None:
        names, own = trace.tb_frame.f_globals, trace.tb_frame.f_locals
        if (module is None or names is module) and own is not names:
            values = own.items()
            variables |= {name: value for name, value in values if _is_model_or_optimizer(value)}
        trace = trace.tb_next
    return variables
