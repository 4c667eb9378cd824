"""The interpreter: every protocol gives back the pickled value, in inert form, and the shortcut changes nothing."""

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

from decay_audit.sources.checkpoint.formats import torch_zip
from decay_audit.sources.checkpoint.formats.byte_source import Opened
from decay_audit.sources.checkpoint.pickle.machine import MAX_BYTES, Machine, run
from decay_audit.sources.checkpoint.pickle.opcodes import TABLE
from decay_audit.sources.checkpoint.pickle.storages import resolver
from decay_audit.sources.checkpoint.pickle.values import MalformedError, Opaque, Storage, Tensor


def interpreted(content: bytes, *, shortcut: bool = True) -> Any:
    storages = resolver()
    storage = storages.storage if shortcut else None
    value, after = run(Machine(content, persistent=storages.persistent, storage=storage), 0, TABLE)
    assert after == len(content)
    return value


def by_the_page(content: bytes, page: int) -> Any:
    storages = resolver()
    machine = Machine(Pages(content, page), persistent=storages.persistent, storage=storages.storage)
    return run(machine, 0, TABLE)[0]


class Pages:
    """Bytes by the page, of which as many as are missing are given at most: each need takes many."""

    def __init__(self, content: bytes, page: int) -> None:
        self.left, self.page = content, page

    def more(self, _missing: int) -> bytes:
        given, self.left = self.left[: self.page], self.left[self.page :]
        return given

    def jump(self, count: int) -> bool:
        self.left = self.left[count:]
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
    assert by_the_page(content, page) == value


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
            return {key: _without_bytes(it) for key, it in value.items()}
        case _:
            return value


def test_shared_and_cyclic_values_stay_so() -> None:
    inner = [1]
    outer: dict[str, Any] = {"a": inner, "b": inner}
    outer["self"] = outer
    found = interpreted(pickle.dumps(outer))
    assert found["a"] is found["b"]
    assert found["self"] is found


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
    found = interpreted(content)
    assert isinstance(found, Opaque)
    assert (found.name, found.state) == ("my.module.Thing", {"a": 1})


def data_pkl(content: object, path: Path) -> bytes:
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def shown(value: Any) -> Any:
    match value:
        case Tensor():
            return value.shape, value.dtype, shown(value.storage), value.offset, value.stride, value.trainable
        case Storage():
            return value.key, value.dtype, value.count, value.first
        case list() | tuple():
            return [shown(each) for each in value]
        case dict():
            return {str(key): shown(it) for key, it in value.items()}
        case Opaque():
            return value.name, shown(value.arguments), shown(value.state)
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
def test_the_shortcut_gives_what_the_single_steps_give(name: str, tmp_path: Path) -> None:
    content = data_pkl(contents()[name], tmp_path / "x.pt")
    assert shown(interpreted(content, shortcut=True)) == shown(interpreted(content, shortcut=False))


def test_the_shortcut_is_taken(tmp_path: Path) -> None:
    content = data_pkl(contents()["state"], tmp_path / "x.pt")
    storages = resolver()
    machine = Machine(content, persistent=storages.persistent, storage=storages.storage)
    run(machine, 0, TABLE)
    assert list(machine.runs.values()) == [(4, 0, (4,), (1,))]


def test_mutated_runs_give_what_the_single_steps_give_or_are_refused(tmp_path: Path) -> None:
    """The one freedom of the shortcut: it does not look at what it has no use for, such as the device."""
    content, chance = data_pkl(contents()["state"], tmp_path / "x.pt"), random.Random(5)
    agreed = 0
    for _ in range(2000):
        at = chance.randrange(len(content))
        edited = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
        try:
            quick = shown(interpreted(edited, shortcut=True))
            slow = shown(interpreted(edited, shortcut=False))
        except (MalformedError, AssertionError):
            continue
        assert quick == slow
        agreed += 1
    assert agreed > 200


def test_arrays_within_the_pickle_are_passed_over_unread(tmp_path: Path) -> None:
    """A table of word vectors among the hyperparameters, as Lightning saves them: 80 MB of pickle, few to be read."""
    path = tmp_path / "run.ckpt"
    state = {"layer.weight": torch.zeros(2, 3), "layer.bias": torch.zeros(2)}
    for content in ({"table": np.zeros(2**23), "state_dict": state}, {"state_dict": state, "table": np.ones(2**23)}):
        torch.save(content, path)
        assert path.stat().st_size > MAX_BYTES
        with path.open("rb", buffering=0) as file:
            counted = Counted(name="run.ckpt", file=file, size=path.stat().st_size)
            found = torch_zip.read(counted)
        assert isinstance(found.root, dict)
        assert found.root["state_dict"]["layer.weight"].shape == (2, 3)
        assert sum(Counted.spans) < 100_000
        Counted.spans.clear()


class Counted(Opened, frozen=True, kw_only=True):
    """An opened file that counts the bytes it gives."""

    spans: ClassVar[list[int]] = []

    def read(self, at: int, count: int) -> bytes:
        self.spans.append(count)
        return super().read(at, count)
