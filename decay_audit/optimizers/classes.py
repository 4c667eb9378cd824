"""The table: what `weight_decay` means in each optimizer class, as literal data. Read by `semantics.py`."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Path = Literal["lr", "constant", "own", "gradient", "denominator", "norm", "none", "unknown"]
"""The way a coefficient takes to the weight; `semantics.WORDS` writes each one out."""


class Row(Struct, frozen=True, kw_only=True):
    """What one class does with its coefficient.

    Attributes:
        path: the way it takes; where there is a switch, the way it takes when that is off.
        default: the coefficient when nobody sets one.
        switch: key of the group that, when true, decouples the decay.
        assumed: what the switch is where a group (of an old checkpoint) lacks it.
        rescaled: keys of the group that, when true, make a decoupled decay use a rate of the optimizer's own.
        note: what the path alone does not say.
    """

    path: Path
    default: float = 0.0
    switch: str = ""
    assumed: bool = False
    rescaled: tuple[str, ...] = ()
    note: str = ""


_TORCH_SWITCH = "decoupled_weight_decay"
_CORRECTED = ("corrected_weight_decay",)

_TORCH: dict[str, Row] = {
    "ASGD": Row(path="gradient"),
    "Adadelta": Row(path="denominator"),
    "Adafactor": Row(path="lr"),
    "Adagrad": Row(path="denominator"),
    "Adam": Row(path="denominator", switch=_TORCH_SWITCH),
    "AdamW": Row(path="denominator", default=0.01, switch=_TORCH_SWITCH, assumed=True),
    "Adamax": Row(path="denominator"),
    "LBFGS": Row(path="none"),
    "Muon": Row(path="lr", default=0.1),
    "NAdam": Row(path="denominator", switch=_TORCH_SWITCH),
    "RAdam": Row(path="denominator", switch=_TORCH_SWITCH),
    "RMSprop": Row(path="denominator"),
    "Rprop": Row(path="none"),
    "SGD": Row(path="gradient"),
    "SparseAdam": Row(path="none"),
}

CLASSES: Mapping[str, Mapping[str, Row]] = {
    "torch": _TORCH,
}
"""Package, then simple class name. A simple name alone means the first package that has it."""
