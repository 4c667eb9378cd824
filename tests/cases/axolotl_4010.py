"""Every group ends up with 0: the coefficient of the configuration is lost (axolotl-ai-cloud/axolotl#4010)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import transformer

CODE = "DA401"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def groups(model: nn.Module, settings: dict[str, float]) -> AdamW:
    weight_decay = settings.get("weight_decay", 0.0)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    spared = [p for p in model.parameters() if p.ndim < 2]
    return AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0, "lr": 2e-4}]
    )


def broken(model: nn.Module) -> AdamW:
    return groups(model, {"decay": 0.1})


def repaired(model: nn.Module) -> AdamW:
    return groups(model, {"weight_decay": 0.1})
