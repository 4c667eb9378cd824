"""FSDP flattens what it wraps: a rule on rank sees one vector (mlfoundations/open_clip#358)."""

import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import AdamW

from tests.cases._models import by_rank, transformer
from tests.process_group import process_group

CODE = "DA505"
RULES = "no-norm-no-bias"


def model() -> nn.Module:
    return transformer()


def broken(model: nn.Module) -> AdamW:
    with process_group():
        return by_rank(FullyShardedDataParallel(model, device_id=torch.device("cpu")).parameters())


def repaired(model: nn.Module) -> AdamW:
    with process_group():
        return by_rank(
            FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=True).parameters()
        )
