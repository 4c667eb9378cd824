"""The skip set says `pos_embed`, the wrapped model `module.pos_embed` (microsoft/Swin-Transformer#369)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import ViT, by_rank_and_name

CODE = "DA305"
RULES = "timm"


def model() -> nn.Module:
    return ViT()


def broken(model: ViT) -> AdamW:
    return by_rank_and_name(nn.DataParallel(model).named_parameters(), model.no_weight_decay())


def repaired(model: ViT) -> AdamW:
    skip = {f"module.{name}" for name in model.no_weight_decay()}
    return by_rank_and_name(nn.DataParallel(model).named_parameters(), skip)
