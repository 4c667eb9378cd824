"""Models and splits that several cases share."""

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.linear(self.norm(x))
        return x + mixed


def transformer() -> nn.Sequential:
    """An embedding, two blocks with a norm each, and a head."""
    return nn.Sequential(nn.Embedding(50, 16), Block(16), Block(16), nn.Linear(16, 5))


class ViT(nn.Module):
    """Declares what must not decay, as timm's models do."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 9, 16))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 5)

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "cls_token"}

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x + self.pos_embed + self.cls_token))  # type: ignore[no-any-return]


def by_rank(parameters: Iterable[nn.Parameter], weight_decay: float = 0.1) -> AdamW:
    """Decay matrices, spare vectors."""
    listed = list(parameters)
    decayed = [parameter for parameter in listed if parameter.ndim >= 2]
    spared = [parameter for parameter in listed if parameter.ndim < 2]
    return AdamW([{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}])


def by_rank_and_name(named: Iterable[tuple[str, nn.Parameter]], skip: Collection[str]) -> AdamW:
    """Decay matrices that are not in the skip set, as timm does."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in named:
        (spared if parameter.ndim < 2 or name in skip else decayed).append(parameter)
    return AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": spared, "weight_decay": 0.0}])
