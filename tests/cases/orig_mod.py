"""torch.compile puts `_orig_mod.` before every name: the skip set matches nothing (pytorch/pytorch#101107)."""

import torch
from torch import nn
from torch.optim import AdamW

from tests.cases._models import ViT, by_rank_and_name

CODE = "DA305"
RULES = "timm"


def model() -> nn.Module:
    return ViT()


def broken(model: ViT) -> AdamW:
    compiled: nn.Module = torch.compile(model)  # type: ignore[assignment]
    return by_rank_and_name(compiled.named_parameters(), model.no_weight_decay())


def repaired(model: ViT) -> AdamW:
    optimizer = by_rank_and_name(model.named_parameters(), model.no_weight_decay())
    model.compile()
    return optimizer
