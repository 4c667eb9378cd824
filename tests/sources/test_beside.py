"""What an expression beside a model makes, or what it should have been."""

import shlex
from pathlib import Path

import pytest
import torch

from decay_audit.errors import TargetError
from decay_audit.sources.module import Built, build, make
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


def two(model, lr, *, wd): ...
def nothing(): ...
"""


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
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
def test_a_method_of_the_model_is_called_with_or_without_its_parentheses(text: str, built: Built) -> None:
    made = make(text, built)
    assert isinstance(made, torch.optim.AdamW)
    assert made.param_groups[0]["lr"] == 0.25
    assert {id(each) for each in made.param_groups[0]["params"]} == {id(each) for each in built.model.parameters()}


@pytest.mark.parametrize(("text", "call"), [
    ("AdamW", "torch.optim:AdamW"),
    ("torch.optim:AdamW", "torch.optim:AdamW"),
    ("torch.optim.AdamW", "torch.optim:AdamW"),
    ("SGD", "torch.optim:SGD"),
    ("train.py:Mine", "train.py:Mine"),
])  # fmt: skip
def test_an_optimizer_class_that_nobody_called_is_refused_with_the_call_that_works(
    text: str, call: str, built: Built
) -> None:
    with pytest.raises(TargetError) as caught:
        make(text, built)
    expression = f"{call}(model.parameters(), lr=1e-3)"
    assert caught.value.hint == f"call it: {shlex.quote(expression)}"
    assert isinstance(make(expression, built), torch.optim.Optimizer)


@pytest.mark.parametrize(("text", "meant"), [("adamw", "AdamW"), ("adam_w", "AdamW"), ("sgdd", "SGD")])
def test_a_misspelt_optimizer_class_gets_the_call_of_the_nearest_one(text: str, meant: str, built: Built) -> None:
    with pytest.raises(TargetError) as caught:
        make(text, built)
    expression = f"torch.optim:{meant}(model.parameters(), lr=1e-3)"
    assert caught.value.hint == f"did you mean {shlex.quote(expression)}?"
    assert type(make(expression, built)).__name__ == meant


@pytest.mark.parametrize(("factory", "call"), [("two", "two(model, lr=..., wd=...)"), ("nothing", "nothing()")])
def test_a_factory_that_takes_more_or_less_than_the_model_is_refused_with_the_call_that_works(
    factory: str, call: str, built: Built
) -> None:
    with pytest.raises(TargetError, match=f"{factory} cannot be called with the model alone") as caught:
        make(factory, built)
    assert caught.value.hint == f"call it: '{call}'"
