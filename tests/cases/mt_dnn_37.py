"""A list of exact names, compared with dotted ones: it matches nothing, and everything decays (namisan/mt-dnn#37)."""

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
    no_decay = ["bias", "gamma", "beta"]
    groups = [
        {"params": [p for name, p in model.named_parameters() if name not in no_decay], "weight_decay": 0.1},
        {"params": [p for name, p in model.named_parameters() if name in no_decay], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]])


def repaired(model: nn.Module) -> AdamW:
    spared = [p for p in model.parameters() if p.ndim < 2]
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    return AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])
