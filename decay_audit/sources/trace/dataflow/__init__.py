"""Dataflow of a traced pass: from operator calls to the uses of parameters. Neither torch nor roles are used here.

- `provenance.py`: the types: the provenance of a tensor, and an operator call with its operands
- `propagate.py`: from an operator call to uses of parameters and the provenance of its result
- `parameter_uses.py`: the uses of the parameters in some operands; `propagate` calls it for each operator
- `at_zero.py`: the value of a tensor if the parameter that it is computed from is 0
- `feeds.py`: what a gain feeds: the next layer, or a residual addition
- `downstream.py`: later uses of a product, a scaled or a subtracted parameter; `propagate` calls it
- `tags.py`: tags for the values of the result: normalized, attention scores, ...
- `operators.py`: tables of operators by name
"""
