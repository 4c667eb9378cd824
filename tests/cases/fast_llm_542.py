"""ServiceNow/Fast-LLM#542: a refactor of the layers dropped the rule that kept norms and biases from decaying."""

import torch
from torch import nn

RULES = "megatron"
CODE = "DA101"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.mlp = nn.Linear(16, 16)


def model() -> nn.Module:
    return nn.Sequential(Block(), Block())


def broken(model: nn.Module) -> torch.optim.Optimizer:
    # After the refactor every parameter's metadata says `weight_decay=True` by default.
    decayed = {name: True for name, _ in model.named_parameters()}
    return _optimizer(model, decayed)


def repaired(model: nn.Module) -> torch.optim.Optimizer:
    decayed = {name: tensor.ndim > 1 for name, tensor in model.named_parameters()}
    return _optimizer(model, decayed)


def _optimizer(model: nn.Module, decayed: dict[str, bool]) -> torch.optim.Optimizer:
    groups = [
        {
            "params": [tensor for name, tensor in model.named_parameters() if decayed[name] is keep],
            "weight_decay": value,
        }
        for keep, value in ((True, 0.1), (False, 0.0))
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=1e-3)
