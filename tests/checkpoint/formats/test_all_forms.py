"""Names, shapes and types are those that torch loads, in every form and for real models."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
import transformers
from safetensors import safe_open
from torch import nn

from decay_audit.model.inventory import Inventory
from decay_audit.sources.checkpoint import read
from decay_audit.sources.checkpoint.formats.torch_zip import MAX_RATIO
from tests.checkpoint.write_forms import FORMS, save_legacy, save_safetensors, save_zip, small_state

Row = tuple[str, tuple[int, ...], str]


def rows(inventory: Inventory) -> list[Row]:
    return [(parameter.name, parameter.shape, parameter.dtype) for parameter in inventory.parameters]


def torch_rows(model: nn.Module) -> list[Row]:
    return [
        (name, tuple(parameter.shape), str(parameter.dtype).removeprefix("torch."))
        for name, parameter in model.named_parameters()
    ]


def everything(inventory: Inventory) -> set[str]:
    names = {parameter.name for parameter in inventory.parameters} | {
        parameter.name for parameter in inventory.excluded
    }
    return names | {tied for parameter in inventory.parameters for tied in parameter.tied_to}


def resnet18() -> nn.Module:
    model: nn.Module = torchvision.models.resnet18(num_classes=10)
    return model


def vit_tiny() -> nn.Module:
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", num_classes=10)
    return model


def gpt2_tiny() -> nn.Module:
    config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=100, n_positions=16)
    return transformers.GPT2LMHeadModel(config)


def lstm() -> nn.Module:
    return nn.LSTM(4, 8, num_layers=2, bidirectional=True)


def half_precision() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5).to(torch.bfloat16), nn.Linear(5, 2).to(torch.float64))


MODELS = (resnet18, vit_tiny, gpt2_tiny, lstm, half_precision)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_names_shapes_and_types_that_were_saved(form: str, tmp_path: Path) -> None:
    state = small_state()
    FORMS[form](state, tmp_path / form)
    inventory = read(tmp_path / form, target=form)
    floating = [name for name, tensor in state.items() if tensor.is_floating_point() and "running" not in name]
    assert {parameter.name: (parameter.shape, parameter.dtype) for parameter in inventory.parameters} == {
        name: (tuple(state[name].shape), "float32") for name in floating
    }
    assert everything(inventory) == set(state)
    assert inventory.files == (form,)
    assert inventory.kind == ("safetensors" if form.endswith(".safetensors") else "torch")


@pytest.mark.parametrize("form", [name for name in FORMS if "safetensors" not in name])
def test_torch_reads_the_same_files(form: str, tmp_path: Path) -> None:
    state = small_state()
    FORMS[form](state, tmp_path / form)
    loaded = torch.load(tmp_path / form, weights_only=False)
    assert {name: tensor.shape for name, tensor in loaded.items()} == {
        name: tensor.shape for name, tensor in state.items()
    }


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_a_state_dict_gives_the_parameters_of_its_model_in_their_order(
    make: Callable[[], nn.Module], save: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    model = make()
    save(model.state_dict(), tmp_path / "model.pt")
    assert rows(read(tmp_path / "model.pt", target="model.pt")) == torch_rows(model)


@pytest.mark.parametrize("make", [resnet18, vit_tiny, lstm, half_precision])
def test_safetensors_gives_the_parameters_of_its_model(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    model, path = make(), tmp_path / "model.safetensors"
    save_safetensors(model.state_dict(), path)
    inventory = read(path, target="model.safetensors")
    assert sorted(rows(inventory)) == sorted(torch_rows(model))
    with safe_open(path, "pt") as file:
        assert everything(inventory) == set(file.keys())


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_a_whole_pickled_module_tells_parameters_buffers_and_classes(
    make: Callable[[], nn.Module], save: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    model = make()
    for index, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(index % 2 == 0)
    save(model, tmp_path / "model.pt")
    inventory = read(tmp_path / "model.pt", target="model.pt")
    assert rows(inventory) == torch_rows(model)
    assert [parameter.trainable for parameter in inventory.parameters] == [
        parameter.requires_grad for parameter in model.parameters()
    ]
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    assert {tensor.name for tensor in inventory.excluded} == buffers
    for read_parameter in inventory.parameters:
        owner = model.get_submodule(read_parameter.owner.name)
        assert read_parameter.owner.type_name == type(owner).__name__


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [resnet18, vit_tiny, lstm])
def test_torchscript_archives_are_read_like_modules(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    model = make().eval()
    torch.jit.script(model).save(tmp_path / "model.pt")  # type: ignore[no-untyped-call]
    inventory = read(tmp_path / "model.pt", target="model.pt")
    assert sorted(rows(inventory)) == sorted(torch_rows(model))
    assert all(parameter.trainable for parameter in inventory.parameters)
    norm = next((parameter for parameter in inventory.parameters if parameter.name == "bn1.weight"), None)
    assert norm is None or norm.owner.types == ("torch.nn.BatchNorm2d",)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_traced_archives_are_read_too(tmp_path: Path) -> None:
    model = resnet18().eval()
    traced = torch.jit.trace(model, torch.zeros(1, 3, 32, 32))  # type: ignore[no-untyped-call]
    traced.save(tmp_path / "traced.pt")
    assert sorted(rows(read(tmp_path / "traced.pt", target="traced.pt"))) == sorted(torch_rows(model))


class Masked(nn.Module):
    """Holds a parameter, a buffer and a plain tensor that only the class tells apart, and a submodule twice."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4), requires_grad=False)
        self.register_buffer("mask", torch.ones(4))
        self.plain = torch.ones(4)
        self.first = nn.Linear(4, 4)
        self.second = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(self.first(x * self.gain + self.plain)) * self.mask
        return y


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("traced", [False, True])
def test_the_classes_of_torchscript_tell_buffers_from_parameters(traced: bool, tmp_path: Path) -> None:
    model = nn.Sequential(Masked(), Masked())
    script = torch.jit.trace(model, torch.ones(2, 4)) if traced else torch.jit.script(model)  # type: ignore[no-untyped-call]
    script.save(tmp_path / "model.pt")
    inventory = read(tmp_path / "model.pt", target="model.pt")
    assert sorted(rows(inventory)) == sorted(torch_rows(model))
    names = ("mask",) if traced else ("mask", "plain")  # a trace has plain tensors as constants
    assert {tensor.name for tensor in inventory.excluded} >= {f"{index}.{name}" for index in (0, 1) for name in names}


class Repeating(nn.Module):
    """One layer, called over and over: its trace is the same line as often."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(300):
            x = self.layer(x)
        return x


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_code_of_torchscript_may_repeat_itself_more_than_a_pickle_can(tmp_path: Path) -> None:
    layer = type("Layer", (nn.Conv2d,), {"__module__": ".".join(["a_package"] * 50)})
    script = torch.jit.trace(Repeating(layer(1, 1, 1)), torch.ones(1, 1, 2, 2), check_trace=False)  # type: ignore[no-untyped-call]
    script.save(tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        assert max(member.file_size / max(member.compress_size, 64) for member in archive.infolist()) > MAX_RATIO
    assert [parameter.name for parameter in read(tmp_path / "model.pt", target="model.pt").parameters] == [
        "layer.weight",
        "layer.bias",
    ]


def test_tied_weights_are_one_parameter_with_two_names(tmp_path: Path) -> None:
    model = gpt2_tiny()
    save_zip(model.state_dict(), tmp_path / "model.bin")
    first = read(tmp_path / "model.bin", target="model.bin").parameters[0]
    assert (first.name, first.tied_to) == ("transformer.wte.weight", ("lm_head.weight",))


def test_views_of_one_storage_are_tied_only_where_they_are_the_same_view(tmp_path: Path) -> None:
    base = torch.zeros(4, 4)
    state = {"a.weight": base, "b.weight": base[:2], "c.weight": base.t(), "d.weight": base.view(4, 4)}
    save_zip(state, tmp_path / "views.pt")
    inventory = read(tmp_path / "views.pt", target="views.pt")
    assert {parameter.name: parameter.tied_to for parameter in inventory.parameters} == {
        "a.weight": ("d.weight",),
        "b.weight": (),
        "c.weight": (),
    }


def test_owners_form_a_tree_with_every_sibling(tmp_path: Path) -> None:
    save_zip(resnet18().state_dict(), tmp_path / "model.pt")
    inventory = read(tmp_path / "model.pt", target="model.pt")
    norm = next(parameter for parameter in inventory.parameters if parameter.name == "layer1.0.bn1.weight").owner
    assert norm.tensors == {
        "weight": (64,),
        "bias": (64,),
        "running_mean": (64,),
        "running_var": (64,),
        "num_batches_tracked": (),
    }
    assert [owner.name for owner in norm.lineage()] == ["layer1.0.bn1", "layer1.0", "layer1", ""]
    assert (
        norm.parent
        is next(
            parameter for parameter in inventory.parameters if parameter.name == "layer1.0.conv1.weight"
        ).owner.parent
    )
    assert norm.types == ()


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:Sparse")
def test_special_tensors_keep_their_shape_and_type(tmp_path: Path) -> None:
    state = {
        "quantized": torch.quantize_per_tensor(torch.zeros(3, 4), 0.1, 0, torch.qint8),
        "sparse": torch.eye(5).to_sparse(),
        "sparse_rows": torch.eye(5).to_sparse_csr(),
        "eighth": torch.zeros(2, 3).to(torch.float8_e4m3fn),
        "meta": torch.zeros(7, 3, device="meta"),
        "complex": torch.zeros(4, dtype=torch.complex64),
        "parameter": nn.Parameter(torch.zeros(2)),
        "empty": torch.zeros(0, 3),
    }
    save_zip(state, tmp_path / "special.pt")
    inventory = read(tmp_path / "special.pt", target="special.pt")
    assert {parameter.name: (parameter.shape, parameter.dtype) for parameter in inventory.parameters} == {
        "sparse": ((5, 5), "float32"),
        "sparse_rows": ((5, 5), "float32"),
        "eighth": ((2, 3), "float8_e4m3fn"),
        "meta": ((7, 3), "float32"),
        "complex": ((4,), "complex64"),
        "parameter": ((2,), "float32"),
        "empty": ((0, 3), "float32"),
    }
    assert [tensor.name for tensor in inventory.excluded] == ["quantized"]
    assert inventory.opaque == ()


def test_attributes_of_parameters_are_kept(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    model.weight._no_weight_decay = True  # type: ignore[attr-defined]
    model.weight.other = False  # type: ignore[attr-defined]
    save_zip(model, tmp_path / "model.pt")
    weight = read(tmp_path / "model.pt", target="model.pt").parameters[0]
    assert weight.attributes == ("_no_weight_decay",)


def test_a_model_of_twenty_thousand_tensors_is_read_in_order(tmp_path: Path) -> None:
    part = torch.zeros(2, 3)
    state = {f"layers.{index // 100}.experts.{index % 100}.weight": part.clone() for index in range(20_000)}
    save_zip(state, tmp_path / "large.pt")
    assert [parameter.name for parameter in read(tmp_path / "large.pt", target="").parameters] == list(state)
