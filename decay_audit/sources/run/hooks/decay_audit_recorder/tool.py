"""Use decay-audit in the script's process, if its Python can import it: trace models, and measure steps of optimizers.

Both work on copies. The random numbers that the script gets later are the same as without this module.
"""

import importlib
import random
import sys
from typing import Any, Callable, Dict, List

import torch

from . import choose, recording, settings

Data = Dict[str, Any]
"""A JSON object."""

IS_WORKING = False
"""Whether decay-audit is working in this process: its steps, backward passes and optimizers are not the script's."""


def results(entries: "List[recording.OptimizerEntry]", stepping: Any) -> Data:
    """Trace the models and measure the optimizers, in the order of `describe`, as far as the settings ask for it.

    If decay-audit cannot be imported, each result says why.

    Args:
        stepping: the optimizer that is about to take a step; None if no step is about to be taken.
    """
    global IS_WORKING
    models = {id(module): module for entry in entries for _, module in entry.models}
    state, random_state = torch.get_rng_state(), random.getstate()
    IS_WORKING = True
    try:
        notes: List[str] = []
        return {
            "traces": [
                {"model": index, "trace": _trace(model)} for index, model in enumerate(models.values()) if _traces()
            ],
            "measurements": [_measurement(entry.reference(), stepping, notes) for entry in entries if _measures()],
            "notes": notes,
        }
    finally:
        IS_WORKING = False
        torch.set_rng_state(state)
        random.setstate(random_state)


def _traces() -> bool:
    return bool(settings.TOOL.get("trace"))


def _measures() -> bool:
    return bool(settings.TOOL.get("measure", "none") != "none")


def _trace(model: torch.nn.Module) -> Data:
    try:
        traced_data = _function("decay_audit.api.loading", "traced_data")
    except Exception as error:
        return {"refusal": _refusal(error)}
    data: Data = traced_data(model)
    return data


def _measurement(optimizer: Any, stepping: Any, notes: List[str]) -> Data:
    """Measure an optimizer; if it cannot step alone, measure the optimizer inside it that the script steps itself.

    SAM is such an optimizer: the script calls `second_step`, which calls `step` of the optimizer inside.
    """
    try:
        measured_data = _function("decay_audit.api.observing", "measured_data")
    except Exception as error:
        return {"failure": _refusal(error)}
    known_classes = settings.TOOL["measure"] == "all"
    try:
        data: Data = measured_data(optimizer, known_classes=known_classes)
        inner = [member for member in choose.wrapper_chain(optimizer)[1:] if member is stepping]
        if data["failure"] and inner:
            data_of_inner: Data = measured_data(stepping, known_classes=True)
            if not data_of_inner["failure"]:
                text = "of {} only the step of {} was measured: {}"
                notes.append(text.format(type(optimizer).__name__, type(stepping).__name__, data["failure"]))
                return data_of_inner
    except Exception as error:  # of the user's class
        return {"failure": "{}: {}".format(type(error).__name__, error)}
    return data


def _function(module: str, name: str) -> Callable[..., Any]:
    """Import a function of decay-audit from the tool's own folders, which are on `sys.path` for the import alone.

    Raises:
        ImportError: this Python has another version, or lacks something that decay-audit needs.
    """
    before = list(sys.path)
    try:
        if list(sys.version_info[:2]) != settings.TOOL["python"]:
            raise ImportError("which runs with Python {}.{}".format(*settings.TOOL["python"]))
        sys.path[:0] = settings.TOOL["paths"]
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function
    finally:
        sys.path[:] = before


def _refusal(error: Exception) -> str:
    return "the script's Python cannot import decay-audit ({})".format(error)
