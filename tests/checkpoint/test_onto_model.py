"""A checkpoint seen through its model: names found under a prefix, roles made certain, differences noted."""

from pathlib import Path

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.sources import checkpoint
from decay_audit.sources.checkpoint import onto_model


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
    fitted = onto_model.fit(saved(tmp_path, prefix), decay_audit.read(Net()))
    assert [parameter.name for parameter in fitted.parameters] == [name for name, _ in Net().named_parameters()]
    assert {classified.confidence for classified in decay_audit.classify(fitted)} == {"certain"}
    assert fitted.parameters[0].declared_no_decay == "no_weight_decay()"
    assert not fitted.notes
    (optimizer,) = fitted.optimizers
    assert set(optimizer.groups[0].parameters) == {parameter.name for parameter in fitted.parameters}


def test_a_parameter_that_only_one_of_them_has_is_kept_and_noted(tmp_path: Path) -> None:
    model = Net()
    model.register_parameter("extra", nn.Parameter(torch.zeros(3, 3)))
    fitted = onto_model.fit(saved(tmp_path, model=model), decay_audit.read(Net()))
    assert "extra" in {parameter.name for parameter in fitted.parameters}
    assert fitted.notes == ("1 parameter in the checkpoint and not in model: extra",)
    fitted = onto_model.fit(saved(tmp_path), decay_audit.read(model))
    assert fitted.notes == ("1 parameter in model and not in the checkpoint: extra",)


def test_a_model_with_none_of_the_saved_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TargetError, match="a checkpoint of another model: none of its 4 parameters is in model"
    ) as raised:
        onto_model.fit(saved(tmp_path), decay_audit.read(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))))
    assert raised.value.hint == "name the model that has fc.weight, fc.bias, out.weight and 1 more"


def test_a_lazy_parameter_of_the_model_takes_the_saved_shape(tmp_path: Path) -> None:
    class Lazy(Net):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.LazyLinear(4)

    fitted = onto_model.fit(saved(tmp_path), decay_audit.read(Lazy()))
    assert {parameter.name: parameter.numel for parameter in fitted.parameters} == {
        name: parameter.numel() for name, parameter in Net().named_parameters()
    }


def test_another_shape_is_noted(tmp_path: Path) -> None:
    fitted = onto_model.fit(saved(tmp_path), decay_audit.read(Net(width=8)))
    assert fitted.notes == (
        "4 parameters of another shape in model: fc.weight 4x4 (in the model 8x4), "
        "fc.bias 4 (in the model 8), "
        "out.weight 4 (in the model 8), out.bias 4 (in the model 8)",
    )


def test_a_renamed_parameter_is_shown_with_the_nearest_of_its_shape(tmp_path: Path) -> None:
    class Renamed(Net):
        def __init__(self) -> None:
            super().__init__()
            self.out_norm = self.out
            del self.out
            self.extra = nn.Linear(4, 4)

    fitted = onto_model.fit(saved(tmp_path), decay_audit.read(Renamed()))
    assert fitted.notes[0] == (
        "2 parameters in the checkpoint and not in model: out.weight (in the model out_norm.weight?), "
        "out.bias (in the model out_norm.bias?)"
    )


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_buffer_of_the_model_is_no_parameter_of_the_checkpoint(tmp_path: Path, prefix: str) -> None:
    model = Net()
    model.register_buffer("grid", torch.ones(4, 4))
    model.fc.register_buffer("ones", torch.ones(4))
    assert {parameter.name for parameter in saved(tmp_path, prefix, model).parameters} >= {
        f"{prefix}grid",
        f"{prefix}fc.ones",
    }
    fitted = onto_model.fit(saved(tmp_path, prefix, model), decay_audit.read(model))
    assert [parameter.name for parameter in fitted.parameters] == [name for name, _ in model.named_parameters()]
    assert {(tensor.name, tensor.reason) for tensor in fitted.excluded} == {
        (f"{prefix}{name}", "a buffer of the model") for name in ("grid", "fc.ones")
    }
    assert fitted.notes == ()


def test_a_tied_parameter_saved_under_each_name_is_one_parameter_under_the_models_first_name(
    tmp_path: Path,
) -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    torch.save({name: tensor.clone() for name, tensor in model.state_dict().items()}, tmp_path / "both.pt")
    torch.save({"head.weight": torch.zeros(5, 4)}, tmp_path / "last.pt")
    model["head"].weight = model["embed"].weight
    for file in ("both.pt", "last.pt"):
        (parameter,) = onto_model.fit(checkpoint.read(tmp_path / file, target=file), decay_audit.read(model)).parameters
        assert (parameter.name, parameter.tied_to) == ("embed.weight", ("head.weight",))


def test_one_saved_tensor_becomes_two_parameters_where_the_model_does_not_tie_them(tmp_path: Path) -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    shared = torch.zeros(5, 4)
    torch.save({"embed.weight": shared, "head.weight": shared}, tmp_path / "tied.pt")
    fitted = onto_model.fit(checkpoint.read(tmp_path / "tied.pt", target="tied.pt"), decay_audit.read(model))
    assert [parameter.name for parameter in fitted.parameters] == ["embed.weight", "head.weight"]
    assert not fitted.notes


def test_of_a_name_with_and_without_the_prefix_the_one_without_is_excluded(tmp_path: Path) -> None:
    state = {f"model.{name}": tensor for name, tensor in Net().state_dict().items()}
    torch.save({**state, "fc.weight": torch.zeros(9)}, tmp_path / "two.pt")
    fitted = onto_model.fit(checkpoint.read(tmp_path / "two.pt", target="two.pt"), decay_audit.read(Net()))
    assert [parameter.name for parameter in fitted.parameters] == [name for name, _ in Net().named_parameters()]
    assert fitted.parameters[0].shape == (4, 4)
    assert [tensor.name for tensor in fitted.excluded] == ["fc.weight"]


def test_the_prefix_is_found_among_many_names_that_end_alike(tmp_path: Path) -> None:
    state = {f"model.{name}": tensor for name, tensor in Net().state_dict().items()}
    decoys = {f"{index}.fc.weight": torch.zeros(4, 4) for index in range(500)}
    torch.save({**decoys, **state}, tmp_path / "many.pt")
    fitted = onto_model.fit(checkpoint.read(tmp_path / "many.pt", target="many.pt"), decay_audit.read(Net()))
    assert [parameter.name for parameter in fitted.parameters[:4]] == [name for name, _ in Net().named_parameters()]
    assert len(fitted.parameters) == 504


def test_a_parameter_of_another_shape_is_not_offered_for_one_that_the_model_lacks(tmp_path: Path) -> None:
    model = Net(width=8)
    model.out_norm = model.out
    del model.out
    (first, *_) = [
        note for note in onto_model.fit(saved(tmp_path), decay_audit.read(model)).notes if "out.weight" in note
    ]
    assert "in the checkpoint and not in" in first
    assert "?" not in first
