"""Steps that raise are found without a step; torch itself is asked whether it raises."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import decay_audit
from tests.process_group import process_group


class Words(nn.Module):
    def __init__(self, *, sparse: bool = True, tied: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(8, 4, sparse=sparse)
        self.head = nn.Linear(4, 8, bias=False)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.words(x))
        return logits


pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")

CLASSES = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop", "NAdam", "RAdam", "Adadelta", "Adamax", "Muon", "SparseAdam"]


def raises(model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    model(torch.tensor([1, 2])).sum().backward()
    try:
        optimizer.step()
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", CLASSES)
def test_it_is_found_where_torch_raises_and_nowhere_else(name: str, weight_decay: float, *, sparse: bool) -> None:
    model = Words(sparse=sparse)
    settings = {} if name == "SparseAdam" else {"weight_decay": weight_decay}
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.1, **settings)
    codes = [finding.code for finding in decay_audit.audit(model, optimizer).findings]
    assert ("DA506" in codes) is raises(model, optimizer)


def test_a_group_without_decay_is_the_repair() -> None:
    model = Words()
    groups: list[dict[str, object]] = [
        {"params": [model.words.weight], "weight_decay": 0.0},
        {"params": [model.head.weight]},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=0.1)
    assert "DA506" not in [finding.code for finding in decay_audit.audit(model, optimizer).findings]
    assert not raises(model, optimizer)


def test_a_tied_embedding_has_a_dense_gradient() -> None:
    model = Words(tied=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    assert "DA506" not in [finding.code for finding in decay_audit.audit(model, optimizer).findings]
    assert not raises(model, optimizer)


FOREACH = [
    *product(["AdamW", "SGD", "Adam", "RMSprop", "Adagrad", "NAdam"], [{"foreach": True}, {"foreach": False}, {}]),
    ("AdamW", {"fused": True}),
    ("Adam", {"fused": True}),
]


@pytest.mark.parametrize(("name", "options"), FOREACH)
def test_dtensors_beside_plain_tensors_are_found_where_torch_raises(name: str, options: dict[str, bool]) -> None:
    kind = getattr(torch.optim, name)
    with process_group():
        mesh = init_device_mesh("cpu", (1,))
        for sharded in ((0,), (0, 1)):
            model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
            for index in sharded:
                fully_shard(model[index], mesh=mesh)
            optimizer = kind(model.parameters(), lr=0.1, weight_decay=0.1, **options)
            report = decay_audit.audit(model, optimizer, weight_decay=0.1)
            found = [finding for finding in report.findings if finding.code == "DA506"]
            assert [finding.parameters for finding in found] == [("1.weight", "1.bias")] * len(found)
            model(torch.ones(2, 4)).sum().backward()
            if found:
                with pytest.raises(RuntimeError, match=r"mixed torch\.Tensor and DTensor"):
                    optimizer.step()
                assert sharded == (0,)
            else:
                optimizer.step()


def test_groups_of_dtensors_alone_and_of_plain_tensors_alone_step() -> None:
    with process_group():
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        fully_shard(model[0], mesh=init_device_mesh("cpu", (1,)))
        groups = [{"params": [*layer.parameters()]} for layer in model]
        optimizer = torch.optim.AdamW(groups, lr=0.1, weight_decay=0.1, foreach=True)
        report = decay_audit.audit(model, optimizer, weight_decay=0.1)
        assert "DA506" not in {finding.code for finding in report.findings}
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
