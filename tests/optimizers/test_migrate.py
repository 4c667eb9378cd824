"""Moving an optimizer state to new groups: by name, bit for bit, and into another file only."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from decay_audit.api import Request
from decay_audit.api.migrating import migrate
from decay_audit.errors import DecayAuditError

TRAIN = """
import torch
from torch import nn

def model():
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 8))

def one_group(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)

def split(model):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": spared, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.3}]
    return torch.optim.AdamW(groups, lr=5e-4)

def by_layer(model):
    return torch.optim.AdamW([{"params": layer.parameters(), "weight_decay": 0.2} for layer in reversed(model)])

def partial(model):
    return torch.optim.AdamW(model[0].parameters(), weight_decay=0.1)

def named_partial(model):
    return torch.optim.AdamW([it for it in model.named_parameters() if it[0].startswith("0")], weight_decay=0.1)

def two(model):
    return one_group(model), split(model)

def backwards_apart(model):
    parameters = list(model.parameters())[::-1]
    decayed = {"params": [p for p in parameters if p.ndim == 2], "weight_decay": 0.1}
    return torch.optim.AdamW([decayed, {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}])

def named(model):
    return torch.optim.AdamW(reversed(list(model.named_parameters())), lr=1e-3, weight_decay=0.1)

def by_values(model):
    zeros = [p for p in model.parameters() if not p.any()]
    others = [p for p in model.parameters() if p.any()]
    return torch.optim.AdamW([{"params": others, "weight_decay": 0.1}, {"params": zeros, "weight_decay": 0.0}])

def muon(model, *, apart=False):
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": vectors[::2], "weight_decay": 0.0}, {"params": vectors[1::2], "weight_decay": 0.1}]
    adamw = torch.optim.AdamW(groups if apart else vectors, weight_decay=0.01)
    return torch.optim.Muon(matrices, weight_decay=0.3 if apart else 0.1), adamw

def muon_apart(model):
    return muon(model, apart=True)

def together(kind, **settings):
    return lambda model: kind(model.parameters(), **settings)

def apart(kind, **settings):
    return lambda model: kind([
        {"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": 0.3},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ], **settings)

adam, adam_apart = together(torch.optim.Adam, amsgrad=True), apart(torch.optim.Adam, amsgrad=True)
sgd, sgd_apart = together(torch.optim.SGD, momentum=0.9), apart(torch.optim.SGD, momentum=0.9)
adafactor, adafactor_apart = together(torch.optim.Adafactor), apart(torch.optim.Adafactor)
"""


class Job:
    """A training script, and what a few steps of it have saved."""

    def __init__(self, folder: Path, factory: str = "one_group", wrap: str = "optimizer") -> None:
        self.script = folder / "train.py"
        self.script.write_text(TRAIN)
        self.space: dict[str, Any] = {}
        exec(TRAIN, self.space)
        torch.manual_seed(0)
        self.model: nn.Module = self.space["model"]()
        optimizers = self.space[factory](self.model)
        self.optimizers = optimizers if isinstance(optimizers, tuple) else (optimizers,)
        self.optimizer = self.optimizers[0]
        for _ in range(3):
            self.model(torch.randn(5, 4)).square().sum().backward()
            for optimizer in self.optimizers:
                optimizer.step()
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        saved = states[0] if len(states) == 1 else states
        content = {"model": self.model.state_dict(), "epoch": 3}
        self.content: dict[str, Any] = content | (
            {"optimizer_states": [saved]} if wrap == "lightning" else {wrap: saved}
        )
        self.file, self.output = folder / "last.ckpt", folder / "new.ckpt"
        torch.save(self.content, self.file)

    def migrate(self, to: str, output: Path | None = None) -> tuple[str, ...]:
        request = Request(target=f"{self.script}:model", optimizer=f"{self.script}:{to}", checkpoint=str(self.file))
        return migrate(request, output or self.output)

    def states(self, optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, torch.Tensor]]:
        named: dict[torch.Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        return {named[parameter]: state for parameter, state in optimizer.state.items()}


@pytest.mark.parametrize("to", ["split", "by_layer", "one_group"])
@pytest.mark.parametrize("wrap", ["optimizer", "lightning"])
def test_every_state_follows_its_parameter_bit_for_bit(tmp_path: Path, to: str, wrap: str) -> None:
    job = Job(tmp_path, wrap=wrap)
    job.migrate(to)
    written = torch.load(job.output, weights_only=True)
    state = written["optimizer_states"][0] if wrap == "lightning" else written["optimizer"]
    model = job.space["model"]()
    resumed = job.space[to](model)
    resumed.load_state_dict(state)
    assert_same(job.states(job.optimizer, job.model), job.states(resumed, model))


@pytest.mark.parametrize("kind", ["adam", "sgd", "adafactor", "muon"])
def test_every_kind_of_state_is_moved_bit_for_bit(tmp_path: Path, kind: str) -> None:
    job = Job(tmp_path, factory=kind)
    job.migrate(f"{kind}_apart")
    written = torch.load(job.output, weights_only=True)["optimizer"]
    model = job.space["model"]()
    made = job.space[f"{kind}_apart"](model)
    resumed = made if isinstance(made, tuple) else (made,)
    for before, after, state in zip(
        job.optimizers, resumed, written if isinstance(written, list) else [written], strict=True
    ):
        after.load_state_dict(state)
        assert_same(job.states(before, job.model), job.states(after, model))


def assert_same(before: dict[str, dict[str, torch.Tensor]], after: dict[str, dict[str, torch.Tensor]]) -> None:
    assert before.keys() == after.keys()
    for name, entries in before.items():
        assert entries.keys() == after[name].keys()
        assert all(value.equal(after[name][key]) for key, value in entries.items()), name


def test_a_state_that_is_keyed_by_names_stays_so(tmp_path: Path) -> None:
    """As the state dicts of torch.distributed.checkpoint and the full ones of FSDP are."""
    job = Job(tmp_path, factory="named")
    states, groups = job.content["optimizer"]["state"], job.content["optimizer"]["param_groups"]
    (names,) = (group.pop("param_names") for group in groups)
    groups[0]["params"] = names
    saved = {"state": dict(zip(names, states.values(), strict=True)), "param_groups": groups}
    torch.save({**job.content, "optimizer": saved}, job.file)
    job.migrate("split")
    written = torch.load(job.output, weights_only=True)["optimizer"]
    assert [group["params"] for group in written["param_groups"]] == [
        ["0.bias", "1.weight", "1.bias", "2.bias"],
        ["0.weight", "2.weight"],
    ]
    assert_same(job.states(job.optimizer, job.model), written["state"])


def test_an_optimizer_that_needs_values_gets_a_model_that_has_some(tmp_path: Path) -> None:
    assert Job(tmp_path, factory="named").migrate("by_values")[0].endswith("6 states moved by name")


def test_a_write_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(tmp_path)

    def half(content: object, file: Path) -> None:
        Path(file).write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        job.migrate("split")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["last.ckpt", "train.py"]


def test_the_new_groups_decide_the_decay_and_the_saved_ones_the_lr(tmp_path: Path) -> None:
    job = Job(tmp_path)
    (line,) = job.migrate("split")
    assert line == (
        "optimizer: 1 group to 2 groups; 6 parameters, 6 states moved; the file has no names: its positions "
        "are taken in the order of the model"
    )
    groups = torch.load(job.output, weights_only=True)["optimizer"]["param_groups"]
    assert [(group["weight_decay"], group["lr"]) for group in groups] == [(0.0, 1e-3), (0.3, 1e-3)]


def test_nothing_else_of_the_checkpoint_changes_and_the_input_is_not_touched(tmp_path: Path) -> None:
    job = Job(tmp_path)
    before = job.file.read_bytes()
    job.migrate("split")
    assert job.file.read_bytes() == before
    written = torch.load(job.output, weights_only=True)
    assert written.keys() == job.content.keys()
    assert written["epoch"] == 3
    assert all(value.equal(written["model"][name]) for name, value in job.content["model"].items())


def test_a_migration_and_its_reverse_restore_the_state(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.migrate("split")
    job.file, job.output = job.output, tmp_path / "back.ckpt"
    job.migrate("one_group")
    then, now = job.content["optimizer"], torch.load(job.output, weights_only=True)["optimizer"]
    assert then["param_groups"] == now["param_groups"]
    assert all(
        value.equal(now["state"][key][name]) for key in then["state"] for name, value in then["state"][key].items()
    )


@pytest.mark.parametrize(("to", "message"), [
    ("partial", "1.weight, 1.bias, 2.weight and 1 more are in the saved state, and not in the new optimizer"),
    ("two", "holds 1 optimizer state, and --to makes 2 optimizers"),
])  # fmt: skip
def test_a_migration_that_would_lose_a_state_is_refused_and_nothing_is_written(
    tmp_path: Path, to: str, message: str
) -> None:
    job = Job(tmp_path)
    with pytest.raises(DecayAuditError, match=message):
        job.migrate(to)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["last.ckpt", "train.py"]


def test_a_state_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(DecayAuditError, match="not in the saved AdamW"):
        Job(tmp_path, factory="named_partial").migrate("one_group")


def test_positions_that_shapes_cannot_distinguish_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(DecayAuditError, match="positions without a name"):
        Job(tmp_path, factory="partial").migrate("one_group")


def test_the_checkpoint_itself_is_never_the_output(tmp_path: Path) -> None:
    job = Job(tmp_path)
    with pytest.raises(DecayAuditError, match="is an input of this command, and would be overwritten"):
        job.migrate("split", job.file)


def test_a_checkpoint_with_code_in_it_is_not_loaded(tmp_path: Path) -> None:
    job = Job(tmp_path)
    torch.save(job.content | {"arguments": Path("x")}, job.file)
    with pytest.raises(DecayAuditError, match=r"torch cannot load last\.ckpt safely"):
        job.migrate("split")
    assert not job.output.exists()


def test_positions_without_names_that_are_not_in_the_order_of_the_model_are_refused(tmp_path: Path) -> None:
    """Each shape says which layers it may be of, and not which of them."""
    job = Job(tmp_path, factory="backwards_apart")
    with pytest.raises(DecayAuditError, match="not in the order of the model, and some parameters have the same shape"):
        job.migrate("split")
    assert not job.output.exists()


def test_the_state_of_another_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DecayAuditError, match="the saved state is AdamW's, but --to makes SGD"):
        Job(tmp_path).migrate("sgd_apart")


def test_groups_that_only_their_shapes_could_tell_apart_are_refused_unless_the_file_has_names(tmp_path: Path) -> None:
    job = Job(tmp_path, factory="by_layer")
    with pytest.raises(DecayAuditError, match="the mapping is ambiguous"):
        job.migrate("split")
    assert not job.output.exists()
