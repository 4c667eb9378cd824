"""The interpreter: every protocol gives back the pickled value, in inert form; the fast path changes nothing."""

import pickle
import random
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from decay_audit.sources.checkpoint.contents import MalformedError, Storage, Tensor
from decay_audit.sources.checkpoint.formats import torch_zip
from decay_audit.sources.checkpoint.formats.byte_source import OpenFile
from decay_audit.sources.checkpoint.pickle.inert_values import OpaqueObject
from decay_audit.sources.checkpoint.pickle.interpreter import interpret
from decay_audit.sources.checkpoint.pickle.machine import MAX_BYTES, Machine
from decay_audit.sources.checkpoint.pickle.storages import storage_resolver


def interpreted(content: bytes, *, fast: bool = True) -> Any:
    value, end = interpret(machine_for(content, fast=fast), 0)
    assert end == len(content)
    return value


def machine_for(content: "bytes | SmallPages", *, fast: bool = True) -> Machine:
    storages = storage_resolver()
    make_storage = storages.make_storage if fast else None
    return Machine(content, persistent_load=storages.persistent_load, make_storage=make_storage)


class SmallPages:
    """A stream that gives only one page at a time, however many bytes are missing."""

    def __init__(self, content: bytes, page: int) -> None:
        self.content, self.page = content, page

    def more(self, _missing: int) -> bytes:
        chunk, self.content = self.content[: self.page], self.content[self.page :]
        return chunk

    def skip(self, count: int) -> bool:
        self.content = self.content[count:]
        return True


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=20) | st.integers(-(2**40), 2**40), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=200)
@given(value=PLAIN, protocol=st.integers(3, 5), page=st.integers(1, 50))
def test_plain_values_come_back_as_they_were(value: object, protocol: int, page: int) -> None:
    content = pickle.dumps(value, protocol)
    assert interpreted(content) == value
    assert interpret(machine_for(SmallPages(content, page)), 0)[0] == value


@settings(deadline=None, max_examples=100)
@given(value=PLAIN, protocol=st.integers(0, 2))
def test_plain_values_of_old_protocols_come_back_too(value: object, protocol: int) -> None:
    """Bytes of more than 64 characters stay the text that protocol 2 wrote them as."""
    content = pickle.dumps(value, protocol)
    assert _without_bytes(interpreted(content)) == _without_bytes(value)


def _without_bytes(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode("latin1")
        case list() | tuple():
            return type(value)(map(_without_bytes, value))
        case dict():
            return {key: _without_bytes(inner) for key, inner in value.items()}
        case _:
            return value


def test_shared_and_cyclic_values_stay_so() -> None:
    inner = [1]
    outer: dict[str, Any] = {"a": inner, "b": inner}
    outer["self"] = outer
    value = interpreted(pickle.dumps(outer))
    assert value["a"] is value["b"]
    assert value["self"] is value


def test_mappings_of_collections_are_dicts() -> None:
    from collections import Counter, defaultdict

    assert interpreted(pickle.dumps(OrderedDict(a=1))) == {"a": 1}
    assert interpreted(pickle.dumps(defaultdict(list, {"a": [1]}))) == {"a": [1]}
    assert interpreted(pickle.dumps(Counter("aab"), 2)) == {"a": 2, "b": 1}


def test_sets_are_lists_of_their_elements() -> None:
    assert sorted(interpreted(pickle.dumps({1, 2, 3}, 4))) == [1, 2, 3]
    assert sorted(interpreted(pickle.dumps(frozenset({1, 2}), 2))) == [1, 2]


def test_an_ordered_dict_of_python_2_is_read() -> None:
    content = b"ccollections\nOrderedDict\n((l(lS'weight'\naI1\naa(lS'bias'\naI2\naatR."
    assert interpreted(content) == {"weight": 1, "bias": 2}


def test_an_instance_of_python_2_is_carried_with_its_state() -> None:
    content = b"(imy.module\nThing\n(dS'a'\nI1\nsb."
    value = interpreted(content)
    assert isinstance(value, OpaqueObject)
    assert (value.name, value.state) == ("my.module.Thing", {"a": 1})


def data_pkl(content: object, path: Path) -> bytes:
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def fields(value: Any) -> Any:
    match value:
        case Tensor():
            return value.shape, value.dtype, fields(value.storage), value.offset, value.stride, value.trainable
        case Storage():
            return value.key, value.dtype, value.count, value.first
        case list() | tuple():
            return [fields(inner) for inner in value]
        case dict():
            return {str(key): fields(inner) for key, inner in value.items()}
        case OpaqueObject():
            return value.name, fields(value.arguments), fields(value.state)
        case _:
            return value


def contents() -> dict[str, Any]:
    base = torch.zeros(70_000, 3)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    return {
        "state": model.state_dict(),
        "run": {"model": model.state_dict(), "optimizer": optimizer.state_dict()},
        "module": model,
        "views": {"a": base, "b": base[5:], "c": base.t(), "d": base[0], "e": base[0, 0], "f": base},
        "ranks": {f"t{rank}": torch.zeros((2,) * rank) for rank in range(7)},
        "requires_grad": {"a": torch.zeros(2, requires_grad=True)},
        "types": {str(kind): torch.zeros(2, dtype=kind) for kind in (torch.int8, torch.bool, torch.bfloat16)},
        "names": {"": torch.zeros(1), "x" * 70_000: torch.zeros(1), "é": torch.zeros(1)},
        "digits": {str(index): torch.zeros(1) for index in range(300)},
    }


@pytest.mark.parametrize("name", contents())
def test_the_fast_path_gives_what_the_single_opcodes_give(name: str, tmp_path: Path) -> None:
    content = data_pkl(contents()[name], tmp_path / "x.pt")
    assert fields(interpreted(content, fast=True)) == fields(interpreted(content, fast=False))


def test_the_fast_path_is_taken(tmp_path: Path) -> None:
    machine = machine_for(data_pkl(contents()["state"], tmp_path / "x.pt"))
    interpret(machine, 0)
    assert list(machine.tensor_sizes.values()) == [(4, 0, (4,), (1,))]


def test_mutated_tensors_give_what_the_single_opcodes_give_or_are_refused(tmp_path: Path) -> None:
    """The fast path ignores what it does not need, such as the device."""
    content, chance = data_pkl(contents()["state"], tmp_path / "x.pt"), random.Random(5)
    agreements = 0
    for _ in range(2000):
        at = chance.randrange(len(content))
        edited = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
        try:
            quick = fields(interpreted(edited, fast=True))
            slow = fields(interpreted(edited, fast=False))
        except (MalformedError, AssertionError):
            continue
        assert quick == slow
        agreements += 1
    assert agreements > 200


def test_arrays_in_the_pickle_are_skipped_unread(tmp_path: Path) -> None:
    """A table of word vectors among the hyperparameters, as Lightning saves it: 64 MB, little of which is read."""
    path = tmp_path / "run.ckpt"
    state = {"layer.weight": torch.zeros(2, 3), "layer.bias": torch.zeros(2)}
    for content in ({"table": np.zeros(2**23), "state_dict": state}, {"state_dict": state, "table": np.ones(2**23)}):
        torch.save(content, path)
        assert path.stat().st_size > MAX_BYTES
        with path.open("rb", buffering=0) as file:
            result = torch_zip.read(CountingFile(name="run.ckpt", file=file, size=path.stat().st_size))
        assert isinstance(result.root, dict)
        assert result.root["state_dict"]["layer.weight"].shape == (2, 3)
        assert sum(CountingFile.counts) < 100_000
        CountingFile.counts.clear()


class CountingFile(OpenFile, frozen=True, kw_only=True):
    """An open file that counts the bytes that are read."""

    counts: ClassVar[list[int]] = []

    def read(self, at: int, count: int) -> bytes:
        self.counts.append(count)
        return super().read(at, count)
