"""Checkpoints behind a URL are read as files are, by ranges; a server that misbehaves gets a clear message."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from msgspec import to_builtins
from safetensors.torch import save_file
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.sources.checkpoint import read
from decay_audit.sources.remote import web_answer, web_client
from decay_audit.sources.remote.remote_path import END
from decay_audit.sources.target import CheckpointTarget, parse
from tests.remote.web_server import WebServer, serve

SHARDS = 20
HASTY = web_client.RetryPolicy(attempts=2, pause=0.01, timeout=0.5, total=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model in each form."""
    path = tmp_path_factory.mktemp("web")
    model = nn.ModuleList(nn.Sequential(nn.Linear(30, 30), nn.LayerNorm(30)) for _ in range(SHARDS))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.3)
    torch.stack([p.sum() for p in model.parameters()]).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    state = model.state_dict()
    save_file(state, path / "model.safetensors")
    torch.save({"model": state, "optimizer": optimizer.state_dict()}, path / "last.ckpt")
    torch.save(state, path / "old.bin", _use_new_zipfile_serialization=False)
    weight_map: dict[str, str] = {}
    for number in range(SHARDS):
        name = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        save_file({key: value for key, value in state.items() if key.startswith(f"{number}.")}, path / name)
        weight_map |= {key: name for key in state if key.startswith(f"{number}.")}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (path / "half.index.json").write_text(json.dumps({"weight_map": {**weight_map, "x": "gone.safetensors"}}))
    (path / "outside.index.json").write_text(json.dumps({"weight_map": {"x": "../secret.safetensors"}}))
    return path


@pytest.fixture
def server(folder: Path) -> Iterator[WebServer]:
    with serve(folder) as running:
        yield running


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait shorter than the usual policy, so that tests of failures end soon."""
    monkeypatch.setattr(web_client, "DEFAULT_RETRIES", HASTY)


def read_target(text: str) -> Inventory:
    target = parse(text)
    assert isinstance(target, CheckpointTarget)
    return read(target.path, target=target.label)


def refusal(url: str) -> str:
    with pytest.raises(TargetError) as caught:
        read_target(url)
    return f"{caught.value.message}\n{caught.value.hint}"


@pytest.mark.parametrize("name", ["model.safetensors", "last.ckpt", "old.bin", "model.safetensors.index.json"])
@pytest.mark.parametrize("behaviour", ["ranges", "whole", "moved", "busy", "dropped"])
def test_a_file_behind_a_url_is_read_as_the_file(
    server: WebServer, folder: Path, hasty: None, behaviour: str, name: str
) -> None:
    remote, local = read_target(server.url(f"{behaviour}/{name}")), read_target(str(folder / name))
    assert remote.target == server.url(f"{behaviour}/{name}")
    assert to_builtins((remote.parameters, remote.optimizers)) == to_builtins((local.parameters, local.optimizers))
    assert len(remote.parameters) == 4 * SHARDS


def test_of_a_safetensors_file_the_header_is_read_and_nothing_else(server: WebServer, folder: Path) -> None:
    read_target(server.url("ranges/model.safetensors"))
    length = int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
    assert server.sent == 8 + length
    assert len(server.requests) == 2


def test_each_shard_costs_two_requests_and_its_header(server: WebServer, folder: Path) -> None:
    read_target(server.url("ranges/model.safetensors.index.json"))
    shards = [request for request in server.requests if "-of-" in request[0]]
    assert len(shards) == 2 * SHARDS or len(shards) == SHARDS  # a header below 512 bytes comes with the first request
    headers = [8 + int.from_bytes(path.read_bytes()[:8], "little") for path in folder.glob("model-*.safetensors")]
    assert sum(count for _, _, count in shards) <= sum(max(length, 512) for length in headers)


def test_of_a_zip_file_the_end_the_directory_and_the_pickle_are_read(server: WebServer, folder: Path) -> None:
    import zipfile

    read_target(server.url("ranges/last.ckpt"))
    with zipfile.ZipFile(folder / "last.ckpt") as archive:
        pickle_bytes = archive.getinfo("last/data.pkl").file_size
        directory = (folder / "last.ckpt").stat().st_size - archive.start_dir
    assert server.sent <= 1.02 * (pickle_bytes + directory) + END
    assert len(server.requests) <= 3


def test_shards_are_read_sixteen_at_once(server: WebServer) -> None:
    read_target(server.url("slow/model.safetensors.index.json"))
    assert 8 <= server.most_at_once <= 16


def test_a_large_file_is_not_downloaded_from_a_server_that_ignores_ranges(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_answer, "MAX_BODY", 10_000)
    message = refusal(server.url("whole/model.safetensors"))
    assert "does not send parts of a file" in message
    assert "82" in message or "kB" in message


def test_an_endless_answer_is_cut_off(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_answer, "MAX_BODY", 1 << 20)
    assert "more than 1.05 MB" in refusal(server.url("endless/model.safetensors"))


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("other_range", "the server sent bytes 10 to 511 instead of 0 to 511"),
        ("too_long", "instead of 512 bytes"),
        ("changing", "changed while it was read"),
        ("locked", "needs a user and a password, or a token (401)"),
        ("forbidden", "may not be read (403)"),
        ("to_file", "leads to a file URL: this is not followed"),
        ("round", "leads from one URL to the next without end"),
        ("zipped", "is sent compressed"),
        ("huge", "bytes that belong to no tensor"),
    ],
)
def test_a_lying_or_refusing_server_gets_a_message(server: WebServer, behaviour: str, words: str) -> None:
    assert words in refusal(server.url(f"{behaviour}/model.safetensors"))
    assert server.sent < 2 << 20


@pytest.mark.parametrize(
    ("behaviour", "words"), [("always_dropped", "closed the connection"), ("silent", "did not answer in time")]
)
def test_a_server_that_is_not_there_is_tried_again_and_then_named(
    server: WebServer, hasty: None, behaviour: str, words: str
) -> None:
    message = refusal(server.url(f"{behaviour}/model.safetensors"))
    assert words in message
    assert "tried 2 times" in message
    assert len(server.requests) == 2


def test_a_closed_port_is_named(server: WebServer, hasty: None) -> None:
    url = server.url("ranges/model.safetensors")
    server.server_close()
    server.shutdown()
    assert "refused the connection" in refusal(url)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.safetensors", "none.safetensors does not exist"),
        ("half.index.json", "1 of the 21 shards in half.index.json is missing: 'gone.safetensors'"),
        ("outside.index.json", "which is not a file in its folder"),
    ],
)
def test_a_file_that_is_missing_is_named(server: WebServer, name: str, words: str) -> None:
    assert words in refusal(server.url(f"ranges/{name}"))


def test_user_and_password_of_a_url_are_sent_and_not_shown(server: WebServer) -> None:
    inventory = read_target(server.url("locked/model.safetensors?token=hidden", user="me:secret@"))
    assert server.headers[-1]["Authorization"] == "Basic bWU6c2VjcmV0"
    assert server.requests[-1][0].endswith("?token=hidden")
    assert inventory.target == server.url("locked/model.safetensors")


def test_a_redirect_does_not_lead_from_a_network_to_this_machine(folder: Path) -> None:
    address = outer_address()
    if address is None:
        pytest.skip("this machine has only a loopback address")
    with serve(folder) as inner, serve(folder, address) as outer:
        host, port = inner.server_address[:2]
        outer.away = f"http://{host!s}:{port}/ranges/model.safetensors"
        assert "an address of this machine: this is not followed" in refusal(outer.url("away/model.safetensors"))
        assert inner.requests == []
        host, port = outer.server_address[:2]
        inner.away = f"http://{host!s}:{port}/ranges/model.safetensors"
        assert len(read_target(inner.url("away/model.safetensors")).parameters) == 4 * SHARDS


def outer_address() -> str | None:
    """An address of this machine that is not a loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of a network for documentation: nothing is sent
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("127.0.0.1", "this machine"),
        ("::1", "this machine"),
        ("::ffff:127.0.0.1", "this machine"),
        ("0.0.0.0", "this machine"),
        ("10.1.2.3", "a private network"),
        ("169.254.169.254", "a private network"),
        ("fe80::1%eth0", "a private network"),
        ("93.184.216.34", "the public internet"),
        ("localhost", "this machine"),
        ("example.org", "the public internet"),
    ],
)
def test_who_can_reach_an_address(address: str, who: str) -> None:
    assert web_client.reach(address) == who
