"""What loading a saved state would do, compared with what torch does."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from decay_audit.cli import app

SCRIPT = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)


def groups(decayed, spared):
    return [{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}]


def now(model):
    return torch.optim.AdamW(groups([model.fc.weight, model.norm.weight], [model.fc.bias, model.norm.bias]), lr=1)


def one_group(model):
    return torch.optim.AdamW(model.parameters(), lr=1, weight_decay=0.1)


def swapped(model):
    return torch.optim.AdamW(groups([model.norm.weight, model.fc.weight], [model.fc.bias, model.norm.bias]), lr=1)


def other_biases(model):
    return torch.optim.AdamW(groups([model.fc.weight, model.norm.weight], [model.norm.bias, model.fc.bias]), lr=1)


def backwards(model):
    return torch.optim.AdamW(list(model.parameters())[::-1], lr=1, weight_decay=0.1)


def sgd(model):
    return torch.optim.SGD(list(model.parameters())[::-1], lr=1, weight_decay=0.1, momentum=0.9)


def weights(model):
    return torch.optim.AdamW([model.fc.weight, model.norm.weight], lr=1, weight_decay=0.1)


def groups_of_one_coefficient(model):
    return torch.optim.AdamW([{"params": part.parameters()} for part in (model.norm, model.fc)], lr=1)


def two(model):
    return torch.optim.AdamW(groups([model.fc.weight], [model.fc.bias]), lr=1), torch.optim.Adam([
        {"params": [model.norm.weight, model.norm.bias], "weight_decay": 0.0}
    ], lr=1)


def two_of_a_size(model):
    parts = {"fc": model.fc, "norm": model.norm}
    return {name: torch.optim.AdamW(part.parameters(), lr=1) for name, part in parts.items()}


def stronger(model):
    optimizer = now(model)
    optimizer.param_groups[0]["weight_decay"] = 0.3
    return optimizer
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def make(factory: str) -> tuple[nn.Module, Any]:  # an optimizer, or several
    names: dict[str, Any] = {}
    exec(SCRIPT, names)
    model = names["Net"]()
    return model, names[factory](model)


def save(folder: Path, factory: str, *, names: bool = True) -> dict[str, Any]:
    model, optimizer = make(factory)
    named = {id(tensor): name for name, tensor in model.named_parameters()}
    for tensor in model.parameters():
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    state: dict[str, Any] = optimizer.state_dict()
    for group, live in zip(state["param_groups"], optimizer.param_groups, strict=True) if names else ():
        group["param_names"] = [named[id(tensor)] for tensor in live["params"]]
    torch.save({"model": model.state_dict(), "optimizer": state}, folder / "last.pt")
    return state


def arguments(factory: str) -> list[str]:
    return ["train.py", "--optimizer", f"train.py:{factory}", "--checkpoint", "last.pt", "--rules", "no-bias"]


def check(factory: str) -> str:
    return CliRunner().invoke(app, ["check", *arguments(factory)]).stdout


def test_the_same_groups_resume_without_a_finding(folder: Path) -> None:
    save(folder, "now")
    assert "DA601" not in check("now")


@pytest.mark.parametrize("factory", ["two", "two_of_a_size"])
@pytest.mark.parametrize("saved", [("fc", "norm"), ("norm", "fc"), ("norm",)])
def test_several_states_are_compared_with_their_own_optimizers_whatever_their_order(
    folder: Path, factory: str, saved: tuple[str, ...]
) -> None:
    model, result = make(factory)
    optimizers = result if isinstance(result, dict) else dict(zip(("fc", "norm"), result, strict=True))
    for tensor in model.parameters():
        tensor.grad = torch.ones_like(tensor)
    for optimizer in optimizers.values():
        optimizer.step()
    torch.save(
        {"model": model.state_dict(), **{name: optimizers[name].state_dict() for name in saved}}, folder / "last.pt"
    )
    assert "DA601" not in check(factory)


def test_torch_refuses_groups_of_other_sizes(folder: Path) -> None:
    state = save(folder, "one_group")
    assert "torch would refuse this state: it has 1 group of 4 parameters, AdamW has 2 groups" in check("now")
    command = "decay-audit migrate last.pt --to train.py:now --model train.py --output last-migrated.pt"
    assert command in check("now").replace("\n", " ")
    with pytest.raises(ValueError, match="different number of parameter groups"):
        make("now")[1].load_state_dict(state)


def test_torch_accepts_the_same_sizes_in_another_order_and_swaps_states(folder: Path) -> None:
    state = save(folder, "swapped")
    assert "torch would accept this state and give 2 parameters the state and settings of another" in check("now")
    make("now")[1].load_state_dict(state)


def test_groups_that_torch_saved_without_names_resume_in_their_own_order_without_a_finding(folder: Path) -> None:
    """In the order of the model they would not fit."""
    save(folder, "backwards", names=False)
    assert "DA601" in check("one_group")
    assert "DA601" not in check("backwards")


def test_without_names_the_shapes_show_which_parameter_would_get_the_state_of_another(folder: Path) -> None:
    state = save(folder, "backwards", names=False)
    assert (
        "torch would accept this state and give 2 parameters the state of another: "
        "fc.weight would get a state of shape 4"
    ) in check("one_group")
    model, optimizer = make("one_group")
    optimizer.load_state_dict(state)
    moved = [
        name
        for name, parameter in model.named_parameters()
        if optimizer.state[parameter]["exp_avg"].shape != parameter.shape
    ]
    assert moved == ["fc.weight", "norm.bias"]


def test_an_order_that_only_the_live_groups_know_is_a_note_and_no_finding(folder: Path) -> None:
    save(folder, "other_biases", names=False)
    result = CliRunner().invoke(app, ["check", *arguments("other_biases")])
    assert "DA601" not in result.stdout
    assert "note: the saved optimizer has no names" in result.stderr


def test_torch_accepts_the_state_of_another_class_and_the_next_step_raises(folder: Path) -> None:
    state = save(folder, "backwards", names=False)
    assert "torch would accept this state of AdamW for SGD, and group 0 would lose momentum" in check("sgd")
    model, optimizer = make("sgd")
    optimizer.load_state_dict(state)
    for tensor in model.parameters():
        tensor.grad = torch.ones_like(tensor)
    with pytest.raises(KeyError, match="momentum"):
        optimizer.step()


def test_ruleset_live_and_saved_stand_side_by_side_where_they_differ(folder: Path) -> None:
    save(folder, "now")
    titles, row, *_ = check("stronger").splitlines()
    assert titles.split() == ["parameter", "shape", "layer", "role", "decay", "AdamW", "saved", "AdamW", "rule"]
    assert row.split()[:3] == ["fc.weight", "4x4", "linear"]
    assert row.split()[-5:] == ["0.3", "0.3", "0.1", "!", "default"]


def test_a_coefficient_that_resuming_would_set_back_is_da103_with_its_origin(folder: Path) -> None:
    save(folder, "now")
    output = check("stronger")
    assert "loading this state would change weight_decay of group 0 from 0.3 to 0.1" in output
    assert output.count("DA103") == 1


def test_a_checkpoint_without_optimizer_state_is_an_error_with_a_way_out(folder: Path) -> None:
    torch.save({"fc.weight": torch.zeros(4, 4)}, folder / "last.pt")
    result = CliRunner().invoke(app, ["check", "train.py", "--checkpoint", "last.pt"])
    assert result.exit_code == 2
    assert "holds no optimizer state" in result.stderr


def test_code_in_a_checkpoint_that_is_named_besides_the_model_is_found_and_not_run(folder: Path) -> None:
    state = save(folder, "now")
    torch.save({"model": torch.load("last.pt")["model"], "optimizer": state, "arguments": Path("x")}, "last.pt")
    output = check("now")
    assert "DA602 note    the pickle refers to code outside the allow-list" in output
    assert "pathlib." in output


def test_states_of_other_shapes_in_a_checkpoint_besides_the_model_are_found(folder: Path) -> None:
    state = save(folder, "one_group")
    first, second, *others = state["param_groups"][0]["param_names"]
    state["param_groups"][0]["param_names"] = [second, first, *others]
    torch.save({"model": torch.load("last.pt")["model"], "optimizer": state}, "last.pt")
    assert "DA601 error   the saved state of AdamW does not fit 2 parameters at its positions" in check("one_group")


def fixes(factory: str) -> list[str]:
    command = ["check", *arguments(factory), "--format", "json"]
    document = json.loads(CliRunner().invoke(app, command).stdout)
    return [finding["fix"]["text"] for finding in document["findings"] if finding["code"] == "DA601"]


@pytest.mark.parametrize(
    ("saved", "live"), [("one_group", "now"), ("swapped", "now"), ("one_group", "weights"), ("weights", "one_group")]
)
def test_the_command_of_a_fix_runs_and_the_result_resumes_without_a_finding(
    folder: Path, saved: str, live: str
) -> None:
    """`weights` leaves the biases out: the command then says which states to drop, or to start without one."""
    save(folder, saved)
    (fix,) = fixes(live)
    words = shlex.split(fix)
    assert words[:2] == ["decay-audit", "migrate"]
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.stderr
    Path("last-migrated.pt").rename("last.pt")
    assert fixes(live) == []
    _, optimizer = make(live)
    optimizer.load_state_dict(torch.load("last.pt")["optimizer"])


@pytest.mark.parametrize(
    ("saved", "live", "change", "advice"),
    [
        ("groups_of_one_coefficient", "one_group", {}, "make the groups in the order in which they were saved"),
        ("one_group", "sgd", {}, "start SGD without this state"),
        ("one_group", "now", {"arguments": Path("x")}, "save tensors and plain values only"),
    ],
    ids=["no names", "another class", "other objects"],
)
def test_where_the_command_would_refuse_the_fix_says_what_to_do_instead(
    folder: Path, saved: str, live: str, change: dict[str, object], advice: str
) -> None:
    save(folder, saved, names=False)
    torch.save(torch.load("last.pt") | change, "last.pt")
    assert fixes(live)
    assert all(fix.startswith(advice) for fix in fixes(live))
    command = ["migrate", "last.pt", "--to", f"train.py:{live}", "--model", "train.py", "--output", "new.pt"]
    assert CliRunner().invoke(app, command).exit_code == 2
