"""Optimizers that keep copies of the weights: master weights, which a step writes back, and values that it pulls to."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.model.observations import Movement
from decay_audit.optimizers.find import find
from decay_audit.optimizers.measure import measure

LR, WEIGHT_DECAY = 0.01, 0.05

Copies = Callable[["WithCopies"], dict[int, torch.Tensor]]
"""Where an optimizer keeps its copies: given the optimizer, the copies by the ids of the parameters."""


def net(device: str = "cpu") -> nn.Module:
    """A model whose biases are 0, as after the usual initialization of transformers."""
    with torch.device(device):
        model = nn.Sequential(nn.Linear(12, 10), nn.LayerNorm(10), nn.Linear(10, 3))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return model


def in_lists(optimizer: "WithCopies") -> dict[int, torch.Tensor]:
    return {
        id(parameter): copy
        for group, copies in zip(optimizer.param_groups, optimizer.lists, strict=True)
        for parameter, copy in zip(group["params"], copies, strict=True)
    }


def in_the_group(optimizer: "WithCopies") -> dict[int, torch.Tensor]:
    return {
        id(parameter): copy
        for group in optimizer.param_groups
        for parameter, copy in zip(group["params"], group["copies"], strict=True)
    }


def in_the_state(optimizer: "WithCopies") -> dict[int, torch.Tensor]:
    return {
        id(parameter): optimizer.state[parameter]["copy"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def by_id(optimizer: "WithCopies") -> dict[int, torch.Tensor]:
    return optimizer.copies


class WithCopies(torch.optim.Optimizer):
    """Keeps a copy of each weight, made by the constructor, in one of four places."""

    def __init__(self, model: nn.Module, place: Copies) -> None:
        matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
        groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
        super().__init__(groups, {"lr": LR, "weight_decay": 0.0})
        self.place = place
        copies = [[parameter.detach().clone() for parameter in group["params"]] for group in self.param_groups]
        if place is in_lists:
            self.lists = copies
        if place is by_id:
            self.copies: dict[int, torch.Tensor] = {}
        for group, members in zip(self.param_groups, copies, strict=True):
            if place is in_the_group:
                group["copies"] = members
            for parameter, copy in zip(group["params"], members, strict=True):
                if place is in_the_state:
                    self.state[parameter]["copy"] = copy
                if place is by_id:
                    self.copies[id(parameter)] = copy


class Master(WithCopies):
    """Updates the copy, and writes it into the parameter."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        copies = self.place(self)
        for group in self.param_groups:
            for parameter in group["params"]:
                copy = copies[id(parameter)]
                copy.mul_(1 - group["lr"] * group["weight_decay"]).sub_(parameter.grad, alpha=group["lr"])
                parameter.copy_(copy)


class Anchored(WithCopies):
    """Pulls every parameter to the copy, with a strength of its own (L2-SP, FedProx)."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        copies = self.place(self)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(parameter.grad + 0.1 * (parameter - copies[id(parameter)]), alpha=group["lr"])


def movements(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Movement | None]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    live = measure(find(optimizer), names)
    assert live.optimizers[0].failed_measurement == ""
    return {observation.parameter: observation.movement for observation in live.observations}


PLACES = pytest.mark.parametrize(
    "place", [in_lists, in_the_group, in_the_state, by_id], ids=["lists", "groups", "states", "ids"]
)


@PLACES
def test_master_weights_decay_as_the_weights_that_they_stand_for(place: Copies) -> None:
    model = net()
    by_name = movements(model, Master(model, place))
    assert by_name == {
        name: "proportional" if parameter.ndim > 1 else "none" for name, parameter in model.named_parameters()
    }
    report = decay_audit.audit(model, Master(model, place), weight_decay=WEIGHT_DECAY)
    assert {finding.code for finding in report.findings} == {"DA507"}


@PLACES
def test_a_pull_to_copies_is_none_to_zero_also_where_the_copies_are_zero(place: Copies) -> None:
    model = net()
    by_name = movements(model, Anchored(model, place))
    zeros = {name for name, parameter in model.named_parameters() if not parameter.any()}
    assert {by_name[name] for name in zeros} == {"unknown"}
    assert {movement for name, movement in by_name.items() if name not in zeros} == {"other_point"}
    report = decay_audit.audit(model, Anchored(model, place), weight_decay=WEIGHT_DECAY)
    assert {finding.code for finding in report.findings} == {"DA507"}


def test_a_pull_to_zero_stays_decay_where_nothing_is_pulled_elsewhere() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    assert set(movements(model, optimizer).values()) == {"proportional"}


def test_states_without_values_are_not_taken_for_master_weights_or_moments() -> None:
    model = net("meta")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    live = measure(find(Master(model, in_the_state)), names)
    assert "meta device" in live.optimizers[0].failed_measurement
    with_moments = torch.optim.Adagrad(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    assert set(movements(model, with_moments).values()) == {"sign"}


def test_the_copies_of_the_original_are_left_as_they_were() -> None:
    model = net()
    for place in (in_lists, in_the_group, in_the_state, by_id):
        optimizer = Master(model, place)
        movements(model, optimizer)
        copies = place(optimizer)
        assert all(torch.equal(copies[id(parameter)], parameter) for parameter in model.parameters())


class BySchedule(torch.optim.Optimizer):
    """Decays by weight_decay x lr / the initial lr, which it keeps as an attribute."""

    def __init__(self, groups: list[dict[str, object]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})
        self.base = lr

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(parameter, alpha=group["weight_decay"] * group["lr"] / self.base)
                parameter.sub_(parameter.grad, alpha=group["lr"])


@pytest.mark.parametrize(("factor", "code"), [(1.0, None), (3.0, "DA503")])
def test_decay_by_the_coefficient_itself_is_no_difference_whatever_the_lr(factor: float, code: str | None) -> None:
    model = net()
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    optimizer = BySchedule(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}], LR
    )
    optimizer.base *= factor
    report = decay_audit.audit(model, optimizer, weight_decay=WEIGHT_DECAY)
    assert {finding.code for finding in report.findings} == {"DA507", *([code] if code else [])}
    message = next(finding.message for finding in report.findings if finding.code == "DA507")
    assert ("by weight_decay at lr 0.01, and in proportion to lr" in message) == (code is None)


class OrthogonalStep(torch.optim.Optimizer):
    """Muon with an exact decomposition: a gradient of zero gives an orthogonal step, and not a step of zero."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                left, _, right = torch.linalg.svd(parameter.grad, full_matrices=False)
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(left @ right, alpha=group["lr"])


def test_decay_beside_a_step_of_its_own_keeps_the_law_of_its_first_step() -> None:
    model = nn.Linear(16, 12, bias=False)
    optimizer = OrthogonalStep(model.parameters(), {"lr": LR, "weight_decay": WEIGHT_DECAY})
    names = {id(model.weight): "weight"}
    (observation,) = measure(find(optimizer), names).observations
    assert (observation.movement, round(observation.measured_rate or 0, 6)) == ("proportional", WEIGHT_DECAY)


class StoredLater(torch.optim.Optimizer):
    """Stores the weights in its first step; then it pulls to them, or averages with an iterate that moves on."""

    def __init__(self, params: object, pull: float, *, moves: bool) -> None:
        super().__init__(params, {"lr": LR, "pull": pull})  # type: ignore[arg-type]
        self.moves = moves

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                stored = self.state[parameter].setdefault("stored", parameter.detach().clone())
                if self.moves:
                    stored.sub_(parameter.grad, alpha=group["lr"])
                parameter.sub_(parameter.grad + group["pull"] * (parameter - stored), alpha=group["lr"])


@pytest.mark.parametrize(
    ("pull", "moves", "expected"), [(0.5, False, "other_point"), (0.0, False, "none"), (0.5, True, "none")]
)
def test_a_pull_to_values_that_the_first_step_stores_is_found(pull: float, expected: Movement, *, moves: bool) -> None:
    model = net()
    assert set(movements(model, StoredLater(model.parameters(), pull, moves=moves)).values()) == {expected}


class TowardsItsMean(torch.optim.Optimizer):
    """Pulls a weight to the running mean of its values: the two are equal until gradients have moved the weight."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                mean = self.state[parameter].setdefault("mean", parameter.detach().clone()).lerp_(parameter, 0.1)
                pull = group["weight_decay"] * (parameter - mean)
                parameter.sub_(parameter.grad + pull, alpha=group["lr"])


@pytest.mark.parametrize(("weight_decay", "expected"), [(WEIGHT_DECAY, "other_point"), (0.0, "none")])
def test_a_pull_to_the_mean_of_earlier_values_is_found(weight_decay: float, expected: Movement) -> None:
    model = net()
    optimizer = TowardsItsMean(model.parameters(), {"lr": LR, "weight_decay": weight_decay})
    assert set(movements(model, optimizer).values()) == {expected}


class SlowWeights:
    """Lookahead written by hand: every few steps, the weights go back a part of the way."""

    def __init__(self, inside: torch.optim.Optimizer) -> None:
        self.inside, self.count, self.param_groups = inside, 0, inside.param_groups
        tensors = [parameter for group in self.param_groups for parameter in group["params"]]
        self.slow = {parameter: parameter.detach().clone() for parameter in tensors}

    def step(self) -> None:
        self.inside.step()
        self.count += 1
        if self.count % 5 == 0:
            for parameter in [each for group in self.param_groups for each in group["params"]]:
                slow = self.slow[parameter]
                slow.lerp_(parameter.detach(), 0.5)
                parameter.data.copy_(slow)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_later_step_that_needs_values_is_not_guessed_on_meta(device: str) -> None:
    model = net().to(device)
    optimizer: Any = SlowWeights(torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY))
    live = measure((("slow", optimizer),), {id(tensor): name for name, tensor in model.named_parameters()})
    assert ({each.movement for each in live.observations} == {"unknown"}) == (device == "meta")
    assert ("meta" in live.optimizers[0].failed_measurement) == (device == "meta")
