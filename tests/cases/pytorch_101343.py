"""FSDP puts `_fsdp_wrapped_module.` into every name: a list of names made before matches nothing (pytorch#101343)."""

import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import AdamW

from tests.cases._models import ViT, by_rank_and_name
from tests.process_group import process_group

CODE = "DA305"
RULES = "timm"
PREFIX = "_fsdp_wrapped_module."


def model() -> nn.Module:
    return ViT()


def wrapped(model: nn.Module) -> nn.Module:
    with process_group():
        return FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=True)


def broken(model: ViT) -> AdamW:
    skip = model.no_weight_decay()
    return by_rank_and_name(wrapped(model).named_parameters(), skip)


def repaired(model: ViT) -> AdamW:
    skip = model.no_weight_decay()
    named = wrapped(model).named_parameters()
    return by_rank_and_name([(name.replace(PREFIX, ""), parameter) for name, parameter in named], skip)
