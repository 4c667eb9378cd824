"""The optimizer gets the frozen backbone too, in a group that decays (iamwangyabin/S-Prompts#2)."""

from torch import nn
from torch.optim import SGD

CODE = "DA204"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    backbone = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))
    backbone.requires_grad_(False)
    return nn.Sequential(backbone, nn.Linear(8, 3))


def split(parameters: list[nn.Parameter]) -> SGD:
    return SGD(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 2e-4},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=0.1,
    )


def broken(model: nn.Module) -> SGD:
    return split(list(model.parameters()))


def repaired(model: nn.Module) -> SGD:
    return split([p for p in model.parameters() if p.requires_grad])
