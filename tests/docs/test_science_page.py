"""docs/science.md: the formulas behind the numbers, with their sources, and what decay comes to in eight recipes."""

import warnings
from collections.abc import Callable, Iterator
from math import cos, pi
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import Struct
from torch import nn
from torch.optim import lr_scheduler

import decay_audit
from decay_audit.model.choices import ScheduleInterval
from decay_audit.text import format_kept, format_number
from tests.docs.pages import assert_page_is, table

MakeSchedule = Callable[[torch.optim.Optimizer], Any]


class Recipe(Struct, frozen=True, kw_only=True):
    """A run: its optimizer, the schedule of its learning rate, and its length."""

    name: str
    settings: str
    optimizer: Callable[[Any], torch.optim.Optimizer]
    schedule: MakeSchedule
    steps: int
    epoch_steps: int
    every: ScheduleInterval = "step"


def _cosine(optimizer: torch.optim.Optimizer, warmup: int, total: int, least: float) -> lr_scheduler.LambdaLR:
    def factor(index: int) -> float:
        if index < warmup:
            return (index + 1) / (warmup + 1)
        return least + (1 - least) * (1 + cos(pi * (index - warmup) / (total - warmup))) / 2

    return lr_scheduler.LambdaLR(optimizer, factor)


class _RisingCoefficient:
    """DINO's schedule: weight_decay rises from 0.04 to 0.4 while lr falls."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer, self.rates, self.epoch = optimizer, _cosine(optimizer, 10, 100, 5e-4), 0

    def step(self) -> None:
        self.rates.step()
        self.epoch += 1
        self.optimizer.param_groups[0]["weight_decay"] = 0.4 - 0.36 * (1 + cos(pi * self.epoch / 100)) / 2


RECIPES = (
    Recipe(
        name="nanoGPT 124M",
        settings="AdamW, lr 6e-4, weight_decay 0.1, warmup and cosine to 6e-5 (here in steps of 1,000), 600,000 steps",
        optimizer=lambda params: torch.optim.AdamW(params, lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1),
        schedule=lambda optimizer: _cosine(optimizer, 2, 600, 0.1),
        steps=600_000,
        epoch_steps=1000,
        every="epoch",
    ),
    Recipe(
        name="ResNet-50, 90 epochs",
        settings="SGD, momentum 0.9, lr 0.1 divided by 10 every 30 epochs, weight_decay 1e-4",
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=lambda optimizer: lr_scheduler.StepLR(optimizer, 30),
        steps=90 * 5004,
        epoch_steps=5004,
        every="epoch",
    ),
    Recipe(
        name="ResNeXt-29 on CIFAR, 300 epochs",
        settings="SGD, momentum 0.9, lr 0.1 divided by 10 after 150 and 225 epochs, weight_decay 5e-4",
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [150, 225]),
        steps=300 * 391,
        epoch_steps=391,
        every="epoch",
    ),
    Recipe(
        name="ViT, 300 epochs",
        settings="AdamW, lr 1e-3, weight_decay 0.05, 5 epochs of warmup, then cosine to 1e-5",
        optimizer=lambda params: torch.optim.AdamW(params, lr=1e-3, weight_decay=0.05),
        schedule=lambda optimizer: _cosine(optimizer, 5, 300, 0.01),
        steps=300 * 1251,
        epoch_steps=1251,
        every="epoch",
    ),
    Recipe(
        name="DINO, 100 epochs",
        settings="AdamW, lr 2e-3, cosine to 1e-6, weight_decay from 0.04 to 0.4",
        optimizer=lambda params: torch.optim.AdamW(params, lr=2e-3, weight_decay=0.04),
        schedule=_RisingCoefficient,
        steps=100 * 1251,
        epoch_steps=1251,
        every="epoch",
    ),
    Recipe(
        name="Muon, a short run",
        settings="Muon, lr 0.02, weight_decay 0.1, linear to 0, 1,800 steps",
        optimizer=lambda params: torch.optim.Muon(params, lr=0.02, weight_decay=0.1),
        schedule=lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=1800),
        steps=1800,
        epoch_steps=1800,
    ),
    Recipe(
        name="A fine-tuning run",
        settings="AdamW, lr 2e-5, weight_decay 0.01, linear to 0, 3,000 steps",
        optimizer=lambda params: torch.optim.AdamW(params, lr=2e-5, weight_decay=0.01),
        schedule=lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=3000),
        steps=3000,
        epoch_steps=1000,
    ),
    Recipe(
        name="LoRA",
        settings="AdamW, lr 2e-4, weight_decay 0.01, constant, 2,000 steps",
        optimizer=lambda params: torch.optim.AdamW(params, lr=2e-4, weight_decay=0.01),
        schedule=lambda optimizer: lr_scheduler.ConstantLR(optimizer, 1.0),
        steps=2000,
        epoch_steps=1000,
    ),
)

LR, COEFFICIENT = 0.01, 0.1
SETTLED: dict[str, tuple[str, Callable[[Any], torch.optim.Optimizer]]] = {
    "SGD": ("lr x weight_decay", lambda p: torch.optim.SGD(p, lr=LR, weight_decay=COEFFICIENT)),
    "SGD, momentum 0.9": (
        "1 - the largest root of z^2 - (1 + momentum - lr x weight_decay) z + momentum",
        lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, weight_decay=COEFFICIENT),
    ),
    "SGD, momentum 0.9, dampening 0.5": (
        "the same with (1 - dampening) x weight_decay",
        lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, dampening=0.5, weight_decay=COEFFICIENT),
    ),
    "SGD, Nesterov's momentum 0.9": (
        "1 - the largest eigenvalue of the step",
        lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, nesterov=True, weight_decay=COEFFICIENT),
    ),
    "AdamW": ("lr x weight_decay", lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=COEFFICIENT)),
    "Adam, NAdam, RAdam with decoupled_weight_decay=True": (
        "lr x weight_decay",
        lambda p: torch.optim.RAdam(p, lr=LR, weight_decay=COEFFICIENT, decoupled_weight_decay=True),
    ),
    "Muon": ("lr x weight_decay", lambda p: torch.optim.Muon(p, lr=LR, weight_decay=COEFFICIENT)),
    "Adafactor": ("lr x weight_decay", lambda p: torch.optim.Adafactor(p, lr=LR, weight_decay=COEFFICIENT)),
    "ASGD": ("measured only", lambda p: torch.optim.ASGD(p, lr=LR, weight_decay=COEFFICIENT)),
    "Adam": ("none", lambda p: torch.optim.Adam(p, lr=LR, weight_decay=COEFFICIENT)),
    "Adagrad": ("none", lambda p: torch.optim.Adagrad(p, lr=LR, weight_decay=COEFFICIENT)),
    "RMSprop": ("none", lambda p: torch.optim.RMSprop(p, lr=LR, weight_decay=COEFFICIENT)),
}
"""torch's optimizers: the formula of the part that a step removes once it has settled."""

TEXT = (Path(__file__).parent / "science_text.md").read_text(encoding="utf-8")
"""The page without its last table."""


@pytest.fixture(autouse=True)
def no_advice_of_torch() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of schedulers that are stepped before their optimizer
        yield


def _decay(recipe: Recipe, steps: int) -> Any:
    net = nn.Linear(2, 3, bias=False, dtype=torch.float64)
    optimizer = recipe.optimizer(net.parameters())
    schedule = recipe.schedule(optimizer)
    options = {"epoch_steps": recipe.epoch_steps, "schedule_every": recipe.every}
    horizon = decay_audit.audit(net, optimizer, steps=steps, schedule=schedule, **options).horizon  # type: ignore[arg-type]
    assert horizon is not None
    return horizon.groups[0].decay


def test_the_page_of_science_is_what_the_code_computes() -> None:
    rows = []
    for recipe in RECIPES:
        decay = _decay(recipe, recipe.steps)
        share = format_number(100 * decay.timescale_steps / recipe.steps)
        remembers = f"{format_number(decay.timescale_steps)} ({share} % of the run)"
        rows.append(
            (recipe.name, recipe.settings, format_kept(decay.kept), format_number(decay.removed_sum), remembers)
        )
    head = ("recipe", "settings", "decay alone keeps", "sum of the parts that steps remove", "remembers, in steps")
    assert_page_is("science.md", TEXT + table(head, rows) + SETTLED_TEXT + _settled_table())


SETTLED_TEXT = f"""
## What a step removes once it has settled: torch's optimizers

With lr {LR} and weight_decay {COEFFICIENT}. `--measure` steps a copy and extrapolates the rates of its steps. A test
holds the measured part and the formula to what a step of torch removes after 300 steps, to 1 %.

"""


def _measured(make: Callable[[Any], torch.optim.Optimizer], *, measure: bool = True) -> tuple[Any, Any]:
    net = nn.Linear(2, 3, bias=False, dtype=torch.float64)
    report = decay_audit.audit(net, make(net.parameters()), measure=measure, steps=1000, no_trace=True)
    assert report.horizon is not None
    return report.observations[0], report.horizon.groups[0].decay


def _settled_table() -> str:
    rows = []
    for name, (formula, make) in SETTLED.items():
        observation, decay = _measured(make)
        by_formula = format_number(1 / decay.timescale_steps) if formula not in ("none", "measured only") else ""
        measured = format_number(observation.settled_rate * LR) if observation.settled_rate else decay.reason
        rows.append((name, formula, by_formula, measured))
    return table(("optimizer", "formula", "by formula", "measured"), rows)


@pytest.mark.parametrize("name", SETTLED)
def test_settled_rates_by_formula_and_by_measuring_are_those_of_torchs_steps(name: str) -> None:
    formula, make = SETTLED[name]
    weight = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    optimizer = make([weight])
    for _ in range(300):
        before = weight.detach().clone()
        optimizer.step()
    removed = (1 - weight / before).mean().item()
    observation, decay = _measured(make)
    if formula == "none":
        assert observation.settled_rate is None
        assert decay.kept is None
        return
    assert observation.settled_rate * LR == pytest.approx(removed, rel=0.01)
    if formula != "measured only":
        _, by_formula = _measured(make, measure=False)
        assert 1 / by_formula.timescale_steps == pytest.approx(removed, rel=0.01)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_torch_leaves_what_the_code_computes_for_the_first_steps_of_a_recipe(recipe: Recipe) -> None:
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    optimizer = recipe.optimizer([weight])
    schedule = recipe.schedule(optimizer)
    size = recipe.epoch_steps if recipe.every == "epoch" else 1
    steps = max(1000, 2 * size + 100)
    for step in range(1, steps + 1):
        optimizer.step()
        if step % size == 0 and step < steps:
            schedule.step()
    assert _decay(recipe, steps).kept == pytest.approx(weight[0, 0].item(), rel=1e-9)
