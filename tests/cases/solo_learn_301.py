"""The step does not decay vectors, but their groups have a weight_decay: they do not tell (vturrisi/solo-learn#301)."""

import torch
from torch import nn
from torch.optim import SGD

CODE = "DA507"
RULES = "no-norm-no-bias"


class LARS(SGD):
    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                change = parameter.grad
                if parameter.ndim > 1:
                    size, length = parameter.norm(), change.norm()
                    trust = size / length if size and length else 1.0
                    change = trust * change + group["weight_decay"] * parameter
                parameter.add_(change, alpha=-group["lr"])


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))


def broken(model: nn.Module) -> LARS:
    return LARS(model.parameters(), lr=0.1, weight_decay=1e-4)


def repaired(model: nn.Module) -> SGD:
    """The class is torch's own, and its groups tell all."""
    spared = [p for p in model.parameters() if p.ndim < 2]
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    return SGD([{"params": decayed, "weight_decay": 1e-4}, {"params": spared, "weight_decay": 0.0}], lr=0.1)
