"""The embedding is the head: a list made from modules has it twice, and it decays twice (karpathy/nanoGPT#268)."""

import warnings

from torch import Tensor, nn
from torch.optim import AdamW

CODE = "DA202"
RULES = "no-norm-no-bias"


class LanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.embedding(x)))  # type: ignore[no-any-return]


def model() -> nn.Module:
    return LanguageModel()


def groups(decayed: list[nn.Parameter], model: nn.Module) -> AdamW:
    spared = [p for p in model.parameters() if p.ndim < 2]
    return AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])


def broken(model: nn.Module) -> AdamW:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of it
        return groups([p for module in model.modules() for p in module.parameters(recurse=False) if p.ndim >= 2], model)


def repaired(model: nn.Module) -> AdamW:
    return groups([p for p in model.parameters() if p.ndim >= 2], model)
