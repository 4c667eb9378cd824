"""Measure which parameters of a model may be multiplied by 2 without a change of its output.

- `float64_copy.py`: a copy of the model in float64 with random weights, without dropout and without `eps`
- `input_values.py`: values for example inputs, of which a trace needs only the shapes
- `exact_pass.py`: one forward pass that rounds nothing to float32 and drops nothing, and the tensors of its output
- `measurement.py`: the entry point: gradients choose the parameters to test, and passes with changed weights decide

Data flow: model, `ExampleInputs` -> copy -> output -> output with one parameter changed -> `Scaling` by parameter.
The model itself is not changed. Roles are not used.
"""

from decay_audit.sources.invariance.measurement import ScalingMeasurement, measure, with_scaling

__all__ = ["ScalingMeasurement", "measure", "with_scaling"]
