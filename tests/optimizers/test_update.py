"""The update as it is written, executed and compared with torch's own step."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.optim.lion import Lion

from decay_audit.model.observations import UpdateFormula
from decay_audit.optimizers.find import find
from decay_audit.optimizers.formulas import update_formula
from decay_audit.optimizers.live import observe

Make = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=5e-4),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "maximize": lambda p: torch.optim.SGD(p, lr=0.1, maximize=True),
    "maximize-decayed": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, maximize=True, weight_decay=0.1),
    "adam-maximize": lambda p: torch.optim.Adam(p, lr=1e-3, maximize=True, weight_decay=0.1),
    "adamw-maximize": lambda p: torch.optim.AdamW(p, lr=1e-3, maximize=True, weight_decay=0.1),
    "rmsprop-maximize": lambda p: torch.optim.RMSprop(p, lr=1e-2, maximize=True, weight_decay=0.1),
    "adagrad-maximize": lambda p: torch.optim.Adagrad(p, lr=1e-2, maximize=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=0.1),
    "adam-decoupled": lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=0.1, decoupled_weight_decay=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=3e-4, weight_decay=0.1, betas=(0.8, 0.95)),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-2, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2, weight_decay=0.1),
    "adagrad-slower": lambda p: torch.optim.Adagrad(p, lr=1e-2, lr_decay=0.1, weight_decay=0.1),
    "dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=1e-3, amsgrad=True, weight_decay=0.1, betas=(0.9, 0.5)),
    "rmsprop-momentum": lambda p: torch.optim.RMSprop(p, lr=1e-2, momentum=0.9, weight_decay=0.1),
    "rmsprop-centered": lambda p: torch.optim.RMSprop(p, lr=1e-2, centered=True, momentum=0.5, weight_decay=0.1),
    "lion": lambda p: Lion(p, lr=1e-2, weight_decay=0.1),
}
MUONS: dict[str, dict[str, Any]] = {
    "muon": {},
    "no nesterov": {"nesterov": False},
    "original": {"adjust_lr_fn": "original"},
    "rms": {"adjust_lr_fn": "match_rms_adamw"},
}
GRADIENTS = (0.3, -0.2, 0.05)
FUNCTIONS = {"sqrt": math.sqrt, "sign": lambda x: math.copysign(1, x), "max": max}


def _written(optimizer: torch.optim.Optimizer) -> UpdateFormula:
    names = {id(parameter): "w" for group in optimizer.param_groups for parameter in group["params"]}
    read = observe(find(optimizer), names).optimizers[0]
    return update_formula(read, read.groups[0])


def _run(written: UpdateFormula, betas: tuple[float, float]) -> list[float]:
    """Execute the assignments on one number, as they stand."""
    state = dict.fromkeys("gvmsza", 0.0) | {"w": 0.7}
    values = []
    for step, gradient in enumerate(GRADIENTS, start=1):
        state["g"] = gradient
        for line in written.steps:
            usual, *first = line.removesuffix(" the first time)").split(" (v <-")
            name, expression = (f"v <-{first[0]}" if first and step == 1 else usual).split(" <- ")
            hats = {f"{moment}_hat": state[moment] / (1 - betas[moment != "m"] ** step) for moment in "msz"}
            code = re.sub(r"\b([msz])\^", r"\1_hat", expression.replace("^2", "**2")).replace(" x ", "*")
            code = re.sub(r"(?<=[\d)]) (?=[a-z(])", "*", code)
            state[name] = eval(code, FUNCTIONS, state | hats | {"steps": step - 1})
        values.append(state["w"])
    return values


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_update_as_written_is_what_torch_does(name: str) -> None:
    weight = torch.nn.Parameter(torch.tensor([0.7], dtype=torch.float64))
    optimizer = OPTIMIZERS[name]([weight])
    expected = []
    for gradient in GRADIENTS:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        expected.append(weight.item())
    betas = optimizer.param_groups[0].get("betas", (0.9, 0.999))
    assert _run(_written(optimizer), betas) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", MUONS)
def test_the_update_of_muon_as_written_is_what_torch_does(name: str) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 3))
    state = {"w": weight.detach().clone(), "v": torch.zeros(6, 3)}
    optimizer: torch.optim.Optimizer = torch.optim.Muon([weight], lr=0.02, weight_decay=0.1, **MUONS[name])
    functions = {**FUNCTIONS, "orthogonalized": _orthogonalized, "rows": 6, "columns": 3}
    for _ in range(2):
        weight.grad = state["g"] = torch.randn(6, 3)
        optimizer.step()
        for line in _written(optimizer).steps:
            changed, expression = line.split(" <- ")
            code = re.sub(r"(?<=[\d)]) (?=[a-z(])", "*", expression.replace(" x ", "*"))
            state[changed] = eval(code, functions, state)
    assert torch.allclose(state["w"], weight, rtol=0, atol=5e-4)  # it is orthogonalized in bfloat16


def _orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    from torch.optim._muon import _zeropower_via_newtonschulz

    return _zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam-decoupled", "adamw", "maximize-decayed"])
def test_the_percentage_left_after_a_gradient_of_zero_is_that_of_torch(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = OPTIMIZERS[name]([weight])
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    percentage = re.search(r"keeps ([\d.]+) %", _written(optimizer).zero_gradient)
    assert percentage is not None
    assert 1 - float(percentage[1]) / 100 == pytest.approx(1 - weight.item(), rel=0.01)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_the_percentage_that_later_steps_leave_is_that_of_torch(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = OPTIMIZERS[name]([weight])
    weight.grad = torch.zeros_like(weight)
    for _ in range(200):
        optimizer.step()
    before = weight.item()
    optimizer.step()
    percentage = re.search(r"later steps keep ([\d.]+) %", _written(optimizer).zero_gradient)
    assert percentage is not None
    assert 1 - float(percentage[1]) / 100 == pytest.approx(1 - weight.item() / before, rel=0.05)


def test_the_update_of_the_first_screen_reads_as_promised() -> None:
    written = _written(OPTIMIZERS["momentum"]([torch.nn.Parameter(torch.ones(1))]))
    assert written.steps == ("g <- g + 0.0005 w", "v <- 0.9 v + g", "w <- w - 0.1 v")
    assert written.zero_gradient == (
        "with a gradient of zero the first step keeps 99.995 % of w, later steps keep 99.95 %"
    )


def test_a_class_without_a_formula_gets_the_update_of_its_form() -> None:
    weight = torch.nn.Parameter(torch.ones(3, 3))
    assert _written(torch.optim.Adafactor([weight], lr=0.01, weight_decay=0.1)).steps == ("w <- w - 0.01 * 0.1 * w",)


def test_an_unknown_class_gets_no_formula() -> None:
    class Mine(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            raise NotImplementedError

    written = _written(Mine([torch.nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0.2))
    assert not written.source
    assert written.steps == ("not known",)
