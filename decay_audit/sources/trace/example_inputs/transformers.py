"""The inputs that transformers' models take, by argument name: each is made from the model's config. Knows torch.

A config does not always say which layout a model wants, so a dish has several servings, tried one after the other.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

TOKENS = 8
FRAMES = 400
SAMPLES = 19200  # of a wave: a multiple of the strides that audio models fold
GRID = (1, 4, 4)  # frames, rows and columns of patches, for models that take images as a list of patches

Servings = list[torch.Tensor]


def floats(*shape: int) -> torch.Tensor:
    """A tensor of numbers, without values."""
    return torch.empty(shape, device="meta")


def ids(*shape: int) -> torch.Tensor:
    """A tensor of whole numbers, without values."""
    return torch.empty(shape or (1, TOKENS), dtype=torch.int64, device="meta")


def get(holder: Any, *names: str) -> Any:  # noqa: ANN401
    """Look names up in a mapping or an object; the first that is set, or None."""
    for name in names:
        value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        if value is not None:
            return value
    return None


def number(holder: Any, otherwise: int, *names: str) -> int:  # noqa: ANN401
    """Look a whole number up; of a list, its last."""
    value = get(holder, *names)
    value = value[-1] if isinstance(value, list | tuple) and value else value
    return int(value) if isinstance(value, int) else otherwise


def _vision(config: Any) -> Any:  # noqa: ANN401
    return get(config, "vision_config", "backbone_config") or config


def _audio(config: Any) -> Any:  # noqa: ANN401
    return get(config, "audio_config", "encoder_config", "audio_encoder_config") or config


def _images(config: Any) -> Servings:  # noqa: ANN401
    vision = _vision(config)
    within = get(vision, "backbone_config")
    size = get(vision, "image_size", "input_size") or get(within, "image_size") or get(config, "image_size") or 224
    if isinstance(size, Mapping):
        size = (size.get("height", 224), size.get("width", 224))
    height, width = size[-2:] if isinstance(size, list | tuple) and len(size) > 1 else (size, size)
    sides = [side[0] if isinstance(side, list | tuple) else side for side in (height, width)]
    channels = number(vision, 3, "num_channels", "in_channels", "in_chans")
    frames = get(vision, "num_frames", "frames_per_clip")
    whole = floats(1, channels, *sides)
    first = floats(1, frames, channels, *sides) if isinstance(frames, int) else whole
    return [
        first,
        whole,
        floats(1, channels, 512, 512),
        floats(1, channels, 1536, 1536),
        floats(1, 2, channels, *sides),
    ]


def _patches(config: Any) -> Servings:  # noqa: ANN401
    vision = _vision(config)
    side = number(vision, 14, "patch_size")
    values = number(vision, 3, "num_channels", "in_channels", "in_chans") * side * side
    count = GRID[1] * GRID[2]
    cut = floats(count, number(vision, 3, "num_channels", "in_channels", "in_chans"), side, side)
    return [floats(count, values * number(vision, 1, "temporal_patch_size")), floats(1, count, values), cut]


def _videos(config: Any) -> Servings:  # noqa: ANN401
    image, *_ = _images(config)
    return [image if image.dim() == 5 else floats(1, 16, *image.shape[1:])]


def _waves(config: Any) -> Servings:  # noqa: ANN401
    bins, frames = get(config, "num_mel_bins"), get(config, "max_length")
    channels = number(config, 1, "audio_channels")
    waves = [floats(1, SAMPLES), floats(1, channels, SAMPLES)]
    if get(config, "audio_channels") is not None:
        waves.reverse()
    if isinstance(bins, int) and isinstance(frames, int):
        return [floats(1, frames, bins), *waves]  # a spectrogram, cut into patches
    return waves


_MEL_BINS = (
    "num_mel_bins",
    "input_feat_per_channel",
    "feature_projection_input_dim",
    "feat_dim",
    "input_feat_size",
    "input_dim",
)


def _features(config: Any) -> Servings:  # noqa: ANN401
    audio = _audio(config)
    bins = number(audio, 80, *_MEL_BINS)
    frames = 2 * number(audio, FRAMES // 2, "max_source_positions")
    in_rows = [floats(1, FRAMES, bins), floats(1, 1, 1001, bins), floats(1, 4, 1001, bins)]
    in_columns = [floats(1, bins, frames), floats(bins, 200)]
    return [*in_columns, *in_rows] if hasattr(audio, "max_source_positions") else [*in_rows, *in_columns]


def _past(config: Any) -> Servings:  # noqa: ANN401
    lags = get(config, "lags_sequence") or [0]
    length = number(config, 64, "context_length", "prediction_length") + max(lags)
    size = number(config, 1, "num_input_channels", "input_size")
    flat, wide = floats(1, length), floats(1, length, size)
    return [wide, flat] if size > 1 or hasattr(config, "num_input_channels") else [flat, wide]


def _hidden(config: Any) -> Servings:  # noqa: ANN401
    return [floats(1, TOKENS, number(config, 64, "d_model", "hidden_size", "embed_dim"))]


def _times(config: Any) -> Servings:  # noqa: ANN401
    features = number(config, 0, "num_time_features") + number(config, 0, "num_dynamic_real_features")
    return [floats(1, _past(config)[0].shape[1], features)]


def _encoded(config: Any) -> Servings:  # noqa: ANN401
    own = number(config, 64, "d_model", "hidden_size", "embed_dim")
    return [floats(1, TOKENS, number(config, own, "encoder_hidden_size", "cross_attention_hidden_size"))]


def _of(*sizes: int | str) -> Callable[[Any], Servings]:
    """Serve numbers for each token, as many as the config says."""
    return lambda config: [
        floats(1, TOKENS, *(number(config, 1, size) if isinstance(size, str) else size for size in sizes))
    ]


def _ids(config: Any) -> Servings:  # noqa: ANN401, ARG001
    return [ids()]


def _frames_mask(config: Any) -> Servings:  # noqa: ANN401
    bins = number(_audio(config), 80, *_MEL_BINS)
    frames = [tensor.shape[1] if tensor.shape[-1] == bins else tensor.shape[-1] for tensor in _features(config)]
    return [torch.ones(1, count, dtype=torch.bool) for count in frames]


def _grid(config: Any) -> Servings:  # noqa: ANN401, ARG001
    return [torch.tensor([GRID])]


DISHES: dict[str, Callable[[Any], Servings]] = {
    "input_ids": _ids,
    "decoder_input_ids": _ids,
    "attention_mask": _ids,
    "token_type_ids": _ids,
    "bbox": lambda config: [ids(1, TOKENS, 4), floats(1, TOKENS, 8), floats(1, TOKENS, 4)],  # noqa: ARG005
    "task_inputs": lambda config: [ids(1, 77)],  # noqa: ARG005
    "pixel_values": _images,
    "images": _images,
    "pixel_mask": lambda config: [ids(1, *image.shape[-2:]) for image in _images(config)],
    "pixel_values_videos": _videos,
    "input_values": _waves,
    "input_features": _features,
    "audio_mel": _features,
    "input_features_mask": _frames_mask,
    "audio_mel_mask": _frames_mask,
    "past_values": _past,
    "past_time_features": _times,
    "past_observed_mask": _past,
    "inputs": _hidden,
    "inputs_embeds": _hidden,
    "hidden_states": _hidden,
    "encoder_hidden_states": _encoded,
    "query_embeds": _hidden,
    "latents": _hidden,
    "visual_feats": _of("visual_feat_dim"),
    "visual_pos": _of(4),
    "states": _of("state_dim"),
    "actions": _of("act_dim"),
    "rewards": _of(1),
    "returns_to_go": _of(1),
    "timesteps": _ids,
    "freq": lambda config: [ids(1, 1)],  # noqa: ARG005
    "image_attention_mask": lambda config: [ids(1, TOKENS, 2)],  # noqa: ARG005
    "grid_thw": _grid,
    "image_grid_thw": _grid,
    "spatial_shapes": lambda config: [torch.tensor([GRID[1:]])],  # noqa: ARG005
    "target_sizes": lambda config: [torch.tensor([GRID[1:]])],  # noqa: ARG005
    "merge_sizes": lambda config: [torch.tensor([1])],  # noqa: ARG005
    "pixel_attention_mask": lambda config: [torch.ones(1, GRID[1] * GRID[2], dtype=torch.int64)],  # noqa: ARG005
    "pixel_position_ids": lambda config: [torch.cartesian_prod(torch.arange(4), torch.arange(4))[None]],  # noqa: ARG005
}
"""By argument name, from a config: what to serve, in the order to try."""

ENDINGS: dict[str, Callable[[Any], Servings]] = {
    "_input_ids": _ids,
    "_pixel_values": _images,
    "_masks": _images,
    "_hidden_states": _hidden,
    "_embeds": _hidden,
    "_values_padding": _past,
    "_attention_mask": lambda config: [torch.ones(1, TOKENS, dtype=torch.int64)],  # noqa: ARG005
}
"""The same by the end of a name."""


def dish(name: str) -> Callable[[Any], Servings] | None:
    """Find what an argument of this name is served, if anything is known of it."""
    return DISHES.get(name) or next((make for end, make in ENDINGS.items() if name.endswith(end)), None)


LAYOUTS_OF_PATCHES = frozenset({"grid_thw", "image_grid_thw", "spatial_shapes", "target_sizes", "pixel_position_ids"})
IN_PATCHES = {"pixel_values": _patches, "hidden_states": _patches}
"""What the same names mean beside a grid of patches."""

LAYOUTS = LAYOUTS_OF_PATCHES | {"merge_sizes", "pixel_attention_mask", "input_features_mask", "audio_mel_mask"}
"""Arguments that say how the others are laid out: their values count."""
