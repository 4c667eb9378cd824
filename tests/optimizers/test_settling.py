"""What later steps show and the first does not: momentum, schedules, compensated sums, states of earlier steps."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.model.observations import Observation
from decay_audit.optimizers.find import find
from decay_audit.optimizers.measure import measure

LR, WEIGHT_DECAY = 0.01, 0.05


class Custom(torch.optim.Optimizer):
    """Steps by `update`, once for each parameter."""

    def __init__(self, parameters: Any, **options: Any) -> None:
        super().__init__(parameters, {"lr": LR, "weight_decay": WEIGHT_DECAY, **options})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, group)

    def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def shrink(self, weight: torch.Tensor, factor: float = 1.0) -> None:
        group = self.param_groups[0]
        weight.mul_(1 - group["lr"] * group["weight_decay"] * factor)


def observed(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[Observation]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    live = measure(find(optimizer), names)
    assert [each.failed_measurement for each in live.optimizers] == [""]
    return [*live.observations]


def laws(optimizer: torch.optim.Optimizer, model: nn.Module) -> set[str | None]:
    return {observation.movement for observation in observed(optimizer, model)}


def trained(optimizer: torch.optim.Optimizer, model: nn.Module, steps: int = 5) -> None:
    torch.manual_seed(0)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()


@pytest.mark.parametrize(("options", "factor"), [
    ({}, 1), ({"momentum": 0.9}, 10), ({"momentum": 0.5}, 2), ({"momentum": 0.98}, 50),
])  # fmt: skip
def test_coupled_decay_grows_with_momentum_until_it_settles(options: dict[str, float], factor: float) -> None:
    """SGD itself, with gradients of 0, is the oracle: 2000 steps, then one more."""
    model = nn.Linear(24, 32, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, weight_decay=WEIGHT_DECAY, **options)  # type: ignore[arg-type]
    rates = [(each.measured_rate, each.settled_rate) for each in observed(optimizer, model)]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(2000):
        optimizer.step()
    before = model.weight.detach().clone()
    optimizer.step()
    settled = ((before - model.weight) / before).mean().item() / 1e-4
    assert settled == pytest.approx(factor * WEIGHT_DECAY, rel=2e-2)
    for rate, later in rates:
        assert rate == pytest.approx(WEIGHT_DECAY)
        assert later == pytest.approx(settled, rel=2e-2)


SCHEDULES: dict[str, Callable[[int], float]] = {
    "a linear rise": lambda step: step / 100,
    "a rise that ends": lambda step: min(1, step / 100),
    "a fall with the inverse of the step": lambda step: 1 / step,
    "a slow linear fall": lambda step: 1 - step / 5000,
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_coefficient_that_the_optimizer_schedules_is_found(schedule: str) -> None:
    class Scheduled(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            state = self.state[weight]
            state["step"] = state.get("step", 0) + 1
            self.shrink(weight, SCHEDULES[schedule](state["step"]))

    model = nn.Linear(24, 32)
    assert laws(Scheduled(model.parameters()), model) == {"scheduled"}
    report = decay_audit.audit(model, Scheduled(model.parameters()), weight_decay=WEIGHT_DECAY)
    assert "changes from step to step" in next(each.message for each in report.findings if each.code == "DA507")
    assert {each.code for each in report.findings} == {"DA101", "DA507"}  # DA101: the bias is decayed


def test_a_constant_coefficient_is_no_schedule() -> None:
    class Constant(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            self.shrink(weight)

    model = nn.Linear(24, 32)
    for observation in observed(Constant(model.parameters()), model):
        assert observation.movement == "proportional"
        assert observation.settled_rate == pytest.approx(WEIGHT_DECAY)


@pytest.mark.parametrize("lr", [1e-4, 0.02])  # with the larger one, the slowest momentum makes a weight oscillate
def test_several_momenta_settle_too(lr: float) -> None:
    class SeveralMomenta(Custom):
        """As AggMo: the mean of three, of which the slowest takes some hundred steps."""

        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            state = self.state[weight]
            for momentum in (0.0, 0.9, 0.99):
                buffer = state.setdefault(momentum, torch.zeros_like(weight))
                buffer.mul_(momentum).add_(gradient + group["weight_decay"] * weight)
            weight.sub_(group["lr"] / 3 * sum(state.values()))

    model = nn.Linear(24, 32)
    for observation in observed(SeveralMomenta(model.parameters(), lr=lr), model):
        assert observation.movement == "proportional"
        assert observation.settled_rate == pytest.approx((1 + 10 + 100) / 3 * WEIGHT_DECAY, rel=0.05)


@pytest.mark.parametrize("factor", [1.0, 0.0])
def test_a_second_decay_that_does_not_follow_the_coefficient_is_no_schedule(factor: float) -> None:
    class Twice(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            weight.mul_(1 - factor * group["lr"] * WEIGHT_DECAY)
            self.shrink(weight)

    model = nn.Linear(24, 32)
    for observation in observed(Twice(model.parameters()), model):
        assert observation.movement == "proportional"
        assert observation.measured_rate == pytest.approx((1 + factor) * WEIGHT_DECAY, rel=1e-3)


@pytest.mark.parametrize("clipped", [True, False])
def test_a_norm_that_limits_the_step_only_for_large_gradients_is_no_schedule(*, clipped: bool) -> None:
    class Rescaled(Custom):
        """As LARC: a gradient of zero is left alone, and small ones are not rescaled if the factor is clipped at 1."""

        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            if gradient.any():
                factor = weight.norm() / (weight.norm() + 5 * gradient.norm()) * 1.1
                gradient = gradient + group["weight_decay"] * weight
                weight.sub_(group["lr"] * gradient * (min(factor, 1) if clipped else 1))

    model = nn.Linear(24, 32)
    assert laws(Rescaled(model.parameters()), model) == {"normalized" if clipped else "proportional"}


@pytest.mark.parametrize(("follows", "law"), [(0.1, "scheduled"), (0.0, "proportional")])
def test_a_pull_towards_a_running_mean_fades_out(follows: float, law: str) -> None:
    class TowardsItsMean(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            mean = self.state[weight].setdefault("mean", torch.zeros_like(weight)).lerp_(weight, follows)
            weight.sub_(group["lr"] * (group["weight_decay"] * (weight - mean) + gradient))

    model = nn.Linear(24, 32)
    assert laws(TowardsItsMean(model.parameters()), model) == {law}


@pytest.mark.parametrize("breaks", [True, False])
def test_a_class_whose_weights_become_nan_has_no_law(*, breaks: bool) -> None:
    class RootOfDifference(Custom):
        """The root is of a negative number as soon as a gradient is large."""

        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            self.shrink(weight)
            limit = 1e-3 if breaks else float("inf")
            weight.sub_(
                group["lr"] * gradient * (limit - gradient.square()).sqrt().nan_to_num(posinf=1.0, nan=float("nan"))
            )

    model = nn.Linear(24, 32, bias=False)
    report = decay_audit.audit(model, RootOfDifference(model.parameters()), weight_decay=WEIGHT_DECAY)
    (finding,) = [finding for finding in report.findings if finding.code == "DA507"]
    assert ("gives inf or nan with random gradients" in finding.message) is breaks
    assert {observation.movement for observation in report.observations} == (
        {"unknown"} if breaks else {"proportional"}
    )


@pytest.mark.parametrize("zeros", [True, False])
def test_a_law_that_depends_on_the_size_of_values_is_not_known_for_zeros(*, zeros: bool) -> None:
    class OnlySmall(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            weight.sub_(group["lr"] * (group["weight_decay"] * weight * (weight.abs() < 2e-3) + gradient))

    model = nn.Linear(24, 32, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0 if zeros else 1.0)
    assert laws(OnlySmall(model.parameters()), model) == ({"unknown"} if zeros else {"none"})


def test_a_mask_among_the_states_keeps_its_values() -> None:
    class Masked(Custom):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters)
            for parameter in self.param_groups[0]["params"]:
                self.state[parameter]["mask"] = parameter.detach().abs() < 2e-3

        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            weight.sub_(group["lr"] * (group["weight_decay"] * weight + gradient) * self.state[weight]["mask"])

    model = nn.Linear(24, 32)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.zero_()
    by_name = {
        observation.parameter: observation.movement for observation in observed(Masked(model.parameters()), model)
    }
    assert by_name == {"weight": "none", "bias": "proportional"}


def test_radam_is_told_by_its_later_steps_not_by_its_first_ones() -> None:
    model = nn.Linear(24, 32)
    optimizer = torch.optim.RAdam(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    assert laws(optimizer, model) == {"sign"}
    decoupled = torch.optim.RAdam(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY, decoupled_weight_decay=True)
    assert laws(decoupled, model) == {"proportional"}


def test_a_rate_that_depends_on_past_gradients_is_no_fraction_of_the_weight() -> None:
    class Estimating(Custom):
        """Multiplies lr, decay included, by a distance that it estimates from the gradients."""

        estimates = True

        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            state = self.state[weight]
            state["distance"] = state.get("distance", 1.0) + (100 * float(gradient.norm()) if self.estimates else 0)
            self.shrink(weight, state["distance"])

    model = nn.Linear(24, 32)
    optimizer = Estimating(model.parameters())
    assert laws(optimizer, model) == {"normalized"}
    optimizer.estimates = False
    assert laws(optimizer, model) == {"proportional"}


@pytest.mark.parametrize("compensated", [True, False])
def test_a_compensated_sum_undoes_what_rounding_does_to_one_step(*, compensated: bool) -> None:
    """Kahan's summation, as in optimi and torchao: each step rounds away, many do not."""

    class Kahan(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            state = self.state[weight]
            rest = state.setdefault("rest", torch.zeros_like(weight))
            change = rest - (weight * (group["lr"] * group["weight_decay"]) + group["lr"] * gradient)
            before = weight.clone()
            weight.add_(change)
            state["rest"] = change - (weight - before) if compensated else torch.zeros_like(weight)

    model = nn.Linear(24, 32, dtype=torch.bfloat16)
    optimizer = Kahan(model.parameters(), lr=1e-3)
    assert laws(optimizer, model) == {"proportional" if compensated else "vanishing"}
    report = decay_audit.audit(model, optimizer, weight_decay=WEIGHT_DECAY)
    assert ("DA504" in {each.code for each in report.findings}) is not compensated
    reference = copy.deepcopy(model.weight)  # the oracle: the class itself on the real weight
    for _ in range(300):
        model.weight.grad = torch.zeros_like(model.weight)
        optimizer.step()
    assert model.weight.equal(reference) is not compensated


def test_an_optimizer_that_cannot_step_on_a_gradient_of_zero_gets_another() -> None:
    class Normalizing(Custom):
        coupled = False

        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            if not gradient.any():
                raise ZeroDivisionError("the norm of the gradient is 0")
            weight.sub_(group["lr"] * gradient / gradient.norm())
            weight.sub_(group["lr"] * group["weight_decay"] * (weight.sign() if self.coupled else weight))

    model = nn.Linear(24, 32)
    optimizer = Normalizing(model.parameters())
    for observation in observed(optimizer, model):
        assert observation.movement == "proportional"
        assert observation.measured_rate == pytest.approx(WEIGHT_DECAY, rel=1e-3)
    optimizer.coupled = True
    assert laws(optimizer, model) == {"constant"}


def test_the_step_that_raises_on_any_gradient_is_named() -> None:
    class Raising(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            raise ZeroDivisionError("always")

    model = nn.Linear(4, 4)
    (optimizer,) = measure(find(Raising(model.parameters())), {id(model.weight): "weight"}).optimizers
    assert optimizer.failed_measurement == "Raising.step() raised ZeroDivisionError: always"


class SetUpOnce(Custom):
    """Makes a counter in its group in the first step, and notes that in a flag of the group, as optimi's classes do."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, setup=False)

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if not group["setup"]:
                group["setup"], group["step"] = True, torch.tensor(0)
            group["step"] += 1
        super().step()

    def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        self.shrink(weight)
        weight.sub_(group["lr"] * gradient)


class SetUpByAnotherName(SetUpOnce):
    """The same, with a flag that no table knows."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if not group.get("prepared"):
                group["prepared"], group["step"] = True, torch.tensor(0)
            group["step"] += 1
        Custom.step(self)


class StatesInTheGroup(Custom):
    """Keeps its moments in a dict of the group, by parameter, as GrokAdamW does."""

    def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = group.setdefault("state", {}).setdefault(weight, {})
        momentum = state.setdefault("momentum", torch.zeros_like(weight))
        momentum.mul_(0.9).add_(gradient)
        self.shrink(weight)
        weight.sub_(group["lr"] * momentum)


class StatesInLists(Custom):
    """Keeps its moments in a list, where no key tells that they are states."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        self.moments = [torch.zeros_like(parameter) for parameter in self.param_groups[0]["params"]]

    def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        index = next(index for index, parameter in enumerate(group["params"]) if parameter is weight)
        self.moments[index].mul_(0.9).add_(gradient)
        self.shrink(weight)
        weight.sub_(group["lr"] * self.moments[index])


class Counting(Custom):
    """Keeps counters among its states, under names, as SPAM does."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        self.state["total_step"] = 3  # type: ignore[index]

    def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        assert self.state["total_step"] >= 3  # type: ignore[index]
        self.state["total_step"] += 1  # type: ignore[index]
        self.shrink(weight)


@pytest.mark.parametrize("kind", [SetUpOnce, SetUpByAnotherName, StatesInTheGroup, StatesInLists, Counting])
def test_a_trained_optimizer_has_the_law_of_a_new_one(kind: Callable[[Any], torch.optim.Optimizer]) -> None:
    model = nn.Linear(24, 32)
    optimizer = kind(model.parameters())
    for _ in range(2):
        for observation in observed(optimizer, model):
            assert observation.movement == "proportional"
            assert observation.measured_rate == pytest.approx(WEIGHT_DECAY, rel=1e-3)
        trained(optimizer, model)


@pytest.mark.parametrize("kind", [SetUpOnce, StatesInTheGroup, StatesInLists, Counting])
def test_measuring_a_trained_optimizer_changes_no_later_step(kind: Callable[[Any], torch.optim.Optimizer]) -> None:
    ends = []
    for is_measured in (False, True):
        torch.manual_seed(1)
        model = nn.Linear(24, 32)
        optimizer = kind(model.parameters())
        trained(optimizer, model)
        if is_measured:
            observed(optimizer, model)
        trained(optimizer, model)
        ends.append(model.weight.detach().clone())
    assert ends[0].equal(ends[1])


@pytest.mark.parametrize("flagged", [True, False])
def test_a_flag_among_the_states_of_a_parameter_counts(*, flagged: bool) -> None:
    """As fastai's `do_wd`, which its Learner sets for norms and biases."""

    class HasFlags(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            state = self.state[weight]
            state["steps"] = state.get("steps", 0) + 1
            if state.get("do_wd", True):
                self.shrink(weight)

    model = nn.Linear(24, 32)
    optimizer = HasFlags(model.parameters())
    if flagged:
        optimizer.state[model.bias]["do_wd"] = False
    for _ in range(2):
        measured = {observation.parameter: observation.movement for observation in observed(optimizer, model)}
        assert measured == {"weight": "proportional", "bias": "none" if flagged else "proportional"}
        report = decay_audit.audit(model, optimizer, weight_decay=WEIGHT_DECAY)
        assert ("DA101" in {finding.code for finding in report.findings}) is not flagged
        trained(optimizer, model)


def test_initial_values_among_the_states_are_not_taken_for_moments() -> None:
    class TowardsStart(Custom):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters)
            for parameter in self.param_groups[0]["params"]:
                self.state[parameter]["start"] = parameter.detach().clone()

        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            weight.sub_(group["lr"] * group["weight_decay"] * (weight - self.state[weight]["start"]))

    model = nn.Linear(24, 32)
    assert laws(TowardsStart(model.parameters()), model) == {"other_point"}


def test_a_compiled_step_is_measured_without_compiling_it() -> None:
    compiled = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., Any]:
        compiled.append(graph)
        return graph.forward

    @torch.compile(backend=backend, fullgraph=True)
    def shrink(weight: torch.Tensor, rate: float) -> None:
        weight.mul_(1 - rate)

    class Compiled(Custom):
        def update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
            shrink(weight, group["lr"] * group["weight_decay"])

    model = nn.Linear(24, 32)
    optimizer = Compiled(model.parameters())
    assert laws(optimizer, model) == {"proportional"}
    assert not compiled
    trained(optimizer, model, steps=1)
    assert compiled


@pytest.mark.parametrize("settings", [{"dampening": 0.5}, {"dampening": 0.9}, {"nesterov": True}, {}], ids=str)
def test_momentum_of_torchs_sgd_settles_at_the_rate_of_its_later_steps(settings: dict[str, Any]) -> None:
    model = nn.Linear(4, 3, bias=False, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1, **settings)
    (observation,) = decay_audit.audit(model, optimizer, measure=True, no_trace=True).observations
    model.weight.grad = torch.zeros_like(model.weight)
    for _ in range(300):
        before = model.weight.detach().clone()
        optimizer.step()
    removed = (1 - model.weight / before).mean().item()
    assert observation.movement == "proportional"
    assert observation.settled_rate == pytest.approx(removed / 0.01, rel=0.01)
