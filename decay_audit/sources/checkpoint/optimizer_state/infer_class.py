"""Which optimizer saved a param group, told from the group's keys and the state's, where they decide."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from decay_audit.model.observations import Semantics

_ADAM: Final = frozenset({"betas", "eps", "weight_decay", "amsgrad"})

ADAPTIVE: Final = frozenset({"Adam", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop"})
"""Classes that divide what they step by, coupled decay included, by a running size of the gradient."""

_MARKS: tuple[tuple[frozenset[str], str, Semantics], ...] = (
    (frozenset({"momentum_decay", "betas"}), "NAdam", "coupled"),
    (frozenset({"ns_steps", "momentum"}), "Muon", "decoupled"),
    (frozenset({"lr_decay", "initial_accumulator_value"}), "Adagrad", "coupled"),
    (frozenset({"rho", "eps"}), "Adadelta", "coupled"),
    (frozenset({"centered", "alpha"}), "RMSprop", "coupled"),
    (frozenset({"lambd", "t0"}), "ASGD", "coupled"),
    (frozenset({"etas", "step_sizes"}), "Rprop", "none"),
    (frozenset({"max_iter", "history_size"}), "LBFGS", "none"),
    (frozenset({"beta2_decay", "d"}), "Adafactor", "decoupled"),
    (frozenset({"scale_parameter", "relative_step"}), "Adafactor", "decoupled"),
    (frozenset({"correct_bias", "betas"}), "AdamW", "decoupled"),
    (frozenset({"trust_coefficient", "momentum"}), "LARS", "coupled"),
    (frozenset({"nesterov", "dampening"}), "SGD", "coupled"),
)
"""Keys that only one class of optimizer puts in its groups, with the class and what its weight_decay means."""


def type_and_semantics(
    keys: Sequence[str], hyperparameters: Mapping[str, object], state: Collection[str], saved_type: str = ""
) -> tuple[str, Semantics]:
    """Name the optimizer.

    Args:
        keys: of a group, in the file's order.
        hyperparameters: the group's.
        state: keys of the state of one parameter.
        saved_type: the class, where the optimizer was saved as a whole.
    """
    held = frozenset(keys)
    name, semantics = _told(keys, held, hyperparameters, state)
    if saved_type:
        return saved_type, semantics if saved_type in name.split(" or ") else _of_class(saved_type)
    return name, semantics


def _told(
    keys: Sequence[str], held: frozenset[str], hyperparameters: Mapping[str, object], state: Collection[str]
) -> tuple[str, Semantics]:
    decoupled = hyperparameters.get("decoupled_weight_decay")
    for marks, name, semantics in _MARKS:
        if marks <= held:
            return name, "decoupled" if decoupled is True else semantics
    if held >= _ADAM:
        return _adam(keys, decoupled)
    return _with_betas(held, decoupled, state) if "betas" in held else ("unknown", "unknown")


def _with_betas(held: frozenset[str], decoupled: object, state: Collection[str]) -> tuple[str, Semantics]:
    if "exp_inf" in state:
        return "Adamax", "coupled"
    if "eps" not in held:
        return "Lion", "decoupled"
    if "decoupled_weight_decay" in held:
        return "RAdam", "decoupled" if decoupled is True else "coupled"
    return ("Adam or AdamW", "unknown") if "weight_decay" in held else ("SparseAdam", "none")


def _adam(keys: Sequence[str], decoupled: object) -> tuple[str, Semantics]:
    """Tell Adam from AdamW: by the key that torch writes since 2.7, or by the order of two keys since 1.12.

    Before 2.7 AdamW's defaults named `foreach` before `maximize`, Adam's the other way round.
    """
    if isinstance(decoupled, bool):
        return ("AdamW", "decoupled") if decoupled else ("Adam", "coupled")
    if "foreach" not in keys or "maximize" not in keys:
        return "Adam or AdamW", "unknown"
    return ("AdamW", "decoupled") if keys.index("foreach") < keys.index("maximize") else ("Adam", "coupled")


def _of_class(name: str) -> Semantics:
    known: Mapping[str, Semantics] = {"AdamW": "decoupled", "Adam": "coupled", "RAdam": "coupled"}
    return known.get(name, "unknown")
