"""Emitted code is executed on a model, and its param groups are compared with the Plan, parameter by parameter."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from decay_audit.emit.groups import OriginalOptimizers, group_key
from decay_audit.emit.like import proof
from decay_audit.emit.like.proof import DifferentOptimizerError
from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import first_few

if TYPE_CHECKING:
    import torch

NAMES_SHOWN = 5
"""How many names of differing parameters an error message shows."""
TEST_LR = 1.0
"""The learning rate for which the emitted function makes its groups, so that their factors can be compared."""


class DifferentGroupsError(DecayAuditError):
    """Emitted code does not run, or makes other groups than those of the plan."""


class HasParameters(Protocol):
    """A model, or an object that stands for a model: it has named parameters."""

    def named_parameters(self, *, remove_duplicate: bool = True) -> "Iterator[tuple[str, torch.nn.Parameter]]":
        """Yield each parameter with its name in torch."""


class GroupSettings(Struct, frozen=True, kw_only=True):
    """The settings of a param group that a ruleset decides."""

    weight_decay: float
    lr: float | None
    use: str | None


def verify(
    code: str, plan: Plan, model: "HasParameters | None" = None, originals: OriginalOptimizers | None = None
) -> None:
    """Execute emitted code and compare every parameter with the plan.

    Args:
        model: the model that the plan is for; None: a placeholder made from the plan, without data.
        originals: the optimizers that the code copies; every setting except the coefficient must be the same.

    Raises:
        DifferentOptimizerError: the optimizers differ from those of `originals`, or cannot be made.
        DecayAuditError: the code does not run, its optimizer cannot be made or has no weight_decay, or a parameter's
            settings differ from its decision.
    """
    model = placeholder_model(plan) if model is None else model
    namespace: dict[str, Any] = {"__name__": "param_groups"}
    has_scaled_lr = any(decision.lr_scale != 1.0 for decision in plan.decisions)
    try:
        exec(compile(code, "<emitted>", "exec"), namespace)  # noqa: S102  (data is in it as literals only)
        groups = namespace["param_groups"](model, **({"lr": TEST_LR} if has_scaled_lr else {}))
    except Exception as error:
        raise DifferentGroupsError(_failure(error)) from error
    _compare(groups, plan, model, originals, has_scaled_lr=has_scaled_lr)
    try:
        optimizers = namespace["make_optimizer"](model) if "make_optimizer" in namespace else {}
    except Exception as error:
        kind = DecayAuditError if originals is None else DifferentOptimizerError
        raise kind(_failure(error), _hint(error)) from error
    if originals is not None and optimizers != {}:
        proof.compare(optimizers, plan, model, originals, has_scaled_lr=has_scaled_lr)
    for optimizer in optimizers.values() if isinstance(optimizers, dict) else [optimizers]:
        # an object that has no attribute `defaults` is refused, as if its defaults lacked weight_decay
        defaults = getattr(optimizer, "defaults", {"no": "defaults"})
        if defaults and "weight_decay" not in defaults:  # a class without defaults reads all settings from its groups
            raise DecayAuditError(
                f"{type(optimizer).__name__} does not read weight_decay, so these groups have no effect in it"
            )


def placeholder_model(plan: Plan) -> "HasParameters":
    """Make a placeholder with the names, shapes and `requires_grad` of a plan's parameters, and no data."""
    import torch

    class Placeholder:
        def named_parameters(self, *, remove_duplicate: bool = True) -> "Iterator[tuple[str, torch.nn.Parameter]]":  # noqa: ARG002
            yield from tensors.items()

        def parameters(self) -> "Iterator[torch.nn.Parameter]":
            yield from tensors.values()

    tensors = {
        decision.classified.parameter.raw_name: torch.nn.Parameter(
            torch.empty(decision.classified.parameter.shape, device="meta"),
            requires_grad=decision.classified.parameter.trainable is not False,
        )
        for decision in plan.decisions
    }
    return Placeholder()


def _compare(
    groups: Sequence[Mapping[str, Any]],
    plan: Plan,
    model: HasParameters,
    originals: OriginalOptimizers | None,
    *,
    has_scaled_lr: bool,
) -> None:
    names = {parameter: name for name, parameter in model.named_parameters()}
    actual: dict[str, list[GroupSettings]] = {}
    for group in groups:
        lr = group.get("lr") if originals is None or has_scaled_lr else None
        settings = GroupSettings(weight_decay=group["weight_decay"], lr=lr, use=group.get("use"))
        for item in group["params"]:
            parameter = item[1] if isinstance(item, tuple) else item
            actual.setdefault(names.get(parameter, "a foreign tensor"), []).append(settings)
    expected = {
        decision.classified.parameter.raw_name: _planned(decision, originals, has_scaled_lr=has_scaled_lr)
        for decision in plan.decisions
    }
    differing = [name for name in {**expected, **actual} if expected.get(name, []) != actual.get(name, [])]
    if differing:
        names_shown = first_few([*map(repr, differing)], NAMES_SHOWN)
        raise DifferentGroupsError(f"the emitted code differs from the plan in {names_shown}; nothing was written")


def _planned(decision: Decision, originals: OriginalOptimizers | None, *, has_scaled_lr: bool) -> list[GroupSettings]:
    if not decision.grouped:
        return []
    key = group_key(decision, originals, has_scaled_lr=has_scaled_lr)
    lr = TEST_LR * decision.lr_scale if has_scaled_lr else None
    return [GroupSettings(weight_decay=decision.weight_decay, lr=lr, use=key.use)]


def _failure(error: Exception) -> str:
    return f"the emitted code does not run on the model: {type(error).__name__}: {error}"


def _hint(error: Exception) -> str:
    match error:
        case TypeError():
            return "check that the optimizer's constructor takes these settings"
        case ValueError() if "2D" in str(error):
            return (
                "torch.optim.Muon takes parameters of two dimensions: --rules muon gives it no others, and "
                "--optimizer muon:SingleDeviceMuonWithAuxAdam takes more (pip install muon-optimizer)"
            )
        case ImportError():
            return "install the package that defines the optimizer"
        case AttributeError():
            return "check the name of the optimizer class"
        case _:
            return ""
