"""Tell, by name, shape, dtype and siblings, whether a tensor of a state dict is not a parameter, and why."""

from collections.abc import Mapping
from typing import Final

from decay_audit.sources.checkpoint.contents import TRAINABLE_DTYPES, Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of the tensors in a module, by the last part of their names."""

_BY_NAME: Mapping[str, str] = {
    **dict.fromkeys(("running_mean", "running_var", "running_std", "num_batches_tracked"), "running statistics"),
    **dict.fromkeys(("inv_freq", "original_inv_freq", "freqs_cis", "freqs_cos", "freqs_sin"), "rotary frequencies"),
    **dict.fromkeys(("cos_cached", "sin_cached", "cos_cache", "sin_cache", "cos_sin_cache"), "rotary frequencies"),
    **dict.fromkeys(("position_ids", "token_type_ids", "relative_position_index"), "a table of indices"),
    **dict.fromkeys(("masked_bias", "attn_mask", "causal_mask", "attention_mask"), "an attention mask"),
    "relative_coords_table": "a table of coordinates",
    **dict.fromkeys(("anchor_grid", "anchors"), "anchors of a detector"),
    **dict.fromkeys(("pixel_mean", "pixel_std", "image_mean", "image_std"), "the normalization of the input"),
    **dict.fromkeys(("total_ops", "total_params"), "a counter of a profiler"),
    **dict.fromkeys(("n_averaged",), "the counter of an averaged model"),
    "_extra_state": "extra state of its module",
    **dict.fromkeys(("absmax", "nested_absmax", "quant_map", "nested_quant_map"), "quantization state"),
    **dict.fromkeys(("SCB", "input_scale", "zero_point", "fake_quant_enabled"), "quantization state"),
}
"""Names that belong to buffers in any module, with the reason."""

_OBSERVERS: Final = frozenset({"activation_post_process", "weight_fake_quant", "act_fake_quant", "quant_state"})
"""Names of the submodules that quantization adds: their tensors are buffers."""
_PACKED: Final = frozenset({"qweight", "weight_packed"})
"""Names of weights that a quantizer has packed into integers."""
_PACKED_WITH: Final = frozenset({"scales", "qzeros", "g_idx", "bias", "weight_scale", "weight_zero_point"})
"""Names of buffers beside a packed weight."""
_SCALES: Final = frozenset({"weight_scale", "weight_scale_inv", "weight_scale_2", "scale_weight"})
"""Names of buffers beside a quantized `weight`."""
_BY_SIBLING: Mapping[str, tuple[str, str]] = {
    "scale": ("zero_point", "quantization state"),
    "weight_u": ("weight_orig", "a power iteration of spectral normalization"),
    "weight_v": ("weight_orig", "a power iteration of spectral normalization"),
    "weight_mask": ("weight_orig", "a pruning mask"),
    "bias_mask": ("bias_orig", "a pruning mask"),
    "cluster_size": ("embed_avg", "moving averages of a codebook"),
    "embed_avg": ("cluster_size", "moving averages of a codebook"),
    "queue": ("queue_ptr", "a queue of keys"),
    "_u": ("_v", "a power iteration of spectral normalization"),
    "_v": ("_u", "a power iteration of spectral normalization"),
}
"""Names of tensors that are buffers if the same module has another tensor: its name, and the reason."""

_SCHEDULE: Final = "alphas_cumprod"
"""A buffer of a diffusion model. Other vectors of the same shape in its module belong to its noise schedule, too."""


def buffer_reason(owner: str, leaf: str, tensor: Tensor, siblings: Shapes) -> str:
    """Return why a tensor is not a parameter; "" if it is a parameter, as far as the file shows.

    Args:
        owner: dotted name of the module that holds the tensor.
        siblings: shapes of all tensors directly in that module, by the last part of their names.
    """
    if tensor.dtype not in TRAINABLE_DTYPES:
        return _BY_NAME.get(leaf) or f"{tensor.dtype}: only floating-point tensors are trained"
    if leaf == "weight" or tensor.trainable is not None:
        return ""
    if leaf in _BY_NAME:
        return _BY_NAME[leaf]
    if leaf in _BY_SIBLING and _BY_SIBLING[leaf][0] in siblings:
        return _BY_SIBLING[leaf][1]
    return _by_shape_and_siblings(owner, leaf, tensor.shape, siblings)


def _by_shape_and_siblings(owner: str, leaf: str, shape: tuple[int, ...], siblings: Shapes) -> str:
    if len(shape) == 4 and leaf in ("bias", "mask") and shape[:2] == (1, 1) and shape[2] == shape[3] > 1:
        return "an attention mask"
    if leaf in _PACKED_WITH and not _PACKED.isdisjoint(siblings):
        return "part of a packed weight"
    if leaf in _SCALES and "weight" in siblings:
        return "the scale of a quantized weight"
    if _SCHEDULE in siblings and len(shape) == 1 and shape == siblings[_SCHEDULE]:
        return "a noise schedule"
    if not _OBSERVERS.isdisjoint(owner.rsplit(".", 2)[-2:]):
        return "quantization state"
    return ""
