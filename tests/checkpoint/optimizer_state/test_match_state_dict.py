"""A file of several models and optimizers: each optimizer is matched with the state dict that it steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from decay_audit.api import Request, run
from decay_audit.checks import check, observed_plans
from decay_audit.model.observations import Optimizer
from decay_audit.sources.checkpoint import read


def stack(width: int, depth: int) -> nn.Module:
    return nn.Sequential(*(nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width)) for _ in range(depth)))


def stepped(model: nn.Module) -> dict[str, Any]:
    weights, rest = (
        [parameter for parameter in model.parameters() if (parameter.ndim > 1) == decays] for decays in (True, False)
    )
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}])
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


@pytest.fixture
def gan(tmp_path: Path) -> Path:
    generator, discriminator = stack(8, 3), stack(4, 2)
    content = {"generator": generator.state_dict(), "discriminator": discriminator.state_dict()}
    content |= {"opt_g": stepped(generator), "opt_d": stepped(discriminator)}
    torch.save(content, tmp_path / "gan.pt")
    return tmp_path / "gan.pt"


def mapped(optimizer: Optimizer) -> bool:
    return all(name for group in optimizer.groups for name in group.parameters)


@pytest.mark.parametrize(
    ("key", "own", "other", "rival"),
    [(None, "opt_g", "opt_d", "discriminator"), ("discriminator", "opt_d", "opt_g", "generator")],
)
def test_each_optimizer_of_a_gan_is_matched_with_its_own_state_dict(
    gan: Path, key: str | None, own: str, other: str, rival: str
) -> None:
    request = Request(target=str(gan), key=key)
    report = run(request)
    assert [optimizer.name for optimizer in report.optimizers] == [own]
    assert mapped(report.optimizers[0])
    assert report.findings == ()
    assert report.inventory.notes[-1] == (
        f"the optimizer state at {other!r} was left out: it fits the state dict at {rival!r}, not the one read"
    )


def test_the_optimizer_of_a_model_with_an_average_stays_with_the_model(tmp_path: Path) -> None:
    model = stack(8, 2)
    content = {"model": model.state_dict(), "shadow": model.state_dict(), "optimizer": stepped(model)}
    torch.save(content, tmp_path / "run.pt")
    (optimizer,) = read(tmp_path / "run.pt", target="").optimizers
    assert mapped(optimizer)


def test_an_optimizer_of_the_trained_part_stays_with_the_model_that_holds_it(tmp_path: Path) -> None:
    model = nn.ModuleDict({"body": stack(8, 2), "head": nn.Linear(8, 3)})
    average = {name: tensor.clone() for name, tensor in model.state_dict().items() if name.startswith("head")}
    torch.save({"model": model.state_dict(), "average": average, "opt": stepped(model["head"])}, tmp_path / "run.pt")
    (optimizer,) = read(tmp_path / "run.pt", target="").optimizers
    assert [group.parameters for group in optimizer.groups] == [("head.weight",), ("head.bias",)]


def test_positions_without_all_names_raise_no_finding_of_two_optimizers(gan: Path) -> None:
    request = Request(target=str(gan))
    report = run(request)
    (own,) = report.optimizers
    first, *others = own.groups
    partial = Optimizer(
        name="other",
        type="AdamW",
        groups=(type(first)(weight_decay=0.1, parameters=(first.parameters[0], "")), *others),
        origin="checkpoint",
    )
    codes = {
        finding.code for finding in check(report.inventory, report.plan, observed_plans(report.plan, (own, partial)))
    }
    assert "DA202" not in codes
    whole = [
        type(group)(weight_decay=0.1, parameters=tuple(filter(None, group.parameters))) for group in partial.groups
    ]
    twice = Optimizer(name="other", type="AdamW", groups=tuple(whole), origin="checkpoint")
    assert "DA202" in {
        finding.code for finding in check(report.inventory, report.plan, observed_plans(report.plan, (own, twice)))
    }
