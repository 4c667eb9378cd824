"""With `--pretend world`, a script that joins a process group gets a group with one process, on the gloo backend."""

import functools
import os
from typing import Any, Callable

import torch


def set_hooks() -> None:
    """Replace `init_process_group`, and set the environment variables that a launcher sets."""
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1")):
        os.environ.setdefault(name, value)
    os.environ.setdefault("MASTER_PORT", "29500")
    distributed: Any = torch.distributed
    if distributed.is_available():
        distributed.init_process_group = _with_one_process(distributed)


def _with_one_process(distributed: Any) -> Callable[..., Any]:
    init = distributed.init_process_group

    @functools.wraps(init)
    def init_process_group(*_: Any, **__: Any) -> Any:
        # with an address, a worker of torchrun would wait for a store that its launcher keeps elsewhere
        return init("gloo", store=distributed.HashStore(), rank=0, world_size=1)

    return init_process_group
