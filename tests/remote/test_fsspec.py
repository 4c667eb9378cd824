"""`s3://` and whatever else fsspec opens: from a real S3 server, and from fsspec's own file system in memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import to_builtins
from safetensors.torch import save_file
from torch import nn

import decay_audit
from decay_audit.sources.checkpoint import read
from tests.remote.test_web import read_target, refusal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    state = nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4)).state_dict()
    (path / "sub").mkdir()
    save_file(state, path / "sub" / "model.safetensors")
    torch.save(state, path / "model.pt")
    return path


@pytest.fixture(scope="module")
def s3(folder: Path) -> Iterator[Any]:
    """A bucket with the folder in it, on moto's server."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address=".".join(("127", "0", "0", "1")), port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = pytest.importorskip("boto3").client("s3")
        client.create_bucket(Bucket="bucket")
        for path in folder.rglob("*.*"):
            client.upload_file(str(path), "bucket", f"run/{path.relative_to(folder).as_posix()}")
        yield client
    server.stop()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("s3://bucket/run/model.pt", "model.pt"),
        ("s3://bucket/run/sub/", "sub"),
        ("s3://bucket/run", "."),
        ("s3://bucket/run/sub/model.safetensors", "sub/model.safetensors"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_bucket_is_read_as_a_folder(s3: Any, folder: Path, url: str, path: str) -> None:
    remote, local = read_target(url), read((folder / path).resolve(), target=url)
    assert to_builtins(remote.parameters) == to_builtins(local.parameters)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_of_objects_that_the_cache_has_no_byte_is_read_again(
    s3: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = decay_audit.read("s3://bucket/run/model.pt")
    entries = [*(tmp_path / "decay-audit" / "headers").iterdir()]
    assert entries
    monkeypatch.setattr("s3fs.S3FileSystem.cat_file", None)
    assert to_builtins(decay_audit.read("s3://bucket/run/model.pt").parameters) == to_builtins(first.parameters)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_what_a_bucket_does_not_have_is_named(s3: Any) -> None:
    assert "s3://bucket/run/none.pt does not exist" in refusal("s3://bucket/run/none.pt")


def test_a_file_system_of_fsspec_is_read(folder: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/models/model.safetensors", (folder / "sub" / "model.safetensors").read_bytes())
    local = read(folder / "sub", target="x")
    for url in ("memory://models/model.safetensors", "memory://models"):
        assert to_builtins(read_target(url).parameters) == to_builtins(local.parameters)
    assert "memory:///models/none.pt does not exist" in refusal("memory://models/none.pt")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nothing://x/y.pt", "Protocol not known: nothing"),
        ("file:///%78.pt", "is not a remote file"),
        ("simplecache::s3://x/y.pt", "is a chain of protocols"),
    ],
)
def test_other_protocols_are_refused(url: str, words: str) -> None:
    assert words in refusal(url)


@pytest.mark.parametrize(("url", "extra"), [("s3://b/x.pt", "s3"), ("gs://b/x.pt", "gs"), ("az://b/x.pt", "az")])
def test_a_backend_that_is_missing_is_named_with_its_extra(url: str, extra: str) -> None:
    code = f"""
import sys
sys.modules.update(dict.fromkeys(("s3fs", "gcsfs", "adlfs")))
from decay_audit.__main__ import main
sys.argv = ["decay-audit", "inspect", {url!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"pip install 'decay-audit[{extra}]'" in done.stderr
