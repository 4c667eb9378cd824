"""The skip set says `pos_embed`, the wrapped model `module.pos_embed` (microsoft/Swin-Transformer#369)."""

from collections.abc import Collection, Iterable

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


def split(named: Iterable[tuple[str, nn.Parameter]], skip: Collection[str]) -> AdamW:
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in named:
        (spared if parameter.ndim <= 1 or name in skip else decayed).append(parameter)
    return AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": spared, "weight_decay": 0.0}])


def broken(model: ViT) -> AdamW:
    return split(nn.DataParallel(model).named_parameters(), model.no_weight_decay())


def repaired(model: ViT) -> AdamW:
    skip = {f"module.{name}" for name in model.no_weight_decay()}
    return split(nn.DataParallel(model).named_parameters(), skip)
