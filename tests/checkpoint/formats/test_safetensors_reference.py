"""Headers at the edge of the format: those that the reference reads are read, and no others."""

import struct
from pathlib import Path

import pytest
import safetensors

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read

TENSOR = '"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}'


def _with_tensor(header: str) -> str:
    return header.replace("%s", TENSOR)


def _extra(value: str) -> str:
    return f'{{"w":{{"dtype":"F32","shape":[2,3],"data_offsets":[0,24],"x":{value}}}}}'


def _empty(shape: str) -> str:
    empty = f'"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}'
    return f'{{{empty},"v":{{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}}}'


HEADERS = {
    "null metadata": _with_tensor('{"__metadata__":null,%s}'),
    "metadata": _with_tensor('{"__metadata__":{"a":"1:2"},%s}'),
    "metadata twice": _with_tensor('{"__metadata__":{"a":"1","a":"2"},%s}'),
    "metadata of numbers": _with_tensor('{"__metadata__":{"a":1},%s}'),
    "half a pair": _with_tensor('{"__metadata__":{"a":"\\ud800"},%s}'),
    "a pair": _with_tensor('{"__metadata__":{"a":"\\ud83d\\ude00"},%s}'),
    "2**64": _empty("[18446744073709551616,0]"),
    "overflow": _empty("[4294967296,4294967296,4294967296,0]"),
    "zero first": _empty("[0,9223372036854775807,4]"),
    "minus zero": '{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[-0,24]}}',
    "minus zero in a shape": _empty("[-0]"),
    "a float": '{"w":{"dtype":"F32","shape":[2.0,3],"data_offsets":[0,24]}}',
    "NaN": _extra("NaN"),
    "extra": _extra("1"),
    "extra minus zero": _extra("-0"),
    "extra 1e999": _extra("1e999"),
    "extra digits": _extra("9" * 5000),
    "extra half a pair": _extra('"\\ud800"'),
    "extra key half a pair": '{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24],"\\ud800":1}}',
    "nested 100": _extra("[" * 100 + "]" * 100),
    "nested 125": _extra("[" * 125 + "]" * 125),
    "nested 126": _extra("[" * 126 + "]" * 126),
    "nested 900": _extra("[" * 900 + "]" * 900),
    "nested 90000": _extra("[" * 90_000 + "]" * 90_000),
    "a name with signs": '{"a:[-0]":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}',
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_what_the_reference_reads_is_read_and_nothing_else(header: str, tmp_path: Path) -> None:
    raw = header.encode()
    content = struct.pack("<Q", len(raw)) + raw + bytes(24)
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    try:
        expected = {name: tuple(entry["shape"]) for name, entry in safetensors.deserialize(content)}  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError:
        expected = None
    try:
        actual = {parameter.name: parameter.shape for parameter in read(path, target="").parameters}
    except TargetError:
        actual = None
    assert actual == expected
