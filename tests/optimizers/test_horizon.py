"""What decay leaves over a run, compared with real optimizers of torch that are stepped with gradients of zero."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import decay_audit
from decay_audit import DecayAuditError
from decay_audit.model.horizon import DecayOverRun, StepSettings
from decay_audit.optimizers.horizon.arithmetic import settled_rate
from decay_audit.optimizers.horizon.closed_forms import rates_of_all_steps

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]
MakeScheduler = Callable[[Any], Any]

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.1, weight_decay=5e-3),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-4),
    "dampening": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.4, weight_decay=5e-3),
    "Nesterov": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "swinging": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.5),
    "maximize": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.5, maximize=True, weight_decay=5e-3),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=0.3),
    "decoupled Adam": lambda params: torch.optim.Adam(params, lr=0.01, weight_decay=0.3, decoupled_weight_decay=True),
    "NAdam": lambda params: torch.optim.NAdam(params, lr=0.01, weight_decay=0.3, decoupled_weight_decay=True),
    "Muon": lambda params: torch.optim.Muon(params, lr=0.02, weight_decay=0.1),
}

SCHEDULERS: dict[str, MakeScheduler] = {
    "LambdaLR": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step / 50)),
    "MultiplicativeLR": lambda optimizer: lr_scheduler.MultiplicativeLR(optimizer, lambda step: 0.99),
    "StepLR": lambda optimizer: lr_scheduler.StepLR(optimizer, 70),
    "MultiStepLR": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [100, 150]),
    "ConstantLR": lambda optimizer: lr_scheduler.ConstantLR(optimizer, total_iters=40),
    "LinearLR": lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.01, total_iters=100),
    "ExponentialLR": lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.98),
    "CosineAnnealingLR": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 200),
    "CosineAnnealingWarmRestarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 30, 2),
    "CyclicLR": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.001, 0.1, 25, cycle_momentum=_cycles(optimizer)),
    "OneCycleLR": lambda optimizer: lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=200, cycle_momentum=_cycles(optimizer)
    ),
    "PolynomialLR": lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 150, 2.0),
    "ChainedScheduler": lambda optimizer: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=20), lr_scheduler.ExponentialLR(optimizer, 0.99)]
    ),
    "SequentialLR": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer, 0.01, total_iters=40), lr_scheduler.CosineAnnealingLR(optimizer, 160)],
        [40],
    ),
    "SWALR": lambda optimizer: torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.01, anneal_epochs=50),
}


def _cycles(optimizer: Any) -> bool:
    return bool(optimizer.param_groups[0].get("momentum"))


@pytest.fixture(autouse=True)
def no_advice_of_torch() -> Iterator[None]:
    """torch warns of schedulers that are stepped before their optimizer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def model() -> nn.Module:
    return nn.Linear(2, 3, bias=False, dtype=torch.float64)


def stepped(
    make: MakeOptimizer, steps: int, make_scheduler: MakeScheduler | None = None, every: int = 1
) -> list[float]:
    """Step a real optimizer with gradients of zero: the weight before and after each step, as a part of the first."""
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    optimizer = make([weight])
    scheduler = make_scheduler(optimizer) if make_scheduler else None
    values = [1.0]
    for step in range(1, steps + 1):
        optimizer.step()
        values.append(weight[0, 0].item())
        if scheduler is not None and step % every == 0 and step < steps:
            scheduler.step()
    return values


def over_run(
    make: MakeOptimizer, steps: int, make_scheduler: MakeScheduler | None = None, **options: Any
) -> DecayOverRun:
    net = model()
    optimizer = make(net.parameters())
    schedule = make_scheduler(optimizer) if make_scheduler else None
    report = decay_audit.audit(net, optimizer, steps=steps, schedule=schedule, **options)
    assert report.horizon is not None
    (group,) = report.horizon.groups
    return group.decay


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [1, 2, 1000])
def test_what_is_kept_is_what_torch_leaves(name: str, steps: int) -> None:
    decay = over_run(OPTIMIZERS[name], steps)
    assert decay.kept == pytest.approx(abs(stepped(OPTIMIZERS[name], steps)[-1]), rel=1e-9, abs=1e-30)
    assert not decay.approximate


def test_momentum_of_the_readme_keeps_61_percent_after_1000_steps() -> None:
    kept = stepped(OPTIMIZERS["momentum"], 1000)[-1]
    assert over_run(OPTIMIZERS["momentum"], 1000).kept == pytest.approx(kept)
    assert round(kept, 3) == 0.608  # without momentum it would be 0.951


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "swinging"])
def test_timescale_and_half_life_are_those_of_the_steps_that_torch_takes(name: str) -> None:
    values = stepped(OPTIMIZERS[name], 1500)[1000:]
    decay = over_run(OPTIMIZERS[name], 1500)
    assert decay.timescale_steps == pytest.approx(1 / (1 - values[-1] / values[-2]), rel=1e-6)
    assert values[-1] / values[0] == pytest.approx(0.5 ** (500 / (decay.half_life_steps or 0)), rel=1e-6)


def test_settings_with_which_the_weight_swings_have_no_timescale() -> None:
    assert min(stepped(OPTIMIZERS["swinging"], 100)) < 0
    decay = over_run(OPTIMIZERS["swinging"], 100)
    assert (decay.timescale_steps, decay.half_life_steps) == (None, None)
    assert "does not settle" in decay.reason


def test_a_coefficient_that_makes_the_weight_grow_is_said_to() -> None:
    def grows(params: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=1.0, weight_decay=2.5)

    assert abs(stepped(grows, 20)[-1]) > 1
    assert "grows" in over_run(grows, 20).reason


@pytest.mark.parametrize("optimizer", ["momentum", "Nesterov", "AdamW"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_is_kept_under_a_schedule_is_what_torch_leaves(optimizer: str, name: str) -> None:
    expected = stepped(OPTIMIZERS[optimizer], 200, SCHEDULERS[name])[-1]
    assert over_run(OPTIMIZERS[optimizer], 200, SCHEDULERS[name]).kept == pytest.approx(expected, rel=1e-9)


def test_every_scheduler_class_of_torch_is_stepped_or_refused() -> None:
    classes = {
        name
        for name, value in vars(lr_scheduler).items()
        if isinstance(value, type) and issubclass(value, lr_scheduler.LRScheduler) and not name.startswith("_")
    }
    assert classes - {"LRScheduler"} == {*SCHEDULERS, "ReduceLROnPlateau"} - {"SWALR"}


def test_a_schedule_that_depends_on_the_loss_is_refused() -> None:
    with pytest.raises(DecayAuditError, match="a metric that only training knows"):
        over_run(OPTIMIZERS["momentum"], 100, lr_scheduler.ReduceLROnPlateau)


def test_a_schedule_of_epochs_changes_lr_at_the_end_of_each() -> None:
    expected = stepped(OPTIMIZERS["momentum"], 95, lambda optimizer: lr_scheduler.StepLR(optimizer, 3), every=10)[-1]
    decay = over_run(
        OPTIMIZERS["momentum"],
        95,
        lambda optimizer: lr_scheduler.StepLR(optimizer, 3),
        epoch_steps=10,
        schedule_every="epoch",
    )
    assert decay.kept == pytest.approx(expected, rel=1e-9)
    with pytest.raises(DecayAuditError, match="moves every epoch"):
        over_run(OPTIMIZERS["momentum"], 95, SCHEDULERS["StepLR"], schedule_every="epoch")


def test_a_function_may_write_the_groups_as_dino_does() -> None:
    def write(optimizer: torch.optim.Optimizer, step: int) -> None:
        optimizer.param_groups[0].update(lr=0.01 * (1 - step / 100), weight_decay=0.04 + step / 250)

    net = model()
    optimizer = OPTIMIZERS["AdamW"](net.parameters())
    report = decay_audit.audit(net, optimizer, steps=100, schedule=write)
    weight = torch.ones(1, dtype=torch.float64)
    for step in range(100):
        weight *= 1 - 0.01 * (1 - step / 100) * (0.04 + step / 250)
    assert report.horizon is not None
    assert report.horizon.groups[0].decay.kept == pytest.approx(weight.item(), rel=1e-12)
    assert optimizer.param_groups[0]["lr"] == 0.01  # the real optimizer stays as it is


def test_the_scheduler_and_its_optimizer_stay_as_they_are() -> None:
    net = model()
    optimizer = OPTIMIZERS["momentum"](net.parameters())
    scheduler = SCHEDULERS["SequentialLR"](optimizer)
    before = (optimizer.param_groups[0]["lr"], scheduler.last_epoch)
    decay_audit.audit(net, optimizer, steps=100, schedule=scheduler)
    assert (optimizer.param_groups[0]["lr"], scheduler.last_epoch) == before


def test_a_function_that_writes_to_the_optimizer_itself_is_refused_and_undone() -> None:
    net = model()
    optimizer = OPTIMIZERS["momentum"](net.parameters())

    def schedule(_: object, step: int) -> None:
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)

    with pytest.raises(DecayAuditError, match="holds the optimizer in a variable of its own"):
        decay_audit.audit(net, optimizer, steps=10, schedule=schedule)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_the_schedule_of_another_optimizer_is_refused() -> None:
    net = model()
    other = OPTIMIZERS["momentum"](model().parameters())
    with pytest.raises(DecayAuditError, match="the schedule of another optimizer"):
        decay_audit.audit(net, OPTIMIZERS["momentum"](net.parameters()), steps=9, schedule=SCHEDULERS["StepLR"](other))


def test_a_scheduled_optimizer_without_its_schedule_is_not_guessed() -> None:
    net = model()
    optimizer = OPTIMIZERS["AdamW"](net.parameters())
    SCHEDULERS["LinearLR"](optimizer)
    (group,) = decay_audit.audit(net, optimizer, steps=100).horizon.groups  # type: ignore[union-attr]
    assert group.decay.kept is None
    assert "--schedule" in group.decay.reason


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}, 1e-6),
        ({"lr": 1e-7, "momentum": 0.99, "weight_decay": 1e-4}, 1e-9),
        ({"lr": 0.1, "momentum": 0.9, "dampening": 0.9, "weight_decay": 1e-4}, 1e-5),
    ],
)
def test_small_rates_are_about_lr_times_weight_decay_over_what_momentum_leaves(
    options: dict[str, float], expected: float
) -> None:
    rate = settled_rate(StepSettings(**options))  # type: ignore[arg-type]
    assert rate == pytest.approx(expected, rel=1e-3)


def test_adam_is_said_to_remove_no_fixed_fraction() -> None:
    decay = over_run(lambda params: torch.optim.Adam(params, lr=0.01, weight_decay=0.1), 100)
    assert decay.kept is None
    assert "no fixed fraction" in decay.reason
    assert over_run(lambda params: torch.optim.Adam(params, lr=0.01), 100).kept == 1


class Shrinks(torch.optim.Optimizer):
    """An optimizer of a class that nobody knows: it removes a third of lr x weight_decay."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1, "weight_decay": 0.03})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    tensor.mul_(1 - group["lr"] * group["weight_decay"] / 3)


def test_the_rate_of_an_unknown_class_is_measured_and_called_approximate() -> None:
    for make_scheduler in (None, SCHEDULERS["LinearLR"]):
        decay = over_run(Shrinks, 200, make_scheduler)
        assert decay.kept == pytest.approx(stepped(Shrinks, 200, make_scheduler)[-1], rel=1e-6)
        assert decay.approximate
    assert over_run(Shrinks, 200, measure=False).kept is None


def test_parameters_of_16_bits_are_not_judged_by_exact_arithmetic() -> None:
    net = model().to(torch.bfloat16)
    report = decay_audit.audit(net, torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.1), steps=10_000)
    (group,) = report.horizon.groups  # type: ignore[union-attr]
    assert group.decay.kept is None
    assert "bfloat16" in group.decay.reason
    with torch.no_grad():
        weight = net.weight.clone()  # type: ignore[operator]
        assert torch.equal(weight * (1 - 1e-5), weight)  # what exact arithmetic would miss


def test_a_frozen_parameter_keeps_all() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[0].requires_grad_(False)
    report = decay_audit.audit(net, OPTIMIZERS["AdamW"](net.parameters()), steps=10)
    kept = {row["name"]: row["kept"] for row in report.rows()}
    assert (kept["0.weight"], kept["1.weight"]) == (1.0, pytest.approx((1 - 0.003) ** 10))


def test_a_long_run_under_a_schedule_of_epochs_is_kept_as_runs_of_equal_steps() -> None:
    net = model()
    optimizer = OPTIMIZERS["momentum"](net.parameters())
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 300)
    report = decay_audit.audit(
        net, optimizer, steps=600_000, epoch_steps=2000, schedule=scheduler, schedule_every="epoch"
    )
    assert report.horizon is not None
    steps = report.horizon.groups[0].steps
    assert (len(steps), {part.count for part in steps}) == (300, {2000})


def test_a_length_is_needed_and_an_optimizer_too() -> None:
    net = model()
    optimizer = OPTIMIZERS["AdamW"](net.parameters())
    with pytest.raises(DecayAuditError, match="length of the run is not known"):
        decay_audit.audit(net, optimizer, epoch_steps=10)
    with pytest.raises(DecayAuditError, match="needs an optimizer"):
        decay_audit.audit(net, steps=10)
    with pytest.raises(DecayAuditError, match="fewer steps than 1"):
        decay_audit.audit(net, optimizer, steps=0)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_formula_of_a_scheduler_gives_the_rates_that_stepping_it_gives(name: str) -> None:
    def two_groups() -> torch.optim.Optimizer:
        weights = [torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)]
        groups: list[dict[str, Any]] = [{"params": weights[:1]}, {"params": weights[1:], "lr": 0.3}]
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9)

    optimizer = two_groups()
    scheduler = SCHEDULERS[name](optimizer)
    stepped_rates = []
    for _ in range(450):
        stepped_rates.append([group["lr"] for group in optimizer.param_groups])
        try:
            scheduler.step()
        except ValueError:  # OneCycleLR ends
            break
    rates = rates_of_all_steps(SCHEDULERS[name](two_groups()), len(stepped_rates))
    if rates is None:
        assert name in STEPPED
    else:
        assert name not in STEPPED
        assert list(zip(*rates, strict=True)) == [pytest.approx(each, rel=1e-9, abs=1e-15) for each in stepped_rates]


STEPPED = {
    "MultiplicativeLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR", "ChainedScheduler", "SWALR"
}  # fmt: skip
"""Schedulers for which there is no formula: they are stepped."""


def test_a_scheduler_that_was_stepped_or_derives_from_torchs_is_stepped() -> None:
    class Own(lr_scheduler.StepLR):
        def get_lr(self) -> list[float | torch.Tensor]:
            return [0.5 for _ in self.base_lrs]

    def sgd() -> torch.optim.Optimizer:
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)

    assert rates_of_all_steps(Own(sgd(), 10), 5) is None
    begun = lr_scheduler.StepLR(sgd(), 10)
    assert rates_of_all_steps(begun, 5) is not None
    begun.step()
    assert rates_of_all_steps(begun, 5) is None
