"""After a resume the groups hold another weight_decay than the run that was saved (NVIDIA/Megatron-LM#7468)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import by_rank, transformer

CODE = "DA103"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def saved(model: nn.Module) -> AdamW:
    return by_rank(model.parameters(), weight_decay=0.1)


def broken(model: nn.Module) -> AdamW:
    return by_rank(model.parameters(), weight_decay=0.033)


def repaired(model: nn.Module) -> AdamW:
    return by_rank(model.parameters(), weight_decay=0.1)
