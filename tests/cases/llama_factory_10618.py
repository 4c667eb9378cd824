"""Muon gets every matrix, and so the embedding and the head that AdamW should have (hiyouga/LlamaFactory#10618)."""

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from tests.cases._models import Block

CODE = "DA104"
RULES = "keller-muon"


def model() -> nn.Module:
    parts = {"embed": nn.Embedding(50, 16), "body": Block(16), "head": nn.Linear(16, 50, bias=False)}
    return nn.ModuleDict(parts)


def optimizers(model: nn.Module, *, inside: str) -> list[Optimizer]:
    named = dict(model.named_parameters())
    muon = [name for name, parameter in named.items() if parameter.ndim == 2 and inside in name]
    rest = [named[name] for name in named if name not in muon]
    return [
        Muon([named[name] for name in muon], lr=0.02, weight_decay=0.01),
        AdamW(rest, lr=3e-4, weight_decay=0.01),
    ]


def broken(model: nn.Module) -> list[Optimizer]:
    return optimizers(model, inside="")


def repaired(model: nn.Module) -> list[Optimizer]:
    return optimizers(model, inside="body.")
