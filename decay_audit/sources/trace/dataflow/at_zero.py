"""Follow the value of a tensor if the parameter that it is computed from is 0: for `1 + w`, it is 1."""

from collections.abc import Callable, Mapping, Sequence
from math import exp, log1p, tanh

from decay_audit.sources.trace.dataflow.operators import KEEPS_VALUES
from decay_audit.sources.trace.dataflow.provenance import OperatorCall

_FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "exp": exp,
    "neg": lambda value: -value,
    "abs": abs,
    "relu": lambda value: max(value, 0.0),
    "square": lambda value: value * value,
    "tanh": tanh,
    "sigmoid": lambda value: 1 / (1 + exp(-value)),
    "softplus": lambda value: log1p(exp(value)),
}
"""What operators make of a value."""
WITH_NUMBER: Mapping[str, Callable[[float, float], float]] = {
    "add": lambda value, number: value + number,
    "sub": lambda value, number: value - number,
    "rsub": lambda value, number: number - value,
    "mul": lambda value, number: value * number,
    "div": lambda value, number: value / number,
}
"""What operators make of a value and a number."""
_LINEAR = frozenset(
    ["mul", "div", "cat", "stack", "sum", "mean", "repeat", "repeat_interleave", "index", "index_select", "gather",
     "embedding", "mm", "bmm", "addmm", "mv", "kron", "tril", "triu", "diag_embed", "pixel_shuffle", "upsample"]
)  # fmt: skip
"""Operators that make 0 of parameters that are 0."""


def value_at_zero(call: OperatorCall, values: Sequence[float | None]) -> float | None:
    """Compute the value of a result from those of the operands that depend on parameters; None if it is not known."""
    if call.operator in _LINEAR and not any(value != 0 for value in values):
        return 0.0
    before = values[0] if len(values) == 1 else None
    if before is None or call.operator in KEEPS_VALUES:
        return before
    try:
        if call.operator in WITH_NUMBER and call.number is not None:
            return WITH_NUMBER[call.operator](before, call.number)
        return _FUNCTIONS[call.operator](before) if call.operator in _FUNCTIONS else None
    except ArithmeticError:
        return None
