"""The record of this process: optimizers as they were made, counts of steps, and notes. `write` writes it as JSON."""

import gc
import os
import sys
import time
import weakref
from typing import Any, Dict, List, Optional, Tuple

import torch

from . import VERSION, choose, settings, variables

_PAUSE_FACTOR = 20
"""The pause after a record is this many times as long as writing it took, so that a script with many optimizers spends
at most about 5 % of its time on records."""


class OptimizerEntry:
    """An optimizer, and its state when its constructor returned.

    Attributes:
        models: the modules that hold its tensors, each with the name of the module's variable.
        names: the names of the models' tensors by id. Code may replace these tensors later.
        groups: coefficient, learning rate and tensors of each group.
        position: how many optimizers were made before it.
        group_steps: the `schedule.GroupSteps` of each group.
    """

    def __init__(self, optimizer: Any, construction: Any) -> None:
        self.reference = weakref.ref(optimizer)
        self.type_name = type(optimizer).__name__
        self.set_names: List[str] = construction.set_names
        self.group_keys: List[Tuple[Dict[str, Any], List[str]]] = list(construction.group_keys)
        self.file, self.line = construction.call_stack.file_and_line()
        self.models = choose.models_of(optimizer, construction.call_stack)
        self.names = choose.names_of_tensors(self.models)
        self.groups: List[Dict[str, Any]] = [choose.summary(group) for group in choose.groups_of(optimizer)]
        self.position = len(OPTIMIZERS)
        self.group_steps: List[Any] = []

    def keys_of(self, group: Any, index: int) -> Optional[List[str]]:
        """The keys that code set in a group; None if they are not known."""
        for created_group, keys in self.group_keys:
            if created_group is group:
                return keys
        if len(self.group_keys) > index:  # load_state_dict() replaces the groups and keeps their order
            return self.group_keys[index][1]
        return None


OPTIMIZERS: List[OptimizerEntry] = []
"""All optimizers that this process has made, in their order."""
NOTES: List[str] = []
"""Sentences for the report."""
BACKWARD_CALLS = 0
"""How many backward passes this process has begun."""
STEPS = 0
"""How many steps the optimizers of this process have taken, all together."""
STEPPING: Any = None
"""The optimizer that is about to take its first step. It is set while `document` describes that moment."""
IN_BACKWARD = False
"""Whether STEPPING takes its step inside a backward pass."""
_WRITTEN_AT = 0.0
"""When the latest record was written."""
_WRITE_SECONDS = 0.0
"""How long the writing of the latest record took."""
_PROCESS_ID = os.getpid()
"""The process that made OPTIMIZERS."""


def note(text: str) -> None:
    """Keep a sentence for the report."""
    if text not in NOTES:
        NOTES.append(text)


def add_optimizer(optimizer: Any, construction: Any) -> None:
    """Add a new optimizer, and write the record now: the script may be killed before it ends."""
    from . import tool

    if tool.IS_WORKING:
        return
    _forget_optimizers_of_parent()
    try:
        OPTIMIZERS.append(OptimizerEntry(optimizer, construction))
        if time.time() - _WRITTEN_AT > _PAUSE_FACTOR * _WRITE_SECONDS:
            write("running")
    except Exception as error:
        note(f"an optimizer of class {type(optimizer).__name__} could not be recorded: {error!r}")
        if os.environ.get("DECAY_AUDIT_DEBUG"):
            raise


def add_group(optimizer: Any, group: Dict[str, Any], keys: List[str]) -> None:
    """Record a group that was added to a finished optimizer."""
    for entry in OPTIMIZERS:
        if entry.reference() is optimizer:
            entry.group_keys.append((group, keys))
            entry.groups.append(choose.summary(group))
            if any(id(tensor) not in entry.names for tensor in choose.tensors_of(group)):  # of another model
                entry.models = choose.models_of(optimizer, variables.caller())
                entry.names = choose.names_of_tensors(entry.models)


def living_optimizers() -> List[OptimizerEntry]:
    """The optimizers that still exist, without those that another optimizer wraps."""
    gc.collect()  # an optimizer that a cycle of references keeps alive belongs to no running code
    alive = [entry for entry in OPTIMIZERS if entry.reference() is not None]
    optimizers = [entry.reference() for entry in alive]
    wrapped = {id(inner) for each in optimizers for inner in choose.wrapper_chain(each)[1:] + choose.members_of(each)}
    return [entry for entry in alive if id(entry.reference()) not in wrapped]


def write(status: str, moment: str = "", error: Optional[Dict[str, Any]] = None, stepping: Any = None) -> bool:
    """Write the record of this process. If its optimizers do not exist any more, write only how the process ended.

    Returns:
        Whether the record has optimizers.
    """
    global _WRITTEN_AT, _WRITE_SECONDS
    from . import schedule

    started = time.time()
    if status != "running":
        schedule.write()  # before the document, which has the notes
    contents = document(status, moment, stepping, error)
    if not contents["optimizers"] and os.path.exists(_path("record")):
        ending = {"status": status, "moment": moment, "error": error, "steps": STEPS}
        settings.write("ending", ending)
    else:
        settings.write("record", contents)
        if settings.TOOL and (status != "running" or stepping is not None):
            _write_results_of_tool(stepping)
    _WRITTEN_AT = time.time()
    _WRITE_SECONDS = _WRITTEN_AT - started
    return bool(contents["optimizers"])


def _write_results_of_tool(stepping: Any) -> None:
    """Write traces and measurements, after the record: they take time, and the process may be killed before."""
    from . import tool

    settings.write("results", tool.results(living_optimizers(), stepping))


def document(
    status: str, moment: str = "", stepping: Any = None, error: Optional[Dict[str, Any]] = None
) -> Dict[str, Any]:
    """Describe the optimizers and models of this process as plain data.

    Args:
        stepping: the optimizer that is about to take its first step; with it, gradients are described, too.
    """
    global STEPPING
    from . import describe

    STEPPING = stepping
    try:
        described = describe.describe(living_optimizers(), variables.caller())
    finally:
        STEPPING = None
    return {
        "version": VERSION,
        "pid": os.getpid(),
        "rank": _number("RANK", 0),
        "world": _number("WORLD_SIZE", 1),
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "torch": str(torch.__version__),
        "arguments": list(sys.argv),
        "status": status,
        "moment": moment,
        "error": error,
        "backward_calls": BACKWARD_CALLS,
        "steps": STEPS,
        "optimizers_made": len(OPTIMIZERS),
        "notes": NOTES,
        **described,
    }


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isdigit() else default


def _path(kind: str) -> str:
    return os.path.join(settings.FOLDER, f"{kind}-{os.getpid()}.json")


def _forget_optimizers_of_parent() -> None:
    """In a forked process, forget the optimizers of its parent. Called when the process makes its own optimizer."""
    global BACKWARD_CALLS, STEPS, _PROCESS_ID
    if is_forked():
        _PROCESS_ID = os.getpid()
        BACKWARD_CALLS = STEPS = 0
        OPTIMIZERS.clear()


def is_forked() -> bool:
    """Whether this process was forked from the process that made OPTIMIZERS."""
    return os.getpid() != _PROCESS_ID
