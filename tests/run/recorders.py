"""The recorder in this process: a live model and its optimizer become a Record, as the file of a script would."""

import json
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from torch import nn
from torch.optim import Optimizer

from decay_audit.model.records import Record
from decay_audit.sources.run.hooks.decay_audit_recorder import describe, recording, variables
from decay_audit.sources.run.hooks.decay_audit_recorder.hooks import construction, listed_modules


def record(optimizers: Sequence[Optimizer], model: nn.Module, seen: Mapping[str, Any] | None = None) -> Record:
    """Record optimizers as they are now; `model` was asked for its parameters."""
    listed_modules._REFERENCES[id(model)] = weakref.ref(model)
    made = entries_of(optimizers)
    document = {
        "version": 1,
        "pid": 1,
        "rank": 0,
        "world": 1,
        "python": "3",
        "executable": "python",
        "torch": "2",
        "arguments": ["train.py"],
        "status": "stopped",
        "moment": "step",
        "error": None,
        "backward_calls": 0,
        "steps": 0,
        "optimizers_made": len(made),
        "notes": [],
        **describe.describe(made, variables.caller()),
        **(seen or {}),
    }
    return msgspec.json.decode(json.dumps(document), type=Record)


def entries_of(optimizers: Sequence[Optimizer]) -> list[recording.OptimizerEntry]:
    """The recorder's entries for optimizers, as if their constructors had just returned."""
    return [
        recording.OptimizerEntry(optimizer, construction.OptimizerConstruction([], variables.caller()))
        for optimizer in optimizers
    ]
