"""One group for each parameter, almost all with the same settings (roboflow/rf-detr#1409)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import transformer

CODE = "DA207"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def coefficient(parameter: nn.Parameter) -> float:
    return 0.1 if parameter.ndim >= 2 else 0.0


def broken(model: nn.Module) -> AdamW:
    return AdamW([{"params": [p], "weight_decay": coefficient(p)} for p in model.parameters()])


def repaired(model: nn.Module) -> AdamW:
    return AdamW(
        [
            {"params": [p for p in model.parameters() if coefficient(p) == value], "weight_decay": value}
            for value in (0.1, 0.0)
        ]
    )
