"""Tokens of shape (1, 1, C) have three dimensions: a rank rule decays them (OneVision-Encoder#66)."""

import torch
from torch import nn
from torch.optim import AdamW

CODE = "DA305"
RULES = "timm"


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 9, 16))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 5)

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "cls_token"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(x + self.pos_embed + self.cls_token))  # type: ignore[no-any-return]


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
