"""`decay-audit sweep` writes one row for each checkpoint, and goes on after one that cannot be read."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner, Result

from decay_audit.api.functions import dask_cluster
from decay_audit.api.functions.sweeping import find_targets
from decay_audit.cli.main import app
from tests.remote.web_server import serve


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints, a sharded one, and a file that is none."""
    path = tmp_path_factory.mktemp("sweep")
    model = nn.Sequential(nn.Linear(4, 2), nn.LayerNorm(2))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.3)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    state = model.state_dict()
    save_file(state, path / "a.safetensors")
    torch.save({"model": state, "optimizer": optimizer.state_dict()}, path / "b.pt")
    (path / "broken.pt").write_text("not a checkpoint")
    (path / "below" / "sharded").mkdir(parents=True)
    (path / "below" / "train.py").write_text("")
    save_file(state, path / "below" / "c.safetensors")
    for number in (1, 2):
        part = dict(list(state.items())[(number - 1) * 2 : number * 2])
        save_file(part, path / "below" / "sharded" / f"model-0000{number}-of-00002.safetensors")
    return path


def sweep(*words: object) -> Result:
    return CliRunner().invoke(app, ["sweep", *map(str, words), "--processes", "1"])


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_stands_for_the_checkpoints_below_it(folder: Path) -> None:
    found = [Path(name).relative_to(folder).as_posix() for name in find_targets([str(folder)])]
    assert found == ["a.safetensors", "b.pt", "broken.pt", "below/c.safetensors", "below/sharded"]


def test_the_files_of_an_engine_are_one_checkpoint_and_other_names_are_not(tmp_path: Path) -> None:
    for name in ("latest/a.pt", "optim_notes.txt", "run/optimizer.pt", "run/model.pt", "deep/mp_rank_00/model.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("")
    found = [Path(name).relative_to(tmp_path).as_posix() for name in find_targets([str(tmp_path)])]
    assert found == ["deep", "latest/a.pt", "run"]


def test_each_checkpoint_is_a_row_and_a_bad_one_is_listed_at_the_end(folder: Path) -> None:
    done = sweep(folder)
    rows = {Path(row["name"]).name: row for row in rows_of(done.stdout)}
    assert done.exit_code == 2
    assert "1 checkpoint could not be read" in done.stderr
    assert "broken.pt is a text file" in done.stderr
    assert "4 checkpoints read, 1 with a saved optimizer" in done.stderr
    assert list(rows) == ["a.safetensors", "b.pt", "broken.pt", "c.safetensors", "sharded"]
    assert rows["broken.pt"]["error"].startswith("broken.pt is a text file")
    for name in ("a.safetensors", "b.pt", "c.safetensors", "sharded"):
        assert (rows[name]["parameters"], rows[name]["elements"]) == ("4", "14")  # 4 * 2 + 2 + 2 + 2
        assert float(rows[name]["decayed_elements"]) == pytest.approx(8 / 14, abs=1e-6)
        assert "linear_weight=1" in rows[name]["decayed_by_role"]
    assert (rows["b.pt"]["optimizer"], rows["b.pt"]["weight_decay"]) == ("AdamW", "0.3")
    assert "DA101=" in rows["b.pt"]["findings"]
    assert rows["sharded"]["files"] == "2"


def test_without_a_bad_one_the_exit_code_is_0(folder: Path) -> None:
    done = sweep(f"{folder}/**/*.safetensors")
    assert done.exit_code == 0
    assert len(rows_of(done.stdout)) == 4
    assert "could not be read" not in done.stderr


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_resume_reads_only_what_has_no_row_yet(folder: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"rows.{suffix}"
    assert sweep(folder, "-o", output).exit_code == 2
    whole = output.read_bytes()
    lines = whole.splitlines(keepends=True)
    output.write_bytes(b"".join(lines[:-1]) + lines[-1][:10])  # it was killed in the middle of the last row
    done = sweep(folder, "-o", output, "--resume")
    assert "3 were in the file before" in done.stderr
    text = output.read_text()
    rows = rows_of(text) if suffix == "csv" else [json.loads(line) for line in text.splitlines()]
    names = {Path(row["name"]).name for row in rows}
    assert names == {"a.safetensors", "b.pt", "broken.pt", "c.safetensors", "sharded"}
    assert output.read_bytes().endswith(lines[-1])


def test_processes_write_the_rows_of_one_process(folder: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone.csv", tmp_path / "together.csv"
    sweep(folder, "-o", alone)
    done = CliRunner().invoke(app, ["sweep", str(folder), "-o", str(together), "--processes", "2"])
    assert done.exit_code == 2
    assert together.read_bytes() == alone.read_bytes()


def test_parquet_has_the_same_rows(folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "rows.parquet"
    assert sweep(folder / "b.pt", "-o", output).exit_code == 0
    (row,) = parquet.read_table(output).to_pylist()
    assert (row["parameters"], row["optimizer"], row["weight_decay"]) == (4, "AdamW", 0.3)


def test_urls_are_read_and_their_credentials_are_not_written(folder: Path) -> None:
    with serve(folder) as server:
        done = sweep(server.url("locked/a.safetensors", user="me:secret@") + "?token=secret", folder / "a.safetensors")
    rows = rows_of(done.stdout)
    assert done.exit_code == 0, done.output
    assert [row["parameters"] for row in rows] == ["4", "4"]
    assert "secret" not in done.output + done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "-o", "rows.txt"], "rows.txt has no suffix of a table"),
        (["a", "--resume"], "--resume needs the file to continue"),
        (["a", "-o", "rows.parquet", "--resume"], "a Parquet file cannot be continued"),
        (["*.nothing"], "*.nothing stands for no checkpoint"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], message: str) -> None:
    done = sweep(*words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_table_of_a_sweep_is_no_input_of_it(folder: Path, tmp_path: Path) -> None:
    table, model = tmp_path / "rows.csv", tmp_path / "model.safetensors"
    model.write_bytes((folder / "a.safetensors").read_bytes())
    for _ in range(2):  # the second time, the pattern matches the table, too
        assert sweep(tmp_path / "*", "-o", table).exit_code == 0
        assert [row["name"] for row in rows_of(table.read_text())] == [str(model)]
    before = table.read_text()
    assert sweep(table, "-o", table).exit_code == 2
    assert table.read_text() == before


def test_two_workers_of_a_cluster_write_the_rows_of_one_process(folder: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    alone, together = tmp_path / "alone.csv", tmp_path / "together.csv"
    for number in range(40):  # more than one worker gets at a time
        (tmp_path / f"{number:02}.safetensors").write_bytes((folder / "a.safetensors").read_bytes())
    names = [str(folder), str(tmp_path / "*.safetensors")]
    sweep(*names, "-o", alone)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        done = CliRunner().invoke(app, ["sweep", *names, "-o", str(together), "--cluster", cluster.scheduler_address])
    assert done.exit_code == 2  # one of the files is no checkpoint
    assert together.read_bytes() == alone.read_bytes()


def test_a_cluster_that_cannot_be_reached_is_bad_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask_cluster, "_TIMEOUT", 0.5)
    done = sweep(folder, "--cluster", "tcp://127.0.0.1:9")
    assert done.exit_code == 2
    assert "tcp://127.0.0.1:9 cannot be used" in done.stderr
