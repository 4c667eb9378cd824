"""Every command takes a URL where it takes a checkpoint, and shows nothing of the URL's credentials."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from decay_audit.cli.main import app
from tests.remote.web_server import WebServer, serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    folder = tmp_path_factory.mktemp("served")
    model = nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.3)
    model(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.pt")
    wider = nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    torch.save({"model": wider.state_dict()}, folder / "wider.pt")
    with serve(folder) as running:
        yield running


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (["inspect", "LAST"], 0, "0.weight"),
        *(
            (["inspect", "LAST", "--format", form], 0, "last.pt")
            for form in ("json", "html", "csv", "sarif", "markdown")
        ),
        (["check", "LAST"], 1, "DA101"),
        (["check", "LAST", "--format", "json"], 1, "DA101"),
        (["check", "MODEL", "--checkpoint", "LAST"], 1, "DA101"),
        (["emit", "LAST"], 0, "def "),
        (["emit", "MODEL", "--like", "LAST"], 0, "AdamW"),
        (["lock", "LAST", "-o", "OUT"], 0, ""),
        (["diff", "LAST", "WIDER"], 0, "2.weight"),
        (["rules", "which", "LAST"], 0, "torch-default"),
        (["explain", "LAST", "0.weight"], 0, "0.weight"),
        (["inspect", "GONE"], 2, "does not exist"),
        (["inspect", "GONE", "--format", "json"], 2, "does not exist"),
        (["inspect", "FORBIDDEN"], 2, "403"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_url_is_a_checkpoint_and_its_credentials_are_not_shown(
    server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4))\n")
    urls = {
        word: f"{server.url(path, user='me:secret-password@')}?token=secret-token"
        for word, path in {
            "LAST": "locked/last.pt",
            "WIDER": "locked/wider.pt",
            "GONE": "locked/gone.pt",
            "FORBIDDEN": "forbidden/last.pt",
        }.items()
    }
    given = [urls.get(word, {"OUT": "decay.lock", "MODEL": "model.py"}.get(word, word)) for word in words]
    done = CliRunner().invoke(app, given)
    written = "".join(path.read_text() for path in tmp_path.iterdir() if path.name == "decay.lock")
    assert done.exit_code == code, done.output
    assert shown in done.output
    assert "secret" not in done.output + done.stderr + written
    assert all("secret-token" in path for path, _, _ in server.requests)
