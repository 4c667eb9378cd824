"""A list of exact names, compared with dotted ones: it matches nothing, and everything decays (namisan/mt-dnn#37)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import by_rank, transformer

CODE = "DA101"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def broken(model: nn.Module) -> AdamW:
    no_decay = ["bias", "gamma", "beta"]
    groups = [
        {"params": [p for name, p in model.named_parameters() if name not in no_decay], "weight_decay": 0.1},
        {"params": [p for name, p in model.named_parameters() if name in no_decay], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]])


def repaired(model: nn.Module) -> AdamW:
    return by_rank(model.parameters())
