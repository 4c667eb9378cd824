"""A run that goes on after its groups and its scheduler were migrated equals the run that was never interrupted."""

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.multistep_lr import MultiStepLRScheduler
from timm.scheduler.poly_lr import PolyLRScheduler
from timm.scheduler.scheduler import Scheduler as TimmScheduler
from timm.scheduler.step_lr import StepLRScheduler
from timm.scheduler.tanh_lr import TanhLRScheduler
from torch import nn
from torch.optim import lr_scheduler as schedulers, swa_utils
from typer.testing import CliRunner

from decay_audit.cli import app
from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.optimizers import migrate

Make = Callable[[Any], Any]

SCHEDULERS: dict[str, Make] = {
    "LambdaLR": lambda optimizer: schedulers.LambdaLR(optimizer, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda optimizer: schedulers.MultiplicativeLR(optimizer, lambda _: 0.9),
    "StepLR": lambda optimizer: schedulers.StepLR(optimizer, 2),
    "MultiStepLR": lambda optimizer: schedulers.MultiStepLR(optimizer, [2, 7]),
    "ConstantLR": lambda optimizer: schedulers.ConstantLR(optimizer, total_iters=6),
    "LinearLR": lambda optimizer: schedulers.LinearLR(optimizer, total_iters=9),
    "ExponentialLR": lambda optimizer: schedulers.ExponentialLR(optimizer, 0.9),
    "PolynomialLR": lambda optimizer: schedulers.PolynomialLR(optimizer, 20),
    "CosineAnnealingLR": lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 10),
    "CosineAnnealingWarmRestarts": lambda optimizer: schedulers.CosineAnnealingWarmRestarts(optimizer, 4),
    "CyclicLR": lambda optimizer: schedulers.CyclicLR(optimizer, 0.01, 0.1, step_size_up=3),
    "OneCycleLR": lambda optimizer: schedulers.OneCycleLR(optimizer, 0.1, total_steps=20),
    "ReduceLROnPlateau": lambda optimizer: schedulers.ReduceLROnPlateau(optimizer, patience=1, factor=0.5),
    "SequentialLR": lambda optimizer: schedulers.SequentialLR(
        optimizer, [schedulers.LinearLR(optimizer, total_iters=3), schedulers.ExponentialLR(optimizer, 0.9)], [3]
    ),
    "ChainedScheduler": lambda optimizer: schedulers.ChainedScheduler(
        [schedulers.LinearLR(optimizer, total_iters=3), schedulers.ExponentialLR(optimizer, 0.9)]
    ),
    "SWALR": lambda optimizer: swa_utils.SWALR(optimizer, 0.02, anneal_epochs=6),
}
TIMM_SCHEDULERS: dict[str, Make] = {
    "CosineLRScheduler": lambda optimizer: CosineLRScheduler(optimizer, 10, warmup_t=5),
    "MultiStepLRScheduler": lambda optimizer: MultiStepLRScheduler(optimizer, [2, 7], warmup_t=5),
    "PolyLRScheduler": lambda optimizer: PolyLRScheduler(optimizer, 20, warmup_t=5),
    "StepLRScheduler": lambda optimizer: StepLRScheduler(optimizer, 2, warmup_t=5),
    "TanhLRScheduler": lambda optimizer: TanhLRScheduler(optimizer, 20),
}
FACTORS = (0.9, 0.7)
"""For schedulers that take a list with an entry for each group: what each group of the first layout gets."""
WITH_LISTS: dict[str, Callable[[Any, list[float]], Any]] = {
    "LambdaLR": lambda optimizer, factors: schedulers.LambdaLR(optimizer, [Power(factor) for factor in factors]),
    "CyclicLR": lambda optimizer, factors: schedulers.CyclicLR(
        optimizer, [0.01 * factor for factor in factors], [0.1 * factor for factor in factors], step_size_up=3
    ),
    "OneCycleLR": lambda optimizer, factors: schedulers.OneCycleLR(
        optimizer, [0.1 * factor for factor in factors], total_steps=20
    ),
    "ReduceLROnPlateau": lambda optimizer, factors: schedulers.ReduceLROnPlateau(
        optimizer, patience=0, factor=0.5, min_lr=[0.02 * factor for factor in factors]
    ),
    "SWALR": lambda optimizer, factors: swa_utils.SWALR(optimizer, [0.02 * factor for factor in factors]),  # type: ignore[arg-type]
}


class Power:
    """A factor of the learning rate whose base is saved: LambdaLR saves the attributes of an object that is called."""

    def __init__(self, base: float) -> None:
        self.base = base

    def __call__(self, epoch: int) -> float:
        return self.base**epoch


NAMES = ["0.weight", "0.bias", "1.weight", "1.bias"]
LAYOUTS = {
    "split": ([NAMES], [["0.weight", "1.weight"], ["0.bias", "1.bias"]]),
    "reorder": ([["0.weight", "0.bias"], ["1.weight", "1.bias"]], [["1.weight", "1.bias"], ["0.weight", "0.bias"]]),
    "merge": ([["0.weight", "1.weight"], ["0.bias", "1.bias"]], [NAMES]),
}
RATES = {"split": [0.1], "reorder": [0.1, 0.03], "merge": [0.1, 0.1]}


def start(layout: list[list[str]], rates: list[float]) -> tuple[nn.Module, torch.optim.SGD]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    groups = [
        {"params": [model.get_parameter(name) for name in names], "lr": rate}
        for names, rate in zip(layout, rates, strict=True)
    ]
    return model, torch.optim.SGD(groups, momentum=0.9, weight_decay=0.01)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any, steps: int, start: int = 0) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        loss = (model(torch.full((2, 3), 0.1 * (step + 1))) - 1).square().mean()
        loss.backward()
        optimizer.step()
        if isinstance(scheduler, TimmScheduler):
            scheduler.step(start + step + 1)
        elif isinstance(scheduler, schedulers.ReduceLROnPlateau):
            scheduler.step(1.0)
        else:
            scheduler.step()


def test_every_scheduler_class_of_torch_is_migrated_here() -> None:
    classes = {
        name
        for name, value in {**vars(schedulers), **vars(swa_utils)}.items()
        if inspect.isclass(value) and issubclass(value, schedulers.LRScheduler)
    }
    assert classes - {"LRScheduler", "_LRScheduler"} == SCHEDULERS.keys()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [*SCHEDULERS, *TIMM_SCHEDULERS])
def test_ten_steps_after_a_migration_equal_ten_steps_of_the_uninterrupted_run(name: str, layout: str) -> None:
    make = {**SCHEDULERS, **TIMM_SCHEDULERS}[name]
    continue_after_migration(layout, make, make)


@pytest.mark.parametrize("name", WITH_LISTS)
def test_a_list_with_an_entry_for_each_group_is_reordered_with_the_groups(name: str) -> None:
    make = WITH_LISTS[name]
    continue_after_migration("reorder", lambda it: make(it, [*FACTORS]), lambda it: make(it, [*FACTORS][::-1]))


def continue_after_migration(layout: str, make_old: Make, make_new: Make) -> None:
    old_layout, new_layout = LAYOUTS[layout]
    model, optimizer = start(old_layout, RATES[layout])
    scheduler = make_old(optimizer)
    train(model, optimizer, scheduler, 3)
    content = copy.deepcopy(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    )
    train(model, optimizer, scheduler, 10, 3)

    resumed, new_optimizer = start(new_layout, [0.5] * len(new_layout))
    new_scheduler = make_new(new_optimizer)
    moved: Any = migrated(content, old_layout, resumed, new_optimizer)
    resumed.load_state_dict(moved["model"])
    new_optimizer.load_state_dict(moved["optimizer"])
    new_scheduler.load_state_dict(moved["scheduler"])
    train(resumed, new_optimizer, new_scheduler, 10, 3)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), resumed.parameters(), strict=True))


def migrated(content: Any, layout: list[list[str]], model: nn.Module, optimizer: torch.optim.Optimizer) -> object:
    groups = tuple(ParamGroup(weight_decay=0.01, parameters=tuple(names)) for names in layout)
    saved = Optimizer(name="optimizer", type="SGD", groups=groups)
    names = {id(p): name for name, p in model.named_parameters()}
    state = content["optimizer"]
    matched = migrate.match(state, saved, optimizer, names, migrate.NO_CHANGES)
    sources = migrate.group_sources(state, optimizer, matched)
    rewritten = migrate.rewrite_state(state, saved, optimizer, matched, [*names.values()])
    content = migrate.replace_state(content, "optimizer", rewritten)
    return migrate.rewrite_schedulers(content, [sources], [len(layout)])


def test_groups_with_different_rates_are_not_merged_under_a_scheduler() -> None:
    _, optimizer = start(LAYOUTS["merge"][0], [0.1, 0.03])
    state = {"scheduler": schedulers.StepLR(optimizer, 2).state_dict()}
    with pytest.raises(OptimizerError, match=r"scheduler\.\w+ cannot be moved: groups that are merged have different"):
        migrate.rewrite_schedulers(state, [[(0, 1)]], [2])


def test_a_list_of_an_unknown_scheduler_is_refused_by_its_name() -> None:
    state = {"scheduler": {"last_epoch": 3, "base_lrs": [0.1, 0.2], "warmup_ends": [5, 7]}}
    with pytest.raises(OptimizerError, match=r"scheduler\.warmup_ends has an entry for each"):
        migrate.rewrite_schedulers(state, [[(1,), (0,)]], [2])


@pytest.mark.parametrize("place", ["lr_schedulers", "lr_sched", "scheduler"])
def test_an_unknown_scheduler_is_refused_by_its_place_and_a_configuration_is_not_a_scheduler(place: str) -> None:
    unknown = {"phases": [1, 2], "step": 3}
    content = {place: [unknown] if place.endswith("s") else unknown, "hyper_parameters": {"scheduler": {"at": [3, 6]}}}
    with pytest.raises(OptimizerError, match=rf"{place}(\.0)?\.phases has an entry for each"):
        migrate.rewrite_schedulers(content, [[(1,), (0,)]], [2])
    del content[place]
    assert migrate.rewrite_schedulers(content, [[(1,), (0,)]], [2]) == content


class WeightDecaySchedule(TimmScheduler):
    def _get_lr(self, t: int) -> list[float]:
        return [value / (t + 1) for value in self.base_values]


def test_a_scheduler_of_the_coefficient_itself_is_refused() -> None:
    _, optimizer = start(LAYOUTS["merge"][0], [0.1, 0.1])
    scheduler = WeightDecaySchedule(optimizer, "weight_decay")
    with pytest.raises(OptimizerError, match="the scheduler at scheduler changes weight_decay"):
        migrate.rewrite_schedulers({"scheduler": scheduler.state_dict()}, [[(0, 1)]], [2])


def test_what_the_groups_do_not_move_stays_as_it_was() -> None:
    state = {"scheduler": {"last_epoch": 3, "base_lrs": [0.1, 0.2], "warmup_ends": [5, 7]}}
    assert migrate.rewrite_schedulers(state, [[(0,), (1,)]], [2]) is state


def test_each_of_two_schedulers_follows_the_optimizer_at_its_place() -> None:
    states = {"lr_schedulers": [{"last_epoch": 1, "base_lrs": [1.0, 2.0]}, {"last_epoch": 1, "base_lrs": [3.0, 4.0]}]}
    moved: Any = migrate.rewrite_schedulers(states, [[(0,), (1,)], [(1,), (0,)]], [2, 2])
    assert [state["base_lrs"] for state in moved["lr_schedulers"]] == [[1.0, 2.0], [4.0, 3.0]]


NET = """
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def split(model):
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.SGD([{"params": weights}, {"params": biases, "weight_decay": 0.0}], lr=0.5, momentum=0.9)
"""


def test_the_command_moves_the_scheduler_in_the_file_and_that_of_the_trainer_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    Path("new").mkdir()
    model, optimizer = start([NAMES], [0.1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = schedulers.CosineAnnealingLR(optimizer, 10)
    train(model, optimizer, scheduler, 2)
    torch.save(optimizer.state_dict(), "optimizer.pt")
    torch.save(scheduler.state_dict(), "scheduler.pt")
    whole = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    torch.save(whole, "whole.pt")
    for name, place in (("optimizer.pt", "scheduler.pt"), ("whole.pt", "scheduler")):
        command = ["migrate", name, "--model", "net.py:model", "--to", "net.py:split", "--output", f"new/{name}"]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.stderr
        assert f"{place}: moved with the groups" in result.stdout + result.stderr
    moved = [torch.load("new/scheduler.pt"), torch.load("new/whole.pt")["scheduler"]]
    assert [state["base_lrs"] for state in moved] == [[0.1, 0.1], [0.1, 0.1]]
