"""The condition is upside down: biases and norms decay, matrices do not (xuyige/BERT4doc-Classification#18)."""

from torch import Tensor, nn
from torch.optim import AdamW

CODE = "DA402"
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


NO_DECAY = ("bias", "norm.weight")


def broken(model: nn.Module) -> AdamW:
    named = list(model.named_parameters())
    return AdamW(
        [
            {"params": [p for name, p in named if not name.endswith(NO_DECAY)], "weight_decay": 0.0},
            {"params": [p for name, p in named if name.endswith(NO_DECAY)], "weight_decay": 0.01},
        ]
    )


def repaired(model: nn.Module) -> AdamW:
    named = list(model.named_parameters())
    return AdamW(
        [
            {"params": [p for name, p in named if not name.endswith(NO_DECAY)], "weight_decay": 0.01},
            {"params": [p for name, p in named if name.endswith(NO_DECAY)], "weight_decay": 0.0},
        ]
    )
