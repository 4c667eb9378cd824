"""A group that no parameter of this model falls into (Soup#336)."""

from torch import Tensor, nn
from torch.optim import AdamW

CODE = "DA206"
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


def groups(model: nn.Module) -> list[dict[str, object]]:
    named = list(model.named_parameters())
    return [
        {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": 0.1, "lr": 1e-3},
        {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0, "lr": 1e-3},
        {"params": [p for name, p in named if "lora" in name], "weight_decay": 0.0, "lr": 1e-2},
    ]


def broken(model: nn.Module) -> AdamW:
    return AdamW(groups(model))


def repaired(model: nn.Module) -> AdamW:
    return AdamW([group for group in groups(model) if group["params"]])
