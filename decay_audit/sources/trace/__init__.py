"""Tracing: runs a model's forward pass on fake tensors and records the operator slots that each parameter flows into.

- `example_inputs/`: what the forward pass is called with
- `automatic.py`: a trace that nobody asked for: within a budget, and only where structure is not certain
- `run.py`: the entry point: runs the pass on the first candidate that the model accepts, and notes what was assumed
- `model_state.py`: placeholders for the model's tensors during the pass; everything restored after it
- `dispatch.py`: dispatch modes: every operator of the pass gets a fake result and is recorded
- `data_dependent.py`: assumed results of operators that would need values
- `tensor_states.py`: what is known of each tensor: provenance, fake tensor, memory; the uses recorded so far
- `provenance.py`: values: what a tensor is computed from, and an operator call with its operands
- `propagate.py`: from an operator call to uses of parameters and the provenance of its result
- `tags.py`: what is known of the values of the result: normalized, attention scores, ...
- `operators.py`: tables of operators by name

Data flow: model -> `ExampleInputs` -> forward pass -> `OperatorCall`s -> `Use`s by parameter -> `Trace` -> `Inventory`
with uses. Nothing here knows roles; provenance, propagation, tags and tables know no torch either.
"""

from decay_audit.sources.trace.automatic import trace_automatically
from decay_audit.sources.trace.example_inputs import ExampleInputs, make_example_inputs
from decay_audit.sources.trace.run import Trace, trace, with_uses

__all__ = ["ExampleInputs", "Trace", "make_example_inputs", "trace", "trace_automatically", "with_uses"]
