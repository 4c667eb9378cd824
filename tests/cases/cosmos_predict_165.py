"""The groups are built, and merged into one before the optimizer sees them (nvidia-cosmos/cosmos-predict2.5#165)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import transformer

CODE = "DA101"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def groups(model: nn.Module) -> list[list[nn.Parameter]]:
    return [[p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]]


def broken(model: nn.Module) -> AdamW:
    return AdamW([parameter for group in groups(model) for parameter in group], weight_decay=0.1)


def repaired(model: nn.Module) -> AdamW:
    decayed, spared = groups(model)
    return AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])
