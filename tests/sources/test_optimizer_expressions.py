"""Expressions for an optimizer: what they are evaluated to, and the messages where they are wrong."""

import shlex
from pathlib import Path

import pytest
import torch

from decay_audit.errors import TargetError
from decay_audit.sources.module import BuiltModel, build, evaluate_optimizer
from decay_audit.sources.target import FileTarget, ModuleTarget, parse

SCRIPT = """
import torch
from torch import nn
from torch.optim import SGD


class Mine(torch.optim.AdamW):
    pass


class Net(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.25)


WIDTH = 2
def width(model): return WIDTH
def two(model, lr, *, wd): ...
def nothing(): ...
"""


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltModel:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    target = parse("train.py:Net")
    assert isinstance(target, FileTarget | ModuleTarget)
    return build(target, device="cpu")


@pytest.mark.parametrize("text", [
    "model.configure_optimizers",
    "model.configure_optimizers()",
    "train.py:model.configure_optimizers",
    "train.py:Net.configure_optimizers",
])  # fmt: skip
def test_a_method_of_the_model_is_called_with_or_without_its_parentheses(text: str, built: BuiltModel) -> None:
    made = evaluate_optimizer(text, built)
    optimizer, source = made.value, made.source
    assert source.endswith(") returned")
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert set(optimizer.param_groups[0]["params"]) == set(built.model.parameters())


@pytest.mark.parametrize(("text", "source"), [
    ("train.py:WIDTH", "train.py:WIDTH is"),
    ("WIDTH", "WIDTH is"),
    ("width(model)", "width(model) returned"),
    ("train.py:width", "train.py:width(model) returned"),
])  # fmt: skip
def test_the_value_of_an_expression_comes_with_what_was_evaluated(text: str, source: str, built: BuiltModel) -> None:
    made = evaluate_optimizer(text, built)
    assert (made.value, made.source) == (2, source)


@pytest.mark.parametrize(("text", "call"), [
    ("AdamW", "torch.optim:AdamW"),
    ("torch.optim:AdamW", "torch.optim:AdamW"),
    ("torch.optim.AdamW", "torch.optim:AdamW"),
    ("SGD", "torch.optim:SGD"),
    ("train.py:Mine", "train.py:Mine"),
])  # fmt: skip
def test_an_optimizer_class_that_is_not_called_is_refused_with_the_call_that_works(
    text: str, call: str, built: BuiltModel
) -> None:
    with pytest.raises(TargetError) as caught:
        evaluate_optimizer(text, built)
    expression = f"{call}(model.parameters(), lr=1e-3)"
    assert caught.value.hint == f"write the call: {shlex.quote(expression)}"
    assert isinstance(evaluate_optimizer(expression, built).value, torch.optim.Optimizer)


@pytest.mark.parametrize(("text", "nearest"), [("adamw", "AdamW"), ("adam_w", "AdamW"), ("sgdd", "SGD")])
def test_a_misspelled_optimizer_class_gets_the_call_of_the_nearest_one(
    text: str, nearest: str, built: BuiltModel
) -> None:
    with pytest.raises(TargetError) as caught:
        evaluate_optimizer(text, built)
    expression = f"torch.optim:{nearest}(model.parameters(), lr=1e-3)"
    assert caught.value.hint == f"did you mean {shlex.quote(expression)}?"
    assert type(evaluate_optimizer(expression, built).value).__name__ == nearest


def test_a_factory_that_takes_more_than_the_model_is_refused_with_the_call_that_works(built: BuiltModel) -> None:
    with pytest.raises(TargetError, match="two cannot be called with the model alone") as caught:
        evaluate_optimizer("two", built)
    assert caught.value.hint == "write the call: 'two(model, lr=..., wd=...)'"


def test_a_factory_that_takes_nothing_is_called_without_the_model(built: BuiltModel) -> None:
    evaluated = evaluate_optimizer("nothing", built)
    assert evaluated.source == "nothing() returned"
