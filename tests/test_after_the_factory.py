"""What makes the optimizer changes the model first, or afterwards: the verdict is of the model as it is then."""

import copy
import importlib.util
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from msgspec.structs import replace
from typer.testing import CliRunner

import decay_audit
from decay_audit import api
from decay_audit.api.options import AuditOptions
from decay_audit.cli import app
from decay_audit.reports.report import Report

FILE = """
    import copy
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.norm, self.head = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.norm(self.body(x)))


    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module


    class Adapted(nn.Module):
        def __init__(self, base):
            super().__init__()
            base.requires_grad_(False)
            self.base, self.lora_a, self.lora_b = base, nn.Linear(4, 1, bias=False), nn.Linear(1, 4, bias=False)

        def forward(self, x):
            return self.base(x) + self.lora_b(self.lora_a(x))


    def split(parameters):
        parameters = list(parameters)
        vectors = [each for each in parameters if each.ndim == 1]
        return torch.optim.AdamW([
            {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 0.1},
            {"params": vectors, "weight_decay": 0.0},
        ], lr=1e-3)


    def trainable(model):
        return split(each for each in model.parameters() if each.requires_grad)


    def frozen_and_left_out(model):
        model.body.requires_grad_(False)
        return trainable(model)

    def frozen_and_kept(model):
        model.body.requires_grad_(False)
        return split(model.parameters())

    def frozen_by_hand_and_kept_without_decay(model):
        model.body.requires_grad_(False)
        kept = torch.optim.AdamW(model.body.parameters(), lr=1e-3, weight_decay=0.0)
        return [kept, trainable(model)]

    def attached_before(model):
        model.extra = nn.Linear(4, 3)
        return split(model.parameters())

    def attached_after(model):
        optimizer = split(model.parameters())
        model.extra = nn.Linear(4, 3)
        return optimizer

    def head_replaced_before(model):
        model.head = nn.Linear(4, 7)
        return split(model.parameters())

    def head_replaced_after(model):
        optimizer = split(model.parameters())
        model.head = nn.Linear(4, 7)
        return optimizer

    def lora(model):
        model.body = Adapted(model.body)
        return trainable(model)

    def tied(model):
        model.head = nn.Linear(4, 4)
        model.head.weight = model.body.weight
        return split(model.parameters())

    def tied_after(model):
        optimizer = split(model.parameters())
        model.extra = nn.Linear(4, 4)
        model.extra.weight = model.body.weight
        return optimizer

    def half(model):
        model.half()
        return split(model.parameters())

    def half_after(model):
        optimizer = split(model.parameters())
        model.half()
        return optimizer

    def on_a_gpu(model):
        model.cuda().to("cuda:0")
        return split(model.parameters())

    def synchronized(model):
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return split(model.parameters())

    def loaded(model):
        model.load_state_dict({name: torch.ones(each.shape) for name, each in Net().state_dict().items()})
        return split(model.parameters())

    def wrapped(model):
        return split(Wrapper(model).parameters())

    def wrapped_and_returned(model):
        whole = Wrapper(model)
        return whole, split(whole.parameters())

    def compiled_and_returned(model):
        whole = torch.compile(model)
        return {"model": whole, "optimizer": split(whole.parameters())}

    def a_copy_and_returned(model):
        whole = copy.deepcopy(model)
        whole.head = nn.Linear(4, 9)
        return whole, split(whole.parameters())

    def a_larger_one_and_returned(model):
        whole = nn.ModuleDict({"net": model, "projector": nn.Linear(2, 2)})
        return whole, split(whole.parameters())

    def with_its_loss(model):
        return split(model.parameters()), nn.Linear(2, 2)

    def needs_numbers(model):
        model.body.requires_grad_(model.head.weight.norm().item() < 0)
        return trainable(model)
"""
SOUND = (
    "frozen_and_left_out", "frozen_by_hand_and_kept_without_decay", "attached_before", "head_replaced_before", "lora",
    "tied", "on_a_gpu", "synchronized", "loaded", "wrapped", "wrapped_and_returned", "compiled_and_returned",
    "a_copy_and_returned", "a_larger_one_and_returned", "with_its_loss", "needs_numbers",
)  # fmt: skip

runner = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(dedent(FILE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def audited(factory: str, **options: object) -> Report:
    chosen = replace(AuditOptions(), optimizer=f"net.py:{factory}", weight_decay=0.1, **options)
    return api.run(api.request_for("net.py:Net", chosen))


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def shapes(report: Report) -> dict[str, tuple[int, ...]]:
    return {parameter.name: parameter.shape for parameter in report.inventory.parameters}


@pytest.mark.parametrize("factory", SOUND)
def test_an_optimizer_that_fits_the_changed_model_is_quiet(factory: str) -> None:
    assert audited(factory).findings == ()


@pytest.mark.parametrize(("factory", "code", "names"), [
    ("frozen_and_kept", "DA204", {"body.weight"}),
    ("attached_after", "DA201", {"extra.weight", "extra.bias"}),
    ("tied_after", "DA201", {"extra.bias"}),
    ("half", "DA504", {"body.weight", "head.weight"}),  # 1e-4 is below half of float16's last digit, 2^-11
    ("half_after", "DA504", {"body.weight", "head.weight"}),
    ("head_replaced_after", "DA201", {"head.weight", "head.bias"}),
])  # fmt: skip
def test_an_optimizer_that_does_not_fit_the_changed_model_is_found(factory: str, code: str, names: set[str]) -> None:
    report = audited(factory)
    (finding,) = [finding for finding in report.findings if finding.code == code]
    assert set(finding.parameters) == names
    assert codes(report) - {code} == ({"DA203"} if factory == "head_replaced_after" else set())


@pytest.mark.parametrize("factory", ["frozen_and_kept", "attached_after", "head_replaced_before", "half", "tied"])
def test_the_command_line_and_python_read_the_same_model(factory: str, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("the_same_net", folder / "net.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Net()
    optimizer = getattr(module, factory)(model)
    live, named = decay_audit.audit(model, optimizer, weight_decay=0.1), audited(factory)
    assert shapes(named) == shapes(live) == {name: tuple(each.shape) for name, each in model.named_parameters()}
    assert [(each.code, each.parameters, each.message) for each in named.findings] == [
        (each.code, each.parameters, each.message) for each in live.findings
    ]


def test_dtype_class_and_shape_are_those_after_the_factory() -> None:
    assert {parameter.dtype for parameter in audited("half").inventory.parameters} == {"float16"}
    assert shapes(audited("head_replaced_before"))["head.weight"] == (7, 4)
    (norm,) = [each for each in audited("synchronized").inventory.parameters if each.name == "norm.weight"]
    assert norm.owner.types[0] == "torch.nn.SyncBatchNorm"
    assert next(each.tied_to for each in audited("tied").inventory.parameters) == ("head.weight",)


def test_a_model_that_is_returned_with_its_optimizer_is_the_one_that_is_judged() -> None:
    report = audited("a_copy_and_returned")
    assert shapes(report)["head.weight"] == (9, 4)
    assert "net.py:a_copy_and_returned(model) returned the optimizer and another model; the other model is audited" in (
        report.inventory.notes
    )
    assert "projector.weight" in shapes(audited("a_larger_one_and_returned"))
    assert list(shapes(audited("with_its_loss"))) == [
        "body.weight", "body.bias", "norm.weight", "norm.bias", "head.weight", "head.bias",
    ]  # fmt: skip


def test_the_trace_runs_the_model_that_the_factory_left() -> None:
    report = audited("lora", trace="2x4")
    assert report.findings == ()
    (adapter,) = [each for each in report.inventory.parameters if each.name == "body.lora_a.weight"]
    assert adapter.uses


def test_measured_steps_are_those_of_the_changed_model() -> None:
    assert codes(audited("frozen_and_kept", measure=True)) == {"DA204"}
    assert audited("head_replaced_before", measure=True).findings == ()


def test_a_checkpoint_is_seen_through_the_model_that_the_factory_left(folder: Path) -> None:
    from torch import nn

    body, norm, head = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 7)
    whole = nn.ModuleDict({"body": body, "norm": norm, "head": head})
    torch.save(whole.state_dict(), "net.pt")
    optimizer = ["--optimizer", "net.py:head_replaced_before", "-w", "0.1"]
    assert runner.invoke(app, ["check", "net.pt", "--model", "net.py:Net", *optimizer]).exit_code == 0
    result = runner.invoke(app, ["inspect", "net.pt", "--model", "net.py:Net", *optimizer])
    assert "of another shape" not in result.output
    assert "of another shape" in runner.invoke(app, ["inspect", "net.pt", "--model", "net.py:Net"]).output


def test_migrate_names_the_parameters_that_the_factory_attached(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("saved_net", folder / "net.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Net()
    model.extra = torch.nn.Linear(4, 3)
    one_group = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.rand_like(parameter)
    one_group.step()
    expected = copy.deepcopy(one_group.state[model.extra.weight]["exp_avg"])
    torch.save({"model": model.state_dict(), "optimizer": one_group.state_dict()}, "old.pt")
    migrate = ["migrate", "old.pt", "--to", "net.py:attached_before", "--model", "net.py:Net", "--output", "new.pt"]
    result = runner.invoke(app, migrate)
    assert result.exit_code == 0, result.output
    new = module.Net()
    optimizer = module.attached_before(new)
    optimizer.load_state_dict(torch.load("new.pt")["optimizer"])
    assert torch.equal(optimizer.state[new.extra.weight]["exp_avg"], expected)
