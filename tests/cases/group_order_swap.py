"""load_state_dict assigns groups by position: in another order, they swap their coefficients (pytorch/pytorch#1489)."""

from torch import nn
from torch.optim import AdamW

CODE = "DA402"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    """Three matrices and three vectors: the groups have the same size, so PyTorch has nothing to complain of."""
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))


def groups(model: nn.Module, *, spared_first: bool) -> AdamW:
    decayed = {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.1}
    spared = {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0}
    return AdamW([spared, decayed] if spared_first else [decayed, spared])


def broken(model: nn.Module) -> AdamW:
    saved = groups(model, spared_first=True).state_dict()
    resumed = groups(model, spared_first=False)
    resumed.load_state_dict(saved)
    return resumed


def repaired(model: nn.Module) -> AdamW:
    saved = groups(model, spared_first=False).state_dict()
    resumed = groups(model, spared_first=False)
    resumed.load_state_dict(saved)
    return resumed
