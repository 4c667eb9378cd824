"""The condition is inverted: biases and norms decay, matrices do not (xuyige/BERT4doc-Classification#18)."""

from torch import nn
from torch.optim import AdamW

from tests.cases._models import transformer

CODE = "DA402"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


NO_DECAY = ("bias", "norm.weight")


def broken(model: nn.Module) -> AdamW:
    named = list(model.named_parameters())
    return AdamW(
        [
            {"params": [p for name, p in named if not name.endswith(NO_DECAY)], "weight_decay": 0.0},
            {"params": [p for name, p in named if name.endswith(NO_DECAY)], "weight_decay": 0.01},
        ]
    )


def repaired(model: nn.Module) -> AdamW:
    named = list(model.named_parameters())
    return AdamW(
        [
            {"params": [p for name, p in named if not name.endswith(NO_DECAY)], "weight_decay": 0.01},
            {"params": [p for name, p in named if name.endswith(NO_DECAY)], "weight_decay": 0.0},
        ]
    )
