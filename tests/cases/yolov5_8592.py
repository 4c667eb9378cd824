"""Nobody sets weight_decay, and AdamW decays with 0.01 (ultralytics/yolov5#8592)."""

from torch import Tensor, nn
from torch.optim import AdamW

CODE = "DA501"
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


def split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    return [p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]


def broken(model: nn.Module) -> AdamW:
    decayed, spared = split(model)
    forgotten: dict[str, object] = {"params": decayed}
    return AdamW([forgotten, {"params": spared, "weight_decay": 0.0}], lr=1e-3)


def repaired(model: nn.Module) -> AdamW:
    decayed, spared = split(model)
    return AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": spared, "weight_decay": 0.0}], lr=1e-3)
