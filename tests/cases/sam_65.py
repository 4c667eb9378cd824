"""A group is added to SAM, which shares its groups with AdamW and does not know its defaults (davda54/sam#65)."""

from torch import nn
from torch.optim import AdamW, Optimizer

from tests.cases._models import transformer
from tests.checks.test_group_keys import SharingGroups, split

CODE = "DA208"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def broken(model: nn.Sequential) -> Optimizer:
    optimizer = SharingGroups(split(model[:3]), lr=1e-3)
    optimizer.add_param_group(split(model[3])[0])
    optimizer.add_param_group(split(model[3])[1])
    return optimizer


def repaired(model: nn.Sequential) -> Optimizer:
    return AdamW(split(model), lr=1e-3)
