"""`hf://` reads the folders and files of a hub through its documented endpoints."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
from msgspec import to_builtins
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import decay_audit
from decay_audit.cli.main import app
from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
from decay_audit.sources.remote import find_urls, hub_store
from tests.remote.test_web import read_target, refusal
from tests.remote.web_server import Handler, WebServer, serve

TOKEN = "hf_" + "secret"


class Hub(Handler):
    """`/api/models/org/name/tree/REVISION/FOLDER` and `/org/name/resolve/REVISION/FILE`, as the hub's API has them.

    The served folder has one folder for each revision. Files of `lfs` are redirected to another path, as large files
    are; the repository `org/private` needs the token.
    """

    def do_GET(self) -> None:
        server = self.server
        server.headers.append(dict(self.headers))
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts == ["api", "models"]:
            author = urlsplit(self.path).query.partition("author=")[2].partition("&")[0]
            names = [f"org/{name}" for name in ("model", "other")] if author == "org" else []
            return self.answer(200, json.dumps([{"id": name, "private": False} for name in names]).encode())
        is_api = parts[0] == "api"
        repository = "/".join(parts[2:4] if is_api else parts[:2])
        rest = parts[5:] if is_api else parts[3:]
        if parts[0] == "cdn":
            return self.ranges("/".join(parts[1:]))
        if repository == "org/private" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, b"{}")
        folder = server.folder / "/".join(rest[: 1 if not is_api else None])
        if repository == "org/unknown" or not folder.exists():
            return self.answer(404, b"{}")
        if is_api:
            return self.tree(folder, server.folder / rest[0])
        return self.answer(302, b"", Location=f"{server.away}/cdn/{'/'.join(rest)}")

    def tree(self, folder: Path, root: Path) -> None:
        """Two entries a page, with the next page in the header Link."""
        entries: list[dict[str, Any]] = []
        for path in sorted(folder.iterdir()):
            name = path.relative_to(root).as_posix()
            if path.is_dir():
                entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": name})
            else:
                oid = f"{hash(path.read_bytes()):x}"
                entries.append({"type": "file", "oid": oid, "size": path.stat().st_size, "path": name})
        start = int(urlsplit(self.path).query.partition("cursor=")[2] or 0)
        more = {}
        if len(entries) > start + 2:
            host, port = self.server.server_address[:2]
            more = {"Link": f'<http://{host!s}:{port}{urlsplit(self.path).path}?cursor={start + 2}>; rel="next"'}
        self.answer(200, json.dumps(entries[start : start + 2]).encode(), **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hub")
    for revision, width in (("main", 8), ("v1", 4), ("refs/pr/1", 6)):
        inside = path / revision
        (inside / "sub").mkdir(parents=True)
        state = nn.Sequential(nn.Linear(width, 4), nn.LayerNorm(4)).state_dict()
        names = sorted(state)
        halves = {"model-00001-of-00002.safetensors": names[:2], "model-00002-of-00002.safetensors": names[2:]}
        for name, keys in halves.items():
            save_file({key: state[key] for key in keys}, inside / name)
        weight_map = {key: name for name, keys in halves.items() for key in keys}
        (inside / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        (inside / "README.md").write_text("# a model")
        torch.save(state, inside / "sub" / "pytorch_model.bin")
    return path


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WebServer]:
    with serve(folder, handler=Hub) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url("").rstrip("/"))
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("hf://org/model", "main"),
        ("hf://org/model@v1", "v1"),
        ("hf://org/model@refs/pr/1", "refs/pr/1"),
        ("hf://org/model@refs%2Fpr%2F1", "refs/pr/1"),
        ("hf://org/model@v1/model.safetensors.index.json", "v1"),
        ("hf://org/model/model-00001-of-00002.safetensors", "main/model-00001-of-00002.safetensors"),
        ("hf://org/model@v1/sub", "v1/sub"),
        ("hf://org/model@v1/sub/pytorch_model.bin", "v1/sub/pytorch_model.bin"),
    ],
)
def test_a_repository_is_read_as_its_folder(hub: WebServer, folder: Path, url: str, path: str) -> None:
    remote = read_target(url)
    local = read(folder / path, target=url)
    assert remote.target == url
    assert to_builtins(remote.parameters) == to_builtins(local.parameters)
    assert remote.files == local.files


def test_a_page_of_the_hub_is_read_as_its_repository(hub: WebServer) -> None:
    url = f"{hub.url('org/model/tree/v1')}".replace("http://", "https://")
    assert hub_store.from_web_page(url) == "hf://org/model@v1"


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(
    hub: WebServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refusal("hf://org/private")
    assert "(401)" in message
    assert "set HF_TOKEN" in message
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert len(read_target("hf://org/private").parameters) == 4
    with serve(folder, handler=Hub) as other:
        hub.away = other.url("").rstrip("/")
        assert len(read_target("hf://org/private").parameters) == 4
        assert hub.headers[-1]["Authorization"] == f"Bearer {TOKEN}"
        assert other.headers
        assert not any("Authorization" in headers for headers in other.headers)


def test_the_token_of_hf_auth_login_is_used(hub: WebServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert len(read_target("hf://org/private").parameters) == 4


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("hf://org/unknown", "the hub has no org/unknown at revision main"),
        ("hf://org/model@v9", "the hub has no org/model at revision v9"),
        ("hf://org/model/none.bin", "hf://org/model@main/none.bin does not exist"),
        ("hf://", "names no repository"),
        ("hf://org/../x", "names no repository"),
    ],
)
def test_what_the_hub_does_not_have_is_named(hub: WebServer, url: str, words: str) -> None:
    assert words in refusal(url)


def test_an_endpoint_that_is_no_hub_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Page(Handler):
        def do_GET(self) -> None:
            self.answer(200, b"<html>")

    with serve(folder, handler=Page) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url(""))
        with pytest.raises(TargetError, match="is not a list of files"):
            read_target("hf://org/model")


def test_of_files_that_the_cache_has_only_the_list_is_read_again(hub: WebServer, tmp_path: Path) -> None:
    first = decay_audit.read("hf://org/model@v1")
    lists = [path for path, _, _ in hub.requests if path.startswith("/api/")]
    assert len(hub.requests) > len(lists)
    hub.requests.clear()
    assert to_builtins(decay_audit.read("hf://org/model@v1").parameters) == to_builtins(first.parameters)
    assert [path for path, _, _ in hub.requests] == lists
    other = decay_audit.read("hf://org/model@main")
    assert [it.shape for it in other.parameters] != [it.shape for it in first.parameters]


def test_two_revisions_are_compared(hub: WebServer) -> None:
    done = CliRunner().invoke(app, ["diff", "hf://org/model@main", "hf://org/model@v1"])
    assert done.exit_code == 0, done.output
    assert "hf://org/model@main" in done.output
    assert "hf://org/model@v1" in done.output


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("hf://org", ["hf://org/model", "hf://org/other"]),
        ("hf://org/mo*", ["hf://org/model"]),
        ("hf://org/mo*@v1", ["hf://org/model@v1"]),
        ("hf://org/none-*", []),
        ("hf://gpt2", ["hf://gpt2"]),
        ("hf://org/model", ["hf://org/model"]),
        ("hf://org/model@v1/sub/*.bin", ["hf://org/model@v1/sub/pytorch_model.bin"]),
        ("hf://org/model/**/*.bin", ["hf://org/model/sub/pytorch_model.bin"]),
        ("hf://org/*/sub/*.bin", [f"hf://org/{name}/sub/pytorch_model.bin" for name in ("model", "other")]),
    ],
)
def test_an_organisation_and_a_pattern_stand_for_what_the_hub_lists(url: str, found: list[str]) -> None:
    assert list(find_urls(url)) == found


@pytest.mark.usefixtures("hub")
def test_a_sweep_of_an_organisation_has_a_row_for_each_model() -> None:
    result = CliRunner().invoke(app, ["sweep", "hf://org", "--processes", "1"])
    assert result.exit_code == 0, result.output
    assert [line.partition(",")[0] for line in result.stdout.splitlines()[1:]] == ["hf://org/model", "hf://org/other"]
