"""A checkpoint seen through its model: names found under a prefix, roles made certain, misfits said."""

from pathlib import Path

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.inventory import Inventory
from decay_audit.sources import checkpoint, fitting


class Net(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(4, width)
        self.out = nn.LayerNorm(width)

    def no_weight_decay(self) -> set[str]:
        return {"fc.weight"}


def saved(folder: Path, prefix: str = "", model: nn.Module | None = None) -> Inventory:
    model = model or Net()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.2)
    for tensor in model.parameters():
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    state = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "optimizer_states": [optimizer.state_dict()]}, folder / "last.ckpt")
    return checkpoint.read(folder / "last.ckpt", target="last.ckpt")


@pytest.mark.parametrize("prefix", ["", "model.", "net.backbone."])
def test_the_models_names_are_found_under_whatever_prefix_they_were_saved(tmp_path: Path, prefix: str) -> None:
    seen = fitting.fit(saved(tmp_path, prefix), decay_audit.read(Net()))
    assert [one.name for one in seen.parameters] == [name for name, _ in Net().named_parameters()]
    assert {one.confidence for one in decay_audit.classify(seen)} == {"certain"}
    assert seen.parameters[0].declared_no_decay == "no_weight_decay()"
    assert not seen.notes
    (optimizer,) = seen.optimizers
    assert set(optimizer.groups[0].parameters) == {one.name for one in seen.parameters}


def test_what_only_one_of_them_has_is_kept_and_said(tmp_path: Path) -> None:
    model = Net()
    model.register_parameter("extra", nn.Parameter(torch.zeros(3, 3)))
    seen = fitting.fit(saved(tmp_path, model=model), decay_audit.read(Net()))
    assert "extra" in {one.name for one in seen.parameters}
    assert seen.notes == ("1 parameter in the checkpoint and not in model: extra",)
    seen = fitting.fit(saved(tmp_path), decay_audit.read(model))
    assert seen.notes == ("1 parameter in model and not in the checkpoint: extra",)


def test_another_shape_is_said(tmp_path: Path) -> None:
    seen = fitting.fit(saved(tmp_path), decay_audit.read(Net(width=8)))
    assert seen.notes == ("4 parameters of another shape in model: fc.bias, fc.weight, out.bias, out.weight",)
