"""The list of what is spared is made and never filled (yandex-research/tabular-dl-tabr#19)."""

from torch import Tensor, nn
from torch.optim import AdamW

CODE = "DA101"
RULES = "no-norm-no-bias"


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.linear(self.norm(x))
        return x + mixed


def model() -> nn.Module:
    return nn.Sequential(nn.Embedding(50, 16), Block(16), Block(16), nn.Linear(16, 5))


def broken(model: nn.Module) -> AdamW:
    spared: list[nn.Parameter] = []
    decayed = []
    for parameter in model.parameters():
        decayed.append(parameter)
    groups = [{"params": decayed, "weight_decay": 0.1}]
    return AdamW([*groups, {"params": spared, "weight_decay": 0.0}] if spared else groups)


def repaired(model: nn.Module) -> AdamW:
    spared = [p for p in model.parameters() if p.ndim < 2]
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    return AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])
