"""In bfloat16 a shrink by lr x weight_decay rounds back to the weight (Nerogar/OneTrainer#996)."""

from torch import nn
from torch.optim import AdamW

CODE = "DA504"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8)).bfloat16()


def groups(model: nn.Module, lr: float, weight_decay: float) -> AdamW:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    spared = [p for p in model.parameters() if p.ndim < 2]
    return AdamW([{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}], lr=lr)


def broken(model: nn.Module) -> AdamW:
    return groups(model, lr=3e-4, weight_decay=0.1)


def repaired(model: nn.Module) -> AdamW:
    return groups(model, lr=3e-2, weight_decay=0.1)
