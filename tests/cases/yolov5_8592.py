"""The code does not set weight_decay, and AdamW decays with its default 0.01 (ultralytics/yolov5#8592)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import transformer

CODE = "DA501"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    return [p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]


def broken(model: nn.Module) -> AdamW:
    decayed, spared = split(model)
    forgotten: dict[str, object] = {"params": decayed}
    return AdamW([forgotten, {"params": spared, "weight_decay": 0.0}], lr=1e-3)


def repaired(model: nn.Module) -> AdamW:
    decayed, spared = split(model)
    return AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": spared, "weight_decay": 0.0}], lr=1e-3)
