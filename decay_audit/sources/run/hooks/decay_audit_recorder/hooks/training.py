"""Wrap backward() and step(): write the record and stop the script at the moment that `--until` names.

The script is stopped by a SystemExit: `except Exception` does not catch it, and Python ends without a traceback. If
the script catches it, it is raised again at the next step. If that happens several times, the process is ended.
"""

import contextlib
import functools
import os
import sys
import threading
from typing import Any, Callable, Set

import torch

from .. import choose, recording, schedule, settings, tool, watch
from . import opened_files

_SECONDS_TO_END = 10.0
"""How long a stopped process may run on before it is ended."""
_MAX_CAUGHT = 3
"""How often the script may catch the exception. Then the process is ended."""
_MAX_BACKWARD_CALLS = 200
"""After this many backward passes without a step, the script is stopped: it updates weights without an optimizer."""


class TrainingStopped(SystemExit):
    """Ends the script at the moment that `--until` names."""


_WRAPPED_CLASSES: Set[type] = set()
"""The classes whose `step` is wrapped; used before torch 2.0 only."""
_IN_BACKWARD = False
"""Whether a backward pass is running."""
STOPPED = 0
"""How many times the stop was raised in this process; 0 while the script may run on."""


def set_hooks() -> None:
    """Hook backward passes, steps of all optimizers, and torch.save."""
    torch.autograd.backward = _watched_backward(torch.autograd.backward)
    torch.save = _saving_unless_stopped(torch.save)
    threading.excepthook = _ending_after_stop(threading.excepthook)
    register = getattr(sys.modules["torch.optim.optimizer"], "register_optimizer_step_pre_hook", None)
    if register is not None:
        register(_before_step)
    else:
        _watch_steps_of_new_classes()


def _watched_backward(backward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(backward)
    def watched_backward(*args: Any, **kwargs: Any) -> Any:
        global _IN_BACKWARD
        _before_backward()
        _IN_BACKWARD = True
        try:
            return backward(*args, **kwargs)
        finally:
            _IN_BACKWARD = False

    return watched_backward


def _before_backward() -> None:
    if tool.IS_WORKING:
        return
    recording.BACKWARD_CALLS += 1
    if STOPPED:
        stop("backward")
    if recording.OPTIMIZERS and settings.UNTIL == "made" and not settings.WATCH:
        stop("backward")
    if recording.BACKWARD_CALLS > _MAX_BACKWARD_CALLS and recording.STEPS == 0 and settings.steps_before_stop() == 0:
        stop("backward without step")


def _before_step(optimizer: Any, args: Any, kwargs: Any) -> None:
    if tool.IS_WORKING:
        return  # a step on a copy, to measure it
    if not (args or kwargs) and not STOPPED and not _has_gradient(optimizer):
        return  # without gradients and without a closure, a step changes nothing
    if settings.steps_before_stop() <= recording.STEPS:
        stop("step", optimizer)
    recording.IN_BACKWARD = _IN_BACKWARD
    if settings.WATCH:
        watch.before_step(optimizer)
    elif recording.STEPS == 0:
        recording.write("running", "step", stepping=optimizer)
    if not settings.WATCH:
        schedule.add_step(optimizer)
    recording.STEPS += 1


def _has_gradient(optimizer: Any) -> bool:
    return any(tensor.grad is not None for group in choose.groups_of(optimizer) for tensor in choose.tensors_of(group))


def _watch_steps_of_new_classes() -> None:
    """Torch before 2.0 has no hook for all optimizers: wrap the `step` of each class at its first instance."""
    add_optimizer = recording.add_optimizer

    def add(optimizer: Any, construction: Any) -> None:
        _wrap_step(type(optimizer))
        add_optimizer(optimizer, construction)

    recording.add_optimizer = add


def _wrap_step(cls: type) -> None:
    owner = next((base for base in cls.__mro__ if "step" in base.__dict__), None)
    if owner is None or owner in _WRAPPED_CLASSES:
        return
    _WRAPPED_CLASSES.add(owner)
    step = owner.step  # type: ignore[attr-defined]

    @functools.wraps(step)
    def watched_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        _before_step(self, args, kwargs)
        return step(self, *args, **kwargs)

    owner.step = watched_step  # type: ignore[attr-defined]


def _saving_unless_stopped(save: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(save)
    def save_unless_stopped(*args: Any, **kwargs: Any) -> Any:
        if STOPPED:
            return None  # `finally` and `with` still run, and may save
        opened_files.add(kwargs.get("f", args[1] if len(args) > 1 else None))  # C++ code opens it
        return save(*args, **kwargs)

    return save_unless_stopped


def stop(moment: str, optimizer: Any = None) -> None:
    """Write the record at the first call, and raise TrainingStopped. End the process if the script caught it before."""
    global STOPPED
    STOPPED += 1
    if STOPPED == 1:
        recording.IN_BACKWARD = _IN_BACKWARD
        recording.write("stopped", moment, stepping=optimizer)
        settings.mark_reached("stop")
        _end_later()
    elif STOPPED > _MAX_CAUGHT:
        end_process()
    raise TrainingStopped(0)


def _ending_after_stop(excepthook: Callable[..., Any]) -> Callable[..., Any]:
    """End the process when the stop ends a thread: the main thread would not notice it."""

    @functools.wraps(excepthook)
    def end_after_stop(args: Any) -> Any:
        if issubclass(args.exc_type, TrainingStopped):
            end_process()
        return excepthook(args)

    return end_after_stop


def _end_later() -> None:
    """End the process after some seconds if it still runs: it may wait for its threads or for other processes."""
    timer = threading.Timer(_SECONDS_TO_END, end_process)
    timer.daemon = True
    timer.start()


def end_process() -> None:
    """End this process at once, with success: the record is written."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _ORIGINAL_EXIT(0)


_ORIGINAL_EXIT = os._exit
