"""Layer-wise learning rates that count one layer too many: the head is two away (google-research/electra#51)."""

from pathlib import Path

from torch import nn
from torch.optim import AdamW

from tests.cases._models import transformer

CODE = "DA105"
RULES = str(Path(__file__).with_suffix(".yaml"))

HEAD = 3


def model() -> nn.Module:
    return transformer()


def layered(model: nn.Module, *, head: int) -> AdamW:
    groups: dict[tuple[int, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        layer = int(name.partition(".")[0])
        depth = 0 if layer == HEAD else head - layer
        groups.setdefault((depth, 0.1 if parameter.ndim >= 2 else 0.0), []).append(parameter)
    return AdamW(
        [{"params": held, "lr": 1e-3 * 0.5**depth, "weight_decay": decay} for (depth, decay), held in groups.items()]
    )


def broken(model: nn.Module) -> AdamW:
    return layered(model, head=HEAD + 1)


def repaired(model: nn.Module) -> AdamW:
    return layered(model, head=HEAD)
