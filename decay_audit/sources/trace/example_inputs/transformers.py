"""Choose the arguments with which a transformers model is called.

The required arguments and the main input are not always enough: a forward pass may need optional arguments, which
depend on the model. The names are those of transformers 5.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn

from decay_audit.sources.trace.example_inputs.candidates import ExampleInputs, required_arguments
from decay_audit.sources.trace.example_inputs.transformers_arguments import (
    LAYOUTS,
    PATCH_ARGUMENTS,
    PATCH_LAYOUTS,
    tensors_for,
)

MODALITIES = {"text": "input_ids", "image": "pixel_values", "audio": "input_features", "video": "pixel_values_videos"}
"""The argument for each item of `input_modalities`."""

BOX_ARGUMENTS = ("bbox",)
"""Arguments of document models (LayoutLM, LiLT, UDOP): the box of each token."""

PATCH_DETAILS = ("grid_thw", "image_grid_thw", "target_sizes", "spatial_shapes", "pixel_attention_mask")
"""Arguments of models that take images cut into patches (Qwen2-VL, MiniCPM-V, SigLIP 2, Idefics2)."""

OPTIONAL_BUT_NEEDED: Mapping[str, tuple[str, ...]] = {
    "audio models (wav2vec 2.0, EnCodec)": ("input_values",),
    "LxmertModel": ("visual_feats", "visual_pos"),
    "Gemma3nModel": ("input_features_mask",),
    "IdeficsModel": ("image_attention_mask",),
    "DecisionTransformerModel": ("actions", "rewards", "returns_to_go", "timesteps"),
}
"""For each model, the arguments that its signature makes optional, but that its forward pass needs."""


def transformers_inputs(model: nn.Module, main_inputs: Sequence[str]) -> Iterator[ExampleInputs]:
    """Yield candidates for the inputs of a transformers model.

    Args:
        model: a model that has a `config`.
        main_inputs: the names in its `main_input_name`.
    """
    config: Any = model.config
    accepted = signature(model.forward).parameters
    constants = {"use_cache": False} if "use_cache" in accepted else {}
    combinations = (
        tuple(dict.fromkeys(name for name in names if name in accepted))
        for names in _argument_combinations(model, main_inputs, accepted)
    )
    for names in dict.fromkeys(combinations):
        if names and all(tensors_for(name) is not None for name in names):
            for candidate in _candidates(names, config):
                yield replace(candidate, constants={**candidate.constants, **constants})


def _argument_combinations(model: nn.Module, main: Sequence[str], accepted: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield combinations of argument names, in the order to try."""
    required = required_arguments(model)
    if getattr(model.config, "is_encoder_decoder", False) and "decoder_input_ids" in accepted:
        required.append("decoder_input_ids")
    modalities: Any = getattr(model, "input_modalities", ())
    modalities = [modalities] if isinstance(modalities, str) else modalities
    others = [MODALITIES[modality] for modality in modalities if modality in MODALITIES]
    rare = [name for names in OPTIONAL_BUT_NEEDED.values() for name in names]
    yield (*required, *main, *BOX_ARGUMENTS, *others)
    yield (*required, *main)
    yield (*required, *others[:1])
    yield (*required, *main, *others, *PATCH_DETAILS)
    yield (*required, *main, *MODALITIES.values(), *rare)
    yield (*required, *main, "encoder_hidden_states")


def _candidates(names: Sequence[str], config: Any) -> Iterator[ExampleInputs]:  # noqa: ANN401
    """Yield inputs from the first tensor for each argument, then from the second, and so on.

    If an argument has fewer tensors than others, its last tensor is repeated.
    """
    patches = PATCH_ARGUMENTS if not PATCH_LAYOUTS.isdisjoint(names) else {}
    makers = ((name, patches.get(name) or tensors_for(name)) for name in names)
    choices: dict[str, list[torch.Tensor]] = {name: make(config) for name, make in makers if make is not None}
    for turn in range(max(map(len, choices.values()))):
        chosen = {name: tensors[min(turn, len(tensors) - 1)] for name, tensors in choices.items()}
        yield ExampleInputs(
            kwargs={name: tensor for name, tensor in chosen.items() if name not in LAYOUTS},
            constants={name: tensor for name, tensor in chosen.items() if name in LAYOUTS},
        )
