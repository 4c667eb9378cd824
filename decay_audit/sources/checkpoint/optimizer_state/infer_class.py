"""Infer which class of optimizer saved a param group, from the keys of the group and of the state."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from decay_audit.model.observations import Semantics

_ADAM_KEYS: Final = frozenset({"betas", "eps", "weight_decay", "amsgrad"})
"""Keys that the groups of both Adam and AdamW have."""

ADAPTIVE: Final = frozenset({"Adam", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop"})
"""Classes with coupled decay that divide their step, decay included, by an average of the squared gradient."""

_BY_KEYS: tuple[tuple[frozenset[str], str, Semantics], ...] = (
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
"""Each row has keys that only the groups of one class have, the name of that class, and the semantics of its decay."""

_SEMANTICS: Mapping[str, Semantics] = {"AdamW": "decoupled", "Adam": "coupled", "RAdam": "coupled"}
"""The semantics of a class whose name was pickled, for groups whose keys suggest another class."""


def infer_class(
    keys: Sequence[str], hyperparameters: Mapping[str, object], state: Collection[str], saved_type: str = ""
) -> tuple[str, Semantics]:
    """Return the class name and the semantics of its weight_decay; `unknown` where the keys do not decide.

    Args:
        keys: the keys of a group, in the file's order.
        hyperparameters: the hyperparameters of that group.
        state: the keys of the state of one parameter.
        saved_type: the class name, if the optimizer itself was pickled.
    """
    name, semantics = _from_keys(keys, hyperparameters, state)
    if saved_type:
        return saved_type, semantics if saved_type in name.split(" or ") else _SEMANTICS.get(saved_type, "unknown")
    return name, semantics


def _from_keys(
    keys: Sequence[str], hyperparameters: Mapping[str, object], state: Collection[str]
) -> tuple[str, Semantics]:
    key_set = frozenset(keys)
    decoupled = hyperparameters.get("decoupled_weight_decay")
    for distinctive, name, semantics in _BY_KEYS:
        if distinctive <= key_set:
            return name, "decoupled" if decoupled is True else semantics
    if key_set >= _ADAM_KEYS:
        return _adam_or_adamw(keys, decoupled)
    return _with_betas(key_set, decoupled, state) if "betas" in key_set else ("unknown", "unknown")


def _with_betas(key_set: frozenset[str], decoupled: object, state: Collection[str]) -> tuple[str, Semantics]:
    if "exp_inf" in state:
        return "Adamax", "coupled"
    if "eps" not in key_set:
        return "Lion", "decoupled"
    if "decoupled_weight_decay" in key_set:
        return "RAdam", "decoupled" if decoupled is True else "coupled"
    return ("Adam or AdamW", "unknown") if "weight_decay" in key_set else ("SparseAdam", "none")


def _adam_or_adamw(keys: Sequence[str], decoupled: object) -> tuple[str, Semantics]:
    """Distinguish Adam from AdamW.

    torch 2.7 and later saves `decoupled_weight_decay`. Since 1.12, AdamW saves `foreach` before `maximize`, and Adam
    after it.
    """
    if isinstance(decoupled, bool):
        return ("AdamW", "decoupled") if decoupled else ("Adam", "coupled")
    if "foreach" not in keys or "maximize" not in keys:
        return "Adam or AdamW", "unknown"
    return ("AdamW", "decoupled") if keys.index("foreach") < keys.index("maximize") else ("Adam", "coupled")
