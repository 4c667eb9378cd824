"""ResNeXt decays its norms and biases on purpose: under a ruleset that says so it is clean (ClassyVision#392)."""

from torch import nn
from torch.optim import SGD

CODE = "DA102"
RULES = "torch-default"


def model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, groups=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=4), nn.BatchNorm2d(8)
    )


def broken(model: nn.Module) -> SGD:
    spared = [p for p in model.parameters() if p.ndim < 2]
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": spared, "weight_decay": 0.0}]
    return SGD(groups, lr=0.1, momentum=0.9)


def repaired(model: nn.Module) -> SGD:
    return SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
