"""A second run reads no header again: only whether the ETag is still the same. What could be wrong is not kept."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from msgspec import to_builtins
from typer.testing import CliRunner

import decay_audit
from decay_audit.cli.main import app
from decay_audit.sources.remote import header_cache
from tests.remote.test_web import folder
from tests.remote.web_server import Handler, WebServer, serve

__all__ = ["folder"]
FORMS = ("model.safetensors", "last.ckpt", "old.bin", "model.safetensors.index.json")


class OtherVersions(Handler):
    """`/weak/x.pt` has a weak ETag, and `/dated/x.pt` only the time of its last change."""

    def weak(self, name: str) -> None:
        if (part := self.part(name)) is not None:
            self.answer(206, part[0], Content_Range=part[1], ETag=f"W/{part[2]}")

    def dated(self, name: str) -> None:
        if (part := self.part(name)) is not None:
            self.answer(206, part[0], Content_Range=part[1], Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")


@pytest.fixture
def server(folder: Path) -> Iterator[WebServer]:
    with serve(folder, handler=OtherVersions) as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the entries; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decay-audit" / "headers"


def entries(cache: Path) -> list[Path]:
    return sorted(cache.iterdir()) if cache.exists() else []


@pytest.mark.parametrize("name", FORMS)
def test_a_second_run_asks_once_for_each_file_whether_it_changed(server: WebServer, cache: Path, name: str) -> None:
    first = decay_audit.read(server.url(f"ranges/{name}"))
    files = {path for path, _, _ in server.requests}
    server.requests.clear()
    second = decay_audit.read(server.url(f"ranges/{name}"))
    assert to_builtins(second) == to_builtins(first)
    assert sorted(path for path, _, _ in server.requests) == sorted(files)
    assert {span for _, span, _ in server.requests} == {"bytes=0-511"}
    assert all(len(path.name) == 64 and set(path.name) <= set("0123456789abcdef") for path in entries(cache))
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_file_that_changed_is_read_again(folder: Path, tmp_path: Path) -> None:
    states = [{f"{number}.weight": torch.ones(8, 4) for number in range(start, start + 40)} for start in (10, 50)]
    with serve(tmp_path) as server:
        for state in states:
            torch.save(state, tmp_path / "model.pt")
            assert {it.name for it in decay_audit.read(server.url("ranges/model.pt")).parameters} == set(state)


def test_no_cache_neither_writes_nor_reads(server: WebServer, cache: Path) -> None:
    url = server.url("ranges/model.safetensors")
    words = ["inspect", url, "--format", "json"]
    for command in (words, ["check", url], ["sweep", url, "--processes", "1"]):
        CliRunner().invoke(app, [*command, "--no-cache"])
        assert not cache.exists()
    server.requests.clear()
    shown = CliRunner().invoke(app, words).output
    sent = server.sent
    assert entries(cache)
    before = [path.stat().st_mtime_ns for path in entries(cache)]
    server.requests.clear()
    assert CliRunner().invoke(app, [*words, "--no-cache"]).output == shown
    assert server.sent == sent
    assert [path.stat().st_mtime_ns for path in entries(cache)] == before
    server.requests.clear()
    assert CliRunner().invoke(app, words).output == shown
    assert server.sent == 512


@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("weak/model.safetensors", ""),
        ("dated/model.safetensors", ""),
        ("whole/model.safetensors", ""),
        ("ranges/model.safetensors?token=secret", ""),
        ("locked/model.safetensors", "me:secret@"),
    ],
)
def test_without_an_etag_or_with_credentials_nothing_is_kept(
    server: WebServer, cache: Path, path: str, user: str
) -> None:
    decay_audit.read(server.url(path, user))
    assert entries(cache) == []


@pytest.mark.parametrize("damage", [b"", b"0" * 100, None])
def test_a_damaged_entry_is_read_again(server: WebServer, cache: Path, damage: bytes | None) -> None:
    url = server.url("ranges/last.ckpt")
    first = decay_audit.read(url)
    for entry in entries(cache):
        content = entry.read_bytes()
        entry.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage is None else damage)
    assert to_builtins(decay_audit.read(url)) == to_builtins(first)
    requests = len(server.requests)
    decay_audit.read(url)
    assert len(server.requests) == requests + 1


def test_the_oldest_entries_are_removed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_cache, "MAX_CACHE", 1000)
    (tmp_path / "another file").write_bytes(bytes(2000))
    store = header_cache.HeaderCache(tmp_path)
    names = [f"{number:064x}" for number in range(8)]
    for name in names:
        store.write(name, bytes(168))  # 200 with the checksum
    left = [name for name in names if store.read(name, 168) is not None]
    assert left == names[-len(left) :]
    assert 3 <= len(left) <= 5
    assert (tmp_path / "another file").exists()


def test_a_folder_that_others_may_write_to_is_not_used(server: WebServer, cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    decay_audit.read(server.url("ranges/last.ckpt"))
    assert entries(cache) == []


def test_a_folder_that_cannot_be_made_is_no_error(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert decay_audit.read(server.url("ranges/last.ckpt")).parameters


def test_a_run_goes_on_when_the_entries_are_removed(server: WebServer, cache: Path) -> None:
    decay_audit.read(server.url("ranges/old.bin"))
    shutil.rmtree(cache)
    assert decay_audit.read(server.url("ranges/last.ckpt")).parameters
