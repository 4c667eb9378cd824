"""A group whose condition matches no parameter of this model (Soup#336)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import transformer

CODE = "DA206"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def groups(model: nn.Module) -> list[dict[str, object]]:
    named = list(model.named_parameters())
    return [
        {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": 0.1, "lr": 1e-3},
        {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0, "lr": 1e-3},
        {"params": [p for name, p in named if "lora" in name], "weight_decay": 0.0, "lr": 1e-2},
    ]


def broken(model: nn.Module) -> AdamW:
    return AdamW(groups(model))


def repaired(model: nn.Module) -> AdamW:
    return AdamW([group for group in groups(model) if group["params"]])
