"""The forms of weight decay, the update that each stands for, and the row of the table that describes one class."""

from typing import Literal

from msgspec import Struct

from decay_audit.model.observations import Semantics

DecayForm = Literal[
    "decoupled",
    "decoupled_without_lr",
    "decoupled_own_rate",
    "coupled",
    "coupled_adaptive",
    "coupled_normalized",
    "none",
    "delegated",
    "unknown",
]

SEMANTICS: dict[DecayForm, Semantics] = {
    "decoupled": "decoupled",
    "decoupled_without_lr": "decoupled",
    "decoupled_own_rate": "decoupled",
    "coupled": "coupled",
    "coupled_adaptive": "coupled",
    "coupled_normalized": "coupled",
    "none": "none",
    "delegated": "unknown",
    "unknown": "unknown",
}
"""What a report calls each form."""

UPDATES: dict[DecayForm, str] = {
    "decoupled": "w <- w - lr * weight_decay * w",
    "decoupled_without_lr": "w <- w - weight_decay * w, whatever lr is",
    "decoupled_own_rate": "w <- w - rate * weight_decay * w; the optimizer computes the rate",
    "coupled": "g <- g + weight_decay * w; the step is proportional to g (L2 regularization)",
    "coupled_adaptive": "g <- g + weight_decay * w; the step divides each element by a running magnitude of g",
    "coupled_normalized": "weight_decay * w is added, then a norm or a preconditioner rescales the step: no fixed rate",
    "none": "weight_decay is not used",
    "delegated": "whatever the wrapped optimizer does: this class only calls its step",
    "unknown": "not known",
}
"""The update that each form stands for."""


class ClassFacts(Struct, frozen=True, kw_only=True):
    """What one optimizer class does with weight_decay.

    Attributes:
        form: the form of its decay; if there is a switch, the form when the switch is off.
        default: the coefficient when the user sets none.
        switch: key of the group, or attribute of the optimizer, that selects `form_if_on` when it is true.
        form_if_on: the form when the switch is on.
        on_by_default: the switch's value where it is missing, as in an old checkpoint.
        own_rate_switches: keys that, when true, turn `decoupled` into `decoupled_own_rate`.
        note: a fact about the class that its form does not express.
    """

    form: DecayForm
    default: float = 0.0
    switch: str = ""
    form_if_on: DecayForm = "decoupled"
    on_by_default: bool = False
    own_rate_switches: tuple[str, ...] = ()
    note: str = ""
