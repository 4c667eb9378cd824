"""The tensors for the arguments of transformers models, by argument name, from the model's config.

A config does not always say which shape a model wants, so there are several tensors for an argument, in the order to
try. Names of arguments and settings are those of transformers 5.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from decay_audit.sources.trace.example_inputs.candidates import TOKENS, float_tensor, int_tensor, setting

FRAMES = 400  # the length of a spectrogram
SAMPLES = 19200  # the length of a waveform: a multiple of the strides of audio models
GRID = (1, 4, 4)  # frames, rows and columns of patches, for models that take images as a list of patches

# Each tuple has the names that configs give to one setting.
_VISION_CONFIG = ("vision_config", "backbone_config")
_AUDIO_CONFIG = ("audio_config", "encoder_config", "audio_encoder_config")
_CHANNELS = ("num_channels", "in_channels", "in_chans")
_WIDTH = ("d_model", "hidden_size", "embed_dim")
_ENCODER_WIDTH = ("encoder_hidden_size", "cross_attention_hidden_size")
_MEL_BINS = (
    "num_mel_bins",
    "input_feat_per_channel",
    "feature_projection_input_dim",
    "feat_dim",
    "input_feat_size",
    "input_dim",
)

Tensors = list[torch.Tensor]


def tensors_for(name: str) -> Callable[[Any], Tensors] | None:
    """Return the function that makes the tensors for an argument from a config; None if the name is unknown."""
    return ARGUMENTS.get(name) or next((make for end, make in ENDINGS.items() if name.endswith(end)), None)


def _number(config: Any, default: int, *names: str) -> int:  # noqa: ANN401
    """Return a setting that is a whole number, or the last item of a setting that is a list."""
    value = setting(config, *names)
    value = value[-1] if isinstance(value, list | tuple) and value else value
    return int(value) if isinstance(value, int) else default


def _vision(config: Any) -> Any:  # noqa: ANN401
    return setting(config, *_VISION_CONFIG) or config


def _audio(config: Any) -> Any:  # noqa: ANN401
    return setting(config, *_AUDIO_CONFIG) or config


def _images(config: Any) -> Tensors:  # noqa: ANN401
    vision = _vision(config)
    backbone = setting(vision, "backbone_config")
    size = (
        setting(vision, "image_size", "input_size")
        or setting(backbone, "image_size")
        or setting(config, "image_size")
        or 224
    )
    if isinstance(size, Mapping):
        size = (size.get("height", 224), size.get("width", 224))
    height, width = size[-2:] if isinstance(size, list | tuple) and len(size) > 1 else (size, size)
    sides = [side[0] if isinstance(side, list | tuple) else side for side in (height, width)]
    channels = _number(vision, 3, *_CHANNELS)
    frames = setting(vision, "num_frames", "frames_per_clip")
    whole = float_tensor(1, channels, *sides)
    first = float_tensor(1, frames, channels, *sides) if isinstance(frames, int) else whole
    return [
        first,
        whole,
        float_tensor(1, channels, 512, 512),
        float_tensor(1, channels, 1536, 1536),
        float_tensor(1, 2, channels, *sides),
    ]


def _patches(config: Any) -> Tensors:  # noqa: ANN401
    vision = _vision(config)
    side = _number(vision, 14, "patch_size")
    channels = _number(vision, 3, *_CHANNELS)
    values = channels * side * side
    count = GRID[1] * GRID[2]
    return [
        float_tensor(count, values * _number(vision, 1, "temporal_patch_size")),
        float_tensor(1, count, values),
        float_tensor(count, channels, side, side),
    ]


def _videos(config: Any) -> Tensors:  # noqa: ANN401
    image, *_ = _images(config)
    return [image if image.dim() == 5 else float_tensor(1, 16, *image.shape[1:])]


def _waveforms(config: Any) -> Tensors:  # noqa: ANN401
    bins, frames = setting(config, "num_mel_bins"), setting(config, "max_length")
    channels = _number(config, 1, "audio_channels")
    waveforms = [float_tensor(1, SAMPLES), float_tensor(1, channels, SAMPLES)]
    if setting(config, "audio_channels") is not None:
        waveforms.reverse()
    if isinstance(bins, int) and isinstance(frames, int):
        return [float_tensor(1, frames, bins), *waveforms]  # a spectrogram, cut into patches
    return waveforms


def _features(config: Any) -> Tensors:  # noqa: ANN401
    audio = _audio(config)
    bins = _number(audio, 80, *_MEL_BINS)
    frames = 2 * _number(audio, FRAMES // 2, "max_source_positions")
    in_rows = [float_tensor(1, FRAMES, bins), float_tensor(1, 1, 1001, bins), float_tensor(1, 4, 1001, bins)]
    in_columns = [float_tensor(1, bins, frames), float_tensor(bins, 200)]
    return [*in_columns, *in_rows] if hasattr(audio, "max_source_positions") else [*in_rows, *in_columns]


def _series(config: Any) -> Tensors:  # noqa: ANN401
    lags = setting(config, "lags_sequence") or [0]
    length = _number(config, 64, "context_length", "prediction_length") + max(lags)
    size = _number(config, 1, "num_input_channels", "input_size")
    flat, wide = float_tensor(1, length), float_tensor(1, length, size)
    return [wide, flat] if size > 1 or hasattr(config, "num_input_channels") else [flat, wide]


def _hidden_states(config: Any) -> Tensors:  # noqa: ANN401
    return [float_tensor(1, TOKENS, _number(config, 64, *_WIDTH))]


def _time_features(config: Any) -> Tensors:  # noqa: ANN401
    features = _number(config, 0, "num_time_features") + _number(config, 0, "num_dynamic_real_features")
    return [float_tensor(1, _series(config)[0].shape[1], features)]


def _encoder_states(config: Any) -> Tensors:  # noqa: ANN401
    decoder_width = _number(config, 64, *_WIDTH)
    return [float_tensor(1, TOKENS, _number(config, decoder_width, *_ENCODER_WIDTH))]


def _per_token(*sizes: int | str) -> Callable[[Any], Tensors]:
    """Make floats for each token; a size by name is a setting of the config."""
    return lambda config: [
        float_tensor(1, TOKENS, *(_number(config, 1, size) if isinstance(size, str) else size for size in sizes))
    ]


def _token_ids(config: Any) -> Tensors:  # noqa: ANN401, ARG001
    return [int_tensor()]


def _frames_mask(config: Any) -> Tensors:  # noqa: ANN401
    bins = _number(_audio(config), 80, *_MEL_BINS)
    frames = [tensor.shape[1] if tensor.shape[-1] == bins else tensor.shape[-1] for tensor in _features(config)]
    return [torch.ones(1, count, dtype=torch.bool) for count in frames]


def _grid(config: Any) -> Tensors:  # noqa: ANN401, ARG001
    return [torch.tensor([GRID])]


ARGUMENTS: dict[str, Callable[[Any], Tensors]] = {
    "input_ids": _token_ids,
    "decoder_input_ids": _token_ids,
    "attention_mask": _token_ids,
    "token_type_ids": _token_ids,
    "bbox": lambda config: [int_tensor(1, TOKENS, 4), float_tensor(1, TOKENS, 8), float_tensor(1, TOKENS, 4)],  # noqa: ARG005
    "task_inputs": lambda config: [int_tensor(1, 77)],  # noqa: ARG005
    "pixel_values": _images,
    "images": _images,
    "pixel_mask": lambda config: [int_tensor(1, *image.shape[-2:]) for image in _images(config)],
    "pixel_values_videos": _videos,
    "input_values": _waveforms,
    "input_features": _features,
    "audio_mel": _features,
    "input_features_mask": _frames_mask,
    "audio_mel_mask": _frames_mask,
    "past_values": _series,
    "past_time_features": _time_features,
    "past_observed_mask": _series,
    "inputs": _hidden_states,
    "inputs_embeds": _hidden_states,
    "hidden_states": _hidden_states,
    "encoder_hidden_states": _encoder_states,
    "query_embeds": _hidden_states,
    "latents": _hidden_states,
    "visual_feats": _per_token("visual_feat_dim"),
    "visual_pos": _per_token(4),
    "states": _per_token("state_dim"),
    "actions": _per_token("act_dim"),
    "rewards": _per_token(1),
    "returns_to_go": _per_token(1),
    "timesteps": _token_ids,
    "freq": lambda config: [int_tensor(1, 1)],  # noqa: ARG005
    "image_attention_mask": lambda config: [int_tensor(1, TOKENS, 2)],  # noqa: ARG005
    "grid_thw": _grid,
    "image_grid_thw": _grid,
    "spatial_shapes": lambda config: [torch.tensor([GRID[1:]])],  # noqa: ARG005
    "target_sizes": lambda config: [torch.tensor([GRID[1:]])],  # noqa: ARG005
    "merge_sizes": lambda config: [torch.tensor([1])],  # noqa: ARG005
    "pixel_attention_mask": lambda config: [torch.ones(1, GRID[1] * GRID[2], dtype=torch.int64)],  # noqa: ARG005
    "pixel_position_ids": lambda config: [torch.cartesian_prod(torch.arange(4), torch.arange(4))[None]],  # noqa: ARG005
}
"""For each argument name, the function that makes the tensors to try from a config."""

ENDINGS: dict[str, Callable[[Any], Tensors]] = {
    "_input_ids": _token_ids,
    "_pixel_values": _images,
    "_masks": _images,
    "_hidden_states": _hidden_states,
    "_embeds": _hidden_states,
    "_values_padding": _series,
    "_attention_mask": lambda config: [torch.ones(1, TOKENS, dtype=torch.int64)],  # noqa: ARG005
}
"""The same functions by the end of an argument name."""

PATCH_LAYOUTS = frozenset({"grid_thw", "image_grid_thw", "spatial_shapes", "target_sizes", "pixel_position_ids"})
"""Arguments that give the grid of an image that was cut into patches."""

PATCH_ARGUMENTS: dict[str, Callable[[Any], Tensors]] = {"pixel_values": _patches, "hidden_states": _patches}
"""The functions for these arguments if an argument in `PATCH_LAYOUTS` is given, too."""

LAYOUTS = PATCH_LAYOUTS | {"merge_sizes", "pixel_attention_mask", "input_features_mask", "audio_mel_mask"}
"""Arguments whose values count, because they describe the layout of other arguments."""
