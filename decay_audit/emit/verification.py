"""Emitted code is executed against a model, and what its groups hold is compared with the Plan."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import few

if TYPE_CHECKING:
    import torch

SHOWN = 5
LR = 1.0


class Parameterized(Protocol):
    """What has parameters by name: a model, or what stands in for one."""

    def named_parameters(self, *, remove_duplicate: bool = True) -> "Iterator[tuple[str, torch.nn.Parameter]]":
        """Each parameter with the name that the framework gives it."""


class Channels(Struct, frozen=True, kw_only=True):
    """What a group gives to a parameter, in every channel of a ruleset."""

    weight_decay: float
    lr: float | None
    use: str | None


def verify(code: str, plan: Plan, model: "Parameterized | None" = None) -> None:
    """Execute emitted code and compare every parameter with the plan.

    Args:
        model: the model that the plan is for; None makes one from the plan, without data.

    Raises:
        DecayAuditError: the code does not run, its optimizer cannot be made or has no weight_decay, or a parameter's
            channels differ from its decision.
    """
    model = stand_in(plan) if model is None else model
    namespace: dict[str, Any] = {"__name__": "param_groups"}
    scaled = any(decision.lr_scale != 1.0 for decision in plan.decisions)
    try:
        exec(compile(code, "<emitted>", "exec"), namespace)  # noqa: S102  (data is in it as literals only)
        groups = namespace["param_groups"](model, **({"lr": LR} if scaled else {}))
        optimizers = namespace["make_optimizer"](model) if "make_optimizer" in namespace else {}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise DecayAuditError(f"the emitted code does not run on the model: {reason}", _hint(error)) from error
    _compare(groups, plan, model, scaled=scaled)
    for optimizer in optimizers.values() if isinstance(optimizers, dict) else [optimizers]:
        if "weight_decay" not in getattr(optimizer, "defaults", {}):
            raise DecayAuditError(
                f"{type(optimizer).__name__} has no weight_decay: the groups would mean nothing to it"
            )


def stand_in(plan: Plan) -> "Parameterized":
    """Make something with the parameters of a plan: names, shapes and ties, and no data."""
    import torch

    class StandIn:
        def named_parameters(self, *, remove_duplicate: bool = True) -> "Iterator[tuple[str, torch.nn.Parameter]]":  # noqa: ARG002
            yield from tensors.items()

    tensors = {
        decision.classified.parameter.raw_name: torch.nn.Parameter(
            torch.empty(decision.classified.parameter.shape, device="meta"),
            requires_grad=decision.classified.parameter.trainable is not False,
        )
        for decision in plan.decisions
    }
    return StandIn()


def _compare(groups: Sequence[Mapping[str, Any]], plan: Plan, model: Parameterized, *, scaled: bool) -> None:
    names = {parameter: name for name, parameter in model.named_parameters()}
    found: dict[str, list[Channels]] = {}
    for group in groups:
        channels = Channels(weight_decay=group["weight_decay"], lr=group.get("lr"), use=group.get("use"))
        for parameter in group["params"]:
            found.setdefault(names.get(parameter, "a stranger"), []).append(channels)
    expected = {
        decision.classified.parameter.raw_name: [_channels(decision, scaled=scaled)] if decision.grouped else []
        for decision in plan.decisions
    }
    wrong = [name for name in {**expected, **found} if expected.get(name, []) != found.get(name, [])]
    if wrong:
        places = few([*map(repr, wrong)], SHOWN)
        raise DecayAuditError(f"the emitted code differs from the plan in {places}; nothing was written")


def _channels(decision: Decision, *, scaled: bool) -> Channels:
    return Channels(weight_decay=decision.weight_decay, lr=LR * decision.lr_scale if scaled else None, use=decision.use)


def _hint(error: Exception) -> str:
    match error:
        case TypeError():
            return "does the optimizer take these settings?"
        case ImportError():
            return "install what the optimizer is from"
        case AttributeError():
            return "is that the class's name?"
        case _:
            return ""
