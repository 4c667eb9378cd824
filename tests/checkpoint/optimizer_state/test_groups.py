"""A saved optimizer's groups get the names that the live optimizer had, or none."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from safetensors.torch import save_file
from torch import nn

from decay_audit.model.observations import Optimizer
from decay_audit.sources.checkpoint import read


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


def saved(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, **more: Any) -> Optimizer:
    path = folder / "run.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), **more}, path)
    (saved_optimizer,) = read(path, target="run.pt").optimizers
    return saved_optimizer


def truth(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[str, ...]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [tuple(names[id(parameter)] for parameter in group["params"]) for group in optimizer.param_groups]


def decay_of(optimizer: Optimizer) -> dict[str, float]:
    return {name: group.weight_decay for group in optimizer.groups for name in group.parameters if name}


def true_decay(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    groups = zip(truth(model, optimizer), optimizer.param_groups, strict=True)
    return {name: group["weight_decay"] for names, group in groups for name in names}


def split(model: nn.Module, spares: Callable[[str, nn.Parameter], bool], weight_decay: float = 0.05) -> list[Any]:
    decayed = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not spares(name, parameter)
    ]
    spared = [
        parameter for name, parameter in model.named_parameters() if parameter.requires_grad and spares(name, parameter)
    ]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]


def vectors(_name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim <= 1


def vit() -> nn.Module:
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", depth=3, num_classes=10)
    return model


def resnet() -> nn.Module:
    model: nn.Module = torchvision.models.resnet18(num_classes=10)
    return model


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=100, n_positions=16)
    return transformers.GPT2LMHeadModel(config)


OPTIMIZERS: Mapping[str, Callable[[Iterable[Any]], torch.optim.Optimizer]] = {
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "AdamW": lambda groups: torch.optim.AdamW(groups, lr=1e-3),
    "Adam": lambda groups: torch.optim.Adam(groups, lr=1e-3, amsgrad=True),
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "Adamax": torch.optim.Adamax,
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "RMSprop": lambda groups: torch.optim.RMSprop(groups, momentum=0.9),
    "ASGD": torch.optim.ASGD,
    "Adafactor": torch.optim.Adafactor,
}


@pytest.mark.parametrize("make", [vit, resnet, gpt2])
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_two_groups_without_names_are_mapped_by_order_and_shape(
    make: Callable[[], nn.Module], kind: str, tmp_path: Path
) -> None:
    model = make()
    optimizer = stepped(model, OPTIMIZERS[kind](split(model, vectors)))
    saved_optimizer = saved(model, optimizer, tmp_path)
    assert [group.parameters for group in saved_optimizer.groups] == truth(model, optimizer)
    assert [group.weight_decay for group in saved_optimizer.groups] == [0.05, 0.0]
    assert (
        saved_optimizer.name,
        saved_optimizer.origin,
        saved_optimizer.name_caveats,
        saved_optimizer.mismatched_state,
    ) == ("optimizer", "checkpoint", (), ())


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_class_is_told_from_the_keys(kind: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5))
    optimizer = stepped(model, OPTIMIZERS[kind](split(model, vectors)))
    saved_optimizer = saved(model, optimizer, tmp_path)
    assert saved_optimizer.type == kind
    assert [group.parameters for group in saved_optimizer.groups] == truth(model, optimizer)
    assert saved_optimizer.semantics == ("decoupled" if kind in ("AdamW", "Adafactor") else "coupled")
    assert saved_optimizer.adaptive_denominator == (kind not in ("AdamW", "Adafactor", "SGD", "ASGD"))


def without(optimizer: torch.optim.Optimizer, *keys: str) -> dict[str, Any]:
    state = optimizer.state_dict()
    state["param_groups"] = [
        {key: value for key, value in group.items() if key not in keys} for group in state["param_groups"]
    ]
    return state


@pytest.mark.parametrize(
    ("order", "kind", "semantics"),
    [
        (("maximize", "foreach"), "Adam", "coupled"),
        (("foreach", "maximize"), "AdamW", "decoupled"),
        ((), "Adam or AdamW", "unknown"),
    ],
)
def test_adam_of_older_versions_is_told_from_adamw_by_the_order_of_two_keys_or_not_at_all(
    order: tuple[str, ...], kind: str, semantics: str, tmp_path: Path
) -> None:
    model = nn.Linear(3, 4)
    group = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1, "amsgrad": False}
    group |= dict.fromkeys(order, False)
    content = {"model": model.state_dict(), "optimizer": {"state": {}, "param_groups": [{**group, "params": [0, 1]}]}}
    torch.save(content, tmp_path / "run.pt")
    (saved_optimizer,) = read(tmp_path / "run.pt", target="").optimizers
    assert (saved_optimizer.type, saved_optimizer.semantics) == (kind, semantics)
    assert saved_optimizer.groups[0].hyperparameters == group


def test_hyperparameters_are_read_as_plain_data(tmp_path: Path) -> None:
    model = nn.Linear(3, 4)
    optimizer = stepped(model, torch.optim.AdamW(model.parameters(), lr=0.25, weight_decay=0.5))
    group = saved(model, optimizer, tmp_path).groups[0]
    assert (group.lr, group.weight_decay, group.hyperparameters["betas"]) == (0.25, 0.5, (0.9, 0.999))
    assert "params" not in group.hyperparameters


def test_numpy_numbers_in_a_group_are_read(tmp_path: Path) -> None:
    model = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = np.float64(0.125)
    optimizer.param_groups[0]["weight_decay"] = np.float32(0.25)
    group = saved(model, optimizer, tmp_path).groups[0]
    assert (group.lr, group.weight_decay) == (0.125, 0.25)


def test_a_note_says_that_an_lr_saved_as_a_tensor_is_not_read(tmp_path: Path) -> None:
    model = nn.Linear(3, 4)
    saved_optimizer = saved(model, torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.1)), tmp_path)
    assert saved_optimizer.groups[0].lr is None
    assert saved_optimizer.notes == ("lr was saved as a tensor, whose value is not read",)


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (torch.tensor(0.1), "weight_decay was saved as a tensor, whose value is not read"),
        (float("nan"), "weight_decay is not a finite number"),
        (float("inf"), "weight_decay is not a finite number"),
        (10**400, "weight_decay is not a finite number"),
    ],
    ids=["tensor", "nan", "inf", "huge"],
)
def test_a_group_whose_weight_decay_cannot_be_read_names_no_parameters(
    value: object, note: str, tmp_path: Path
) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    state = stepped(model, torch.optim.AdamW(split(model, vectors))).state_dict()
    state["param_groups"][0]["weight_decay"] = value
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "run.pt")
    (saved_optimizer,) = read(tmp_path / "run.pt", target="").optimizers
    assert saved_optimizer.notes == (note,)
    assert [any(group.parameters) for group in saved_optimizer.groups] == [False, True]
    assert "weight_decay" not in saved_optimizer.groups[0].hyperparameters


def test_ids_that_are_memory_addresses_are_positions_too(tmp_path: Path) -> None:
    model = resnet()
    optimizer = stepped(model, OPTIMIZERS["SGD"](split(model, vectors)))
    state = optimizer.state_dict()
    address = {index: 140_000_000_000_000 + 7919 * index % 104_729 for index in range(62)}
    state["param_groups"] = [
        {**group, "params": [address[i] for i in group["params"]]} for group in state["param_groups"]
    ]
    state["state"] = {address[index]: held for index, held in state["state"].items()}
    torch.save({"state_dict": model.state_dict(), "optimizer": state}, tmp_path / "run.pth.tar")
    (saved_optimizer,) = read(tmp_path / "run.pth.tar", target="").optimizers
    assert [group.parameters for group in saved_optimizer.groups] == truth(model, optimizer)


def test_saved_names_win_over_order(tmp_path: Path) -> None:
    model = resnet()
    backwards = list(model.named_parameters())[::-1]
    optimizer = stepped(model, torch.optim.SGD(backwards, lr=0.1, momentum=0.9))
    saved_optimizer = saved(model, optimizer, tmp_path)
    assert saved_optimizer.groups[0].parameters == tuple(name for name, _ in backwards)


def test_names_in_place_of_ids_are_taken(tmp_path: Path) -> None:
    model = nn.Linear(3, 4)
    groups = [{"params": ["_orig_mod.bias", "_orig_mod.weight"], "lr": 0.1, "weight_decay": 0.2}]
    content = {"model": model.state_dict(), "optim": {"state": {}, "param_groups": groups}}
    torch.save(content, tmp_path / "run.pt")
    (saved_optimizer,) = read(tmp_path / "run.pt", target="").optimizers
    assert (saved_optimizer.name, saved_optimizer.groups[0].parameters) == ("optim", ("bias", "weight"))


def test_wrapped_names_are_mapped_to_canonical_ones(tmp_path: Path) -> None:
    model = resnet()
    optimizer = stepped(model, torch.optim.SGD([*model.named_parameters()], lr=0.1, momentum=0.9))
    state = optimizer.state_dict()
    state["param_groups"][0]["param_names"] = [f"module.{name}" for name in state["param_groups"][0]["param_names"]]
    wrapped = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"model": wrapped, "optimizer": state}, tmp_path / "run.pt")
    (saved_optimizer,) = read(tmp_path / "run.pt", target="").optimizers
    assert [group.parameters for group in saved_optimizer.groups] == truth(model, optimizer)


def test_frozen_parameters_shift_the_order_and_shapes_align_it_again(tmp_path: Path) -> None:
    model = vit()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("blocks.1" in name or "head" in name or "patch_embed" in name)
    optimizer = stepped(model, OPTIMIZERS["AdamW"](split(model, vectors)))
    saved_optimizer = saved(model, optimizer, tmp_path)
    expected = true_decay(model, optimizer)
    assert {name: value for name, value in decay_of(saved_optimizer).items() if expected.get(name) != value} == {}
    assert {"patch_embed.proj.weight", "head.weight", "head.bias"} <= decay_of(saved_optimizer).keys()
    assert "blocks.1.mlp.fc1.weight" not in decay_of(saved_optimizer)  # it could be any of three blocks
    assert any("could not be matched" in note for note in saved_optimizer.name_caveats)


def test_two_groups_of_the_same_shapes_are_not_guessed(tmp_path: Path) -> None:
    model = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8))
    optimizer = stepped(model, OPTIMIZERS["AdamW"](split(model, lambda name, _: name == "0.weight")))
    saved_optimizer = saved(model, optimizer, tmp_path)
    assert decay_of(saved_optimizer) == {
        "1.weight": 0.05,
        "1.bias": 0.05,
    }  # after 1.weight only one group has a place left
    assert saved_optimizer.name_caveats == (
        "2 of 4 parameters in its groups could not be matched to names: their shapes fit in more than one order",
    )


def test_groups_that_cannot_be_told_apart_are_named_where_their_weight_decay_is_the_same(tmp_path: Path) -> None:
    model = resnet()
    named = dict(model.named_parameters())
    norms = [parameter for name, parameter in named.items() if parameter.ndim == 1 and name.endswith("weight")]
    biases = [parameter for name, parameter in named.items() if name.endswith("bias")]
    rest = [parameter for parameter in named.values() if parameter.ndim > 1]
    groups: list[dict[str, Any]] = [{"params": biases}, {"params": norms}, {"params": rest, "weight_decay": 5e-4}]
    optimizer = stepped(model, torch.optim.SGD(groups, lr=0.1, momentum=0.9))
    assert decay_of(saved(model, optimizer, tmp_path)) == true_decay(model, optimizer)


def test_layer_decay_groups_are_mapped_where_weight_decay_is_enough(tmp_path: Path) -> None:
    model = vit()
    groups = [
        {"params": [parameter], "weight_decay": 0.05 if parameter.ndim > 1 else 0.0, "lr": 0.1 * 0.9**index}
        for index, parameter in enumerate(model.parameters())
    ]
    optimizer = stepped(model, torch.optim.AdamW(groups))
    assert decay_of(saved(model, optimizer, tmp_path)) == true_decay(model, optimizer)


def test_without_any_state_one_group_of_all_is_mapped_by_order(tmp_path: Path) -> None:
    model = resnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    saved_optimizer = saved(model, optimizer, tmp_path)
    assert [group.parameters for group in saved_optimizer.groups] == truth(model, optimizer)


def test_without_any_state_two_groups_are_not_guessed(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    saved_optimizer = saved(model, torch.optim.SGD(split(model, vectors), lr=0.1), tmp_path)
    assert decay_of(saved_optimizer) == {}


def test_states_of_other_shapes_than_the_named_parameters_are_mismatched(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    optimizer = stepped(model, torch.optim.AdamW(model.named_parameters()))
    state = optimizer.state_dict()
    names = state["param_groups"][0]["param_names"]
    state["param_groups"][0]["param_names"] = [names[1], names[0], *names[2:]]
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "run.pt")
    (saved_optimizer,) = read(tmp_path / "run.pt", target="").optimizers
    assert saved_optimizer.mismatched_state == ("0.bias", "0.weight")
    assert saved_optimizer.name_caveats == (
        "saved states have other shapes than their parameters: '0.bias' is [4], its state [4, 3],"
        " '0.weight' is [4, 3], its state [4]",
    )


def test_a_single_group_in_another_order_than_the_model_is_mismatched(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    optimizer = stepped(model, torch.optim.AdamW([*model[1].parameters(), *model[0].parameters()]))
    saved_optimizer = saved(model, optimizer, tmp_path)
    assert saved_optimizer.mismatched_state == ("0.weight", "0.bias", "1.weight", "1.bias")


def test_an_optimizer_of_another_model_is_mismatched(tmp_path: Path) -> None:
    model, other = nn.Linear(3, 4), nn.Linear(30, 40)
    optimizer = stepped(other, OPTIMIZERS["AdamW"](split(other, vectors)))
    assert saved(model, optimizer, tmp_path).mismatched_state == ("weight", "bias")


def test_a_pickled_optimizer_is_mapped_by_its_own_tensors(tmp_path: Path) -> None:
    model = resnet()
    optimizer = stepped(model, OPTIMIZERS["SGD"](split(model, vectors)))
    torch.save({"model": model, "optimizer": optimizer}, tmp_path / "run.pt")
    inventory = read(tmp_path / "run.pt", target="")
    (saved_optimizer,) = inventory.optimizers
    assert (saved_optimizer.type, saved_optimizer.semantics) == ("SGD", "coupled")
    assert [group.parameters for group in saved_optimizer.groups] == truth(model, optimizer)


def test_lightning_lists_of_optimizers_are_all_read(tmp_path: Path) -> None:
    model = nn.ModuleDict({"generator": nn.Linear(3, 4), "critic": nn.Linear(4, 5)})
    first = stepped(model["generator"], torch.optim.Adam(model["generator"].parameters()))
    second = stepped(model["critic"], torch.optim.RMSprop(model["critic"].parameters()))
    content = {
        "epoch": 1,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": model.state_dict(),
        "optimizer_states": [first.state_dict(), second.state_dict()],
        "lr_schedulers": [{"base_lrs": [0.1]}],
    }
    torch.save(content, tmp_path / "last.ckpt")
    inventory = read(tmp_path / "last.ckpt", target="")
    assert [(optimizer.name, optimizer.type) for optimizer in inventory.optimizers] == [
        ("optimizer_states.0", "Adam"),
        ("optimizer_states.1", "RMSprop"),
    ]
    assert [optimizer.groups[0].parameters for optimizer in inventory.optimizers] == [
        ("generator.weight", "generator.bias"),
        ("critic.weight", "critic.bias"),
    ]


def test_a_trainer_folder_of_safetensors_and_optimizer_is_mapped_by_shape(tmp_path: Path) -> None:
    model = gpt2()
    optimizer = stepped(model, OPTIMIZERS["AdamW"](split(model, vectors)))
    kept = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    save_file(kept, tmp_path / "model.safetensors")
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    torch.save({"last_epoch": 3}, tmp_path / "scheduler.pt")
    torch.save({"cpu": torch.zeros(5056, dtype=torch.uint8)}, tmp_path / "rng_state.pth")
    inventory = read(tmp_path, target="folder")
    (saved_optimizer,) = inventory.optimizers
    assert inventory.files == ("model.safetensors", "optimizer.pt")
    assert decay_of(saved_optimizer) == true_decay(model, optimizer)


def test_flattened_states_are_recognized(tmp_path: Path) -> None:
    """ZeRO's first two stages step one flat tensor for each group."""
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    flat = [nn.Parameter(torch.zeros(12)), nn.Parameter(torch.zeros(100))]
    optimizer = torch.optim.AdamW([{"params": [tensor]} for tensor in flat])
    for tensor in flat:
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    saved_optimizer = saved(model, optimizer, tmp_path)
    assert saved_optimizer.name_caveats == (
        "no parameter has the shape of its states [12], [100]: they may be flattened (ZeRO, FSDP)",
    )
    assert not any(name for group in saved_optimizer.groups for name in group.parameters)
