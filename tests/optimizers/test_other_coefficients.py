"""What the difference of two rulesets comes to over a run, compared with torch's optimizers stepped with either."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from typer.testing import CliRunner

from decay_audit import api
from decay_audit.cli.main import app
from decay_audit.model.horizon import DecayOverRun

STEPS = 120
MakeOptimizer = Callable[[Any], torch.optim.Optimizer]


def write_coefficients(optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write DINO's coefficients into the groups that decay."""
    for group in optimizer.param_groups:
        if group["weight_decay"] > 0:
            group["weight_decay"] = 0.04 + 0.36 * step / STEPS


CASES: dict[str, tuple[MakeOptimizer, Any]] = {
    "SGD with momentum": (
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-3),
        lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [50, 90]),
    ),
    "SGD with dampening": (
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.4, weight_decay=5e-3),
        None,
    ),
    "AdamW": (
        lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=0.3),
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS),
    ),
    "one cycle": (
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-3),
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=STEPS),
    ),
}


@pytest.fixture(autouse=True)
def no_advice_of_torch() -> Iterator[None]:
    """torch warns of schedulers that are stepped before their optimizer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decay_under(make: MakeOptimizer, schedule: Any, *rules: str) -> dict[str, tuple[DecayOverRun, ...]]:
    """What decay comes to under each ruleset, by the name of a parameter that they treat differently."""
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = make(model.parameters())
    live = api.LiveModel(model=model, optimizer=optimizer, schedule=schedule(optimizer) if schedule else None)
    request = api.Request(live=live, steps=STEPS)
    comparison = api.compare(api.load(request), rules, request)
    return {
        name: tuple(side.over_run for side in difference.sides if side.over_run is not None)
        for difference in comparison.differences
        for name in difference.parameters
    }


def left_by_torch(make: MakeOptimizer, schedule: Any = None) -> float:
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    optimizer = make([weight])
    scheduler = schedule(optimizer) if schedule else None
    for step in range(STEPS):
        optimizer.step()
        if scheduler is not None and step < STEPS - 1:
            scheduler.step()
    return weight[0, 0].item()


def two_groups(make: Callable[..., torch.optim.Optimizer], **settings: Any) -> MakeOptimizer:
    """Make an optimizer that spares vectors."""

    def made(params: Any) -> torch.optim.Optimizer:
        tensors = list(params)
        matrices = {"params": [tensor for tensor in tensors if tensor.dim() >= 2]}
        vectors = {"params": [tensor for tensor in tensors if tensor.dim() < 2], "weight_decay": 0.0}
        return make([matrices, vectors], **settings)

    return made


@pytest.mark.parametrize("name", CASES)
def test_a_ruleset_that_decays_the_norms_leaves_what_torch_leaves_of_them(name: str) -> None:
    make, schedule = CASES[name]
    decayed, spared = decay_under(make, schedule, "torch-default", "no-norm-no-bias")["1.weight"]
    assert decayed.kept == pytest.approx(left_by_torch(make, schedule), rel=1e-9)
    assert spared.kept == 1


def test_the_optimizer_may_spare_what_a_ruleset_would_decay() -> None:
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-3}
    decayed, _ = decay_under(two_groups(torch.optim.SGD, **settings), None, "torch-default", "no-norm-no-bias")[
        "1.weight"
    ]
    expected = left_by_torch(lambda params: torch.optim.SGD(params, **settings))  # type: ignore[arg-type]
    assert decayed.kept == pytest.approx(expected, rel=1e-9)


def test_a_schedule_of_weight_decay_moves_the_coefficient_of_a_ruleset_alike() -> None:
    make = two_groups(torch.optim.AdamW, lr=0.01, weight_decay=0.04)
    decayed, spared = decay_under(make, lambda _: write_coefficients, "torch-default", "no-norm-no-bias")["1.weight"]
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    optimizer = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.04)
    for step in range(STEPS):
        write_coefficients(optimizer, step)
        optimizer.step()
    assert decayed.kept == pytest.approx(weight[0, 0].item(), rel=1e-9)
    assert spared.kept == 1


def test_rulesets_that_choose_other_optimizers_are_not_computed_as_one() -> None:
    decays = decay_under(CASES["AdamW"][0], None, "muon", "no-norm-no-bias")
    assert decays
    assert all("different optimizers" in decay.reason for pair in decays.values() for decay in pair)


NET = "from torch import nn\nnet = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))\n"
SGD = "torch.optim:SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)"


@pytest.fixture
def target(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return f"{path}:net"


def diff(target: str, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["diff", target, *arguments])


def test_diff_says_what_the_difference_comes_to(target: str) -> None:
    rules = ("-r", "torch-default", "-r", "no-norm-no-bias", "--optimizer", SGD, "--steps", "1000")
    screen = diff(target, *rules).stdout
    assert "if only decay acts for 1,000 steps: lr 0.1" in screen
    assert "1 bias, 1 norm weight and 1 norm bias: kept 60.8 % against 100 %" in screen
    document = json.loads(diff(target, *rules, "-f", "json").stdout)
    assert document["run"]["steps"] == 1000
    kept = [side["over_run"]["kept"] for side in document["differences"][0]["sides"]]
    assert kept == [pytest.approx(0.6081, rel=1e-3), 1]
    assert "kept 60.8 % against 100 %" in diff(target, *rules, "-f", "html").stdout


def test_diff_without_steps_says_nothing_of_a_run(target: str) -> None:
    screen = diff(target, "-r", "torch-default", "-r", "no-norm-no-bias").stdout
    assert "kept" not in screen
    assert "differ in 3 of 4 parameters" in screen


def test_steps_without_two_rulesets_or_without_an_optimizer_are_refused_with_a_way_out(target: str) -> None:
    assert "name two with --rules" in diff(target, target, "--steps", "10").stderr
    assert "--optimizer EXPRESSION" in diff(target, "-r", "timm", "-r", "torch-default", "--steps", "10").stderr
