"""The type test is for one class LayerNorm; the model has another class of that name (Megatron-DeepSpeed#262)."""

import torch
from torch import nn
from torch.optim import AdamW

CODE = "DA101"
RULES = "no-norm-no-bias"


class LayerNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), LayerNorm(8), nn.Linear(8, 8), LayerNorm(8))


def groups(model: nn.Module, norms: tuple[type[nn.Module], ...]) -> AdamW:
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            (spared if isinstance(module, norms) or name == "bias" else decayed).append(parameter)
    return AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}])


def broken(model: nn.Module) -> AdamW:
    return groups(model, (nn.LayerNorm,))


def repaired(model: nn.Module) -> AdamW:
    return groups(model, (nn.LayerNorm, LayerNorm))
