"""Run the forward pass of a model on fake tensors, and record into which operator slots each parameter flows.

- `example_inputs/`: the arguments of the forward pass
- `automatic.py`: the trace without --trace: within a budget, and only for parameters whose role is uncertain
- `run.py`: the entry point: runs the pass on the first candidate that the model accepts, and notes what was assumed
- `model_state.py`: puts placeholders in place of the model's tensors, and restores the model after the pass
- `dispatch.py`: dispatch modes, which give every operator of the pass a fake result and record it
- `data_dependent.py`: assumed results of operators whose result depends on values
- `tensor_states.py`: the provenance, fake tensor and memory of each tensor; the uses recorded so far
- `dataflow/`: from operator calls to the uses of parameters
- `limits.py`: how many operators and lines of code a pass may run, and how long it may wait

Data flow: model -> `ExampleInputs` -> forward pass -> `OperatorCall`s -> `Use`s by parameter -> `Trace` -> `Inventory`
with uses. Roles are not decided here, and `dataflow` does not import torch.
"""

from decay_audit.sources.trace.automatic import trace_automatically
from decay_audit.sources.trace.example_inputs import ExampleInputs, make_example_inputs
from decay_audit.sources.trace.run import Trace, trace, with_uses

__all__ = [
    "ExampleInputs",
    "Trace",
    "make_example_inputs",
    "trace",
    "trace_automatically",
    "with_uses",
]
