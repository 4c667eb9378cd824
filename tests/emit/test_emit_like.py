"""`emit --like`: the code makes an optimizer that exists again, with the ruleset's coefficients and all else equal."""

import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from decay_audit.cli import app

SCRIPT = '''
import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR


def is_matrix(p):
    return p.ndim > 1


class LARS(SGD):
    """Keeps a function for each group, as published LARS do."""

    def __init__(self, params, lr, weight_decay=0, momentum=0.9, eta=1e-3, weight_decay_filter=None):
        super().__init__(params, lr=lr, weight_decay=weight_decay, momentum=momentum)
        self.eta = eta
        self.defaults["weight_decay_filter"] = weight_decay_filter
        for group in self.param_groups:
            group["weight_decay_filter"] = weight_decay_filter


class Warm(AdamW):
    def __init__(self, params, warmup_steps=0, **settings):
        super().__init__(params, **settings)
        self.defaults["warmup_steps"] = warmup_steps
        for group in self.param_groups:
            group["warmup_steps"] = warmup_steps


class Required(AdamW):
    """Has no default for the coefficient."""

    def __init__(self, params, lr, weight_decay):
        super().__init__(params, lr=lr, weight_decay=weight_decay)


class Outer(torch.optim.Optimizer):
    """Wraps another optimizer."""

    def __init__(self, inner):
        self.inner = inner
        super().__init__(inner.param_groups, inner.defaults)

    def step(self, closure=None):
        return self.inner.step(closure)


def net(depth=2):
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), *[nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(depth)]
    )


def parts(model):
    return [*model[0].parameters(), *model[1].parameters()], [*model[2:].parameters()]


def rate_of_0(model):
    return AdamW(model.parameters(), lr=0.0, eps=1e-6, amsgrad=True, weight_decay=0.05)


def fused(model):
    return AdamW(params=model.parameters(), lr=1e-3, betas=(0.9, 0.95), fused=True, weight_decay=0.05)


def rates(model):
    stem, rest = parts(model)
    groups = [{"params": stem, "lr": 1e-4, "name": "stem", "lr_mult": 0.1}, {"params": rest, "name": "rest"}]
    return AdamW(groups, lr=1e-3, weight_decay=0.05)


def odd_rates(model):
    stem, rest = parts(model)
    return SGD([{"params": stem, "lr": 0.017, "momentum": 0.5}, {"params": rest}], lr=0.3, nesterov=True, momentum=0.9,
               weight_decay=1e-4)


def filters(model):
    return LARS(model.parameters(), 0.2, 1e-4, weight_decay_filter=is_matrix)


def warm(model):
    return Warm(model.parameters(), warmup_steps=500, lr=3e-4, weight_decay=0.05, foreach=False)


def required(model):
    return Required(model.parameters(), 0.1, 0.02)


def tensor_rate(model):
    return AdamW(model.parameters(), lr=torch.tensor(0.125), capturable=False, weight_decay=0.05)


def tensor_betas(model):
    betas = torch.tensor(0.9), torch.tensor(0.95, dtype=torch.float64)
    return torch.optim.Adam(model.parameters(), betas=betas, capturable=True, weight_decay=0.05)


class Plain(torch.optim.Optimizer):
    """Its step is its own, and no table knows it."""

    def __init__(self, params, lr, weight_decay):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad + group["weight_decay"] * p, alpha=group["lr"])


def plain(model):
    return Plain(model.parameters(), 0.1, 1e-6)


def one_cycle(model):
    optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    OneCycleLR(optimizer, 0.1, total_steps=10)
    return optimizer


def warmup(model):
    optimizer = SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.05)
    LambdaLR(optimizer, lambda step: step / 10)
    return optimizer


def changed_later(model):
    optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    for group in optimizer.param_groups:
        group["eps"] = 1e-5
    return optimizer


def several(model):
    stem, rest = parts(model)
    return [SGD(stem, lr=0.1, momentum=0.9, weight_decay=1e-4), AdamW(rest, lr=0.01, eps=1e-7, weight_decay=1e-4)]


def alike(model):
    stem, rest = parts(model)
    return [SGD(stem, lr=0.1, weight_decay=1e-4), SGD(rest, lr=0.01, weight_decay=1e-4)]


def closure(model):
    return LARS(model.parameters(), 0.2, 1e-4, weight_decay_filter=lambda p: p.ndim > 1)


def local(model):
    class Hidden(AdamW):
        pass

    return Hidden(model.parameters(), lr=1e-3, weight_decay=0.05)


def wrapped(model):
    return Outer(AdamW(model.parameters(), lr=1e-3, weight_decay=0.05))


def foreign(model):
    return AdamW([*model.parameters(), nn.Parameter(torch.ones(2))], lr=1e-3, weight_decay=0.05)


def good_groups(model):
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.05},
        {"params": [(name, p) for name, p in model.named_parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]


def bad_groups(model):
    decayed, spared = good_groups(model)
    stem = [p for p in spared["params"] if p[0] == "0.bias"]
    return [decayed, {"params": [model[1].weight], "weight_decay": 0.1}, {"params": stem}]


def ignoring(model):
    return torch.optim.Rprop(model.parameters(), lr=0.02)
'''
MADE_AGAIN = [
    "rate_of_0",
    "fused",
    "rates",
    "odd_rates",
    "filters",
    "warm",
    "required",
    "tensor_rate",
    "tensor_betas",
    "one_cycle",
    "warmup",
    "changed_later",
    "several",
    "alike",
]
LEFT_OUT = {
    "closure": "its argument weight_decay_filter is closure.<locals>.<lambda>, which code cannot import",
    "local": "code cannot import the class local.<locals>.Hidden",
    "wrapped": "it wraps another optimizer",
    "foreign": "its group 0 has a tensor that is no parameter of the model",
}
SCHEDULED: dict[str, dict[str, Any]] = {"one_cycle": {"lr": 1e-3, "betas": (0.9, 0.999)}, "warmup": {"lr": 0.5}}
"""What a group has before its scheduler changes it."""
OF_SCHEDULERS = {"initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("like")
    (path / "own_net.py").write_text(SCRIPT)
    return path


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)


def fixes(optimizer: str, *options: str) -> list[str]:
    report = run("check", "own_net.py:net", "--optimizer", f"own_net.py:{optimizer}", *options).stdout
    return [line.partition("fix: ")[2] for line in report.splitlines() if "fix: " in line]


def emitted(optimizer: str) -> tuple[str, str]:
    (fix,) = {fix for fix in fixes(optimizer) if fix.startswith("decay-audit emit")}
    result = run(*shlex.split(fix)[1:], "--output", "groups.py")
    assert result.exit_code == 0, result.stderr
    return Path("groups.py").read_text(), result.stderr


def settings_by_name(optimizers: Any, model: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """The class and the settings of each parameter's group, without the coefficient and the keys of schedulers."""
    names = {id(p): name for name, p in model.named_parameters()}
    left_out = {"params", "param_names", "weight_decay", "use", *OF_SCHEDULERS}
    return {
        names[id(p)]: {
            "class": type(optimizer).__name__,
            **{
                key: value.__name__ if callable(value) else float(value) if isinstance(value, torch.Tensor) else value
                for key, value in group.items()
                if key not in left_out
            },
        }
        for optimizer in (optimizers if isinstance(optimizers, list) else [optimizers])
        for group in optimizer.param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("optimizer", MADE_AGAIN)
def test_the_fix_changes_the_coefficient_and_nothing_else(optimizer: str) -> None:
    code, notes = emitted(optimizer)
    assert "left out" not in code + notes
    script = runpy.run_path("own_net.py")
    model = script["net"]()
    original = settings_by_name(script[optimizer](model), model)
    made = runpy.run_path("groups.py")["make_optimizer"](model)
    again = [*made.values()] if isinstance(made, dict) else made
    expected = {name: {**settings, **dict(SCHEDULED.get(optimizer, {}))} for name, settings in original.items()}
    assert settings_by_name(again, model) == expected
    groups = [group for each in (again if isinstance(again, list) else [again]) for group in each.param_groups]
    assert {id(p) for group in groups if group["weight_decay"] for p in group["params"]} == {
        id(p) for p in model.parameters() if p.ndim > 1
    }
    check = run("check", "own_net.py:net", "--optimizer", "groups.py:make_optimizer")
    assert check.exit_code == 0, check.stdout


@pytest.mark.parametrize("optimizer", LEFT_OUT)
def test_an_optimizer_that_code_cannot_make_is_left_out_with_the_reason(optimizer: str) -> None:
    code, notes = emitted(optimizer)
    assert "def make_optimizer" not in code
    assert LEFT_OUT[optimizer] in code
    assert LEFT_OUT[optimizer] in " ".join(notes.split())
    model = runpy.run_path("own_net.py")["net"]()
    groups = runpy.run_path("groups.py")["param_groups"](model)
    assert [len(group["params"]) for group in groups] == [3, 9]


def test_a_rate_that_is_a_round_multiple_of_the_base_stays_one() -> None:
    assert '"lr": 0.1 * lr, "name": "stem", "lr_mult": 0.1' in emitted("rates")[0].replace("\n", " ").replace("  ", "")
    rated = run("emit", "own_net.py:net", "--like", "own_net.py:rates", "--output", "groups.py")
    assert rated.exit_code == 0
    model = runpy.run_path("own_net.py")["net"]()
    rates = {group["lr"] for group in runpy.run_path("groups.py")["make_optimizer"](model, lr=2.0).param_groups}
    assert rates == {0.2, 2.0}


def test_without_a_coefficient_the_optimizers_own_is_kept() -> None:
    for optimizer, coefficient in (("required", "0.02"), ("plain", "1e-6")):
        code = run("emit", "own_net.py:net", "--like", f"own_net.py:{optimizer}").stdout
        assert f"weight_decay: float = {coefficient}" in code


def test_tensors_are_written_with_the_digits_that_make_them_and_fit_into_a_line() -> None:
    code, _ = emitted("tensor_betas")
    assert "        betas=(torch.tensor(0.9), torch.tensor(0.95, dtype=torch.float64)),\n" in code


def test_an_optimizer_that_ignores_the_coefficient_gets_another_class_and_no_group() -> None:
    (fix,) = set(fixes("ignoring", "--weight-decay", "0.1"))
    before, _, command = fix.partition(": ")
    assert before == "Rprop applies no weight decay; use a class that does"
    assert "--optimizer AdamW" in command
    result = run(*shlex.split(command)[1:], "--output", "groups.py")
    assert result.exit_code == 0, result.stderr
    assert "--like" not in command


def test_a_saved_optimizer_is_made_again_with_what_was_saved() -> None:
    script = runpy.run_path("own_net.py")
    model = script["net"]()
    optimizer = script["odd_rates"](model)
    model(torch.ones(1, 3, 4, 4))[:, :, 0].sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "last.pt")
    report = run("check", "own_net.py:net", "--checkpoint", "last.pt").stdout
    fix = report.partition("fix: decay-audit ")[2].splitlines()[0]
    assert "--like last.pt" in fix
    result = run(*shlex.split(fix), "--output", "groups.py")
    assert result.exit_code == 0, result.stderr
    again = runpy.run_path("groups.py")["make_optimizer"](model)
    assert settings_by_name(again, model) == settings_by_name(optimizer, model)


@pytest.mark.parametrize("style", ["rule", "names"])
def test_every_style_keeps_the_settings_of_groups(style: str) -> None:
    assert (
        run("emit", "own_net.py:net", "--like", "own_net.py:rates", "--style", style, "-o", "groups.py").exit_code == 0
    )
    script = runpy.run_path("own_net.py")
    model = script["net"]()
    again = runpy.run_path("groups.py")["make_optimizer"](model)
    assert settings_by_name(again, model) == settings_by_name(script["rates"](model), model)


def test_like_and_an_optimizer_are_refused_together() -> None:
    result = run("emit", "own_net.py:net", "--like", "own_net.py:rates", "--optimizer", "SGD")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--like" in result.stderr


def test_a_function_of_the_users_own_is_proven_on_every_size() -> None:
    arguments = ("emit", "own_net.py:net", "--also", "own_net.py:net(depth=5)", "-w", "0.05", "--verify")
    result = run(*arguments, "own_net.py:good_groups")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (
        "own_net.py:net: the param groups are those of no-norm-no-bias\n"
        "own_net.py:net(depth=5): the param groups are those of no-norm-no-bias\n"
    )


def test_a_function_that_differs_is_told_parameter_by_parameter() -> None:
    result = run("emit", "own_net.py:net", "-w", "0.05", "--verify", "own_net.py:bad_groups")
    assert result.exit_code == 1
    assert result.stdout.startswith("own_net.py:net: 9 parameters differ from no-norm-no-bias\n")
    assert "  0.bias: its group sets no weight_decay, so the optimizer's default is in effect\n" in result.stdout
    assert "  1.weight: weight_decay 0.1, not 0\n" in result.stdout
    assert "  2.0.bias: it is in no group\n" in result.stdout
    assert run("emit", "own_net.py:net", "--verify", "own_net.py:parts").exit_code == 2
