"""Hypothesis changes files of each format: a reader gives a result or a TargetError, never anything else.

Short by default. A long run: DECAY_AUDIT_FUZZ=100000 pytest tests/fuzz. With atheris: see `coverage_guided`.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from time import process_time

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.torch import save

from decay_audit.errors import TargetError
from decay_audit.roles import classify
from decay_audit.sources.checkpoint import read
from tests.checkpoint.write_forms import save_legacy, save_tar, save_zip
from tests.fuzz.attacks import ATTACKS

EXAMPLES = int(os.environ.get("DECAY_AUDIT_FUZZ", "40"))
STATE = {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)}


def seeds(folder: Path) -> dict[str, bytes]:
    """Write one file of each format."""
    contents = {"safetensors": save(STATE)}
    for form, write in (("zip", save_zip), ("legacy", save_legacy), ("tar", save_tar)):
        write(STATE, folder / form)
        contents[form] = (folder / form).read_bytes()
    return contents


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return seeds(tmp_path_factory.mktemp("seeds"))


def read_or_refuse(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with suppress(TargetError):
        classify(read(path, target=path.name).parameters)


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy", "tar"])
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(
    form: str, data: st.DataObject, files: dict[str, bytes], tmp_path: Path
) -> None:
    content = bytearray(files[form])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=8))
    read_or_refuse(bytes(content), tmp_path / f"changed.{'safetensors' if form == 'safetensors' else 'pt'}")


AUDITED: list[str] = []
"""The programs that were started. Python cannot remove an audit hook, so one serves all tests."""
sys.addaudithook(lambda event, _: AUDITED.append(event) if event in ("os.system", "subprocess.Popen") else None)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_no_more_than_five_seconds_and_its_twin_is_read(name: str, tmp_path: Path) -> None:
    attack, twin = ATTACKS[name]
    start = process_time()
    AUDITED.clear()
    read_or_refuse(attack, tmp_path / f"attack_{name}")
    assert process_time() - start < 5
    assert not AUDITED
    if name not in ("negative_member.tar", "nested_protocol.pt"):  # their twins are whole, and hold no model
        (tmp_path / name).write_bytes(twin)
        assert read(tmp_path / name, target=name).parameters
