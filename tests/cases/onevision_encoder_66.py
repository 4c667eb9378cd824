"""Tokens of shape (1, 1, C) have three dimensions: a rule on dimensions decays them (OneVision-Encoder#66)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import ViT

CODE = "DA305"
RULES = "timm"


def model() -> nn.Module:
    return ViT()


def broken(model: nn.Module) -> AdamW:
    spared = [p for p in model.parameters() if p.ndim <= 1]
    decayed = [p for p in model.parameters() if p.ndim > 1]
    return AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": spared, "weight_decay": 0.0}])


def repaired(model: nn.Module) -> AdamW:
    named = list(model.named_parameters())
    vectors = {name for name, p in named if sum(size > 1 for size in p.shape) <= 1 or name == "pos_embed"}
    decayed = [p for name, p in named if name not in vectors]
    spared = [p for name, p in named if name in vectors]
    return AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": spared, "weight_decay": 0.0}])
