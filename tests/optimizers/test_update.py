"""The update in words, executed as it is written and held against torch's own step."""

import math
import re
from collections.abc import Callable

import pytest
import torch

from decay_audit.observations import Update
from decay_audit.optimizers.live import find, observe
from decay_audit.optimizers.update import update

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
}
GRADIENTS = (0.3, -0.2, 0.05)


def _written(optimizer: torch.optim.Optimizer) -> Update:
    names = {id(each): "w" for group in optimizer.param_groups for each in group["params"]}
    read = observe(find(optimizer), names).optimizers[0]
    return update(read, read.groups[0])


def _run(written: Update, betas: tuple[float, float]) -> list[float]:
    """Execute the assignments on one number, as they stand."""
    state = {"w": 0.7, "g": 0.0, "v": 0.0, "m": 0.0, "s": 0.0}
    values = []
    for step, gradient in enumerate(GRADIENTS, start=1):
        state["g"] = gradient
        for line in written.steps:
            name, expression = line.split(" <- ")
            hats = {"m_hat": state["m"] / (1 - betas[0] ** step), "s_hat": state["s"] / (1 - betas[1] ** step)}
            code = expression.replace("g^2", "g**2").replace("m^", "m_hat").replace("s^", "s_hat").replace(" x ", "*")
            code = re.sub(r"(?<=[\d)]) (?=[a-z(])", "*", code)
            state[name] = eval(code, {"sqrt": math.sqrt}, state | hats)
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


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam-decoupled", "adamw", "maximize-decayed"])
def test_what_is_kept_with_a_gradient_of_zero_is_what_torch_keeps(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = OPTIMIZERS[name]([weight])
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    said = re.search(r"keeps ([\d.]+) %", _written(optimizer).alone)
    assert said is not None
    assert 1 - float(said[1]) / 100 == pytest.approx(1 - weight.item(), rel=0.01)


def test_the_update_of_the_first_screen_reads_as_promised() -> None:
    written = _written(OPTIMIZERS["momentum"]([torch.nn.Parameter(torch.ones(1))]))
    assert written.steps == ("g <- g + 0.0005 w", "v <- 0.9 v + g", "w <- w - 0.1 v")
    assert written.alone == "with a gradient of zero one step keeps 99.995 % of w"


def test_a_class_without_a_formula_gets_the_sentence_of_its_way() -> None:
    weight = torch.nn.Parameter(torch.ones(3, 3))
    assert _written(torch.optim.Adafactor([weight], lr=0.01, weight_decay=0.1)).steps == ("w <- w - 0.01 * 0.1 * w",)


def test_an_unknown_class_gets_no_formula() -> None:
    class Mine(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            raise NotImplementedError

    written = _written(Mine([torch.nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0.2))
    assert not written.source
    assert written.steps == ("not known",)
