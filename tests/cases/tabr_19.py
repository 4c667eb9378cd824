"""The list of parameters to spare is created and never filled (yandex-research/tabular-dl-tabr#19)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import by_rank, transformer

CODE = "DA101"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def broken(model: nn.Module) -> AdamW:
    spared: list[nn.Parameter] = []
    decayed = []
    for parameter in model.parameters():
        decayed.append(parameter)
    groups = [{"params": decayed, "weight_decay": 0.1}]
    return AdamW([*groups, {"params": spared, "weight_decay": 0.0}] if spared else groups)


def repaired(model: nn.Module) -> AdamW:
    return by_rank(model.parameters())
