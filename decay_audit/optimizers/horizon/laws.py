"""Find the law of decay of each parameter in each group, from what was observed: class, settings, measured steps."""

from collections.abc import Mapping
from math import isclose

from decay_audit.model.horizon import DecayLaw
from decay_audit.model.observations import Movement, Observation, Optimizer
from decay_audit.model.parameters import Parameter
from decay_audit.optimizers.table.group_keys import WITHOUT_LR_KEYS
from decay_audit.optimizers.table.lookup import class_facts, decay_form

_NOT_A_FRACTION: Mapping[Movement, str] = {
    "sign": "a step removes the same amount from every element, not a fraction",
    "constant": "a step removes the same amount from every element, not a fraction",
    "other_point": "decay pulls the weight towards values other than 0",
    "normalized": "what a step removes depends on the gradients",
    "cautious": "what a step removes depends on the gradients",
    "scheduled": "the rate does not settle: the optimizer changes it from step to step",
    "other": "a step removes no fixed fraction",
    "vanishing": "rounding to the parameter's dtype undoes single steps",
    "unstable": "a step makes the weight infinite or NaN",
    "unknown": "the class is not known, and no step was measured",
}
"""Why a measured movement tells nothing of many steps."""
_ROUNDING_DTYPES = ("bfloat16", "float16", "float8")
"""Dtypes in which a usual step of decay is smaller than the distance between two numbers."""


def decay_law(observation: Observation, optimizer: Optimizer, parameter: Parameter | None) -> DecayLaw:
    """Find what a step of an optimizer with a gradient of zero removes from a parameter.

    A formula is used where one is known, and the measured rate where not.
    """
    if parameter is not None and parameter.trainable is False:
        return DecayLaw(kind="none")  # it has no gradient, so a step skips it
    if observation.movement == "none":
        return DecayLaw(kind="none")
    if parameter is not None and _is_rounded(parameter, optimizer):
        return _unknown(f"each step is rounded to {parameter.dtype}")
    if observation.movement not in (None, "proportional", "without_lr"):
        return _unknown(_NOT_A_FRACTION[observation.movement], without_coefficient=False)
    return _law_of_class(observation, optimizer) or _measured_law(observation) or _not_measured(optimizer)


def _unknown(reason: str, *, without_coefficient: bool = True) -> DecayLaw:
    return DecayLaw(kind="unknown", reason=f"not known: {reason}", without_coefficient=without_coefficient)


def _is_rounded(parameter: Parameter, optimizer: Optimizer) -> bool:
    return parameter.dtype.startswith(_ROUNDING_DTYPES) and not optimizer.compensates_rounding


def _law_of_class(observation: Observation, optimizer: Optimizer) -> DecayLaw | None:
    """Find the law that the class and the group declare; None if they declare none."""
    if optimizer.semantics == "none":
        return DecayLaw(kind="none")
    settings = optimizer.groups[observation.group].hyperparameters
    if optimizer.semantics == "coupled":
        return DecayLaw(kind="momentum") if _is_sgd_of_torch(optimizer) else None
    rate = observation.declared_rate
    if optimizer.semantics != "decoupled" or rate is None:
        return None
    if any(settings.get(key) for key in WITHOUT_LR_KEYS) or _is_without_lr(optimizer):
        return DecayLaw(kind="without_lr")
    return DecayLaw(kind="fraction") if isclose(rate, observation.weight_decay, rel_tol=1e-9) else None


def _is_sgd_of_torch(optimizer: Optimizer) -> bool:
    """Whether the optimizer is torch's SGD itself: a wrapper may change how momentum adds up."""
    return optimizer.type == "SGD" and optimizer.import_path in ("", "SGD")


def _is_without_lr(optimizer: Optimizer) -> bool:
    name = optimizer.type.rpartition("(")[2].rstrip(")")
    return decay_form(class_facts((name,)), {}) == "decoupled_without_lr"


def _measured_law(observation: Observation) -> DecayLaw | None:
    """Make a law of the measured rate, if it settled."""
    rate = observation.settled_rate
    if observation.movement is None or rate is None:
        return None
    coefficient = observation.weight_decay
    if observation.movement == "without_lr":  # the rate is divided by lr
        rate = rate * (observation.lr or 1.0)
        return DecayLaw(kind="measured_without_lr", rate=rate, measured_with=coefficient, without_coefficient=False)
    return DecayLaw(kind="measured", rate=rate, measured_with=coefficient, without_coefficient=False)


def _not_measured(optimizer: Optimizer) -> DecayLaw:
    if optimizer.adaptive_denominator:
        return _unknown(
            f"{optimizer.type} divides decay by a running magnitude of the gradient, so it removes no fixed fraction"
        )
    if not optimizer.class_is_known:
        return _unknown("the class is not known, and no step was measured", without_coefficient=False)
    return _unknown("not measured; --measure measures the settled rate")
