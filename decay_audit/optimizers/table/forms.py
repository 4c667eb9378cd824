"""The words of the table: the ways a coefficient takes to the weight, and the row that describes one class."""

from typing import Literal

from msgspec import Struct

from decay_audit.model.observations import Semantics

Path = Literal["lr", "constant", "own", "gradient", "denominator", "norm", "none", "inside", "unknown"]

SEMANTICS: dict[Path, Semantics] = {
    "lr": "decoupled",
    "constant": "decoupled",
    "own": "decoupled",
    "gradient": "coupled",
    "denominator": "coupled",
    "norm": "coupled",
    "none": "none",
    "inside": "unknown",
    "unknown": "unknown",
}
"""The families that the paths fall into."""

WORDS: dict[Path, str] = {
    "lr": "w <- w - lr * weight_decay * w",
    "constant": "w <- w - weight_decay * w, whatever lr is",
    "own": "w <- w - rate * weight_decay * w, with a rate of the optimizer's own",
    "gradient": "g <- g + weight_decay * w, and the step is proportional to g",
    "denominator": "g <- g + weight_decay * w, and the step divides by a running magnitude of each element of g",
    "norm": "weight_decay * w is added to what a norm or a preconditioner then rescales: no fixed rate",
    "none": "the coefficient is not used",
    "inside": "what the optimizer inside does, which this one only calls",
    "unknown": "not known",
}
"""Each path as the update that it stands for."""


class Row(Struct, frozen=True, kw_only=True):
    """What one class does with its coefficient.

    Attributes:
        path: the way it takes; where there is a switch, the way it takes when that is off.
        default: the coefficient when nobody sets one.
        switch: key of the group (or attribute of the optimizer) that, when true, selects `on`.
        on: the way it takes when the switch is on.
        assumed: what the switch is where it is missing, as in an old checkpoint.
        rescaled: keys that, when true, make a decoupled decay use a rate of the optimizer's own.
        note: what the path alone does not say.
    """

    path: Path
    default: float = 0.0
    switch: str = ""
    on: Path = "lr"
    assumed: bool = False
    rescaled: tuple[str, ...] = ()
    note: str = ""
