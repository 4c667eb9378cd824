"""The groups are built, and merged into one before the optimizer sees them (nvidia-cosmos/cosmos-predict2.5#165)."""

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


def groups(model: nn.Module) -> list[list[nn.Parameter]]:
    return [[p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]]


def broken(model: nn.Module) -> AdamW:
    return AdamW([parameter for group in groups(model) for parameter in group], weight_decay=0.1)


def repaired(model: nn.Module) -> AdamW:
    decayed, spared = groups(model)
    return AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])
