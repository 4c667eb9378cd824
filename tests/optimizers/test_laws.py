"""Which law the decay of an unknown class follows: classes written by hand, also those that look alike in one step."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.model.observations import Movement
from decay_audit.optimizers.find import find
from decay_audit.optimizers.measure import measure

LR, WEIGHT_DECAY = 0.01, 0.05

Change = Callable[[torch.Tensor, torch.Tensor, dict[str, float]], torch.Tensor]
"""What a step subtracts, from the weight, its gradient and the group."""


def optimizer_that(change: Change, model: nn.Module, weight_decay: float = WEIGHT_DECAY) -> torch.optim.Optimizer:
    class Custom(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.sub_(change(parameter, parameter.grad, group))

    optimizer = Custom(model.parameters(), {"lr": LR, "weight_decay": weight_decay})
    for group in optimizer.param_groups:
        group["initial_lr"] = LR
    return optimizer


def lamb(w: torch.Tensor, g: torch.Tensor, group: dict[str, float]) -> torch.Tensor:
    update = g / (g.abs() + 1e-6) + group["weight_decay"] * w
    length = update.norm()
    return group["lr"] * (w.norm() / length if length else 1.0) * update


def adamp(w: torch.Tensor, g: torch.Tensor, group: dict[str, float]) -> torch.Tensor:
    """Decays less where the gradient is nearly orthogonal to the weight, as it is in front of a norm."""
    cosine = torch.nn.functional.cosine_similarity(w.flatten(), g.flatten(), dim=0).abs()
    ratio = 0.1 if g.any() and cosine < 0.3 else 1.0
    return group["lr"] * (g + ratio * group["weight_decay"] * w)


def adam(w: torch.Tensor, g: torch.Tensor, group: dict[str, float]) -> torch.Tensor:
    g = g + group["weight_decay"] * w
    return group["lr"] * g / (g.square().sqrt() + 1e-8)


def lars(w: torch.Tensor, g: torch.Tensor, group: dict[str, float]) -> torch.Tensor:
    change = g + group["weight_decay"] * w
    trust = 0.001 * w.norm() / change.norm() if w.norm() > 0 and change.norm() > 0 else 1.0
    return group["lr"] * trust * change


LAWS: dict[str, tuple[Change, Movement]] = {
    "AdamW": (lambda w, g, group: group["lr"] * (g.sign() + group["weight_decay"] * w), "proportional"),
    "SGD with L2": (lambda w, g, group: group["lr"] * (g + group["weight_decay"] * w), "proportional"),
    "fully decoupled": (lambda w, g, group: group["lr"] * g + group["weight_decay"] * w, "without_lr"),
    "by the schedule": (
        lambda w, g, group: group["lr"] * g + group["lr"] / group["initial_lr"] * group["weight_decay"] * w,
        "without_lr",
    ),
    "Adam": (adam, "sign"),
    "L1": (lambda w, g, group: group["lr"] * (g + group["weight_decay"] * w.sign()), "constant"),
    "the weight forgotten": (lambda w, g, group: group["lr"] * (g + group["weight_decay"]), "constant"),
    "towards 1": (lambda w, g, group: group["lr"] * (g + group["weight_decay"] * (w - 1)), "other_point"),
    "Lamb": (lamb, "normalized"),
    "LARS": (lars, "normalized"),
    "AdamP": (adamp, "normalized"),
    "by its own RMS": (
        lambda w, g, group: group["lr"] * (g + group["weight_decay"] * w * w.square().mean().sqrt()),
        "normalized",
    ),
    "the wrong sign": (lambda w, g, group: group["lr"] * (g - group["weight_decay"] * w), "proportional"),
    "nothing": (lambda w, g, group: group["lr"] * g, "none"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LAWS)
def test_the_law_of_a_step_is_inferred(name: str, dtype: torch.dtype) -> None:
    change, expected = LAWS[name]
    model = nn.Linear(24, 32, dtype=dtype)
    optimizer = optimizer_that(change, model)
    live = measure(find(optimizer), {id(parameter): name for name, parameter in model.named_parameters()})
    assert {observation.movement for observation in live.observations} == {expected}


@pytest.mark.parametrize("name", ["AdamW", "fully decoupled", "towards 1", "L1"])
def test_without_a_coefficient_nothing_is_left_of_a_law(name: str) -> None:
    model = nn.Linear(24, 32)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    live = measure(find(optimizer_that(LAWS[name][0], model, 0.0)), names)
    assert {observation.movement for observation in live.observations} == {"none"}


@pytest.mark.parametrize(("name", "code"), [
    ("AdamW", None), ("SGD with L2", None), ("fully decoupled", None), ("by the schedule", None), ("Lamb", None),
    ("LARS", None), ("AdamP", None), ("towards 1", None), ("Adam", "DA502"), ("L1", "DA503"),
    ("the wrong sign", "DA503"), ("the weight forgotten", "DA503"), ("nothing", "DA401"),
])  # fmt: skip
def test_a_law_is_a_finding_where_it_is_not_weight_decay(name: str, code: str | None) -> None:
    model = nn.Linear(24, 32, bias=False)
    report = decay_audit.audit(model, optimizer_that(LAWS[name][0], model), weight_decay=WEIGHT_DECAY)
    assert {finding.code for finding in report.findings} - {"DA507", "DA301"} == ({code} if code else set())


def test_weights_that_grow_are_said_to_grow() -> None:
    model = nn.Linear(24, 32, bias=False)
    report = decay_audit.audit(model, optimizer_that(LAWS["the wrong sign"][0], model), weight_decay=WEIGHT_DECAY)
    messages = {finding.code: finding.message for finding in report.findings}
    assert "makes 1 weight larger, by 0.05 x lr of its values" in messages["DA503"]
    assert "makes 1 weight larger, by lr x 0.05" in messages["DA507"]


def test_the_rate_of_decay_without_lr_is_the_coefficient() -> None:
    model = nn.Linear(24, 32)
    live = measure(find(optimizer_that(LAWS["fully decoupled"][0], model)), {id(model.weight): "weight"})
    (only,) = live.observations
    assert (only.measured_rate or 0) * LR == pytest.approx(WEIGHT_DECAY)
