"""Compare an imported ruleset with what its codebase itself does with the same parameters."""

from collections.abc import Mapping
from math import isclose

from msgspec import Struct

from decay_audit.rulesets.plan import Decision, Plan


class Treatment(Struct, frozen=True, kw_only=True):
    """What a codebase does with a parameter.

    Attributes:
        weight_decay, lr_scale: None where the configuration leaves it to the optimizer.
        use: the optimizer that takes it; None where there is only one optimizer.
    """

    weight_decay: float | None = None
    lr_scale: float | None = None
    use: str | None = None


class TreatmentDifference(Struct, frozen=True, kw_only=True):
    """A parameter that the imported ruleset (`ours`) and the codebase (`theirs`) treat differently.

    Attributes:
        ours, theirs: None where the parameter is in no group.
    """

    parameter: str
    ours: Treatment | None
    theirs: Treatment | None


class Conformance(Struct, frozen=True, kw_only=True):
    """The result of comparing an imported ruleset with its codebase.

    Attributes:
        codebase: its name and version.
        not_compared: why the codebase's function could not be called; "" if it was called.
    """

    plan: Plan
    target: str
    codebase: str = ""
    not_compared: str = ""
    differences: tuple[TreatmentDifference, ...] = ()


def differences(plan: Plan, theirs: Mapping[str, Treatment]) -> tuple[TreatmentDifference, ...]:
    """Find the parameters that ruleset and codebase treat differently.

    Args:
        theirs: what the codebase does with each parameter, by raw name.
    """
    ours = {
        decision.classified.parameter.raw_name: _treatment(decision) for decision in plan.decisions if decision.grouped
    }
    return tuple(
        TreatmentDifference(parameter=name, ours=ours.get(name), theirs=theirs.get(name))
        for name in dict.fromkeys((*ours, *theirs))
        if not _is_same_treatment(ours.get(name), theirs.get(name))
    )


def _treatment(decision: Decision) -> Treatment:
    return Treatment(weight_decay=decision.weight_decay, lr_scale=decision.lr_scale, use=decision.use)


def _is_same_treatment(ours: Treatment | None, theirs: Treatment | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return (
        ours.use == theirs.use
        and _equal(ours.weight_decay, theirs.weight_decay)
        and _equal(ours.lr_scale, theirs.lr_scale)
    )


def _equal(ours: float | None, theirs: float | None) -> bool:
    return ours is None or theirs is None or isclose(ours, theirs, rel_tol=1e-9)
