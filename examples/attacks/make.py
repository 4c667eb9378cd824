"""Write files that attack what reads them, each with a harmless twin: python examples/attacks/make.py FOLDER.

Nothing in this folder is executed by decay-audit: the files name commands, and torch.load(weights_only=False) would run
the command `true`. docs/security.md says what decay-audit does with each.
"""

import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path

MAGIC = 0x1950A86A20F9469CFC6C
TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\6tQ"
    b"K\0K\2K\3\x86K\3K\1\x86\x89ccollections\nOrderedDict\n)RtR"
)


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def nested(depth: int) -> bytes:
    """A tuple of two equal tuples, and so on: its repr has 2**depth characters."""
    return b")" + b"2\x86" * depth


def state_dict(*entries: bytes) -> bytes:
    return b"\x80\2}(" + text("w") + TENSOR + b"".join(entries) + b"u."


def archive(pickled: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("model/data.pkl", pickled)
        target.writestr("model/data/0", bytes(24))
    return buffer.getvalue()


def optimizer(learning_rate: bytes, *more: bytes) -> bytes:
    group = b"}(" + text("params") + b"]K\0a" + text("lr") + learning_rate + b"".join(more) + b"u"
    return text("optimizer") + b"}(" + text("state") + b"}" + text("param_groups") + b"]" + group + b"au"


def legacy(protocol: bytes) -> bytes:
    return pickle.dumps(MAGIC, 2) + b"\x80\2" + protocol + b"." + pickle.dumps({}, 2) + b"\x80\2}." + b"\x80\2]."


def tar(size: bytes) -> bytes:
    header = b"storages".ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size + b"00000000000\0" + b" " * 8 + b"0"
    return (header + bytes(100) + b"ustar\x0000").ljust(512, b"\0") + bytes(1024)


def names(count: int) -> bytes:
    entries = b"".join(text(f"p{index}") + b"h\0" for index in range(count))
    return b"\x80\2" + TENSOR + b"q\0}(" + entries + b"u."


def safetensors(*entries: str) -> bytes:
    header = f"{{{','.join(entries)}}}"
    return struct.pack("<Q", len(header)) + header.encode() + bytes(24)


def entry(name: str = "w", extra: str = "") -> str:
    return f'"{name}":{{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]{extra}}}'


def empty(shape: str) -> str:
    return f'"v":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}'


def optimizers(count: int) -> bytes:
    """A dict with so many optimizers, each of one parameter."""
    state = optimizer(b"K\1").removeprefix(text("optimizer"))
    return state_dict(*(text(f"o{index}") + state for index in range(count)))


def state_dicts(count: int) -> bytes:
    """A dict with so many state dicts, all of one tensor."""
    inner = b"}(" + text("w") + b"h\0" + text("b") + b"h\0u"
    return b"\x80\2" + TENSOR + b"q\0}(" + b"".join(text(f"m{index}") + inner for index in range(count)) + b"u."


def long_names(count: int) -> bytes:
    """Names of a thousand characters, each of which may be a word."""
    entries = (f'"{"a_" * 500}{index}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for index in range(count))
    return safetensors(entry(), *entries)


CALL = b"cfoo\nbar\n("
JUNK = b"".join(b"cjunk%d\nName\n" % index for index in range(1200))

ATTACKS = {
    "command.pt": (
        archive(state_dict(text("x"), b"cos\nsystem\n", text("true"), b"\x85R")),
        archive(state_dict(text("x"), b"K\1")),
    ),
    "attribute_of_attribute.pt": (
        archive(state_dict(text("x"), text("pathlib"), text("os.system"), b"\x93", text("true"), b"\x85R")),
        archive(state_dict(text("x"), text("pathlib"), b"0N")),
    ),
    "junk_names.pt": (
        archive(state_dict(text("x"), b"(" + JUNK + b"cos\nsystem\nl")),
        archive(state_dict(text("x"), b"(" + JUNK + b"l")),
    ),
    "nested_key.pt": (
        archive(state_dict(optimizer(b"K\1", CALL + nested(60) + b"tR", b"K\1"))),
        archive(state_dict(optimizer(b"K\1", text("eps"), b"K\1"))),
    ),
    "nested_value.pt": (archive(state_dict(optimizer(nested(60)))), archive(state_dict(optimizer(b"K\1")))),
    "nested_protocol.pt": (legacy(nested(60)), legacy(b"M\xe9\3")),
    "negative_member.tar": (tar(b"-0000001000\0"), tar(b"00000000000\0")),
    "names_of_one_tensor.pt": (archive(names(490_000)), archive(names(1000))),
    "empty_lists.pt": (
        archive(state_dict(text("x"), b"(" + b"]" * 2_400_000 + b"l")),
        archive(state_dict(text("x"), b"(" + b"]" * 1000 + b"l")),
    ),
    "nested_field.safetensors": (
        safetensors(entry(extra=',"x":' + "[" * 900 + "]" * 900)),
        safetensors(entry(extra=',"x":' + "[" * 90 + "]" * 90)),
    ),
    "beyond_64_bits.safetensors": (
        safetensors(entry(), empty("[18446744073709551616,0]")),
        safetensors(entry(), empty("[1,0]")),
    ),
    "optimizers.pt": (archive(optimizers(20_000)), archive(optimizers(200))),
    "state_dicts.pt": (archive(state_dicts(80_000)), archive(state_dicts(100))),
    "long_names.safetensors": (long_names(1500), long_names(30)),
    "workflow_command.safetensors": (safetensors(entry("::stop-commands::x")), safetensors(entry())),
}
"""The content of each file, and of its twin."""


def main() -> None:
    folder = Path(sys.argv[1])
    for name, contents in ATTACKS.items():
        for prefix, content in zip(("attack", "twin"), contents, strict=True):
            (folder / f"{prefix}_{name}").write_bytes(content)


if __name__ == "__main__":
    main()
