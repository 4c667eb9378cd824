"""Moving a state to a model that has changed: frozen and new parameters, new shapes, new names, another order."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim import lr_scheduler
from typer.testing import CliRunner

from decay_audit.cli import app
from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.optimizers.migrate.matching import saved_positions

OLD = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 5)

    def forward(self, x):
        return self.head(self.norm(self.body(x)))


def optimizer(model, kind=torch.optim.AdamW):
    return kind([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)


def adagrad(model):
    return optimizer(model, torch.optim.Adagrad)


def split(model):
    trained = [p for p in model.parameters() if p.requires_grad]
    weights, others = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim < 2]
    return torch.optim.AdamW([{"params": weights, "weight_decay": 0.2}, {"params": others, "weight_decay": 0}], lr=0.1)


def head_apart(model, lr=0.1):
    head = {*model.head.parameters()}
    body = [p for p in model.parameters() if p not in head]
    return torch.optim.AdamW([{"params": body}, {"params": [*head], "lr": lr}], lr=0.1, weight_decay=0.2)


def faster_head(model):
    return head_apart(model, lr=1.0)
"""
LAYERS = "self.body, self.norm, self.head = nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 5)"
FROZEN = OLD.replace(LAYERS, f"{LAYERS}\n        self.body.requires_grad_(False)")
ADDED = OLD.replace(LAYERS, f"{LAYERS}\n        self.extra = nn.Linear(5, 2)")
RESHAPED = OLD.replace("nn.Linear(3, 5)", "nn.Linear(3, 2)")
RENAMED = OLD.replace("self.norm", "self.ln")
SWAPPED = OLD.replace(LAYERS, "self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)").replace(
    "self.head(self.norm(self.body(x)))", "self.second(self.first(x))"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(code: str) -> tuple[nn.Module, dict[str, Any]]:
    space: dict[str, Any] = {}
    exec(code, space)
    torch.manual_seed(0)
    model: nn.Module = space["Net"]()
    return model, space


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()


def train(code: str = OLD, factory: str = "optimizer") -> tuple[nn.Module, torch.optim.Optimizer, dict[str, Any]]:
    model, space = build(code)
    optimizer = space[factory](model)
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    for _ in range(3):
        step(model, optimizer)
        scheduler.step()
    states = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    content = {"model": model.state_dict(), **states}
    torch.save(content, "last.pt")
    return model, optimizer, content


def migrate(code: str, *options: str, to: str = "split", checkpoint: str = "last.pt", output: str = "new.pt") -> Any:
    Path("net.py").write_text(code)
    command = ["migrate", checkpoint, "--model", "net.py:Net", "--to", f"net.py:{to}", "--output", output, *options]
    return CliRunner().invoke(app, command)


def resume(code: str, to: str = "split") -> tuple[nn.Module, torch.optim.Optimizer]:
    """Load the new state with torch, and check that a step runs."""
    model, space = build(code)
    optimizer: torch.optim.Optimizer = space[to](model)
    optimizer.load_state_dict(torch.load("new.pt")["optimizer"])
    return model, optimizer


def states(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, list[float]]:
    return {
        name: optimizer.state[parameter]["exp_avg"].flatten().tolist()
        for name, parameter in model.named_parameters()
        if optimizer.state.get(parameter)
    }


HEAD = ["head.weight", "head.bias"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("code", "message", "option", "without"),
    [
        (
            FROZEN,
            "body.weight, body.bias are in the saved state, and not in the new optimizer",
            "--drop",
            ["body.weight", "body.bias"],
        ),
        (ADDED, "extra.weight, extra.bias are not in the saved AdamW", "--init", []),
        (
            RESHAPED,
            "another shape than its parameter: head.weight (5x3, now 2x3), head.bias (5, now 2)",
            "--init",
            HEAD,
        ),
    ],
    ids=["frozen", "added", "reshaped"],
)
def test_what_has_no_counterpart_is_refused_and_the_options_of_the_hint_mend_it(
    code: str, message: str, option: str, without: list[str]
) -> None:
    model, optimizer, _ = train()
    refused = migrate(code)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert not Path("new.pt").exists()
    options = re.search(rf"{option} .*", refused.stderr)
    assert options
    assert migrate(code, *shlex.split(options[0])).exit_code == 0
    resumed, new_optimizer = resume(code)
    kept = states(model, optimizer)
    assert states(resumed, new_optimizer) == {name: kept[name] for name in kept if name not in without}
    step(resumed, new_optimizer)


@pytest.mark.usefixtures("folder")
def test_a_new_parameter_has_what_the_optimizers_constructor_makes() -> None:
    """Adagrad makes its states in the constructor, and a step without them raises."""
    train(OLD, "adagrad")
    assert migrate(ADDED, "--init", "extra.*", to="adagrad").exit_code == 0
    assert "--device cpu" in migrate(ADDED, "--init", "extra.*", "--device", "meta", to="adagrad").stderr
    resumed, optimizer = resume(ADDED, "adagrad")
    assert [state["step"].item() for state in optimizer.state.values()] == [3, 3, 3, 3, 3, 3, 0, 0]
    step(resumed, optimizer)


@pytest.mark.usefixtures("folder")
def test_a_group_of_new_parameters_continues_like_the_others_unless_it_has_its_own_learning_rate() -> None:
    train(OLD)
    assert migrate(RESHAPED, "--init", "head.*", to="head_apart").exit_code == 0
    content = torch.load("new.pt")
    assert [group["lr"] for group in content["optimizer"]["param_groups"]] == [pytest.approx(0.001)] * 2
    assert content["scheduler"]["base_lrs"] == [0.01, 0.01]
    refused = migrate(RESHAPED, "--init", "head.*", to="faster_head")
    assert "a new group has no saved parameter, and a learning rate of its own" in refused.stderr


@pytest.mark.usefixtures("folder")
def test_new_names_are_suggested_and_followed_on_request() -> None:
    model, optimizer, _ = train()
    refused = migrate(RENAMED)
    assert "2 saved parameters are not in the model: norm.bias may be called ln.bias now" in refused.stderr
    result = migrate(RENAMED, "--renamed")
    assert "renamed: norm.bias is ln.bias, norm.weight is ln.weight" in result.stdout
    resumed, new_optimizer = resume(RENAMED)
    renamed = {name.replace("norm.", "ln."): values for name, values in states(model, optimizer).items()}
    assert states(resumed, new_optimizer) == renamed
    assert migrate(RENAMED, "--drop", "norm.*", "--init", "ln.*").exit_code == 0
    assert not {"ln.weight", "ln.bias"} & states(*resume(RENAMED)).keys()


@pytest.mark.usefixtures("folder")
def test_a_command_that_lacks_options_is_answered_with_a_whole_command() -> None:
    refused = CliRunner().invoke(app, ["migrate", "last.pt", "-o", "next.pt"])
    assert refused.exit_code == 2
    example = "decay-audit migrate last.pt -o next.pt --to train.py:make_optimizer --model train.py:Net"
    assert f"hint: for example: {example}" in refused.stderr
    refused = CliRunner().invoke(app, ["migrate", "last.pt", "--model"])
    assert "for example" not in refused.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("option", ["--drop", "--init"])
def test_a_pattern_that_names_nothing_is_refused(option: str) -> None:
    train()
    refused = migrate(OLD, option, "tail.*")
    assert refused.exit_code == 2
    assert f"{option} 'tail.*' has no effect" in refused.stderr


@pytest.mark.usefixtures("folder")
def test_positions_follow_the_order_of_the_model_that_was_trained_not_of_its_code_today() -> None:
    model, optimizer, _ = train(SWAPPED)
    today = SWAPPED.replace("self.first, self.second =", "self.second, self.first =")
    assert migrate(today).exit_code == 0
    assert states(*resume(today)) == states(model, optimizer)


@pytest.mark.parametrize(
    ("optimizer_file", "scheduler_file"), [("optimizer.pt", "scheduler.pt"), ("optimizer.bin", "scheduler.bin")]
)
def test_the_folder_of_a_trainer_is_copied_with_its_optimizer_and_scheduler_rewritten(
    folder: Path, optimizer_file: str, scheduler_file: str
) -> None:
    model, optimizer, content = train()
    saved = folder / "checkpoint-3"
    saved.mkdir()
    save_file(model.state_dict(), saved / "model.safetensors")
    torch.save(content["optimizer"], saved / optimizer_file)
    torch.save(content["scheduler"], saved / scheduler_file)
    (saved / "trainer_state.json").write_text("{}")
    before = {file.name: file.read_bytes() for file in saved.iterdir()}
    result = migrate(OLD, checkpoint="checkpoint-3", output="new")
    assert result.exit_code == 0, result.stderr
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before
    new = folder / "new"
    assert {file.name for file in new.iterdir()} == before.keys()
    assert (new / "model.safetensors").read_bytes() == before["model.safetensors"]
    torch.save({"optimizer": torch.load(new / optimizer_file)}, "new.pt")
    assert states(*resume(OLD)) == states(model, optimizer)
    assert torch.load(new / scheduler_file)["base_lrs"] == [0.01, 0.01]
    assert "'new' is a directory" in migrate(OLD, checkpoint="checkpoint-3", output="new").stderr


@pytest.mark.usefixtures("folder")
def test_the_file_that_torch_makes_of_a_distributed_checkpoint_is_migrated() -> None:
    """Its states have the keys "0", "1", which the groups list as numbers, so that torch itself would not find them."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save, torch_save_to_dcp

    model, optimizer, _ = train()
    torch_save_to_dcp("last.pt", "dcp")
    dcp_to_torch_save("dcp", "file.pt")
    assert migrate(OLD, checkpoint="file.pt").exit_code == 0
    assert states(*resume(OLD)) == states(model, optimizer)


@pytest.mark.usefixtures("folder")
def test_states_that_no_group_lists_are_refused() -> None:
    _, _, content = train()
    content["optimizer"]["state"] = {f"x{key}": value for key, value in content["optimizer"]["state"].items()}
    torch.save(content, "last.pt")
    assert "has states that no group lists: x0, x1, x2" in migrate(OLD).stderr


@pytest.mark.usefixtures("folder")
def test_a_file_whose_names_were_sorted_has_no_order_and_the_models_is_taken() -> None:
    model, optimizer, content = train(SWAPPED.replace("first", "w").replace("second", "a"))
    torch.save({**content, "model": dict(sorted(content["model"].items()))}, "last.pt")
    code = SWAPPED.replace("first", "w").replace("second", "a")
    assert migrate(code).exit_code == 0
    assert states(*resume(code)) == states(model, optimizer)


def test_renames_may_swap_names_but_not_give_one_name_to_two_positions() -> None:
    state = {"param_groups": [{"params": [0, 1]}], "state": {}}
    saved = Optimizer(name="optimizer", type="SGD", groups=(ParamGroup(weight_decay=0.1, parameters=("a", "b")),))
    swapped = saved_positions(state, saved, {"a": "b", "b": "a"})
    assert {name: position.key for name, position in swapped.items()} == {"b": 0, "a": 1}
    with pytest.raises(OptimizerError, match="b is at two positions"):
        saved_positions(state, saved, {"a": "b"})
