"""An optimizer with parameter names still loads by position: states are swapped (pytorch/pytorch#134107)."""

from torch import nn
from torch.optim import AdamW

CODE = "DA601"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))


def groups(named: list[tuple[str, nn.Parameter]]) -> AdamW:
    decayed = [(name, parameter) for name, parameter in named if parameter.ndim >= 2]
    spared = [(name, parameter) for name, parameter in named if parameter.ndim < 2]
    return AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])


def saved(model: nn.Module) -> AdamW:
    return groups(sorted(model.named_parameters(), reverse=True))


def broken(model: nn.Module) -> AdamW:
    return groups(list(model.named_parameters()))


def repaired(model: nn.Module) -> AdamW:
    return groups(sorted(model.named_parameters(), reverse=True))
