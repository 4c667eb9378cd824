"""What stands beside a child called `base_layer` adapts that layer, whatever it is called, and in files as well."""

from pathlib import Path

import pytest
import torch
from torch import nn

from decay_audit import classify, read


class Adapted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base_layer = nn.Linear(8, 8)
        self.down, self.up = nn.ParameterDict({"default": torch.zeros(2, 8)}), nn.Linear(2, 8, bias=False)
        self.core = nn.Parameter(torch.zeros(2, 2))


def roles(model: nn.Module, folder: Path, *, saved: bool) -> dict[str, str]:
    if saved:
        torch.save(model.state_dict(), folder / "adapted.pt")
    inventory = read(str(folder / "adapted.pt")) if saved else read(model)
    return {item.parameter.name: item.role for item in classify(inventory)}


@pytest.mark.parametrize("saved", [False, True])
def test_all_that_stands_beside_a_base_layer_adapts_it(tmp_path: Path, saved: bool) -> None:
    answers = roles(nn.Sequential(Adapted(), nn.Linear(8, 8)), tmp_path, saved=saved)
    assert {name for name, role in answers.items() if role == "adapter_weight"} == {
        "0.down.default", "0.up.weight", "0.core",
    }  # fmt: skip


@pytest.mark.parametrize("saved", [False, True])
def test_without_a_base_layer_nothing_is_an_adapter(tmp_path: Path, saved: bool) -> None:
    model = Adapted()
    model.first = model.base_layer
    del model.base_layer
    assert "adapter_weight" not in roles(nn.Sequential(model), tmp_path, saved=saved).values()


@pytest.mark.parametrize("saved", [False, True])
def test_a_base_layer_at_the_root_counts(tmp_path: Path, saved: bool) -> None:
    assert roles(Adapted(), tmp_path, saved=saved)["core"] == "adapter_weight"
