"""Tensors in an optimizer that are not the model's: what they are, by the parameter that they were or are."""

import copy
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import decay_audit
from decay_audit.checks.codes import Finding
from decay_audit.cli import app

FILE = """
    import torch
    from torch import nn


    class Centres(nn.Module):
        def __init__(self):
            super().__init__()
            self.W = nn.Parameter(torch.zeros(16, 10))


    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 16)

        def forward(self, x):
            return self.fc(self.conv(x).mean((2, 3)))


    def groups(model):
        parameters = list(model.parameters())
        return [{"params": [parameter for parameter in parameters if parameter.ndim > 1]},
                {"params": [parameter for parameter in parameters if parameter.ndim == 1], "weight_decay": 0.0}]


    def two_optimizers(model):
        first = torch.optim.SGD(groups(model), lr=0.1, weight_decay=5e-4)
        return [first, torch.optim.SGD(Centres().parameters(), lr=0.01)]

    def in_a_dict(model):
        return dict(zip(("model", "loss"), two_optimizers(model)))

    def both_returned(model):
        loss = Centres()
        first = torch.optim.SGD(groups(model), lr=0.1, weight_decay=5e-4)
        second = torch.optim.SGD(loss.parameters(), lr=0.01, weight_decay=5e-4)
        return nn.ModuleDict({"model": model, "loss": loss}), [first, second]

    def with_a_discriminator(model):
        discriminator = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 1))
        return [torch.optim.SGD(groups(each), lr=0.1, weight_decay=5e-4) for each in (model, discriminator)]

    class Twice(Backbone):
        def __init__(self):
            super().__init__()
            self.again = nn.Linear(8, 16)


    def tied_after(model):
        optimizer = torch.optim.SGD(groups(model), lr=0.1, weight_decay=5e-4)
        model.again.weight = model.fc.weight
        return optimizer

    def replaced_after(model):
        optimizer = torch.optim.SGD(groups(model), lr=0.1, weight_decay=5e-4)
        model.fc = nn.Linear(8, 32)
        return optimizer
"""

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(dedent(FILE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(factory: str, model: str = "Backbone") -> tuple[int, str]:
    result = runner.invoke(app, ["check", f"net.py:{model}", "--optimizer", f"net.py:{factory}", "-w", "5e-4"])
    return result.exit_code, result.stdout


def foreign(model: nn.Module, optimizer: object) -> list[Finding]:
    return [
        finding for finding in decay_audit.audit(model, optimizer, weight_decay=0.1).findings if finding.code == "DA203"
    ]


def split(parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
    groups = [
        {"params": [parameter for parameter in parameters if (parameter.ndim > 1) == matrix]}
        for matrix in (True, False)
    ]
    return torch.optim.AdamW([{**groups[0], "weight_decay": 0.1}, {**groups[1], "weight_decay": 0.0}], lr=1e-3)


def test_the_weights_of_a_loss_are_named_with_a_way_to_audit_both(folder: Path) -> None:
    code, text = output("two_optimizers")
    assert code == 0  # an optimizer for the loss is a sound choice
    assert (
        "DA203 warning group 0 of SGD optimizer[1] holds 1 tensor of another module, which was not audited: Centres.W"
        in text
    )
    assert "fix: audit both: add --with Centres" in " ".join(text.split())
    assert "after its layers are final" not in text


def test_of_two_optimizers_of_one_class_the_finding_says_which(folder: Path) -> None:
    assert "group 0 of SGD loss holds 1 tensor of another module" in output("in_a_dict")[1]


def test_the_way_out_audits_both(folder: Path) -> None:
    code, text = output("both_returned")
    assert "DA203" not in text
    assert "DA201" not in text
    assert code == 0


def test_a_tensor_of_a_layer_that_was_replaced_is_named(folder: Path) -> None:
    code, text = output("replaced_after")
    assert code == 1
    assert (
        "both groups of SGD hold 2 tensors that the model held as fc.weight, fc.bias until they were replaced" in text
    )
    assert "create the optimizer from the model that is trained, after its layers are final" in text


def test_a_tensor_that_was_replaced_by_a_trained_one_harms_nothing(folder: Path) -> None:
    code, text = output("tied_after", "Twice")
    assert code == 0
    assert "DA203 warning" in text
    assert "held as again.weight until it was replaced; the optimizer also has all parameters that the model" in text


def test_a_module_that_is_alive_is_found_in_python_too() -> None:
    model, loss = nn.Linear(3, 2), nn.PReLU(7)
    optimizer = split([*model.parameters(), *loss.parameters()])
    (finding,) = foreign(model, optimizer)
    assert (finding.severity, finding.where) == ("warning", "group 1 of AdamW")
    assert "PReLU.weight" in finding.message
    assert foreign(nn.ModuleList([model, loss]), optimizer) == []


def test_float32_copies_of_16_bit_parameters_are_no_error() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).bfloat16()
    optimizer = split([parameter.detach().float().requires_grad_() for parameter in model.parameters()])
    report = decay_audit.audit(model, optimizer, weight_decay=0.1)
    assert [(finding.code, finding.severity) for finding in report.findings] == [("DA203", "warning")]
    assert "seem to be float32 copies of 0.weight, 1.weight, 0.bias and 1 more: their decay was not compared" in (
        report.findings[0].message
    )


def test_an_optimizer_of_another_copy_of_the_model_is_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    other = copy.deepcopy(model)
    findings = foreign(model, split(list(other.parameters())))
    assert {finding.severity for finding in findings} == {"error"}
    assert "they have the shapes of 0.weight, 1.weight, 0.bias and 1 more, which are in no" in findings[0].message
    assert foreign(other, split(list(other.parameters()))) == []
    report = decay_audit.audit(model, split(list(other.parameters())), weight_decay=0.1)
    assert {finding.fix for finding in report.findings if finding.code in ("DA201", "DA203")} == {findings[0].fix}


def test_a_tensor_that_nothing_holds_is_an_error_only_if_the_model_is_not_trained_whole() -> None:
    model, tensor = nn.Linear(3, 2), torch.zeros(9, requires_grad=True)
    (finding,) = foreign(model, split([model.weight, tensor]))
    assert finding.severity == "error"
    assert finding.message == "group 1 of AdamW holds 1 tensor that is not a parameter of the model"
    (finding,) = foreign(model, split([*model.parameters(), tensor]))  # a learnable weight of a loss
    assert finding.severity == "warning"
    assert finding.fix.startswith("leave it out, unless it is trained on purpose")


def test_a_module_whose_parts_alone_hold_parameters_is_named_as_a_whole(folder: Path) -> None:
    _, text = output("with_a_discriminator")
    assert "another module, which was not audited: Sequential.0.weight, Sequential.2.weight" in text
    assert "add --with Sequential;" in text


def packed(model: nn.Module, names: list[str], dtype: torch.dtype) -> nn.Parameter:
    parameters = dict(model.named_parameters())
    return nn.Parameter(torch.cat([parameters[name].detach().to(dtype).flatten() for name in names]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("is_split", [True, False])
def test_parameters_that_are_packed_into_flat_tensors_are_not_missing(
    *, is_split: bool, device: str, dtype: torch.dtype
) -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3)).to(device, dtype)
    matrices, vectors = ["0.weight", "2.weight"], ["0.bias", "1.weight", "1.bias", "2.bias"]
    everything = [name for name, _ in model.named_parameters()]
    flat = [packed(model, names, torch.float32) for names in ([matrices, vectors] if is_split else [everything])]
    groups = [{"params": [tensor], "weight_decay": 0.1 * (index == 0)} for index, tensor in enumerate(flat)]
    report = decay_audit.audit(model, torch.optim.AdamW(groups, lr=1e-3), weight_decay=0.1)
    assert {finding.code for finding in report.findings} == (set() if is_split else {"DA505"})
    for finding in report.findings:
        assert set(finding.parameters) == set(vectors)
        assert finding.message == (
            "group 0 of AdamW packs 6 parameters of the model into flat tensors: all get weight_decay 0.1, also "
            "2 biases and 2 norm parameters that no-norm-no-bias spares"
        )


def test_a_flat_tensor_with_other_values_is_no_copy() -> None:
    model = nn.Linear(6, 5)
    flat = nn.Parameter(torch.ones(35))
    report = decay_audit.audit(model, torch.optim.AdamW([flat], lr=1e-3, weight_decay=0.1), weight_decay=0.1)
    assert {"DA201", "DA203"} <= {finding.code for finding in report.findings}
