"""A parallel wrapper hides no_weight_decay(): the position embedding decays (facebookresearch/deit#39)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import ViT, by_rank_and_name

CODE = "DA305"
RULES = "timm"


def model() -> nn.Module:
    return ViT()


def broken(model: nn.Module) -> AdamW:
    wrapped = nn.DataParallel(model)
    declared = getattr(wrapped, "no_weight_decay", None)
    return by_rank_and_name(model.named_parameters(), declared() if declared else set())


def repaired(model: ViT) -> AdamW:
    return by_rank_and_name(model.named_parameters(), model.no_weight_decay())
