"""Steps that raise are found without a step; torch itself is asked whether it raises."""

import pytest
import torch
from torch import Tensor, nn

import decay_audit


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
