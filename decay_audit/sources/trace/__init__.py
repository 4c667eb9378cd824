"""Tracing: a model and an input become the operator slots through which each parameter meets data."""

from decay_audit.sources.trace.example_inputs import Inputs, inputs
from decay_audit.sources.trace.run import Trace, trace, with_uses

__all__ = ["Inputs", "Trace", "inputs", "trace", "with_uses"]
