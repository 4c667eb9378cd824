"""Example inputs: the arguments of a traced forward pass. Shapes and dtypes count, values do not.

- `make.py`: the entry point: the `--trace` text, else what the model declares, else a guess
- `candidates.py`: the class `ExampleInputs`, with alternatives to try, and the functions that build its tensors
- `declared.py`: attributes by which libraries declare the inputs of a model
- `transformers.py`: chooses the arguments for a transformers model
- `transformers_arguments.py`: the tensor for each of these arguments, from the model's config
- `first_layer.py`: guesses for a model that declares nothing
- `size_errors.py`: corrects inputs to the size that an error message asks for

Data flow: model and text -> candidates in the order to try -> `run.py` runs the first that the model accepts; a
candidate that a layer rejects for its size is corrected and tried again.
"""

from decay_audit.sources.trace.example_inputs.candidates import ExampleInputs
from decay_audit.sources.trace.example_inputs.make import make_example_inputs

__all__ = ["ExampleInputs", "make_example_inputs"]
