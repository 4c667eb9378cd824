"""Shards: an index or a folder is read as one model, and what does not fit together is an error."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.sources.checkpoint import read
from decay_audit.sources.checkpoint.formats.byte_source import OpenFile


def names(inventory: Inventory) -> list[str]:
    return [parameter.name for parameter in inventory.parameters]


def gpt2() -> transformers.GPT2LMHeadModel:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=3, n_embd=64, n_head=2, vocab_size=500))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    gpt2().save_pretrained(tmp_path, max_shard_size="200KB")
    return tmp_path


def index_of(folder: Path) -> Path:
    return next(folder.glob("*.index.json"))


def rewrite(index: Path, **weight_map: str) -> None:
    content = json.loads(index.read_text())
    content["weight_map"].update(weight_map)
    index.write_text(json.dumps(content))


@pytest.mark.parametrize("by_index", [True, False])
def test_the_shards_that_transformers_writes_are_read_as_one_model(sharded: Path, by_index: bool) -> None:
    inventory = read(index_of(sharded) if by_index else sharded, target="x")
    assert set(names(inventory)) == {name for name, _ in gpt2().named_parameters()}
    assert inventory.files == tuple(sorted(path.name for path in sharded.glob("*.safetensors")))
    assert len(inventory.files) > 2
    assert names(inventory).index("transformer.h.2.ln_1.weight") > names(inventory).index("transformer.h.1.ln_1.weight")


def test_torch_shards_with_an_index_are_read(tmp_path: Path) -> None:
    state = gpt2().state_dict()
    parts = [dict(list(state.items())[:20]), dict(list(state.items())[20:])]
    for number, part in enumerate(parts, 1):
        torch.save(part, tmp_path / f"pytorch_model-0000{number}-of-00002.bin")
    weight_map = {name: f"pytorch_model-0000{n}-of-00002.bin" for n, part in enumerate(parts, 1) for name in part}
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert names(read(index, target="x")) == names(read(tmp_path, target="x"))
    assert names(read(index, target="x")) == [name for name in state if name != "lm_head.weight"] + ["lm_head.weight"]


def test_numbered_shards_without_an_index_are_read(sharded: Path) -> None:
    with_index = names(read(sharded, target="x"))
    index_of(sharded).unlink()
    assert names(read(sharded, target="x")) == with_index


def test_a_note_says_that_a_file_is_one_shard_and_how_to_read_all(sharded: Path) -> None:
    shard, *others = sorted(sharded.glob("*.safetensors"))
    (note,) = read(shard, target="x").notes
    count = len(others) + 1
    assert (
        note
        == f"this is one of {count} shards, not the whole checkpoint: to read them all, name {index_of(sharded).name}"
    )
    index_of(sharded).unlink()
    assert "to read them all, name the folder" in read(shard, target="x").notes[0]
    assert read(sharded, target="x").notes == ()


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "model-00002-of-00004.safetensors").unlink(missing_ok=True)
    removed = sorted(sharded.glob("*.safetensors"))[0]
    removed.unlink()
    with pytest.raises(TargetError, match=removed.name):
        read(sharded, target="x")
    index_of(sharded).unlink()
    with pytest.raises(TargetError, match=r"the folder has \d of the \d shards of 'model'"):
        read(sharded, target="x")


@pytest.mark.parametrize(
    "name", ["../other.safetensors", "/etc/passwd", "a/../../b.safetensors", "C:\\x", "..\\b", "", "a\0b", ".."]
)
def test_an_index_cannot_name_a_file_outside_its_folder(name: str, sharded: Path) -> None:
    rewrite(index_of(sharded), extra=name)
    with pytest.raises(TargetError, match="not a file in its folder"):
        read(sharded, target="x")


def test_a_tensor_that_the_index_names_must_be_in_its_shard(sharded: Path) -> None:
    rewrite(index_of(sharded), extra=sorted(path.name for path in sharded.glob("*.safetensors"))[0])
    with pytest.raises(TargetError, match="lacks the tensor 'extra', which the index places there"):
        read(sharded, target="x")


def test_a_tensor_that_the_index_does_not_name_is_left_out(sharded: Path) -> None:
    index = index_of(sharded)
    content = json.loads(index.read_text())
    file = content["weight_map"].pop("transformer.ln_f.weight")
    index.write_text(json.dumps(content))
    inventory = read(index, target="x")
    assert {tensor.name: tensor.reason for tensor in inventory.excluded} == {
        "transformer.ln_f.weight": f"in {file}, but not in the index"
    }


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "[" * 100_000, "\xff"]
)
def test_a_malformed_index_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(TargetError, match="is not an index of shards"):
        read(path, target="x")


def test_an_index_of_endless_files_or_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    files = {f"k{index}": f"{index}.safetensors" for index in range(20_001)}
    for text, message in (
        (json.dumps({"weight_map": files}), "lists 20,001 files"),
        ('{"weight_map": {' + "," * 4_000_001 + "}}", "lists more tensors"),
    ):
        path.write_text(text)
        with pytest.raises(TargetError, match=message):
            read(path, target="x")


def test_an_empty_index_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text('{"weight_map": {}}')
    with pytest.raises(TargetError, match="lists no tensors"):
        read(path, target="x")


def test_files_of_a_folder_may_not_hold_one_name_twice(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "b.safetensors")
    with pytest.raises(TargetError, match="two of its files hold the tensor 'weight'"):
        read(tmp_path, target="x")


def test_files_of_a_folder_with_different_names_are_one_model(tmp_path: Path) -> None:
    save_file({"a.weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    save_file({"b.weight": torch.zeros(2)}, tmp_path / "b.safetensors")
    assert names(read(tmp_path, target="x")) == ["a.weight", "b.weight"]


def test_the_usual_file_of_a_folder_is_taken_and_the_others_named(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    save_file({"other": torch.zeros(2)}, tmp_path / "vae.safetensors")
    inventory = read(tmp_path, target="x")
    assert (inventory.files, inventory.notes) == (
        ("model.safetensors",),
        ("not read in the folder: vae.safetensors",),
    )


def test_checkpoints_of_one_run_are_not_read_as_one_model(tmp_path: Path) -> None:
    for name in ("epoch=1.ckpt", "epoch=2.ckpt", "last.ckpt"):
        torch.save({"state_dict": {"weight": torch.zeros(2)}}, tmp_path / name)
    with pytest.raises(TargetError, match="two of its files hold the tensor 'weight'") as caught:
        read(tmp_path, target="x")
    assert caught.value.hint == "name one of its files: epoch=1.ckpt, epoch=2.ckpt, last.ckpt"


def test_files_of_another_format_and_without_a_model_are_named_too(sharded: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, sharded / "pytorch_model.bin")
    torch.save({"step": 1}, sharded / "training_args.bin")
    notes = ("not read in the folder: pytorch_model.bin, training_args.bin",)
    assert read(sharded, target="x").notes == notes
    index_of(sharded).unlink()
    assert read(sharded, target="x").notes == notes


@pytest.mark.parametrize(
    "place", ["unet/model.safetensors", "snapshots/ab12/model-00001-of-00002.safetensors", "run/step-5/__0_0.distcp"]
)
def test_a_folder_of_folders_names_those_that_hold_a_checkpoint(place: str, tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    with pytest.raises(TargetError, match="holds no checkpoint itself") as caught:
        read(tmp_path, target="x")
    assert caught.value.hint == f"name one of the folders below it: {place.rpartition('/')[0]}"


def test_broken_links_of_a_download_cache_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("../blobs/ab12")
    with pytest.raises(TargetError, match=r"holds broken links: model\.safetensors"):
        read(tmp_path, target="x")


def test_a_folder_with_a_tensorflow_checkpoint_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt.data-00000-of-00001").touch()
    with pytest.raises(TargetError, match="holds a TensorFlow checkpoint"):
        read(tmp_path, target="x")


def test_a_folder_without_checkpoints_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TargetError, match="holds no checkpoint"):
        read(tmp_path, target="x")


def test_links_of_a_download_cache_are_followed(sharded: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    for path in [*sharded.glob("*.safetensors"), index_of(sharded)]:
        path.rename(blobs / path.name)
        (snapshot / path.name).symlink_to(Path("..") / "blobs" / path.name)
    assert "transformer.wte.weight" in names(read(snapshot, target="x"))


def test_reading_beyond_the_end_of_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    with (tmp_path / "x").open("rb") as file, pytest.raises(TargetError, match="ends early"):
        OpenFile(name="x", file=file, size=3).read(2, 2)


def test_the_optimizers_of_other_models_in_a_folder_are_left_out(tmp_path: Path) -> None:
    for number in ("", "_1"):
        net = torch.nn.Linear(2, 2)
        torch.save(net.state_dict(), tmp_path / f"pytorch_model{number}.bin")
        torch.save(torch.optim.SGD(net.parameters(), lr=0.1).state_dict(), tmp_path / f"optimizer{number}.bin")
    inventory = read(tmp_path, target="x")
    assert [len(optimizer.groups) for optimizer in inventory.optimizers] == [1]
    assert inventory.notes == ("not read in the folder: optimizer_1.bin, pytorch_model_1.bin",)
    (tmp_path / "pytorch_model_1.bin").unlink()
    assert len(read(tmp_path, target="x").optimizers) == 2  # both are of the one model
