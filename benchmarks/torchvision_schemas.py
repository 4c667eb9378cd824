"""Schemas of torchvision's compiled operators, for torch builds with which these operators do not load.

timm imports torchvision. To make param groups and build models, the schemas of the operators are enough; a trace also
needs the shapes of their results.
"""

import contextlib
import importlib
import importlib.util
from typing import Any

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
ROI_ALIGN = (
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, int sampling_ratio,"
    " bool aligned) -> Tensor"
)


def define() -> Any:  # noqa: ANN401  (torch leaves the class untyped)
    """Define the schemas that are missing. They exist as long as the library that is returned."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    if importlib.util.find_spec("torchvision"):
        for schema in SCHEMAS:
            with contextlib.suppress(RuntimeError):
                library.define(schema)  # type: ignore[no-untyped-call]
    return library


def pretend(library: Any) -> None:  # noqa: ANN401
    """Let detection models call these operators in a trace, which needs shapes alone."""
    extension = importlib.import_module("torchvision.extension")
    roi = importlib.import_module("torchvision.ops.roi_align")
    if extension._has_ops():
        return
    library.define(ROI_ALIGN)
    library.impl("roi_align", _pooled, "Meta")
    for module in (extension, roi):
        module._has_ops = lambda: True  # type: ignore[attr-defined]


def _pooled(features: torch.Tensor, rois: torch.Tensor, scale: float, height: int, width: int, *_: object) -> Any:  # noqa: ANN401, ARG001
    return features.new_empty((rois.shape[0], features.shape[1], height, width))
