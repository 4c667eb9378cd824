"""Values that a pickle writes once and refers to many times: short files with millions of groups, modules, entries."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoint.formats.test_broken_files import zipped


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def item(key: str, value: bytes) -> bytes:
    return text(key) + value


def listed(content: bytes) -> bytes:
    return b"](" + content + b"e"


def mapped(*items: bytes) -> bytes:
    return b"}(" + b"".join(items) + b"u"


PUT, GET = b"q\1", b"h\1"
TENSOR = (
    b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\nK\2K\3\x86K\3K\1\x86\x89tR"  # of shape (2, 3)
)
OBJECT = b"cm\nC\n)\x81"
ENTRIES = mapped(*(item(f"{index:04}", b"N") for index in range(5000)))


def optimizer(groups: bytes) -> bytes:
    return mapped(item("param_groups", groups), item("state", b"}"))


def first(shared: bytes) -> bytes:
    """Write something that the rest refers to."""
    return item("shared", shared + PUT)


GROUP = mapped(item("params", b"]K\0a"))
GROUPS = b"](" + GROUP + b"q\2" + b"h\2" * 200_000 + b"e"

SHARED: dict[str, bytes] = {
    "params_of_many_groups": first(listed(b"K\0" * 20_000))
    + item("optimizer", optimizer(listed(mapped(item("params", GET)) * 5000))),
    "params_of_many_optimizers": first(listed(b"K\0" * 20_000))
    + item("optimizers", listed(optimizer(b"]" + mapped(item("params", GET)) + b"a") * 3000)),
    "one_group_many_times": item("optimizer", optimizer(GROUPS)),
    "groups_of_many_optimizers": first(GROUPS) + item("optimizers", listed(optimizer(GET) * 3000)),
    "groups_of_many_objects": first(GROUPS) + item("objects", listed((OBJECT + optimizer(GET) + b"b") * 3000)),
    "states_of_many_objects": first(ENTRIES) + item("objects", listed((OBJECT + GET + b"b") * 100_000)),
    "parameters_of_many_modules": first(ENTRIES)
    + item("modules", listed((OBJECT + mapped(item("_parameters", GET), item("_modules", GET)) + b"b") * 30_000)),
    "lists_in_many_lists": first(listed(b"N" * 5000)) + item("lists", listed((b"]" + GET + b"a") * 30_000)),
}
MEASURED = """
import resource, sys
from pathlib import Path
from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
try:
    assert [parameter.name for parameter in read(Path(sys.argv[1]), target="").parameters] == ["weight"]
except TargetError as error:
    assert error.message.endswith("entries"), error.message
status = Path("/proc/self/status").read_text()
print(*status.split("VmHWM:")[1].split()[:1], resource.getrusage(resource.RUSAGE_SELF).ru_utime)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak memory of a process is read from /proc")
@pytest.mark.parametrize("name", SHARED)
def test_shared_values_cost_no_more_than_their_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.pt"
    path.write_bytes(zipped(b"\x80\x02}(" + item("weight", TENSOR) + SHARED[name] + b"u."))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True, timeout=100
    )
    kilobytes, seconds = done.stdout.split()
    assert int(kilobytes) < 256 * 1024
    assert float(seconds) < 10
