"""safetensors headers: accepted where the library accepts them, refused by name where the specification refuses."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
from decay_audit.sources.checkpoint.formats.safetensors import MAX_HEADER, MAX_STRICT


def entry(dtype: str = "F32", shape: tuple[int, ...] = (2,), span: tuple[int, int] = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


def file_of(header: bytes, data: int, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + bytes(data)


def file_of_entries(entries: dict[str, Any], data: int) -> bytes:
    return file_of(json.dumps(entries).encode(), data)


EMPTY = b'"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}'
TWICE = b"{" + EMPTY + b", " + EMPTY + b"}"
TWICE_INSIDE = b'{"a": {"dtype": "F32", "shape": [2], "shape": [2], "data_offsets": [0, 8]}}'

BROKEN: dict[str, tuple[bytes, str]] = {
    "too_short": (b"\0\0\0\0", "it is 4 bytes long; the length of the header alone takes 8"),
    "header_too_large": (
        file_of(b"{}", 0, MAX_HEADER + 1),
        f"its header claims {MAX_HEADER + 1} bytes; the format allows",
    ),
    "header_beyond_the_file": (file_of(b"{}", 0, 1000), "its header claims 1000 bytes, and the file has 2"),
    "not_utf8": (file_of(b'{"\xff": {}}', 0), "not UTF-8"),
    "not_json": (file_of(b"{oops", 0), "not JSON"),
    "nested_too_deep": (file_of(b'{"a":' * 100_000, 0), "nested too deeply"),
    "list_of_tensors": (file_of(b"[]", 0), "does not start with {"),
    "leading_space": (file_of(b" {}", 0), "does not start with {"),
    "key_twice": (file_of(TWICE, 0), "has the key 'a' twice"),
    "field_twice": (file_of(TWICE_INSIDE, 8), "has the key 'shape' twice"),
    "overlap": (file_of_entries({"a": entry(), "b": entry(span=(4, 12))}, 12), "tensor 'b' starts at byte 4, before"),
    "hole": (
        file_of_entries({"a": entry(), "b": entry(span=(16, 24))}, 24),
        "a gap before its tensor 'b': bytes 8 to 16",
    ),
    "hole_at_the_beginning": (
        file_of_entries({"a": entry(span=(8, 16))}, 16),
        "a gap before its tensor 'a': bytes 0 to 8",
    ),
    "past_the_end": (file_of_entries({"a": entry()}, 4), "it ends early: its tensors take 8 bytes after the header"),
    "bytes_of_no_tensor": (file_of_entries({"a": entry()}, 9), "it has bytes that belong to no tensor"),
    "shape_unlike_span": (
        file_of_entries({"a": entry(shape=(3,))}, 8),
        "tensor 'a' has 8 bytes, which is not the size of shape [3] and dtype F32",
    ),
    "shape_overflows": (file_of_entries({"a": entry(shape=(2**62, 2**62))}, 8), "has 8 bytes, which is not the size"),
    "negative_shape": (file_of_entries({"a": entry(shape=(-1, -2))}, 8), "has 8 bytes, which is not the size"),
    "backwards_span": (file_of_entries({"a": entry(span=(8, 0))}, 8), "ends at byte 0, before it starts"),
    "unknown_type": (file_of_entries({"a": entry("F31")}, 8), "unknown dtype 'F31'"),
    "no_type": (
        file_of_entries({"a": {"shape": [2], "data_offsets": [0, 8]}}, 8),
        "tensor 'a' in its header is malformed: .*dtype",
    ),
    "shape_of_text": (
        file_of_entries({"a": entry() | {"shape": ["2"]}}, 8),
        "tensor 'a' in its header is malformed: .*Expected `int`",
    ),
    "three_offsets": (
        file_of_entries({"a": entry() | {"data_offsets": [0, 8, 9]}}, 8),
        "tensor 'a' in its header is malformed",
    ),
    "metadata_of_numbers": (
        file_of_entries({"__metadata__": {"a": 1}, "a": entry()}, 8),
        "__metadata__ is not an object",
    ),
    "half_a_character": (
        file_of(b'{"\\ud800": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', 8),
        "which is not valid Unicode",
    ),
    "metadata_is_text": (file_of_entries({"__metadata__": "pt", "a": entry()}, 8), "__metadata__ is not an object"),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_what_the_specification_refuses_is_refused_by_name(defect: str, tmp_path: Path) -> None:
    content, message = BROKEN[defect]
    path = tmp_path / f"{defect}.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        TargetError, match=message.replace("[", r"\[").replace("{", r"\{").replace("(", r"\(")
    ) as caught:
        read(path, target="")
    assert caught.value.message.startswith(path.name)


# The library reads these two, which its own description forbids.
@pytest.mark.parametrize("defect", sorted(BROKEN.keys() - {"leading_space", "key_twice"}))
def test_the_library_refuses_the_same_files(defect: str, tmp_path: Path) -> None:
    path = tmp_path / f"{defect}.safetensors"
    path.write_bytes(BROKEN[defect][0])
    with pytest.raises(SafetensorError), safe_open(path, "pt"):
        pass


def many(count: int, entry: bytes) -> bytes:
    return b"{" + b",".join(b'"k%d":%b' % (index, entry) for index in range(count)) + b"}"


EMPTY = b'{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
LARGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "many_tensors": (
        lambda: many(1_000_000, EMPTY),
        "the checkpoint needs more work than one of its size should: it has too many tensors or names",
    ),
    "many_dimensions": (
        lambda: b'{"a":{"dtype":"F32","data_offsets":[0,0],"shape":[' + b"0," * 40_000_000 + b"0]}}",
        "its header is far larger than 1 tensor can need",
    ),
    "many_metadata": (
        lambda: b'{"__metadata__":' + many(5_000_000, b'"v"') + b"}",
        "its header is far larger than 0 tensors can need",
    ),
    "large_and_malformed": (
        lambda: b'{"a":[],' + many(400_000, EMPTY + b" " * 40)[1:],
        "its header is malformed: Expected `object`, got `array` - at `$[...]`",
    ),
}
MEASURED = """
import resource, sys
from pathlib import Path
from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
try:
    read(Path(sys.argv[1]), target="")
except TargetError as error:
    status = Path("/proc/self/status").read_text()
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    print(*status.split("VmHWM:")[1].split()[:1], seconds, error.message)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak memory of a process is read from /proc")
@pytest.mark.parametrize("name", LARGE)
def test_a_header_of_the_largest_size_stays_within_bounds(name: str, tmp_path: Path) -> None:
    content, message = LARGE[name]
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(file_of(content(), 0))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True, timeout=100
    )
    kilobytes, seconds, words = done.stdout.strip().split(" ", 2)
    assert words.removeprefix(f"{path.name} cannot be read: ") == message
    assert int(kilobytes) < 256 * 1024
    assert float(seconds) < 10


def test_a_large_header_with_the_names_of_fields_in_its_metadata_is_read(tmp_path: Path) -> None:
    metadata = {"dtype": "bfloat16", "base": "shape"}
    tensors = {f"layers.{index}.a_long_name_of_a_module.weight": torch.zeros(1) for index in range(40_000)}
    save_file(tensors, tmp_path / "model.safetensors", metadata)
    assert int.from_bytes((tmp_path / "model.safetensors").read_bytes()[:8], "little") > MAX_STRICT
    assert len(read(tmp_path / "model.safetensors", target="").parameters) == 40_000


def test_metadata_with_the_names_of_fields_is_metadata(tmp_path: Path) -> None:
    metadata = {"dtype": "F32", "shape": "[2]", "data_offsets": "none", "format": "pt"}
    save_file({"weight": torch.zeros(2, 3)}, tmp_path / "model.safetensors", metadata)
    assert [parameter.name for parameter in read(tmp_path / "model.safetensors", target="").parameters] == ["weight"]


@pytest.mark.parametrize(
    "name", ["dtype", "shape", 'a "quoted" name', "data_offsets", "naïve", "\u2028", "__metadata__x"]
)
def test_odd_names_are_names(name: str, tmp_path: Path) -> None:
    save_file({name: torch.zeros(2, 3)}, tmp_path / "model.safetensors")
    assert [parameter.name for parameter in read(tmp_path / "model.safetensors", target="").parameters] == [name]


@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64],
)
def test_types_have_the_names_that_torch_gives_them(dtype: torch.dtype, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2, 3, dtype=dtype)}, tmp_path / "model.safetensors")
    (weight,) = read(tmp_path / "model.safetensors", target="").parameters
    assert f"torch.{weight.dtype}" == str(dtype)


def test_numbered_layers_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    save_file({f"h.{index}.weight": torch.zeros(1) for index in range(12)}, tmp_path / "model.safetensors")
    parameters = read(tmp_path / "model.safetensors", target="").parameters
    assert [parameter.name for parameter in parameters] == [f"h.{index}.weight" for index in range(12)]


def test_a_key_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(TargetError, match="has only one state dict"):
        read(tmp_path / "model.safetensors", target="", key="model")


HEADER = {"__metadata__": {"format": "pt"}, "a.weight": entry("F16", (2, 2)), "b": entry("I64", (), (8, 16))}


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_after_any_edit_of_the_bytes_the_library_agrees(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Accept and refuse what the library accepts and refuses, with the same names and shapes."""
    content = bytearray(file_of_entries(HEADER, 16))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(list(b'{}[]:,"0123456789'))))
    path = tmp_path_factory.getbasetemp() / "edited.safetensors"
    path.write_bytes(bytes(content))
    try:
        with safe_open(path, "pt") as file:
            expected = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError:
        expected = None
    milder = ("no parameters", "does not start with {", "twice")
    try:
        inventory = read(path, target="")
    except TargetError as error:
        refused = error.message
        if expected is not None and not any(part in refused for part in milder):
            raise
        return
    excluded = {tensor.name for tensor in inventory.excluded}
    shapes = {parameter.raw_name: parameter.shape for parameter in inventory.parameters}
    assert expected is not None
    assert shapes.keys() | excluded == expected.keys()
    assert shapes.items() <= expected.items()
