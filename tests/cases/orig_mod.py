"""torch.compile puts `_orig_mod.` before every name: the skip set matches nothing (pytorch/pytorch#101343)."""

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
    compiled: nn.Module = torch.compile(model)  # type: ignore[assignment]
    return split(compiled.named_parameters(), model.no_weight_decay())


def repaired(model: ViT) -> AdamW:
    optimizer = split(model.named_parameters(), model.no_weight_decay())
    model.compile()
    return optimizer
