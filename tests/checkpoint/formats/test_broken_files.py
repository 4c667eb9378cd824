"""Damaged and hostile files, one for each defect: each is an error with a message, within bounds of time and memory."""

import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
from tests.checkpoint.write_forms import save_legacy, save_tar, save_zip, small_state


def zipped(body: bytes, data: bytes | None = None, method: int = zipfile.ZIP_STORED) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("archive/data.pkl", body)
        if data is not None:
            archive.writestr("archive/data/0", data)
    return file.getvalue()


def zip_of_two() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("one/data.pkl", b"N.")
        archive.writestr("two/data.pkl", b"N.")
    return file.getvalue()


def saved(save: Callable[[dict[str, torch.Tensor], Path], None]) -> Callable[[Path], bytes]:
    def content(folder: Path) -> bytes:
        save({"layer.weight": torch.zeros(30, 40), "layer.bias": torch.zeros(30)}, folder / "whole")
        return (folder / "whole").read_bytes()

    return content


ZIP, LEGACY, TAR = saved(save_zip), saved(save_legacy), saved(save_tar)
LEGACY_HEAD = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))


def patched(content: bytes, old: bytes, new: bytes, count: int = 1) -> bytes:
    assert old in content
    return content.replace(old, new, count)


def tensor(shape: bytes, stride: bytes, count: bytes = b"K\x06", offset: bytes = b"K\0") -> bytes:
    return (
        b"\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
        b"X\1\0\0\0"
        + b"0X\3\0\0\0cpu"
        + count
        + b"tQ"
        + offset
        + shape
        + stride
        + b"\x89ccollections\nOrderedDict\n)RtRs."
    )


def renamed(name: bytes) -> bytes:
    return tensor(b")", b")").replace(b"X\1\0\0\0w", b"X" + len(name).to_bytes(4, "little") + name)


def doubled(levels: int) -> bytes:
    """A tuple of itself twice, `levels` deep: 2**levels elements for whoever walks it as a tree."""
    return b"\x80\x02)" + b"2\x86" * levels


def big_directory() -> bytes:
    whole = bytearray(zipped(b"."))
    end = whole.rfind(b"PK\5\6")
    struct.pack_into("<L", whole, end + 12, 200 * 2**20)
    return bytes(whole)


DEFECTS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "zip_cut": (lambda folder: ZIP(folder)[:-100], "the file is incomplete"),
    "zip_cut_to_its_head": (lambda folder: ZIP(folder)[:60], "the file is incomplete"),
    "zip_directory_lies_about_its_size": (lambda _: big_directory(), "zip directory"),
    "zip_directory_lies_about_its_count": (
        lambda folder: (
            patched(ZIP(folder), b"PK\5\6\0\0\0\0", b"PK\5\6\0\0\0\0"[:8])[:-12]
            + struct.pack("<H", 99)
            + ZIP(folder)[-10:]
        ),
        "lists 8 files and says that it lists 99",
    ),
    "zip_of_two_pickles": (lambda _: zip_of_two(), "is a zip archive of 2 checkpoints"),
    "zip_bomb": (lambda _: zipped(b"N" + b"0N" * 10_000_000 + b".", None, zipfile.ZIP_DEFLATED), "a zip bomb"),
    "zip_packed_pickle_too_large": (
        lambda _: zipped(bytes(65 * 2**20), None, zipfile.ZIP_DEFLATED),
        "at most 67108864 of a compressed file are read",
    ),
    "zip_pickle_too_large": (
        lambda _: zipped(b"\x80\x02" + (b"X" + (60_000).to_bytes(4, "little") + b"a" * 60_000 + b"0") * 1200 + b"N."),
        "its pickle is too long: at most 67108864 bytes",
    ),
    "legacy_with_a_huge_text": (
        lambda _: LEGACY_HEAD + b"\x80\x02X" + (60 * 2**20).to_bytes(4, "little") + bytes(60 * 2**20),
        "ends early",
    ),
    "zip_packed_by_another_method": (lambda _: zipped(b"N.", None, zipfile.ZIP_BZIP2), "compressed by zip method 12"),
    "zip_encrypted": (
        lambda _: patched(zipped(b"N."), b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
        "encrypted",
    ),
    "data_missing": (lambda _: zipped(tensor(b"K\2K\3\x86", b"K\3K\1\x86")), "the data of its storage '0' is missing"),
    "data_short": (
        lambda _: zipped(tensor(b"K\2K\3\x86", b"K\3K\1\x86"), bytes(23)),
        "'0' is 23 bytes; its tensors need 24",
    ),
    "tensor_beyond_its_storage": (
        lambda _: zipped(tensor(b"K\3K\3\x86", b"K\3K\1\x86"), bytes(24)),
        r"shape \[3, 3\] in it exceeds its storage of 6 elements",
    ),
    "offset_beyond_its_storage": (
        lambda _: zipped(tensor(b"K\1\x85", b"K\1\x85", offset=b"K\6"), bytes(24)),
        "exceeds its storage",
    ),
    "negative_shape": (
        lambda _: zipped(tensor(b"J\xff\xff\xff\xff\x85", b"K\1\x85"), bytes(24)),
        "not an integer of 0 or more",
    ),
    "more_strides_than_dimensions": (
        lambda _: zipped(tensor(b"K\2\x85", b"K\1K\1\x86"), bytes(24)),
        "1 dimension and 2 strides",
    ),
    "huge_declared_shape": (
        lambda _: zipped(tensor(b"\x8a\x08" + b"\xff" * 7 + b"\x7f2\x86", b"K\0K\0\x86"), bytes(24)),
        "claims 8.51e.37 elements",
    ),
    "huge_declared_storage": (
        lambda _: zipped(tensor(b")", b")", count=b"\x8a\x08" + b"\xff" * 7 + b"\x7f"), bytes(24)),
        "'0' is 24 bytes; its tensors need",
    ),
    "huge_declared_text": (
        lambda _: zipped(b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f."),
        "ends early: .* more bytes are needed",
    ),
    "huge_declared_integer": (
        lambda _: zipped(b"\x80\x02\x8b\xff\xff\xff\x7f."),
        "ends early: .* more bytes are needed",
    ),
    "huge_memo_index": (lambda _: zipped(b"\x80\x02Nr\xff\xff\xff\xff."), "holds no state dict"),
    "deep_nesting": (lambda _: zipped(b"\x80\x02)" + b"\x85" * 500_000 + b"."), "holds no state dict"),
    "deep_states": (lambda _: zipped(b"\x80\x02N" + b"cos\nx\n)R2b" * 100_000 + b"."), "no state dict"),
    "deep_dicts": (lambda _: zipped(b"\x80\x02}" + b"X\1\0\0\0a}" * 200_000 + b"s" * 200_000 + b"."), "no state dict"),
    "cyclic_list": (lambda _: zipped(b"\x80\x02]q\0h\0a."), "holds no state dict"),
    "cyclic_dict": (lambda _: zipped(b"\x80\x02}q\0X\1\0\0\0ah\0s."), "holds no state dict"),
    "doubled_tuples": (lambda _: zipped(doubled(60) + b"."), "holds no state dict"),
    "doubled_tuples_as_a_key": (lambda _: zipped(b"\x80\x02}" + doubled(60)[2:] + b"Ns."), "holds no state dict"),
    "doubled_arguments": (lambda _: zipped(b"\x80\x02)" + b"q\0cx\ny\nh\0R\x85" * 100 + b"."), "holds no state dict"),
    "object_bomb": (lambda _: zipped(b"\x80\x02(" + b"}" * 8_000_000 + b"l."), "more objects than a checkpoint"),
    "memo_bomb": (lambda _: zipped(b"\x80\x02N" + b"\x94" * 12_000_000 + b"."), "more objects|more operations"),
    "mark_bomb": (lambda _: zipped(b"\x80\x02" + b"(" * 8_000_000 + b"."), "more objects than a checkpoint"),
    "stack_bomb": (lambda _: zipped(b"\x80\x02N" + b"2" * 12_000_000 + b"."), "more objects|more operations"),
    "copied_list_bomb": (
        lambda _: zipped(
            b"\x80\x02("
            + b"X\1\0\0\0aN\x86" * 100_000
            + b"lq\0"
            + b"0ccollections\nOrderedDict\nh\0\x85R" * 50_000
            + b"."
        ),
        "holds no state dict",
    ),
    "colliding_keys": (
        lambda _: zipped(
            b"\x80\x02}("
            + b"".join(b"\x8a\x0c" + (index * (2**61 - 1)).to_bytes(12, "little") + b"N" for index in range(1, 30_000))
            + b"u."
        ),
        "holds no state dict",
    ),
    "endless_line": (lambda _: zipped(b"\x80\x02c" + b"a" * 100_000), "longer than 4096 bytes"),
    "no_stop": (lambda _: zipped(b"\x80\x02N"), "its pickle ends early"),
    "empty_pickle": (lambda _: zipped(b""), "its pickle ends early"),
    "empty_stack": (lambda _: zipped(b"\x80\x02."), "pickle is malformed"),
    "unknown_opcode": (lambda _: zipped(b"\x80\x02\xff."), "the unknown opcode 0xff"),
    "memo_of_nothing": (lambda _: zipped(b"\x80\x02h\5."), "pickle is malformed"),
    "items_of_no_dict": (lambda _: zipped(b"\x80\x02NNNs."), "that is not a dict"),
    "half_an_item": (lambda _: zipped(b"\x80\x02}(Nu."), "a key without a value"),
    "append_to_no_list": (lambda _: zipped(b"\x80\x02NNa."), "that is not a list"),
    "foreign_persistent_id": (lambda _: zipped(b"\x80\x02X\1\0\0\0xQ."), "neither a storage nor a module"),
    "long_name": (lambda _: zipped(renamed(b"w" * 4096), bytes(24)), "4096 characters"),
    "name_of_dots": (lambda _: zipped(renamed(b"." * 256), bytes(24)), "257 parts"),
    "legacy_cut_in_its_data": (lambda folder: LEGACY(folder)[:-40], "it ends early: its tensors need"),
    "legacy_cut_in_its_pickle": (lambda folder: LEGACY(folder)[:300], "its pickle ends early"),
    "legacy_of_another_protocol": (
        lambda folder: patched(LEGACY(folder), pickle.dumps(1001, 2), pickle.dumps(1002, 2)),
        "protocol .1002. is not torch's",
    ),
    "legacy_with_unknown_storages": (
        lambda _: LEGACY_HEAD + pickle.dumps({}, 2) + pickle.dumps(["x"], 2),
        "names a storage that no tensor uses",
    ),
    "legacy_endless": (lambda _: LEGACY_HEAD + b"\x80\x02(" + b"}" * 10_000_000, "more objects|ends early"),
    "tar_cut": (lambda folder: TAR(folder)[:3000], "ends early|without a torch checkpoint"),
    "tar_with_a_bad_size": (
        lambda folder: TAR(folder)[:124] + b"99999999999\0" + TAR(folder)[136:],
        "without a torch checkpoint|ends early|malformed",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_has_its_message(defect: str, tmp_path: Path) -> None:
    make, message = DEFECTS[defect]
    path = tmp_path / f"{defect}.pt"
    path.write_bytes(make(tmp_path))
    with pytest.raises(TargetError, match=message) as caught:
        read(path, target="")
    assert caught.value.message.startswith(path.name)


BOMBS = [
    name for name in DEFECTS if any(part in name for part in ("bomb", "huge", "deep", "doubled", "endless", "large"))
]

MEASURED = """
import resource, sys
from pathlib import Path
from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
try:
    read(Path(sys.argv[1]), target="")
except TargetError:
    status = Path("/proc/self/status").read_text()
    print(*status.split("VmHWM:")[1].split()[:1], resource.getrusage(resource.RUSAGE_SELF).ru_utime)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak memory of a process is read from /proc")
@pytest.mark.parametrize("defect", BOMBS)
def test_hostile_files_stay_within_bounds(defect: str, tmp_path: Path) -> None:
    """256 MB and 10 seconds for the whole process, as for any other file."""
    path = tmp_path / f"{defect}.pt"
    path.write_bytes(DEFECTS[defect][0](tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True, timeout=100
    )
    kilobytes, seconds = done.stdout.split()
    assert int(kilobytes) < 256 * 1024
    assert float(seconds) < 10


def test_the_same_files_without_damage_are_read(tmp_path: Path) -> None:
    for make in (ZIP, LEGACY, TAR):
        (tmp_path / "good.pt").write_bytes(make(tmp_path))
        assert len(read(tmp_path / "good.pt", target="").parameters) == 2
    good = zipped(tensor(b"K\2K\3\x86", b"K\3K\1\x86"), bytes(24))
    (tmp_path / "good.pt").write_bytes(good)
    assert read(tmp_path / "good.pt", target="").parameters[0].shape == (2, 3)


def test_a_deflated_pickle_is_read(tmp_path: Path) -> None:
    save_zip(small_state(), tmp_path / "model.pt")
    packed = BytesIO()
    with zipfile.ZipFile(tmp_path / "model.pt") as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    (tmp_path / "packed.pt").write_bytes(packed.getvalue())
    assert len(read(tmp_path / "packed.pt", target="").parameters) == 6


def test_a_checksum_that_does_not_match_is_a_note_as_torch_reads_on(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(patched(ZIP(tmp_path), b"layer.bias", b"layer.bi_s"))
    inventory = read(damaged, target="")
    assert [parameter.name for parameter in inventory.parameters] == list(torch.load(damaged))
    assert any("checksum (CRC)" in note for note in inventory.notes)


def test_a_file_that_was_written_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"layer.bias": torch.zeros(3)}, tmp_path / "model.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert [parameter.shape for parameter in read(tmp_path / "model.pt", target="").parameters] == [(3,)]
