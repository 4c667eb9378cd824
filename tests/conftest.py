"""Shared set-up: torchvision's compiled operators do not load beside a CPU torch, so their schemas are defined here.

The shim is in force for the whole test run; building models and grouping parameters need nothing more of them.
"""

import contextlib
import importlib.util
import signal
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine is no defect
settings.load_profile("unhurried")

_TORCHVISION = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
if importlib.util.find_spec("torchvision"):
    for _name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            _TORCHVISION.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]


@pytest.fixture
def default_interrupts() -> Iterator[None]:
    """Processes start with the default SIGINT handler, also where the tests run in the background and ignore SIGINT."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture(autouse=True, scope="module")
def forget_modules_of_temporary_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules that tests import from files they wrote: other tests may write modules of the same names."""
    before = set(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        file = vars(sys.modules[name]).get("__file__") if hasattr(sys.modules[name], "__dict__") else None
        if isinstance(file, str) and file.startswith(str(tmp_path_factory.getbasetemp())):
            del sys.modules[name]
