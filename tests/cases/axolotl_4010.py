"""Every group ends up with 0: the coefficient of the configuration is lost (axolotl-ai-cloud/axolotl#4010)."""

from torch import Tensor, nn
from torch.optim import AdamW

CODE = "DA401"
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


def groups(model: nn.Module, settings: dict[str, float]) -> AdamW:
    weight_decay = settings.get("weight_decay", 0.0)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    spared = [p for p in model.parameters() if p.ndim < 2]
    return AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0, "lr": 2e-4}]
    )


def broken(model: nn.Module) -> AdamW:
    return groups(model, {"decay": 0.1})


def repaired(model: nn.Module) -> AdamW:
    return groups(model, {"weight_decay": 0.1})
