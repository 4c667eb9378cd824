"""One group for each parameter, of which almost all agree (roboflow/rf-detr#1409)."""

from torch import Tensor, nn
from torch.optim import AdamW

CODE = "DA207"
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


def coefficient(parameter: nn.Parameter) -> float:
    return 0.1 if parameter.ndim >= 2 else 0.0


def broken(model: nn.Module) -> AdamW:
    return AdamW([{"params": [p], "weight_decay": coefficient(p)} for p in model.parameters()])


def repaired(model: nn.Module) -> AdamW:
    return AdamW(
        [
            {"params": [p for p in model.parameters() if coefficient(p) == value], "weight_decay": value}
            for value in (0.1, 0.0)
        ]
    )
