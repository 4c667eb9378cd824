"""Torchvision's compiled operators do not load beside every torch build, and timm imports torchvision.

Grouping parameters and building models needs no more of them than their schemas.
"""

import contextlib
import importlib.util
from typing import Any

import torch


def define() -> Any:  # noqa: ANN401  (torch leaves the class untyped)
    """Define the schemas that are missing; they live as long as what this returns."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    if importlib.util.find_spec("torchvision"):
        for name in ("nms", "qnms"):
            with contextlib.suppress(RuntimeError):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library
