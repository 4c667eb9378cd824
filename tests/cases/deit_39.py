"""A parallel wrapper hides no_weight_decay(): the positional table decays (facebookresearch/deit#39)."""

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


def broken(model: nn.Module) -> AdamW:
    wrapped = nn.DataParallel(model)
    declared = getattr(wrapped, "no_weight_decay", None)
    return split(model.named_parameters(), declared() if declared else set())


def repaired(model: ViT) -> AdamW:
    return split(model.named_parameters(), model.no_weight_decay())
