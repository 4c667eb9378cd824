"""A state of two groups is loaded into one: torch refuses it and names no parameter (facebookresearch/suncet#36)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import by_rank, transformer

CODE = "DA601"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def saved(model: nn.Module) -> AdamW:
    return by_rank(model.parameters())


def broken(model: nn.Module) -> AdamW:
    return AdamW(model.parameters(), weight_decay=0.1)


def repaired(model: nn.Module) -> AdamW:
    return by_rank(model.parameters())
