"""The head is in no group: it is never trained (modelscope/ms-swift#10151)."""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import AdamW

CODE = "DA201"
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


def split(parameters: Iterable[nn.Parameter]) -> AdamW:
    listed = list(parameters)
    return AdamW(
        [
            {"params": [p for p in listed if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in listed if p.ndim < 2], "weight_decay": 0.0},
        ]
    )


def broken(model: nn.Sequential) -> AdamW:
    return split(parameter for layer in list(model)[:-1] for parameter in layer.parameters())


def repaired(model: nn.Sequential) -> AdamW:
    return split(model.parameters())
