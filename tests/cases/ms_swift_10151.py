"""The head is in no group: it is never trained (modelscope/ms-swift#10151)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import by_rank, transformer

CODE = "DA201"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def broken(model: nn.Sequential) -> AdamW:
    return by_rank(parameter for layer in list(model)[:-1] for parameter in layer.parameters())


def repaired(model: nn.Sequential) -> AdamW:
    return by_rank(model.parameters())
