"""A process group of one, for code that asks all ranks; gone afterwards, so the order of tests means nothing."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Inside, torch.distributed has one rank, without a port or a file."""
    store = torch.distributed.HashStore()  # type: ignore[attr-defined]
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
