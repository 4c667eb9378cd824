"""The parameters are marked `_no_weight_decay`, but training does not read that (state-spaces/mamba#798)."""

import torch
from torch import nn
from torch.optim import AdamW

CODE = "DA305"
RULES = "gpt-neox"


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.A_log = nn.Parameter(torch.zeros(16, 4))
        self.A_log._no_weight_decay = True  # type: ignore[attr-defined]
        self.out_proj = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out_proj(x @ self.A_log.exp() @ self.A_log.T)  # type: ignore[no-any-return]


def model() -> nn.Module:
    return Mixer()


def groups(model: nn.Module, *, marks: bool) -> AdamW:
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for parameter in model.parameters():
        marked = marks and getattr(parameter, "_no_weight_decay", False)
        (spared if parameter.ndim < 2 or marked else decayed).append(parameter)
    return AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])


def broken(model: nn.Module) -> AdamW:
    return groups(model, marks=False)


def repaired(model: nn.Module) -> AdamW:
    return groups(model, marks=True)
